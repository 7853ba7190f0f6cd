"""`report access --exec`: a user's own Python over the records, instead of printing them.

The objects here are a public interface (docs/exec.md): names that are there stay, and mean what they mean. They are
made when asked for, so that a script that looks at one snapshot does not pay for all.
"""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from damod.access import measure
from damod.access import record as values
from damod.access import snapshot as shots
from damod.errors import BadRecord, NotFound, UsageError


class NrAccesses(int):
    """How many checks of an aggregation saw an access (also `samples`); `percent` of them, and per second (`hz`).

    `percent` and `hz` are None where the intervals are not known.
    """

    percent: float | None
    hz: float | None

    def __new__(cls, samples: int, sample_us: int, aggr_us: int) -> NrAccesses:
        made = super().__new__(cls, samples)
        known = bool(sample_us and aggr_us)
        made.percent = measure.percent(samples, sample_us, aggr_us) if known else None
        made.hz = samples * 1_000_000 / aggr_us if known else None
        return made

    @property
    def samples(self) -> int:
        return int(self)


class Age(int):
    """How many aggregations long a region looked so (also `aggr_intervals`; -1: not known), and `usec` of them."""

    usec: int | None

    def __new__(cls, age: int, aggr_us: int) -> Age:
        made = super().__new__(cls, age)
        made.usec = age * aggr_us if aggr_us and age >= 0 else None
        return made

    @property
    def aggr_intervals(self) -> int:
        return int(self)


class Region:
    """A range of addresses that DAMON found to be accessed alike: `start`, `end` (bytes), `nr_accesses`, `age`.

    `size`; `sz_filter_passed` bytes that passed the filters or None; `probe_hits` a list or None; `temperature` with
    the default weights, None where the intervals are not known.
    """

    __slots__ = ("age", "end", "nr_accesses", "probe_hits", "start", "sz_filter_passed")

    def __init__(
        self,
        start: int,
        end: int,
        nr_accesses: NrAccesses,
        age: Age,
        sz_filter_passed: int | None,
        probe_hits: list[int] | None,
    ) -> None:
        self.start = start
        self.end = end
        self.nr_accesses = nr_accesses
        self.age = age
        self.sz_filter_passed = sz_filter_passed
        self.probe_hits = probe_hits

    @property
    def size(self) -> int:
        return self.end - self.start

    def __repr__(self) -> str:
        return f"Region({self.start:#x}, {self.end:#x}, nr_accesses={int(self.nr_accesses)}, age={int(self.age)})"


class SnapshotView:
    """The regions of one aggregation: `start_time`, `end_time` (ns, absolute), `regions`, `total_bytes`.

    `sample_us` and `aggr_us` are the intervals in force (0: not known), `damos_stats` those of the scheme or None.
    `columns` has the same regions as sequences of plain numbers by name, for who wants speed.
    """

    def __init__(self, snapshot: shots.Snapshot) -> None:
        self._snapshot = snapshot
        self.start_time = snapshot.start_ns + snapshot.wall_offset_ns
        self.end_time = snapshot.end_ns + snapshot.wall_offset_ns
        self.sample_us = snapshot.sample_us
        self.aggr_us = snapshot.aggr_us
        self.damos_stats = None if snapshot.stats is None else dict(snapshot.stats)
        self._regions: list[Region] | None = None

    @property
    def regions(self) -> list[Region]:
        if self._regions is None:
            self._regions = list(self._make())
        return self._regions

    def _make(self) -> Iterator[Region]:
        columns, sample, aggr = self._snapshot.regions, self.sample_us, self.aggr_us
        known = {count: NrAccesses(count, sample, aggr) for count in set(columns.nr_accesses)}
        for index, (start, end, samples, age) in enumerate(
            zip(columns.start, columns.end, columns.nr_accesses, columns.age, strict=True)
        ):
            yield Region(
                start,
                end,
                known[samples],
                Age(age, aggr),
                None if columns.sz_filter_passed is None else columns.sz_filter_passed[index],
                None if columns.probe_hits is None else list(columns.probe_hits[index]),
            )

    @property
    def columns(self) -> dict[str, Sequence[int]]:
        regions = self._snapshot.regions
        return {name: getattr(regions, name) for name in ("start", "end", "nr_accesses", "age")}

    @property
    def total_bytes(self) -> int:
        return self._snapshot.regions.total_bytes()

    def __repr__(self) -> str:
        return f"Snapshot({self.start_time}, {self.end_time}, {len(self._snapshot.regions)} regions)"


