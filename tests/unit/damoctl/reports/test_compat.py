"""What damo computes otherwise, in small numbers; that it is really damo's is held by tests/golden/test_peer.py."""

from __future__ import annotations

import numpy as np

from damoctl.reports import guide, heatmap, wss
from damoctl.reports.frames import Held
from damod.access import measure
from damod.access.record import Intervals, Record
from damod.access.snapshot import Regions, Snapshot

MS = 1_000_000


def record(*shots: list[tuple[int, int, int]], took_ms: int = 100) -> Record:
    """A record of snapshots one after the other, each of (start, end, samples), all ages 0."""
    snapshots = [
        Snapshot(0, 0, 0, index * took_ms * MS, (index + 1) * took_ms * MS, 0, 5000, 100_000,
                 Regions(*(list(column) for column in zip(*rows, strict=True)), [0] * len(rows)))
        for index, rows in enumerate(shots)
    ]  # fmt: skip
    return Record(0, 0, None, 0, Intervals(5000, 100_000), snapshots)


def stretches(*shots: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    (found,) = guide.compute(Held([record(*shots)], "x"), compat=True)
    return [(item.start, item.end) for item in found.stretches]


def test_a_gap_that_a_snapshot_lacks_stays() -> None:
    """Gaps are those of the first snapshot, narrowed by the gaps of later ones that they meet, and no others."""
    first = [(10, 20, 0), (30, 40, 0)]
    assert stretches(first, [(10, 40, 0)]) == [(10, 20), (30, 40)]
    assert stretches(first, [(10, 24, 0), (28, 35, 0), (36, 50, 0)]) == [(10, 24), (28, 50)]
    assert stretches(first, [(10, 12, 0), (14, 40, 0)]) == [(10, 20), (30, 40)]


def test_address_zero_is_no_start() -> None:
    """A region at 0 begins the space only if it is the last that was seen."""
    assert stretches([(0, 10, 0), (10, 20, 0)]) == [(10, 20)]
    assert stretches([(10, 20, 0)], [(0, 20, 0)]) == [(0, 20)]


def test_heat_before_the_range_is_taken_away() -> None:
    """What ended less than a row before the first one counts there, with its time below zero."""
    made = record([(0, 100, 20)], [(0, 100, 0)], [(0, 100, 0)])
    options = heatmap.Options(resol=(1, 1), time_range=(200 * MS, 300 * MS, 0), compat=True)
    (drawn,) = heatmap.compute(Held([made], "x"), options)
    assert drawn.heat.tolist() == [[0.0]]
    options = heatmap.Options(resol=(1, 1), time_range=(150 * MS, 300 * MS, 0), compat=True)
    (drawn,) = heatmap.compute(Held([made], "x"), options)
    assert np.allclose(drawn.heat, -200 * 50 / 150)


def test_joining_keeps_borders() -> None:
    """Regions are added the most samples of any they meet, and what none covers comes along."""
    made = record([(0, 100, 0), (100, 200, 0)], [(50, 60, 3), (60, 250, 0)])
    options = wss.Options(work_us=200_000, compat=True)
    (found,) = wss.compute(Held([made], "x"), options)
    assert found.values.tolist() == [100]
    exact = wss.compute(Held([made], "x"), wss.Options(work_us=200_000))
    assert exact[0].values.tolist() == [10]


def test_percentiles_are_one_walk() -> None:
    """Points that the walk has passed are told at the next region; those above 100 never are."""
    assert measure.percentiles_by_steps([1, 2, 3], [10, 10, 10], [0, 50, 100, 110]) == [1, 2, 3]
    assert measure.percentiles_by_steps([1, 2, 3], [10, 10, 10], [100, 0]) == [3, 3]
    assert measure.percentiles_by_steps([1], [0], [0]) == []
