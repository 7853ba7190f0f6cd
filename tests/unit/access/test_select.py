"""Filters against the obvious implementation: ask each region by itself."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damod.access import select
from damod.access.select import Selection
from damod.access.snapshot import Regions, Snapshot
from damod.errors import UsageError

SAMPLE_US, AGGR_US = 5_000, 100_000
REGION = st.tuples(st.integers(0, 1000), st.integers(0, 20), st.integers(0, 100), st.integers(0, 1000))


def snapshot(rows: list[tuple[int, int, int, int]], start_ns: int = 0) -> Snapshot:
    """Rows of (size, samples, age, passed) laid end to end."""
    starts, at = [], 0
    for size, *_ in rows:
        starts.append(at)
        at += size
    ends = [start + row[0] for start, row in zip(starts, rows, strict=True)]
    columns = ([row[index] for row in rows] for index in (1, 2))
    regions = Regions(starts, ends, *columns, sz_filter_passed=[row[3] for row in rows])
    return Snapshot(0, 0, 0, start_ns, start_ns + 100, 0, SAMPLE_US, AGGR_US, regions)


def rows_of(regions: Regions) -> list[tuple[int, ...]]:
    passed = regions.sz_filter_passed
    assert passed is not None
    return list(zip(regions.start, regions.end, regions.nr_accesses, regions.age, passed, strict=True))


BOUNDS = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(REGION, max_size=20), BOUNDS, BOUNDS, BOUNDS)
def test_pattern(
    rows: list[tuple[int, int, int, int]], sizes: tuple[int, int], rates: tuple[int, int], ages: tuple[int, int]
) -> None:
    """A region stays if its size, access rate in percent and age lie in the ranges, both ends included."""
    permil = (Fraction(rates[0], 10), Fraction(rates[1], 10))
    age_us = (ages[0] * 10_000, ages[1] * 10_000)
    given_one = snapshot(rows)
    selection = Selection(sizes=sizes, rates=permil, ages_us=age_us)
    ((kept, total),) = select.snapshots([given_one], selection)
    wanted = [
        row
        for row in rows_of(given_one.regions)
        if sizes[0] <= row[1] - row[0] <= sizes[1]
        and permil[0] <= Fraction(row[2] * 100 * SAMPLE_US, AGGR_US) <= permil[1]
        and age_us[0] <= row[3] * AGGR_US <= age_us[1]
    ]
    assert rows_of(kept.regions) == wanted
    assert total == sum(end - start for start, end, *_ in wanted)


def test_compat_total_counts_rejected_regions() -> None:
    """damo's total still has what only the pattern rejected, ours has not."""
    one = snapshot([(100, 0, 1, 0), (50, 20, 1, 0)])
    selection = Selection(rates=(Fraction(1), Fraction(100)))
    assert [total for _, total in select.snapshots([one], selection)] == [50]
    assert [total for _, total in select.snapshots([one], selection, compat=True)] == [150]


@given(st.lists(REGION, max_size=20), st.lists(st.integers(0, 20_000), max_size=6, unique=True))
def test_cut(rows: list[tuple[int, int, int, int]], borders: list[int]) -> None:
    """Cutting keeps exactly the bytes inside the ranges, and all but the borders as they were."""
    borders = sorted(borders)[: len(borders) // 2 * 2]
    ranges = list(zip(borders[::2], borders[1::2], strict=True))
    regions = snapshot(rows).regions
    got = select.cut(regions, ranges)
    wanted = [
        (max(start, low), min(end, high), *rest)
        for start, end, *rest in rows_of(regions)
        for low, high in ranges
        if max(start, low) < min(end, high) or (start == end and low < end < high)
    ]
    assert [row for row in rows_of(got) if row[0] < row[1]] == [row for row in wanted if row[0] < row[1]]


def test_snapshot_filters() -> None:
    """Snapshots are kept by index in their record, by whole time and by size after the region filters."""
    given_all = [snapshot([(size, 1, 1, 0)], start_ns=index * 1000) for index, size in enumerate((10, 20, 30, 40))]

    def starts(selection: Selection) -> list[int]:
        return [kept.start_ns for kept, _ in select.snapshots(given_all, selection)]

    assert starts(Selection(snapshot_indices=[(0, 0), (2, 3)])) == [0, 2000, 3000]
    assert starts(Selection(snapshot_times=[(500, 2099)])) == [1000]
    assert starts(Selection(snapshot_times=[(500, 2100)])) == [1000, 2000]
    assert starts(Selection(snapshot_sizes=[(20, 30)])) == [1000, 2000]
    assert starts(Selection(snapshot_sizes=[(5, 5)], addresses=[(0, 5)])) == [0, 1000, 2000, 3000]


def test_temperature() -> None:
    """Regions are kept by temperature in any of the ranges."""
    one = snapshot([(10, 0, 1, 0), (10, 20, 0, 0), (10, 0, 0, 0)])
    selection = Selection(temperatures=[(-(10**9), -1), (10_000, 10_000)])
    ((kept, total),) = select.snapshots([one], selection)
    assert kept.regions.start == [0, 10]
    assert total == 20


@pytest.mark.parametrize(("ranges", "said"), [([(5, 5)], "not above"), ([(0, 10), (5, 20)], "overlap")])
def test_address_ranges(ranges: list[tuple[int, int]], said: str) -> None:
    """Address ranges that nothing can match, or that overlap, are refused."""
    with pytest.raises(UsageError, match=said):
        select.address_ranges(ranges)


def test_nothing_selected_changes_nothing() -> None:
    """Without filters the very same snapshot comes back: no copy of columns."""
    one = snapshot([(10, 1, 1, 0)])
    ((kept, _),) = select.snapshots([one], Selection())
    assert kept is one
