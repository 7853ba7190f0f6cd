"""Records as numpy columns, some snapshots at a time: what every report on recordings computes on.

A `Frame` holds whole snapshots of one series (one kdamond, context, scheme and target). A `Source` yields frames as
often as asked, so that a report may look at a record twice without holding it: memory is that of a frame, whatever the
length of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damod.access.record import Intervals, Record

if TYPE_CHECKING:
    from damod.records.file import RecordFile

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
I64_MAX = 2**63 - 1
ALL = frozenset({"start_ns", "intervals", "age", "passed", "wall"})
"""Columns that not every report needs; reading fewer is faster."""
_ALWAYS = ("end_ns", "start", "end", "nr_accesses")
_STORED = {
    "start_ns": "start_ns", "sample_us": "intervals", "aggr_us": "intervals", "age": "age",
    "sz_filter_passed": "passed", "wall_ns": "wall",
}  # fmt: skip
_KEY = ("kdamond", "context", "scheme", "target")


class Series(NamedTuple):
    """Which monitoring target of which scheme; None and the index of a record are equal only to themselves."""

    kdamond: int
    context: int
    scheme: int | None
    target_id: int | None

    def to_plain(self) -> dict[str, int | None]:
        return {
            "kdamond_idx": self.kdamond,
            "context_idx": self.context,
            "scheme_idx": self.scheme,
            "target_id": self.target_id,
        }


@dataclass(frozen=True, slots=True)
class Frame:
    """Whole snapshots of a series, oldest first.

    Region columns: `start`, `end` (bytes), `nr_accesses` (samples), `age` (aggregation intervals, -1 unknown),
    `passed` (bytes that passed the scheme's filters; None where not known). Snapshot columns: `start_ns`, `end_ns`,
    `wall_offset_ns`, and `sample_us`, `aggr_us` as in force (0: not known). The regions of snapshot i are
    ``first[i]:first[i + 1]``.
    """

    series: Series
    first: Ints
    start_ns: Ints
    end_ns: Ints
    sample_us: Ints
    aggr_us: Ints
    start: Ints
    end: Ints
    nr_accesses: Ints
    age: Ints
    passed: Ints | None = None
    wall_offset_ns: Ints | None = None

    def __len__(self) -> int:
        """How many snapshots."""
        return len(self.start_ns)

    @property
    def sizes(self) -> Ints:
        return self.end - self.start

    def snapshot(self) -> Ints:
        """Per region the index of its snapshot."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def per_region(self, column: NDArray[Any]) -> NDArray[Any]:
        """A snapshot column as a region column."""
        return np.repeat(column, np.diff(self.first))

    def sums(self, column: Ints) -> Ints:
        """Per snapshot the sum of a region column."""
        before = np.concatenate(([0], np.cumsum(column)))
        return np.asarray(before[self.first[1:]] - before[self.first[:-1]])

    def kept(self, mask: Flags) -> Frame:
        """The frame with only the regions of a mask; snapshots stay, maybe empty."""
        counts = np.concatenate(([0], np.cumsum(mask)))
        return Frame(
            self.series,
            np.asarray(counts[self.first], dtype=np.int64),
            self.start_ns,
            self.end_ns,
            self.sample_us,
            self.aggr_us,
            self.start[mask],
            self.end[mask],
            self.nr_accesses[mask],
            self.age[mask],
            None if self.passed is None else self.passed[mask],
            self.wall_offset_ns,
        )

    def slice(self, low: int, high: int) -> Frame:
        """The snapshots from index `low` to before `high`."""
        begin, finish = int(self.first[low]), int(self.first[high])
        return Frame(
            self.series,
            self.first[low : high + 1] - begin,
            self.start_ns[low:high],
            self.end_ns[low:high],
            self.sample_us[low:high],
            self.aggr_us[low:high],
            self.start[begin:finish],
            self.end[begin:finish],
            self.nr_accesses[begin:finish],
            self.age[begin:finish],
            None if self.passed is None else self.passed[begin:finish],
            None if self.wall_offset_ns is None else self.wall_offset_ns[low:high],
        )


class Source:
    """A recording: `frames()` yields its frames anew at each call, those of a series in order of time.

    `name` is for messages. A frame has the columns that are asked for, and zeros in the others.
    """

    name = ""

    def silence(self) -> None:
        """Tell no more how far reading got: what is written from now on goes to the same terminal."""

    def frames(self, need: Collection[str] = ALL, *, regions: bool = True) -> Iterator[Frame]:
        """The frames, with the columns of `need` (of `ALL`) beside `start`, `end`, `nr_accesses` and `end_ns`.

        Without `regions` all snapshots may look as if they had none: for who asks for times and intervals only.
        """
        raise NotImplementedError

    @property
    def has_more(self) -> bool:
        """Whether the recording tells of what frames have no column for: lost events or hits of probes."""
        return False

    @property
    def has_stats(self) -> bool:
        """Whether the recording has statistics of schemes."""
        return False

    def intervals(self, series: Series) -> Intervals | None:
        """The intervals that were set for a series; None where the recorder did not note them."""
        raise NotImplementedError

    def filters(self, series: Series) -> Sequence[Mapping[str, Any]]:
        """The filters of the scheme whose passed bytes the regions have."""
        raise NotImplementedError

    def data_source(self, series: Series) -> str:
        """What the recorder took the regions from."""
        raise NotImplementedError


class Held(Source):
    """A source over records that are in memory."""

    def __init__(self, records: Sequence[Record], name: str) -> None:
        self.name = name
        self._frames = [of_record(record) for record in records]
        self._records = {frame.series: record for frame, record in zip(self._frames, records, strict=True)}

    def frames(self, need: Collection[str] = ALL, *, regions: bool = True) -> Iterator[Frame]:
        return iter(self._frames)

    def intervals(self, series: Series) -> Intervals | None:
        return self._records[series].intervals

    def filters(self, series: Series) -> Sequence[Mapping[str, Any]]:
        return self._records[series].filters

    def data_source(self, series: Series) -> str:
        return self._records[series].data_source


class Opened(Source):
    """A source over open record files, read again at each pass."""

    def __init__(
        self,
        files: Sequence[RecordFile],
        progress: Callable[[int], None] = lambda rows: None,
        silence: Callable[[], None] = lambda: None,
    ) -> None:
        """`progress` is told how many regions were just read, until `silence` is called."""
        self._progress = progress
        self._silence = silence
        self.name = ", ".join(file.name for file in files)
        self._files = files
        self._known: dict[Series, Any] = {}

    def frames(self, need: Collection[str] = ALL, *, regions: bool = True) -> Iterator[Frame]:
        columns = [*(_ALWAYS if regions else ("end_ns",)), *(name for name in _STORED if _STORED[name] in need), *_KEY]
        for file in self._files:
            for rows in file.batches(columns):
                self._progress(rows.num_rows)
                known = {series.key: series for series in file.series}
                yield from self._cut({name: rows.column(name).to_numpy() for name in columns}, known)

    @property
    def has_more(self) -> bool:
        return any(file.lost or file.probes for file in self._files)

    @property
    def has_stats(self) -> bool:
        return any(file.stats for file in self._files)

    def silence(self) -> None:
        self._silence()

    def _cut(self, rows: Mapping[str, Any], known: Mapping[Any, Any]) -> Iterator[Frame]:
        """One frame per series of a batch of rows."""
        keys = [rows[name] for name in _KEY]
        if all(len(key) == 0 or key.min() == key.max() for key in keys):
            if len(keys[0]):
                yield self._frame(rows, tuple(int(key[0]) for key in keys), known)
            return
        # stable, so that each series' rows stay in their order
        order = np.lexsort(tuple(reversed(keys)))
        change = np.zeros(len(order) - 1, dtype=bool)
        for key in keys:
            change |= key[order[1:]] != key[order[:-1]]
        for places in np.split(order, np.flatnonzero(change) + 1):
            found = tuple(int(key[places[0]]) for key in keys)
            yield self._frame({name: column[places] for name, column in rows.items()}, found, known)

    def _frame(self, rows: Mapping[str, Any], key: tuple[int, ...], known: Mapping[Any, Any]) -> Frame:
        facts = known.get(key)
        scheme = None if key[2] < 0 else key[2]
        series = Series(key[0], key[1], scheme, facts.target_id if facts is not None else key[3])
        self._known.setdefault(series, facts)
        ends = rows["end_ns"]
        change = np.flatnonzero(ends[1:] != ends[:-1]) + 1
        heads = np.concatenate(([0], change))
        first = np.append(heads, len(ends))
        regions = {
            name: rows[name] for name in ("start", "end", "nr_accesses", "age", "sz_filter_passed") if name in rows
        }
        for name in ("start", "end"):
            # addresses of 2^63 and more are stored as what they are with a sign; here the greatest stands for them
            if name in regions and len(regions[name]) and regions[name].min() < 0:
                regions[name] = np.where(regions[name] < 0, I64_MAX, regions[name])
        counts = regions.get("nr_accesses")
        if counts is None:  # no column of regions was asked for
            regions = dict.fromkeys(("start", "end", "nr_accesses"), np.zeros(0, dtype=np.int64))
            first = np.zeros_like(first)
        elif counts.min() < 0:  # the only row of a snapshot without regions
            there = counts >= 0
            first = np.concatenate(([0], np.cumsum(there)))[first]
            regions = {name: column[there] for name, column in regions.items()}
        size = len(regions["start"])
        none = np.zeros(len(heads), dtype=np.int64)
        passed = regions.get("sz_filter_passed")

        def each(name: str) -> Ints:
            return np.asarray(rows[name][heads]) if name in rows else none

        return Frame(
            series,
            first.astype(np.int64),
            each("start_ns"),
            ends[heads],
            each("sample_us"),
            each("aggr_us"),
            regions["start"],
            regions["end"],
            regions["nr_accesses"],
            regions["age"] if "age" in regions else np.zeros(size, dtype=np.int64),
            passed if passed is not None and len(passed) and passed.min() >= 0 else None,
            each("wall_ns") - ends[heads] if "wall_ns" in rows else none,
        )

    def intervals(self, series: Series) -> Intervals | None:
        facts = self._known.get(series)
        found: Intervals | None = None if facts is None else facts.intervals
        return found

    def filters(self, series: Series) -> Sequence[Mapping[str, Any]]:
        facts = self._known.get(series)
        return () if facts is None else facts.filters

    def data_source(self, series: Series) -> str:
        facts = self._known.get(series)
        return "unknown" if facts is None else facts.data_source


def int64(values: Sequence[int]) -> Ints:
    """A column of whole numbers; those that do not fit are the greatest that does."""
    column = np.asarray(values)
    if column.dtype == np.uint64:  # damo writes the end of an address space as 2**64 - 1
        column = np.minimum(column, I64_MAX)
    elif column.dtype.kind != "i":  # numpy makes floats of numbers some of which need the 64th bit
        column = np.fromiter((min(int(value), I64_MAX) for value in values), dtype=np.int64, count=len(values))
    return column.astype(np.int64, copy=False)


def _column(parts: Iterable[Sequence[int]], count: int) -> Ints:
    made = np.empty(count, dtype=np.int64)
    at = 0
    for part in parts:
        column = int64(part)
        made[at : at + len(column)] = column
        at += len(column)
    return made


def of_record(record: Record) -> Frame:
    """The columns of a record that is in memory."""
    shots = record.snapshots
    counts = [len(shot.regions) for shot in shots]
    first = np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)
    total = int(first[-1])
    passed = [shot.regions.sz_filter_passed for shot in shots]
    known = [column for column in passed if column is not None]

    def each(name: str) -> Ints:
        return np.fromiter((getattr(shot, name) for shot in shots), dtype=np.int64, count=len(shots))

    def region(name: str) -> Ints:
        return _column((getattr(shot.regions, name) for shot in shots), total)

    return Frame(
        Series(record.kdamond, record.context, record.scheme, record.target_id),
        first,
        each("start_ns"),
        each("end_ns"),
        each("sample_us"),
        each("aggr_us"),
        region("start"),
        region("end"),
        region("nr_accesses"),
        region("age"),
        _column(known, total) if known and len(known) == len(passed) else None,
        each("wall_offset_ns"),
    )
