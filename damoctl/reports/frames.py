"""Records as numpy columns, some snapshots at a time: what every report on recordings computes on.

A `Frame` holds whole snapshots of one series (one kdamond, context, scheme and target). A `Source` yields frames as
often as asked, so that a report may look at a record twice without holding it: memory is that of a frame, whatever the
length of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damod.access.record import Intervals, Record

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
I64_MAX = 2**63 - 1


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


@dataclass(frozen=True, slots=True)
class Source:
    """A recording: `frames()` yields its frames anew at each call, those of a series in order of time.

    `facts` has what is known of each series beside its columns; `name` is for messages.
    """

    name: str
    frames: Callable[[], Iterator[Frame]]
    intervals: Mapping[Series, Intervals | None] = field(default_factory=dict)


def _column(parts: Iterable[Sequence[int]], count: int) -> Ints:
    made = np.empty(count, dtype=np.int64)
    at = 0
    for part in parts:
        column = np.asarray(part)
        if column.dtype == np.uint64:  # damo writes the end of an address space as 2**64 - 1
            column = np.minimum(column, I64_MAX)
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


def of_records(records: Sequence[Record], name: str) -> Source:
    """A source over records that are in memory."""
    frames = [of_record(record) for record in records]
    intervals = {frame.series: record.intervals for frame, record in zip(frames, records, strict=True)}
    return Source(name, lambda: iter(frames), intervals)
