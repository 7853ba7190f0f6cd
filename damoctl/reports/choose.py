"""Selections of `damod.access.select` on columns: the same rules, for a whole frame at once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from damoctl.reports.frames import Flags, Floats, Frame, Ints, Series
from damod.access.select import Range, Selection, rate
from damod.errors import UsageError

# Which columns of frames a selection looks at.
NEED = frozenset({"start_ns", "intervals", "age", "wall"})


class Chooser:
    """Applies a selection to the frames of a recording in their order; it counts the snapshots of each series."""

    def __init__(self, selection: Selection, *, compat: bool = False) -> None:
        self._selection = selection
        self._compat = compat
        self._seen: dict[Series, int] = {}

    def __call__(self, frame: Frame) -> tuple[Frame, Flags]:
        """The frame with only the regions (or parts of them) that match, and which of its snapshots do.

        Snapshots that do not match stay, without regions.
        """
        before = self._seen.get(frame.series, 0)
        self._seen[frame.series] = before + len(frame)
        selection = self._selection
        totals = frame.sums(frame.sizes) if selection.snapshot_sizes else None
        found = self._pattern(frame)
        if totals is not None and found is not frame and not self._compat:
            totals = found.sums(found.sizes)
        if selection.addresses:
            found = cut(found, selection.addresses)
            totals = found.sums(found.sizes) if totals is not None else None
        kept: Flags = np.ones(len(frame), dtype=bool)
        if totals is not None:
            kept &= _inside(totals, selection.snapshot_sizes)
        if selection.snapshot_times:
            offset = frame.wall_offset_ns if frame.wall_offset_ns is not None else 0
            begins, ends = frame.start_ns + offset, frame.end_ns + offset
            kept &= np.logical_or.reduce([(begins >= low) & (ends <= high) for low, high in selection.snapshot_times])
        if selection.snapshot_indices:
            kept &= _inside(np.arange(before, before + len(frame)), selection.snapshot_indices)
        if selection.temperatures:
            found = found.kept(_inside(temperatures(found, selection.weights, compat=self._compat),
                                       selection.temperatures))  # fmt: skip
        return (found if kept.all() else found.kept(found.per_region(kept))), kept

    def _pattern(self, frame: Frame) -> Frame:
        selection = self._selection
        mask: Flags | None = None

        def both(one: Flags) -> Flags:
            return one if mask is None else mask & one

        if selection.sizes is not None:
            mask = both(_inside(frame.sizes, [selection.sizes]))
        # damo drops what it cannot tell of a record without intervals
        known = not self._compat or bool(frame.aggr_us.all())
        if selection.rates is not None and known:
            low, high = selection.rates
            mask = both(self._rate_inside(frame, low, high))
        if selection.ages_us is not None and known:
            mask = both(_inside(np.maximum(frame.age, 0) * frame.per_region(frame.aggr_us), [selection.ages_us]))
        return frame if mask is None else frame.kept(mask)

    def _rate_inside(self, frame: Frame, low: Fraction, high: Fraction) -> Flags:
        """Exact: each distinct (samples, intervals) is compared as a fraction once."""
        samples = frame.nr_accesses
        if not len(samples):
            return np.zeros(0, dtype=bool)

        def fits(*row: int) -> bool:
            return low <= rate(*row, compat=self._compat) <= high

        sample, aggr = int(frame.sample_us[0]), int(frame.aggr_us[0])
        same = (frame.sample_us == sample).all() and (frame.aggr_us == aggr).all()
        if same and int(samples.min()) >= 0 and (most := int(samples.max())) < 1 << 16:
            known: Flags = np.zeros(most + 1, dtype=bool)
            there = np.flatnonzero(np.bincount(samples))
            known[there] = [fits(count, sample, aggr) for count in there.tolist()]
            return np.asarray(known[samples])
        triples = np.stack(
            (samples.astype(np.int64), frame.per_region(frame.sample_us), frame.per_region(frame.aggr_us))
        )
        distinct, inverse = np.unique(triples, axis=1, return_inverse=True)
        return np.asarray(np.array([fits(*row) for row in distinct.T.tolist()])[inverse.reshape(-1)], dtype=bool)


def _inside(column: Ints, ranges: Sequence[Range]) -> Flags:
    """Which values lie in any of the ranges, both ends included; bounds may be beyond 64 bits."""
    top, bottom = 2**63 - 1, -(2**63)
    found: Flags = np.zeros(len(column), dtype=bool)
    for low, high in ranges:
        if low <= top and high >= bottom:
            found |= (column >= max(low, bottom)) & (column <= min(high, top))
    return found


def cut(frame: Frame, ranges: Sequence[Range]) -> Frame:
    """The parts of regions inside half-open, ordered and disjoint address ranges."""
    top = 2**63 - 1
    if len(ranges) == 1:
        low, high = (min(bound, top) for bound in ranges[0])
        kept = frame.kept((frame.start < high) & (frame.end > low))
        return _with(kept, np.maximum(kept.start, low), np.minimum(kept.end, high))
    index, starts, ends = [], [], []
    for low, high in ranges:
        low, high = min(low, top), min(high, top)
        rows = np.flatnonzero((frame.start < high) & (frame.end > low))
        index.append(rows)
        starts.append(np.maximum(frame.start[rows], low))
        ends.append(np.minimum(frame.end[rows], high))
    rows, start, end = np.concatenate(index), np.concatenate(starts), np.concatenate(ends)
    order = np.lexsort((start, rows))
    rows = rows[order]
    counts = np.bincount(rows, minlength=len(frame.start))
    first = np.concatenate(([0], np.cumsum(counts)))[frame.first]
    return Frame(
        frame.series, first, frame.start_ns, frame.end_ns, frame.sample_us, frame.aggr_us,
        start[order], end[order], frame.nr_accesses[rows], frame.age[rows],
        None if frame.passed is None else frame.passed[rows], frame.wall_offset_ns,
    )  # fmt: skip


def _with(frame: Frame, start: Ints, end: Ints) -> Frame:
    from dataclasses import replace

    return replace(frame, start=start, end=end)


def _fit(frame: Frame, weights: tuple[int, int, int]) -> bool:
    """Whether all parts of all temperatures are within 64 bits."""

    def most(column: Ints) -> int:
        return int(column.max(initial=0))

    sample, aggr = most(frame.sample_us), most(frame.aggr_us)
    by_size, by_rate, by_age = map(abs, weights)
    rate = max(most(frame.nr_accesses), 1) * 100 * sample * max(by_rate, 1)
    return rate + most(frame.sizes) * by_size + most(frame.age) * max(aggr, 1) * by_age <= 2**63 - 1


def temperatures(frame: Frame, weights: tuple[int, int, int], *, compat: bool = False) -> Ints:
    """As `measure.temperatures`: whole numbers, negative where nothing was accessed."""
    by_size, by_rate, by_age = weights
    if not _fit(frame, weights):
        raise UsageError(
            f"temperatures by the weights {by_size} {by_rate} {by_age} are beyond 64 bits for what this record has",
            hint="--temperature_weights: smaller ones in the same proportion order the regions the same",
        )
    sample, aggr = frame.per_region(frame.sample_us), np.maximum(frame.per_region(frame.aggr_us), 1)
    samples = frame.nr_accesses.astype(np.int64)
    if compat:
        exact: Floats = samples * 100 / (aggr / np.maximum(sample, 1))
        share = exact.astype(np.int64)
        rate, hot = share * by_rate, share > 0
    else:
        rate, hot = samples * 100 * sample * by_rate // aggr, samples > 0
    heat = frame.sizes * by_size + rate + np.maximum(frame.age.astype(np.int64), 0) * aggr * by_age
    return np.asarray(np.where(hot, heat, -heat))
