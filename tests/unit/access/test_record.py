"""Snapshots of a daemon as records."""

from __future__ import annotations

from damod.access.record import Goal, Intervals, from_live
from damod.access.snapshot import Regions, Snapshot

PLAIN = Snapshot(0, 0, 0, 5, 9, 100, 5_000, 100_000, Regions([0], [4096], [3], [1]))


def test_from_live() -> None:
    """Snapshots of one target make one record, in time order, with the intervals and goal of the newest."""
    goal = {"access_bp": 400, "aggrs": 3, "min_sample_us": 5, "max_sample_us": 9, "of_a_newer_kernel": 1}
    newest = Snapshot(0, 0, 0, 9, 13, 100, 7_000, 140_000, Regions(), intervals_goal=goal, pid=31, lost=2)
    other = Snapshot(0, 0, 1, 5, 9, 100, 5_000, 100_000, Regions(), source="tried_regions")
    first, second = from_live([PLAIN, other, newest])
    assert list(first.snapshots) == [PLAIN, newest]
    assert first.intervals == Intervals(7_000, 140_000, 0, Goal(400, 3, 5, 9))
    assert (first.target_id, first.scheme, first.data_source) == (31, None, "ring")
    assert (second.target_id, second.data_source) == (1, "tried_regions")


def test_wire_keeps_stats() -> None:
    """Stats of the scheme that took a snapshot travel over the socket."""
    snapshot = Snapshot(0, 0, 0, 5, 9, 100, 5_000, 100_000, Regions(), stats={"nr_tried": 3})
    assert Snapshot.from_wire(snapshot.to_wire()) == Snapshot.from_wire({**snapshot.to_wire(), "new": 1})
    assert Snapshot.from_wire(snapshot.to_wire()).stats == {"nr_tried": 3}
