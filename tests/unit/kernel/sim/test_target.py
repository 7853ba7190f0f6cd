"""The arithmetic of regions: sampling, merging, ageing, splitting, reshaping."""

import random

import pytest

from damod.kernel.sim.params import TargetParams
from damod.kernel.sim.target import Target, age, merge, sample, split

PAGE = 4096


def target(*rows, probes=0):
    """A target of (start page, end page, nr_accesses, age) rows."""
    made = Target(TargetParams(0, (), False), probes)
    made.start = [row[0] * PAGE for row in rows]
    made.end = [row[1] * PAGE for row in rows]
    made.nr = [row[2] for row in rows]
    made.last = list(made.nr)
    made.age = [row[3] for row in rows]
    made.hits = [[0] * len(rows) for _ in range(probes)]
    return made


def pages(made):
    return [
        (start // PAGE, end // PAGE, nr, old)
        for start, end, nr, old in zip(made.start, made.end, made.nr, made.age, strict=True)
    ]


def test_sampling_sees_the_pattern():
    """Regions in a segment get its share of samples, those across it less by the part that lies outside."""
    made = target((0, 10, 0, 0), (10, 20, 0, 0), (20, 40, 0, 0), (40, 50, 0, 0))
    counts = [[0] * 4 for _ in range(50)]
    for seed, row in enumerate(counts):
        sample(made, [(10 * PAGE, 30 * PAGE, 1.0), (45 * PAGE, 46 * PAGE, 0.5)], 100, random.Random(seed))
        row[:] = made.nr
    means = [sum(column) / 50 for column in zip(*counts, strict=True)]
    assert means[:2] == [0, 100]
    assert means[2] == pytest.approx(50, abs=4)
    assert means[3] == pytest.approx(5, abs=2)


def test_sampling_stays_in_bounds():
    """No region gets more accesses than there were samples, nor less than none."""
    made = target(*((n, n + 1, 0, 0) for n in range(200)))
    for share in (0.01, 0.5, 0.99):
        sample(made, [(0, 200 * PAGE, share)], 20, random.Random(3))
        assert min(made.nr) >= 0
        assert max(made.nr) <= 20
        assert sum(made.nr) / 200 == pytest.approx(20 * share, rel=0.2, abs=0.2)


def test_similar_neighbours_merge():
    """Neighbours within the threshold become one with their weighted means; others, and those apart, do not."""
    made = target((0, 10, 4, 10), (10, 40, 6, 2), (40, 50, 20, 1), (60, 70, 20, 1))
    merge(made, 2, 100 * PAGE)
    assert pages(made) == [(0, 40, 5, 4), (40, 50, 20, 1), (60, 70, 20, 1)]


def test_merging_has_a_size_limit():
    """What would grow above the limit stays apart, so that the minimum number of regions holds."""
    made = target((0, 10, 0, 0), (10, 20, 0, 0), (20, 30, 0, 0))
    merge(made, 2, 20 * PAGE)
    assert [row[:2] for row in pages(made)] == [(0, 20), (20, 30)]


def test_probe_hits_are_the_measure_where_they_weigh():
    """With weights, regions merge by their hits and not by accesses."""
    made = target((0, 10, 0, 0), (10, 20, 0, 0), (20, 30, 0, 0), probes=1)
    made.hits = [[20, 20, 0]]
    merge(made, 2, 100 * PAGE, [1])
    assert [row[:2] for row in pages(made)] == [(0, 20), (20, 30)]
    assert made.hits == [[20, 0]]


def test_ageing():
    """A region that stays as it is grows older; one that changes, or wakes up, starts again."""
    made = target((0, 1, 0, 5), (1, 2, 0, 5), (2, 3, 0, 5), (3, 4, 0, 5))
    age(made, [10, 12, 1, 0], [10, 19, 0, 0], 2)
    assert made.age == [6, 0, 0, 6]


@pytest.mark.parametrize("pieces", [2, 3])
def test_splitting_keeps_the_cover(pieces):
    """Pieces cover what was there, know the same, and none is below the smallest region."""
    made = target((0, 100, 7, 3), (200, 201, 9, 4), (300, 310, 1, 2), probes=1)
    made.hits = [[5, 6, 7]]
    split(made, pieces, PAGE, random.Random(1))
    rows = pages(made)
    assert 3 < len(rows) <= 3 * pieces
    assert rows == sorted(rows)
    for low, high, nr in ((0, 100, 7), (200, 201, 9), (300, 310, 1)):
        inside = [row for row in rows if low <= row[0] < high]
        assert (inside[0][0], inside[-1][1], {row[2] for row in inside}) == (low, high, {nr})
        assert sum(row[1] - row[0] for row in inside) == high - low
    assert len(made.hits[0]) == len(rows)


def test_reshape_keeps_what_stays():
    """New bounds keep the regions within them, cut or stretch the outer ones, and cover new places afresh."""
    made = target((0, 10, 3, 7), (10, 20, 4, 8), (30, 40, 5, 9))
    made.reshape([(5 * PAGE, 18 * PAGE), (50 * PAGE, 60 * PAGE)], PAGE)
    assert pages(made) == [(5, 10, 3, 7), (10, 18, 4, 8), (50, 60, 0, 0)]
