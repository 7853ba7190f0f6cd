"""Arithmetic on the columns of a snapshot: how often, how long, how hot, how much.

All functions are pure and take parallel columns (one entry per region, see `snapshot.Regions`). Units are in the
names: `_us` microseconds, sizes in bytes, `nr_accesses` and `samples` in checks that saw an access, `age` in
aggregation intervals (-1 where unknown, taken as 0 here), percent of the checks of one aggregation.

DAMON makes ``aggr_us / sample_us`` checks per aggregation, so ``nr_accesses`` of that many is 100 percent. Everything
is exact; where a function takes `compat`, true gives the arithmetic of damo instead, which cuts percents to whole
numbers (one access in 200 checks is 0 percent there, and that memory counts as cold). damo also takes all ages of a
record in its set aggregation interval, where the kernel has tuned another: that is `age_us`, by default `aggr_us`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil, ulp
from typing import NamedTuple

from damod.access.snapshot import Regions

Weights = tuple[int, int, int]
# Of size (bytes), access rate (percent) and age (us) in a temperature, as `damoctl report access` has them.
DEFAULT_WEIGHTS: Weights = (0, 100, 100)


def sizes(regions: Regions) -> list[int]:
    """Bytes of each region."""
    return [end - start for start, end in zip(regions.start, regions.end, strict=True)]


def hz(nr_accesses: Iterable[int], aggr_us: int) -> list[float]:
    """Accesses seen per second; no check can see more than one, so at most ``1e6 / sample_us``."""
    return [samples * 1_000_000 / aggr_us for samples in nr_accesses]


def percent(samples: int, sample_us: int, aggr_us: int, *, compat: bool = False) -> float:
    """Share of the checks of one aggregation that saw an access, 0 to 100."""
    if compat:
        return int(samples * 100 / (aggr_us / sample_us))
    return samples * 100 * sample_us / aggr_us


def percents(nr_accesses: Sequence[int], sample_us: int, aggr_us: int, *, compat: bool = False) -> list[float]:
    """`percent` of each region; there are few distinct counts, so each is computed once."""
    known = {samples: percent(samples, sample_us, aggr_us, compat=compat) for samples in set(nr_accesses)}
    return [known[samples] for samples in nr_accesses]


def ages_us(age: Iterable[int], aggr_us: int) -> list[int]:
    """How long each region's access rate has been about the same."""
    return [count * aggr_us if count > 0 else 0 for count in age]


