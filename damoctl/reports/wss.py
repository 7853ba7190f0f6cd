"""`report wss`: how many bytes were accessed at all, over the snapshots of a recording.

A snapshot's working set is its regions with enough samples and enough bytes. With a work time longer than a snapshot,
consecutive snapshots are joined first: each byte then counts the samples of all of them. damo (`compat`) joins
otherwise, and of targets of equal id, of whatever kdamond, it takes the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from damoctl.reports.frames import Frame, Ints, Series, Source
from damoctl.reports.spread import Look, Values, lines
from damod import units


@dataclass(frozen=True, slots=True)
class Options:
    """`exclude` snapshots are left out at the beginning; `work_us` is the least time that a value is about."""

    exclude: int = 0
    min_samples: int = 1
    min_size: int = 1
    work_us: int = 1
    per_target: bool = False
    compat: bool = False
    by_size: bool = True
    """With `compat`: sort the values of each target before they are summed."""


def compute(source: Source, options: Options) -> list[Values]:
    """The working sets of each target over time, or of all targets together."""
    groups: dict[Series, _Joined] = {}
    joins = options.work_us > 1
    for frame in source.frames({"start_ns"} if joins else ()):
        groups.setdefault(frame.series, _Joined(options)).add(frame)
    found = [Values(series.target_id, group.values()) for series, group in groups.items()]
    if options.compat:
        found = list({item.target_id: item for item in found}.values())
    if options.per_target and found:
        return found
    if not found:
        return [Values(0, np.zeros(0, dtype=np.int64))]
    longest = max(len(item.values) for item in found)
    total = np.zeros(longest, dtype=np.int64)
    for item in found:
        total[: len(item.values)] += np.sort(item.values) if options.compat and options.by_size else item.values
    return [Values(0, total)]


class _Joined:
    """The working sets of a series while frames come in; holds the snapshots of one work time at most."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._skip = options.exclude
        self._done: list[Ints] = []
        self._open: list[tuple[Ints, Ints, Ints]] = []
        self._took_ns = self._begin_ns = 0

    def add(self, frame: Frame) -> None:
        skip = min(self._skip, len(frame))
        self._skip -= skip
        if skip:
            frame = frame.slice(skip, len(frame))
        if self._options.work_us <= 1:
            self._done.append(working_sets(frame, self._options.min_samples, self._options.min_size))
            return
        times = (frame.end_ns - frame.start_ns).tolist()
        for index, (low, high) in enumerate(zip(frame.first[:-1].tolist(), frame.first[1:].tolist(), strict=True)):
            part = slice(low, high)
            # copies, since views would keep the columns of the whole frame alive
            self._open.append((frame.start[part].copy(), frame.end[part].copy(), frame.nr_accesses[part].copy()))
            if self._options.compat and len(self._open) > 1:
                # from the first one's begin on
                self._took_ns = int(frame.end_ns[index]) - self._begin_ns
            else:
                self._took_ns += times[index]
                self._begin_ns = int(frame.start_ns[index])
            if self._took_ns >= self._options.work_us * 1000:
                self._done.append(np.array([self._joined()], dtype=np.int64))
                self._open, self._took_ns = [], 0

    def _joined(self) -> int:
        if self._options.compat:
            return self._joined_by_regions()
        start, end, samples = (np.concatenate(column) for column in zip(*self._open, strict=True))
        start, end, samples = joined(start, end, samples)
        kept = (samples >= self._options.min_samples) & (end - start >= self._options.min_size)
        return int((end - start)[kept].sum())

    def _joined_by_regions(self) -> int:
        """damo's way: regions are added the most samples of any that they overlap with, and keep their borders."""
        first, *others = (list(zip(*(column.tolist() for column in part), strict=True)) for part in self._open)
        regions: list[tuple[int, int, int]] = first
        for other in others:
            fresh = [piece for region in other for piece in _uncovered(region, regions)]
            regions = sorted([(low, high, count + _most(low, high, other)) for low, high, count in regions] + fresh)
        samples, size = self._options.min_samples, self._options.min_size
        return sum(high - low for low, high, count in regions if count >= samples and high - low >= size)

    def values(self) -> Ints:
        return np.concatenate(self._done) if self._done else np.zeros(0, dtype=np.int64)


def _most(low: int, high: int, regions: Sequence[tuple[int, int, int]]) -> int:
    return max((count for start, end, count in regions if start < high and low < end), default=0)


def _uncovered(region: tuple[int, int, int], regions: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """The pieces of a region that none of the others (sorted) covers."""
    at, end, count = region
    for low, high, _ in regions:
        if low < end and at < high:
            if at < low:
                yield at, low, count
            at = max(at, high)
    if at < end:
        yield at, end, count


def working_sets(frame: Frame, min_samples: int, min_size: int) -> Ints:
    """Per snapshot the bytes in regions of at least `min_size` bytes with at least `min_samples` accesses."""
    sizes = frame.sizes
    kept = frame.nr_accesses >= min_samples
    if min_size > 1:
        kept &= sizes >= min_size
    return frame.sums(sizes * kept)


def joined(start: Ints, end: Ints, samples: Ints) -> tuple[Ints, Ints, Ints]:
    """Regions of several snapshots cut at all their borders, each piece with the sum of the samples over it.

    Neighbouring pieces of equal sums are one.
    """
    at, place = np.unique(np.concatenate((start, end)), return_inverse=True)
    change = np.bincount(place[: len(start)], weights=samples, minlength=len(at))
    change -= np.bincount(place[len(start) :], weights=samples, minlength=len(at))
    border = np.flatnonzero(change)
    if not len(border):
        return at[:0], at[:0], at[:0]
    sums = np.cumsum(change)[border].astype(np.int64)
    return at[border][:-1], at[border][1:], sums[:-1]


def render(found: Sequence[Values], look: Look) -> Iterator[str]:
    """The lines of the report."""
    for item in found:
        yield f"# target_id\t{item.target_id}"
        yield "# <percentile> <wss>"
        if not len(item.values):
            yield "# no snapshot"
            continue
        yield f"# avr:\t{units.size(int(item.values.sum()) / len(item.values), raw=look.raw)}"
        yield from lines(item.values, look, lambda value: units.size(value, raw=look.raw))