class RecordView:
    """What was monitored of one target: `kdamond_idx`, `context_idx`, `scheme_idx`, `target_id`, `snapshots`.

    `intervals` has `sample_us`, `aggr_us` and `ops_update_us` as they were set, or is None; `scheme_filters` is a list.
    """

    def __init__(self, record: values.Record) -> None:
        self._record = record
        self.kdamond_idx = record.kdamond
        self.context_idx = record.context
        self.scheme_idx = record.scheme
        self.target_id = record.target_id
        self.intervals = record.intervals
        self.scheme_filters = [dict(item) for item in record.filters]
        self.snapshots = [SnapshotView(snapshot) for snapshot in record.snapshots]

    def table(self) -> Any:
        """All regions as a pyarrow.Table: start_time, end_time (ns, absolute), start, end, nr_accesses, age."""
        import pyarrow as pa

        columns: dict[str, list[int]] = {
            name: [] for name in ("start_time", "end_time", "start", "end", "nr_accesses", "age")
        }
        for shot in self.snapshots:
            parts = shot.columns
            for name, values_of in parts.items():
                columns[name] += values_of
            for name in ("start_time", "end_time"):
                columns[name] += [getattr(shot, name)] * len(parts["start"])
        kinds = {"start": pa.uint64(), "end": pa.uint64()}
        return pa.table({name: pa.array(column, kinds.get(name, pa.int64())) for name, column in columns.items()})

    def __repr__(self) -> str:
        return (
            f"Record(kdamond {self.kdamond_idx}, context {self.context_idx}, target {self.target_id},"
            f" {len(self.snapshots)} snapshots)"
        )


def load(command: str) -> tuple[Callable[[list[RecordView], list[str]], Any], list[str]]:
    """The `main` of the script that a command names, and the words of the command."""
    try:
        words = shlex.split(command)
    except ValueError as exc:
        raise UsageError(f"--exec {command!r}: {exc}") from exc
    if not words:
        raise UsageError("--exec: no script given", hint='--exec "./script.py arguments", or --exec interpreter')
    path = Path(words[0])
    try:
        code = compile(path.read_text(), str(path), "exec")
    except FileNotFoundError as exc:
        raise NotFound(f"--exec: there is no script {path}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise NotFound(f"--exec: {path} cannot be read: {exc}") from exc
    except SyntaxError as exc:
        raise BadRecord(f"--exec: {path}:{exc.lineno}: {exc.msg}", hint="it has to be a Python 3 script") from exc
    space: dict[str, Any] = {"__name__": "damoctl_exec", "__file__": str(path)}
    _guarded(path, lambda: exec(code, space))
    main = space.get("main")
    if not callable(main):
        raise UsageError(f"--exec: {path} has no function main(records, cmdline_fields)", hint="see docs/exec.md")
    return main, words


def _guarded(path: Path, call: Callable[[], Any]) -> None:
    """A script's own mistake is its own: the traceback begins in the script."""
    try:
        call()
    except (BrokenPipeError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as exc:
        trace = exc.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != str(path):
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(exc), exc, trace)).rstrip()
        raise BadRecord(f"--exec: {path} failed\n{text}") from exc


def run(command: str, records: Sequence[values.Record]) -> None:
    """Call the script's `main` with the records, or give them to an interactive interpreter."""
    views = [RecordView(record) for record in records]
    if command.strip() == "interpreter":
        import code

        code.interact("DAMON records are available as 'records'", local={"records": views}, exitmsg="")
        return
    main, words = load(command)
    _guarded(Path(words[0]), lambda: main(views, words))
