"""Column arithmetic against the obvious implementation: one object per region, exact fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damod.access import measure
from damod.access.snapshot import Regions

SAMPLE_US, AGGR_US = 5_000, 100_000
MOST = AGGR_US // SAMPLE_US


@dataclass
class Region:
    start: int
    end: int
    samples: int
    age: int

    @property
    def size(self) -> int:
        return self.end - self.start


@st.composite
def region_lists(draw: st.DrawFn, *, contiguous: bool = False, max_size: int = 12) -> list[Region]:
    """Disjoint regions in address order, some with gaps between them."""
    at = draw(st.integers(0, 1 << 47))
    found = []
    for _ in range(draw(st.integers(1, max_size))):
        if not contiguous:
            at += draw(st.sampled_from([0, 0, 1, 4096, 1 << 30]))
        size = draw(st.one_of(st.integers(1, 100), st.integers(1, 1 << 34)))
        found.append(Region(at, at + size, draw(st.integers(0, MOST)), draw(st.integers(-1, 10_000))))
        at += size
    return found


def columns(found: list[Region]) -> Regions:
    return Regions([r.start for r in found], [r.end for r in found], [r.samples for r in found], [r.age for r in found])


@given(region_lists(), st.tuples(*[st.integers(-3, 1000)] * 3))
def test_temperature(found: list[Region], weights: tuple[int, int, int]) -> None:
    """A temperature is the weighted sum of size, percent and age, negated for memory without any access."""
    wanted = []
    for region in found:
        percent = Fraction(region.samples * 100, MOST)
        heat = region.size * weights[0] + percent * weights[1] + max(region.age, 0) * AGGR_US * weights[2]
        wanted.append(heat if region.samples else -heat)
    got = measure.temperatures(columns(found), SAMPLE_US, AGGR_US, weights)
    assert got == wanted


def test_rare_access_is_not_cold() -> None:
    """One access in 200 checks is half a percent: warm here, cold for damo, which cuts percents."""
    regions = Regions([0], [4096], [1], [7])
    sample, aggr = 5_000, 1_000_000
    assert measure.percents([1], sample, aggr) == [0.5]
    assert measure.percents([1], sample, aggr, compat=True) == [0]
    assert measure.temperatures(regions, sample, aggr) == [50 + 7 * aggr * 100]
    assert measure.temperatures(regions, sample, aggr, compat=True) == [-7 * aggr * 100]
    assert measure.idle_us(regions, sample, aggr) == [0]
    assert measure.idle_us(regions, sample, aggr, compat=True) == [8 * aggr]


@given(st.integers(0, 400), st.integers(1, 10**6), st.integers(1, 400))
def test_percent(samples: int, sample_us: int, most: int) -> None:
    """percent is exact to a float's precision, and damo's is the same cut to a whole number."""
    aggr_us = sample_us * most
    exact = Fraction(samples * 100, most)
    assert measure.percent(samples, sample_us, aggr_us) == pytest.approx(float(exact))
    assert abs(measure.percent(samples, sample_us, aggr_us, compat=True) - exact) <= 1


@given(region_lists())
def test_idle_bandwidth(found: list[Region]) -> None:
    """Idle time and bandwidth are sums and maxima over single regions."""
    regions = columns(found)
    assert measure.idle_us(regions, SAMPLE_US, AGGR_US) == [
        0 if r.samples else (max(r.age, 0) + 1) * AGGR_US for r in found
    ]
    assert measure.bandwidth(measure.sizes(regions), regions.nr_accesses, AGGR_US) == pytest.approx(
        float(sum(Fraction(r.size * r.samples * 1_000_000, AGGR_US) for r in found))
    )


def naive_percentile(found: list[Region], values: list[int], point: int) -> int:
    pairs = sorted(zip(values, found, strict=True), key=lambda pair: pair[0])
    total = sum(r.size for r in found)
    so_far = 0
    for value, region in pairs:
        so_far += region.size
        if point == 0 or Fraction(so_far * 100, total) >= point:
            return value
    return pairs[-1][0]


@given(region_lists(), st.lists(st.integers(0, 120), min_size=1, max_size=8))
def test_percentiles(found: list[Region], points: list[int]) -> None:
    """A percentile is the metric of the first region at which that share of all bytes is reached."""
    values = measure.idle_us(columns(found), SAMPLE_US, AGGR_US)
    got = measure.percentiles(values, [r.size for r in found], points)
    assert got == [naive_percentile(found, values, point) for point in points]


def test_percentiles_of_nothing() -> None:
    """Without bytes there are no percentiles, and no division by zero."""
    assert measure.percentiles([], [], [0, 50]) == []
    assert measure.percentiles([5, 6], [0, 0], [0, 50]) == []


@given(region_lists(), st.booleans(), st.booleans())
def test_histogram(found: list[Region], logscale: bool, cumulate: bool) -> None:
    """Bins hold the bytes of the regions in them; together (or the last one, cumulated) they hold all bytes."""
    values = measure.temperatures(columns(found), SAMPLE_US, AGGR_US)
    edges = measure.bin_edges(min(values), max(values), logscale=logscale, cumulate=cumulate)
    bins = measure.histogram(values, [r.size for r in found], edges)
    for item in bins:
        assert item.amount == sum(
            r.size for value, r in zip(values, found, strict=True) if item.start <= value < item.end
        )
    total = sum(r.size for r in found)
    assert (bins[-1].amount if cumulate else sum(item.amount for item in bins)) == total


def naive_column(found: list[Region], heats: list[int], low: int, high: int) -> Fraction | None:
    overlaps = [max(min(r.end, high) - max(r.start, low), 0) for r in found]
    covered = sum(overlaps)
    return Fraction(sum(o * h for o, h in zip(overlaps, heats, strict=True)), covered) if covered else None


@given(region_lists(), st.integers(1, 100), st.booleans())
def test_heat_line(found: list[Region], width: int, static: bool) -> None:
    """Each cell is the byte-weighted mean over its addresses, gaps count the columns without memory."""
    regions = columns(found)
    heats = measure.temperatures(regions, SAMPLE_US, AGGR_US)
    line = measure.heat_line(regions, heats, width, static=static)
    base = found[0].start
    span = found[-1].end - base if static else sum(r.size for r in found)
    column, cells = 0, []
    for gap, cell in zip(line.gaps, line.cells, strict=True):
        column += gap
        low, high = (base - (-edge * span // width) for edge in (column, column + 1))
        wanted = naive_column(found, heats, low, high)
        assert wanted is not None
        assert cell == pytest.approx(float(wanted))
        cells.append((low, high))
        column += 1
    for region in found:
        assert sum(max(min(region.end, high) - max(region.start, low), 0) for low, high in cells) == region.size
    if static:
        assert column <= width


@given(region_lists(contiguous=True), st.integers(1, 100))
def test_heat_line_without_gaps(found: list[Region], width: int) -> None:
    """Memory without gaps fills the line exactly: no bogus last column as float steps leave it."""
    regions = columns(found)
    total = sum(r.size for r in found)
    line = measure.heat_line(regions, measure.temperatures(regions, SAMPLE_US, AGGR_US), width)
    assert len(line.cells) == min(width, total)
    assert line.column_size * width == pytest.approx(total)


@given(region_lists(), st.integers(1, 100), st.booleans())
def test_heat_line_compat_ends(found: list[Region], width: int, static: bool) -> None:
    """damo's float steps come to an end and, where nothing is in between, leave one column too many at most."""
    regions = columns(found)
    heats = measure.temperatures(regions, SAMPLE_US, AGGR_US, compat=True)
    line = measure.heat_line(regions, heats, width, static=static, compat=True)
    gaps = sum(1 for left, right in pairwise(found) if left.end != right.start)
    assert len(line.cells) <= width + 1 + 2 * gaps


