"""Which regions and snapshots to keep: by size, access rate, age, address, temperature, time and index.

A `Selection` is what option group F says (`damoctl help access_filter_options`). Filters apply in this order: region
pattern, address (which cuts regions), then whole snapshots by size, time and index, then region temperature. A
snapshot that the snapshot filters reject is gone; one whose regions are all rejected stays, empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from damod.access import measure
from damod.access.record import Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import UsageError
from damod.units import U64_MAX

Range = tuple[int, int]


class Selection(NamedTuple):
    """Ranges to keep, each inclusive on both ends but `addresses`, which are half-open.

    `sizes` in bytes, `rates` in percent, `ages_us`; `snapshot_sizes` in bytes, `snapshot_times` in ns on the clock of
    the record (absolute), `snapshot_indices` count from 0 in each record. None keeps all; of several ranges in one
    field, any may match.
    """

    sizes: Range | None = None
    rates: tuple[Fraction, Fraction] | None = None
    ages_us: Range | None = None
    addresses: Sequence[Range] = ()
    snapshot_sizes: Sequence[Range] = ()
    snapshot_times: Sequence[Range] = ()
    snapshot_indices: Sequence[Range] = ()
    temperatures: Sequence[Range] = ()
    weights: measure.Weights = measure.DEFAULT_WEIGHTS


def take(regions: Regions, indices: Sequence[int]) -> Regions:
    """The regions at `indices`, in that order."""
    if len(indices) == len(regions) and list(indices) == list(range(len(regions))):
        return regions
    passed, probed = regions.sz_filter_passed, regions.probe_hits
    return Regions(
        start=[regions.start[index] for index in indices],
        end=[regions.end[index] for index in indices],
        nr_accesses=[regions.nr_accesses[index] for index in indices],
        age=[regions.age[index] for index in indices],
        probe_hits=None if probed is None else [probed[index] for index in indices],
        sz_filter_passed=None if passed is None else [passed[index] for index in indices],
    )


def by_address(regions: Regions) -> Regions:
    """The regions in rising order of address (of start, then of end), as every other function wants them."""
    start, end = regions.start, regions.end
    return take(regions, sorted(range(len(regions)), key=lambda index: (start[index], end[index])))


def cut(regions: Regions, ranges: Sequence[Range]) -> Regions:
    """The parts of the regions inside the half-open address `ranges`; all but start and end stay as they were."""
    indices, starts, ends = [], [], []
    for index, (start, end) in enumerate(zip(regions.start, regions.end, strict=True)):
        for low, high in ranges:
            if start < high and low < end:
                indices.append(index)
                starts.append(max(start, low))
                ends.append(min(end, high))
    return replace(take(regions, indices), start=starts, end=ends)


def address_ranges(ranges: Iterable[Range]) -> list[Range]:
    """The ranges in order; UsageError if one is empty or two overlap."""
    ordered = sorted(ranges)
    for low, high in ordered:
        if low >= high:
            raise UsageError(f"--address {low:,} {high:,}: the end is not above the start, so nothing can match")
    for (low, high), (after, top) in pairwise(ordered):
        if after < high:
            raise UsageError(
                f"--address: [{low:,}, {high:,}) and [{after:,}, {top:,}) overlap", hint="give disjoint ranges"
            )
    return ordered


def _pattern(snapshot: Snapshot, selection: Selection, *, compat: bool, age_us: int) -> Regions:
    regions = snapshot.regions
    indices: Iterable[int] = range(len(regions))
    start, end, samples, age = regions.start, regions.end, regions.nr_accesses, regions.age
    if selection.sizes is not None:
        low, high = selection.sizes
        indices = [index for index in indices if low <= end[index] - start[index] <= high]
    known = bool(snapshot.aggr_us) or not compat
    if selection.rates is not None and known:
        least, most = selection.rates
        wanted = {
            count
            for count in set(samples)
            if least <= rate(count, snapshot.sample_us, snapshot.aggr_us, compat=compat) <= most
        }
        indices = [index for index in indices if samples[index] in wanted]
    if selection.ages_us is not None and known:
        low, high = selection.ages_us
        indices = [index for index in indices if low <= max(age[index], 0) * age_us <= high]
    return take(regions, list(indices))


def rate(samples: int, sample_us: int, aggr_us: int, *, compat: bool) -> Fraction:
    """Share of the checks of one aggregation that saw an access, exact, in percent."""
    if compat:
        return Fraction(measure.percent(samples, sample_us, aggr_us, compat=True))
    return Fraction(samples * 100 * sample_us, aggr_us)


def _inside(value: int, ranges: Sequence[Range]) -> bool:
    return any(low <= value <= high for low, high in ranges)


def snapshots(
    given: Iterable[Snapshot], selection: Selection, *, compat: bool = False, age_us: int | None = None
) -> Iterator[tuple[Snapshot, int]]:
    """The snapshots of one record that the selection keeps, each with its total bytes as the reports show it.

    The total is that of the regions kept. damo's (`compat`) still counts regions that only the pattern rejected.
    Rates and ages need a snapshot's intervals: the caller has to refuse records without, which with `compat` are taken
    whole. `age_us` is the unit of ages,
    if it is not each snapshot's aggregation interval.
    """
    patterned = any(part is not None for part in (selection.sizes, selection.rates, selection.ages_us))
    for index, snapshot in enumerate(given):
        regions = snapshot.regions
        total = regions.total_bytes()
        unit = snapshot.aggr_us if age_us is None else age_us
        if patterned:
            regions = _pattern(snapshot, selection, compat=compat, age_us=unit)
            if not compat:
                total = regions.total_bytes()
        if selection.addresses:
            regions = cut(regions, selection.addresses)
            total = regions.total_bytes()
        if selection.snapshot_sizes and not _inside(total, selection.snapshot_sizes):
            continue
        if selection.snapshot_times:
            offset = snapshot.wall_offset_ns
            begin, finish = snapshot.start_ns + offset, snapshot.end_ns + offset
            if not any(low <= begin and finish <= high for low, high in selection.snapshot_times):
                continue
        if selection.snapshot_indices and not _inside(index, selection.snapshot_indices):
            continue
        if selection.temperatures:
            heats = measure.temperatures(
                regions, snapshot.sample_us, snapshot.aggr_us, selection.weights, compat=compat, age_us=unit
            )
            regions = take(regions, [at for at, heat in enumerate(heats) if _inside(heat, selection.temperatures)])
            total = regions.total_bytes()
        yield (snapshot if regions is snapshot.regions else replace(snapshot, regions=regions)), total


def needs_intervals(selection: Selection) -> bool:
    """Whether the selection asks for rates, ages or temperatures, which records without intervals cannot tell."""
    return bool(selection.rates is not None or selection.ages_us is not None or selection.temperatures)


def bound(low: int, high: int) -> Range | None:
    """The range, or None where it keeps everything."""
    return None if low <= 0 and high >= U64_MAX else (low, high)


def apply(record: Record, selection: Selection, *, compat: bool = False) -> tuple[Record, list[int]]:
    """The record with only what the selection keeps, and the total bytes of each snapshot left."""
    unit = record.intervals.aggr_us if compat and record.intervals is not None else None
    kept = list(snapshots(record.snapshots, selection, compat=compat, age_us=unit))
    return replace(record, snapshots=[snapshot for snapshot, _ in kept]), [total for _, total in kept]
