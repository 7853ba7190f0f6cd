"""What a recorder is told before it starts, and the words that it and the daemon exchange. Light: the daemon loads it.

Everything is plain data, since it travels through a socket: the daemon sends the job as the first message of the
control channel.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

ACCESS, PROFILE, FOOTPRINT, VMAS, PROC_STATS, EVENTS = KINDS = (
    "access",
    "cpu_profile",
    "mem_footprint",
    "vmas",
    "proc_stats",
    "damon_trace_events",
)
DEFAULT_KINDS = (ACCESS, FOOTPRINT, VMAS, PROC_STATS)
"""cpu_profile needs `perf` and CPU time of everybody, so it is recorded only when asked for."""
OUTPUT_TYPES = ("parquet", "json_compressed", "json", "perf_script")
RECORD_NAME = "damon.data"
PART = ".part"

Message = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """On whose behalf files are made. None of its ids: as the recorder itself."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Watch:
    """A kdamond that is recorded. `specs` of the whole recording are in `Job.kdamonds`, as people write them."""

    index: int
    pid: int
    ops: str
    sample_us: int
    aggr_us: int
    target_pids: tuple[int | None, ...] = ()
    intervals_goal: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Events:
    """Where the pages come from. With `piped`, the daemon writes those of its own ring into a socket; else the
    recorder opens a tracefs instance of its own. `formats` and `header_page` are the kernel's texts."""

    names: tuple[str, ...]
    buffer_kb: int
    piped: bool = False
    header_page: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Job:
    """One recording.

    `out` is a file name in the directory whose handle the recorder was given. `events` is None where the daemon sends
    snapshots instead. Times are in seconds, `mode` are the files' permission bits. `selection` holds the fields of
    `access.select.Selection`. `segmented`: whatever is recorded becomes a segment with a directory of its own, also
    what an interrupted recording left, so that one recording may follow another.
    """

    name: str
    out: str
    kernel: str
    release: str
    watches: tuple[Watch, ...]
    kdamonds: Sequence[Mapping[str, Any]] = ()
    events: Events | None = None
    caller: Caller | None = None
    mode: int = 0o600
    force: bool = False
    output_type: str = "parquet"
    kinds: tuple[str, ...] = DEFAULT_KINDS
    timeout_s: float | None = None
    flush_s: float = 3600.0
    keep_s: float | None = None
    keep_bytes: int | None = None
    wall_offset_ns: int | None = None
    perf: str | None = None
    selection: Mapping[str, Any] | None = None
    segmented: bool = False

    def to_wire(self) -> Message:
        """Plain data for the control channel."""
        return asdict(self)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Job:
        """The inverse of `to_wire`."""
        plain = dict(data)
        plain["watches"] = tuple(watch(item) for item in plain["watches"])
        if plain["events"] is not None:
            events = dict(plain["events"])
            plain["events"] = Events(
                **{**events, "names": tuple(events["names"]), "cpus": tuple(events["cpus"])},
            )
        if plain["caller"] is not None:
            caller = plain["caller"]
            plain["caller"] = Caller(caller["uid"], caller["gid"], tuple(caller["groups"]))
        plain["kinds"] = tuple(plain["kinds"])
        return cls(**plain)


def watch(data: Mapping[str, Any]) -> Watch:
    """A Watch out of plain data."""
    return Watch(**{**data, "target_pids": tuple(data["target_pids"])})


def seal_command(
    directory: int, out: str, mode: int, output_type: str, caller: Caller | None, *words: str
) -> list[str]:
    """What starts a child which seals the unfinished files of a record; `words` are more of its options."""
    more = ["--directory", str(directory), "--out", out, "--mode", f"{mode:o}", "--type", output_type]
    if caller:
        more += ["--caller", ",".join(map(str, (caller.uid, caller.gid, *caller.groups)))]
    return [sys.executable, "-P", "-m", "damod.recorder.seal", *more, *words]