@given(st.lists(st.floats(-1e12, 1e12), max_size=50))
def test_levels(cells: list[float]) -> None:
    """Levels go from 0 for the coldest to 9, which only the hottest reach."""
    got = measure.levels(cells)
    assert all(0 <= level <= 9 for level in got)
    if cells and min(cells) < max(cells):
        assert got[cells.index(min(cells))] == 0
        assert got[cells.index(max(cells))] >= 8


def test_levels_of_equal_cells() -> None:
    """Equal cells have one level and do not divide by zero."""
    assert measure.levels([5.0, 5.0]) == [0, 0]
    assert measure.levels([0.0]) == [0]
    assert measure.levels([]) == []


@given(region_lists(), st.booleans())
def test_merged(found: list[Region], filtered: bool) -> None:
    """Merging keeps every byte's access count and age, and leaves no equal neighbours."""
    passed = [r.size % 3 for r in found] if filtered else None
    regions = columns(found)
    regions = Regions(regions.start, regions.end, regions.nr_accesses, regions.age, sz_filter_passed=passed)
    got = measure.merged(regions)
    assert got.total_bytes() == regions.total_bytes()
    bounds = list(zip(got.start, got.end, got.nr_accesses, got.age, strict=True))
    for region in found:
        _, high, samples, age = next(b for b in bounds if b[0] <= region.start < b[1])
        assert region.end <= high
        assert (samples, age) == (region.samples, region.age)
    for (_, end, samples, age), (start, _, then, later) in pairwise(bounds):
        assert (end, samples, age) != (start, then, later) or filtered
    if passed is not None and got.sz_filter_passed is not None:
        assert sum(got.sz_filter_passed) == sum(passed)


@given(st.lists(st.integers(0, 1 << 60), min_size=1, max_size=20), st.booleans())
def test_stars(values: list[int], round_up: bool) -> None:
    """Bars are never longer than their width, and the least value has none."""
    got = measure.stars(values, 20, round_up=round_up)
    assert all(0 <= count <= 20 for count in got)
    assert got[values.index(min(values))] == 0
