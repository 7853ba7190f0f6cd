"""`report wss`: how many bytes were accessed at all, over the snapshots of a recording.

A snapshot's working set is its regions with enough samples and enough bytes. With a work time longer than a snapshot,
consecutive snapshots are joined first: each byte then counts the samples of all of them.
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


def compute(source: Source, options: Options) -> list[Values]:
    """The working sets of each target over time, or of all targets together."""
    groups: dict[Series, _Joined] = {}
    joins = options.work_us > 1
    for frame in source.frames({"start_ns"} if joins else ()):
        groups.setdefault(frame.series, _Joined(options)).add(frame)
    found = [Values(series.target_id, group.values()) for series, group in groups.items()]
    if options.per_target or not found:
        return found
    longest = max(len(item.values) for item in found)
    total = np.zeros(longest, dtype=np.int64)
    for item in found:
        total[: len(item.values)] += item.values
    return [Values(0, total)]


class _Joined:
    """The working sets of a series while frames come in; holds the snapshots of one work time at most."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._skip = options.exclude
        self._done: list[Ints] = []
        self._open: list[tuple[Ints, Ints, Ints]] = []
        self._took_ns = 0

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
            self._took_ns += times[index]
            if self._took_ns >= self._options.work_us * 1000:
                self._done.append(np.array([self._joined()], dtype=np.int64))
                self._open, self._took_ns = [], 0

    def _joined(self) -> int:
        start, end, samples = (np.concatenate(column) for column in zip(*self._open, strict=True))
        start, end, samples = joined(start, end, samples)
        kept = (samples >= self._options.min_samples) & (end - start >= self._options.min_size)
        return int((end - start)[kept].sum())

    def values(self) -> Ints:
        return np.concatenate(self._done) if self._done else np.zeros(0, dtype=np.int64)


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
    if not found or not any(len(item.values) for item in found):
        yield "# no snapshot"
        return
    for item in found:
        yield f"# target_id\t{item.target_id}"
        yield "# <percentile> <wss>"
        if not len(item.values):
            yield "# no snapshot"
            continue
        yield f"# avr:\t{units.size(int(item.values.sum()) // len(item.values), raw=look.raw)}"
        yield from lines(item.values, look, lambda value: units.size(value, raw=look.raw))