def temperatures(
    regions: Regions,
    sample_us: int,
    aggr_us: int,
    weights: Weights = DEFAULT_WEIGHTS,
    *,
    compat: bool = False,
    age_us: int | None = None,
) -> list[int]:
    """Hotness of each region as one whole number: ``size*w0 + percent*w1 + age_us*w2``, negative if not accessed.

    Old and accessed is hotter than young and accessed; old and idle is colder than young and idle.
    """
    by_size, by_rate, by_age = weights
    warmth = {}
    for samples in set(regions.nr_accesses):
        if compat:
            share = int(percent(samples, sample_us, aggr_us, compat=True))
            warmth[samples] = (share * by_rate, 1 if share else -1)
        else:
            warmth[samples] = (samples * 100 * sample_us * by_rate // aggr_us, 1 if samples else -1)
    by_age *= aggr_us if age_us is None else age_us
    found = []
    for start, end, samples, age in zip(regions.start, regions.end, regions.nr_accesses, regions.age, strict=True):
        rate, sign = warmth[samples]
        found.append(sign * ((end - start) * by_size + rate + (age * by_age if age > 0 else 0)))
    return found


def idle_us(
    regions: Regions, sample_us: int, aggr_us: int, *, compat: bool = False, age_us: int | None = None
) -> list[int]:
    """How long each region has not been accessed: 0 if it was in this aggregation, else its age plus this one."""
    if compat:
        rates = percents(regions.nr_accesses, sample_us, aggr_us, compat=True)
    else:
        rates = list(regions.nr_accesses)
    unit = aggr_us if age_us is None else age_us
    return [0 if rate else max(age, 0) * unit + aggr_us for rate, age in zip(rates, regions.age, strict=True)]


def bandwidth(amounts: Iterable[int], nr_accesses: Iterable[int], aggr_us: int) -> float:
    """Bytes per second if each access that was seen touched the whole amount (a region's size, or its passed bytes)."""
    seen = sum(amount * samples for amount, samples in zip(amounts, nr_accesses, strict=True))
    return seen * 1_000_000 / aggr_us


def positive_samples_percent(nr_accesses: Sequence[int], sample_us: int, aggr_us: int) -> float:
    """Share of all checks (each region counts the same, whatever its size) that saw an access."""
    return sum(nr_accesses) * 100 * sample_us / (len(nr_accesses) * aggr_us) if nr_accesses else 0.0


class Bin(NamedTuple):
    """Metric values in ``[start, end)`` and the bytes that have them."""

    start: int
    end: int
    amount: int


def bin_edges(
    low: int, high: int, *, logscale: bool = False, cumulate: bool = False, compat: bool = False
) -> list[tuple[int, int]]:
    """Ten equal bins that cover ``low..high``; or with `logscale` bins that double, the first a 1024th of the span.

    With `cumulate` each starts at `low`. damo's doubling bins (`compat`) may end right at `high` and so leave out the
    greatest value, and grow threefold when cumulated.
    """
    edges: list[tuple[int, int]] = []
    at = low
    if logscale:
        width = max((high - low) // 1024, 1)
        while not edges or at < high or (at == high and not compat):
            start = low if cumulate else at
            edges.append((start, at + width))
            at += width
            width = (at - start) * 2 if compat else width * 2
        return edges
    # damo's quotient is a float, which far from zero is not exact
    width = max(ceil((high + 1 - low) / 10) if compat else -((low - high - 1) // 10), 1)
    for _ in range(10):
        edges.append((low if cumulate else at, at + width))
        at += width
    return edges


def histogram(values: Sequence[int], amounts: Sequence[int], edges: Iterable[tuple[int, int]]) -> list[Bin]:
    """The bytes of the regions whose metric lies in each bin; bins may overlap and need not cover all values."""
    order = sorted(range(len(values)), key=values.__getitem__)
    metric = [values[index] for index in order]
    before = [0, *accumulate(amounts[index] for index in order)]
    return [
        Bin(start, end, before[bisect_left(metric, end)] - before[bisect_left(metric, start)]) for start, end in edges
    ]


def percentiles(values: Sequence[int], amounts: Sequence[int], points: Sequence[float]) -> list[int]:
    """The metric at each percentile of the bytes: how much at most do `p` percent of them have.

    Zero is the least value, 100 the greatest. No bytes at all give no answer (an empty list).
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    total = sum(amounts)
    if not order or not total:
        return []
    before = list(accumulate(amounts[index] for index in order))
    last = len(order) - 1
    # bisect on whole numbers: the first region at which bytes so far * 100 >= p * total
    shares = [done * 100 for done in before]
    return [values[order[0 if point <= 0 else min(bisect_left(shares, point * total), last)]] for point in points]


def percentiles_by_steps(values: Sequence[int], amounts: Sequence[int], points: Sequence[float]) -> list[int]:
    """damo's way: one walk over the regions for all points in their order, which may end before the last ones."""
    total = sum(amounts)
    found: list[int] = []
    if not total:
        return found
    done = 0
    for index in sorted(range(len(values)), key=values.__getitem__):
        done += amounts[index]
        while len(found) < len(points) and done * 100 / total >= points[len(found)]:
            found.append(values[index])
    return found


class HeatLine(NamedTuple):
    """An address range as a row of columns of `column_size` bytes each.

    `cells` are byte-weighted mean temperatures of the memory in them, from low to high addresses; `gaps[i]` says how
    many columns without any region lie before cell i, with `compat` in parts of columns too. Empty for no regions.
    """

    cells: Sequence[float] = ()
    gaps: Sequence[float] = ()
    column_size: float = 0.0


def heat_line(
    regions: Regions,
    heats: Sequence[int],
    width: int,
    *,
    static: bool = False,
    compat: bool = False,
    per_byte: Sequence[int] = (),
) -> HeatLine:
    """Regions (sorted by address) as about `width` columns: the memory between regions takes no column.

    With `static` it does, so that all columns together span the whole address range. damo's columns (`compat`) count
    memory outside of regions as of temperature 0, so that cold memory beside a gap looks warm, and the size in a
    temperature as that of the part in the column: `per_byte` is what a byte adds to the heat of each region.
    """
    if not len(regions):
        return HeatLine()
    base, top = regions.start[0], max(regions.end)
    span = top - base if static else regions.total_bytes()
    if span <= 0:
        return HeatLine()
    # below a thousand times the precision of a float the steps drift by columns, or stand still
    if compat and span / width > 1000 * ulp(top):
        return _heat_line_by_steps(regions, heats, span / width, per_byte or [0] * len(regions))
    cells: list[float] = []
    gaps: list[int] = []
    starts, ends = regions.start, regions.end
    column, at, last = 0, 0, -1
    count = len(regions)
    while at < count:
        # column k is [base + ceil(k * span / width), base + ceil((k + 1) * span / width)): whole bytes, no rounding
        low = base + -(-column * span // width)
        high = base + -(-(column + 1) * span // width)
        if starts[at] >= high:
            column = (starts[at] - base) * width // span
            continue
        heat = covered = 0
        index = at
        # comparisons in place of min() and max(): this runs once per region and column
        while index < count and (begin := starts[index]) < high:
            end = ends[index]
            overlap = (end if end < high else high) - (begin if begin > low else low)
            if overlap > 0:
                heat += overlap * heats[index]
                covered += overlap
            index += 1
        if covered:
            gaps.append(column - last - 1)
            cells.append(heat / covered)
            last = column
        while at < count and ends[at] <= high:
            at += 1
        column += 1
    return HeatLine(cells, gaps, span / width)


def _heat_line_by_steps(regions: Regions, heats: Sequence[int], unit: float, per_byte: Sequence[int]) -> HeatLine:
    """damo's way: walk in float steps, which may leave one bogus column of next to no bytes at the end."""
    cells: list[float] = []
    gaps: list[float] = []
    base, top = regions.start[0], max(regions.end)
    low: float = base
    at, gap, count = 0, 0.0, len(regions)
    while low < top:
        high = low + unit
        while at < count and regions.end[at] <= low:
            at += 1
        if at < count and regions.start[at] >= high:
            # columns after a gap begin at multiples of the column size, wherever those before it began
            aligned = regions.start[at] // unit * unit
            # `//` of floats may come out one below
            if aligned + unit <= regions.start[at]:
                aligned += unit
            if aligned <= low:  # where a step is hardly more than what a float tells apart
                aligned = high
            gap += (aligned - low) / unit
            low = aligned
            continue
        heat, index = 0.0, at
        while index < count and regions.start[index] < high:
            start, end = regions.start[index], regions.end[index]
            part = min(end, high) - max(start, low)
            heat += part * (heats[index] - (end - start - part) * per_byte[index])
            index += 1
        # of what the step came to in floats, which is not always `unit`
        cells.append(heat / (high - low))
        gaps.append(gap)
        gap = 0.0
        low = high
    return HeatLine(cells, gaps, unit)


def levels(cells: Sequence[float]) -> list[int]:
    """Each value on a scale of ten: 0 for the least, 9 for the greatest alone."""
    if not cells:
        return []
    low, high = min(cells), max(cells)
    unit = (high - low) / 9 or high / 9 or 1
    return [int((cell - low) / unit) for cell in cells]


def merged(regions: Regions) -> Regions:
    """Neighbours with equal access count and age as one region, unless filters passed bytes of either (or probes hit).

    DAMON splits regions at random; what it found equal on both sides is one thing to a reader.
    """
    count = len(regions)
    if count < 2 or regions.probe_hits is not None:
        return regions
    passed = regions.sz_filter_passed
    start, end, samples, age = regions.start, regions.end, regions.nr_accesses, regions.age
    heads = [0] + [
        index
        for index in range(1, count)
        if start[index] != end[index - 1]
        or samples[index] != samples[index - 1]
        or age[index] != age[index - 1]
        or (passed is not None and (passed[index] or passed[index - 1]))
    ]
    if len(heads) == count:
        return regions
    tails = [head - 1 for head in heads[1:]] + [count - 1]
    return Regions(
        start=[start[head] for head in heads],
        end=[end[tail] for tail in tails],
        nr_accesses=[samples[head] for head in heads],
        age=[age[head] for head in heads],
        sz_filter_passed=None if passed is None else [passed[head] for head in heads],
    )


def stars(values: Sequence[float], width: int, *, round_up: bool = False) -> list[int]:
    """Lengths of bars for `values`, from 0 for the least to `width` for the greatest.

    `round_up` is for amounts (nothing but the least gets no star), else lengths are cut.
    """
    if not values:
        return []
    low, high = min(values), max(values)
    if round_up:
        unit: float = max(int((high - low) / width), 1)
        return [min(width, ceil((value - low) / unit)) for value in values]
    unit = (high - low) / width or 1
    return [int((value - low) / unit) for value in values]
