"""One recording as a value: what was asked for, and how it goes or went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from damod.daemon.slots import check_name
from damod.errors import UsageError
from damod.recorder.job import DEFAULT_KINDS, KINDS, OUTPUT_TYPES, RECORD_NAME
from damod.spec.filter import Filter
from damod.spec.kdamond import Kdamond


@dataclass(frozen=True)
class Ask:
    """What is to be recorded and how; see `record.start` in methods.py. Times are in seconds.

    Of what runs, `kdamond` (an index) or `of` (the name of a set) may choose; without `kdamonds` of its own.
    `policy`: it is part of the policy of its name, and goes on in the directory where it was before.
    """

    name: str | None = None
    detach: bool = False
    out: str = RECORD_NAME
    kdamonds: Sequence[Kdamond] = ()
    take_over: bool = False
    kdamond: int | None = None
    of: str | None = None
    snapshot: tuple[float, int] | None = None
    snapshot_filters: Sequence[Filter] = ()
    schemes_target_regions: bool = False
    kinds: tuple[str, ...] = DEFAULT_KINDS
    output_type: str = "parquet"
    permission: int = 0o600
    flush_s: float = 3600.0
    timeout_s: float | None = None
    keep_s: float | None = None
    keep_bytes: int | None = None
    force: bool = False
    perf: str | None = None
    selection: Mapping[str, Any] | None = None
    follow: bool = True
    policy: bool = False

    def check(self) -> None:
        """Raise UsageError for what cannot be meant."""
        if self.name is not None:
            check_name(self.name)
        if self.detach and self.name is None:
            raise UsageError("a detached recording needs a name", hint="give --name NAME")
        if "/" in self.out or self.out in ("", ".", "..") or "\0" in self.out:
            raise UsageError(f"{self.out!r} is no file name", hint="the directory is given as an open handle")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise UsageError(f"there is nothing called {unknown[0]!r} to record", hint=f"one of {', '.join(KINDS)}")
        if self.output_type not in OUTPUT_TYPES:
            raise UsageError(f"records are not written as {self.output_type!r}", hint=f"as {', '.join(OUTPUT_TYPES)}")
        if not 0 <= self.permission <= 0o777:
            raise UsageError(f"{self.permission:o} is no file permission", hint="three octal digits, such as 600")
        for what, value in (("flush", self.flush_s), ("timeout", self.timeout_s), ("retention", self.keep_s)):
            if value is not None and value <= 0:
                raise UsageError(f"a {what} time of {value:g} s makes no sense")
        if self.snapshot is not None and (self.snapshot[0] < 0 or self.snapshot[1] < 0):
            raise UsageError("delay and count of snapshots cannot be negative")


@dataclass
class Recording:
    """One recording. `state`: starting, recording, no room, sealing, done, aborted, failed, crashed, interrupted.

    `of` is the set that it records, or None for the kdamonds in `slots`; `set_name` the set that was started for it.
    """

    name: str
    detached: bool
    out: str
    uid: int
    started_s: float
    state: str = "starting"
    set_name: str | None = None
    of: str | None = None
    policy: bool = False
    slots: tuple[int, ...] = ()
    directory: str | None = None
    pid: int | None = None
    ended_s: float | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    why: str = ""

    @property
    def running(self) -> bool:
        return self.ended_s is None

    def to_wire(self) -> dict[str, Any]:
        """What record.show answers."""
        numbers = {name: self.progress.get(name, 0) for name in ("snapshots", "regions", "bytes", "lost", "incomplete")}
        return {
            "name": self.name,
            "state": self.state,
            "running": self.running,
            "detached": self.detached,
            "directory": self.directory,
            "out": self.out,
            "uid": self.uid,
            "pid": self.pid,
            "set": self.set_name,
            "policy": self.policy,
            "started_s": self.started_s,
            "ended_s": self.ended_s,
            **numbers,
            "segments": self.progress.get("segments", []),
            "problems": [*self.problems, *self.progress.get("problems", [])],
            "why": self.why or self.progress.get("why", ""),
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Recording:
        """The inverse of `to_wire`, as far as it is kept. Raises what wrong data raises."""
        numbers = ("snapshots", "regions", "bytes", "lost", "incomplete", "segments")
        return cls(
            name=str(data["name"]),
            detached=bool(data["detached"]),
            out=str(data["out"]),
            uid=int(data["uid"]),
            started_s=float(data["started_s"]),
            state=str(data["state"]),
            set_name=data["set"],
            policy=bool(data.get("policy", False)),
            directory=data["directory"],
            pid=data["pid"],
            ended_s=data["ended_s"],
            progress={name: data[name] for name in numbers},
            problems=list(data["problems"]),
            why=str(data["why"]),
        )
