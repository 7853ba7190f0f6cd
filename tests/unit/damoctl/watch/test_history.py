"""What is kept of the snapshots."""

from __future__ import annotations

from itertools import pairwise

import pytest

from damoctl.reports.frames import int64
from damoctl.watch import history as histories
from damoctl.watch.history import History
from tests.unit.damoctl.watch.shots import MS, SERIES, S, shot, walk

U64_MAX = 2**64 - 1


def test_snapshots_come_in_order_of_time() -> None:
    """One that is not newer is not taken, so that a repeated answer changes nothing."""
    history = History(SERIES)
    assert history.add(shot(S, [(0, 10, 1, 0)]))
    assert not history.add(shot(S, [(0, 10, 2, 0)]))
    assert not history.add(shot(S - MS, [(0, 10, 2, 0)]))
    assert len(history) == 1


def test_the_span_begins_when_the_oldest_region_did() -> None:
    """Ages tell of the time before the first snapshot."""
    history = History(SERIES)
    history.add(shot(10 * S, [(0, 10, 1, 0), (10, 20, 0, 50)]))
    assert history.span == (10 * S - 100 * MS - 5 * S, 10 * S)
    assert history.began_ns == 10 * S - 100 * MS


def test_the_snapshot_of_a_moment() -> None:
    """It is the first that ends at or after it; after the last one it is the last."""
    history = History(SERIES)
    for end in (1, 2, 3):
        history.add(shot(end * S, [(0, 10, end, 0)]))
    found = [history.at(time) for time in (0, S, S + 1, 3 * S, 9 * S)]
    assert [item.end_ns // S for item in found if item] == [1, 1, 2, 3, 3]
    assert History(SERIES).at(5) is None


def test_a_live_history_keeps_the_new_and_thins_the_old() -> None:
    """Memory is bounded, the newest half is whole, and something of the beginning is left."""
    history = History(SERIES, budget=1000)
    for item in walk(2000):
        history.add(item)
    assert 50 <= len(history) <= 101
    ends = [history.at(time) for time in range(1950 * 100 * MS, 2000 * 100 * MS, 100 * MS)]
    assert len({item.end_ns for item in ends if item}) >= 45
    first = history.at(0)
    assert first is not None and first.end_ns == 100 * MS
    assert history.span[1] == 2000 * 100 * MS


def test_a_recording_is_thinned_evenly() -> None:
    """Every n-th snapshot is kept, and n is told."""
    history = History(SERIES, budget=1000, evenly=True)
    for item in walk(1000):
        history.add(item)
    kept = sorted({item.end_ns // (100 * MS) for time in range(0, 100 * S, 50 * MS) if (item := history.at(time))})
    assert history.stride > 1
    assert {after - before for before, after in pairwise(kept)} == {history.stride}


def test_addresses_beyond_63_bits_are_cut() -> None:
    """A region that ends with the address space is no error."""
    history = History(SERIES)
    history.add(shot(S, [(0, 10, 1, 0), (4096, U64_MAX, 0, 0)]))
    assert history.axis.stretches == ((0, 10), (4096, 2**63 - 1))
    assert int64([5, U64_MAX, -1]).tolist() == [5, 2**63 - 1, -1]


def test_a_clock_that_begins_anew_begins_a_new_history() -> None:
    """After a restart of the simulated kernel its times are small again."""
    history = History(SERIES)
    history.add(shot(500 * S, [(0, 10, 1, 0)]))
    assert history.add(shot(2 * S, [(0, 20, 1, 0)]))
    assert history.span[1] == 2 * S
    assert len(history) == 1


@pytest.mark.parametrize("low", [0, 1500])
def test_frames_have_the_neighbours_that_tell_of_their_time(low: int) -> None:
    """What ends after a time tells of it too; the end of the snapshot before is told beside."""
    history = History(SERIES)
    for item in walk(30):
        history.add(item)
    ((frame, before),) = history.frames(low * MS, 2000 * MS)
    assert frame.end_ns[0] == (low + 100) * MS
    assert frame.end_ns[-1] == 2000 * MS
    assert before == (low * MS or None)
    assert list(history.frames(3000 * MS, 4000 * MS)) == []


def test_frames_are_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes on where the one before ended, and has at least a snapshot."""
    monkeypatch.setattr(histories, "_AT_ONCE", 25)
    history = History(SERIES)
    for item in walk(6):
        history.add(item)
    found = [(frame.end_ns.tolist(), before) for frame, before in history.frames(0, S)]
    tenths = [end * 100 * MS for end in range(1, 7)]
    assert found == [(tenths[:2], None), (tenths[2:4], tenths[1]), (tenths[4:], tenths[3])]
    monkeypatch.setattr(histories, "_AT_ONCE", 1)
    assert len(list(history.frames(0, S))) == 6
