"""Stretches of memory laid end to end."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from damoctl.reports import frames
from damoctl.watch.axis import Axis, marks
from damod.access.record import Record
from tests.unit.damoctl.watch.shots import shot

TWO = Axis(((100, 200), (1000, 1300)))


def ints(*values: int) -> frames.Ints:
    return np.array(values, dtype=np.int64)


def test_offsets_leave_out_the_gaps() -> None:
    """The second stretch begins where the first one ends."""
    assert TWO.total == 400
    assert [TWO.offset(address) for address in (100, 199, 500, 1000, 1299, 5000)] == [0, 99, 100, 100, 399, 400]
    assert [TWO.address(offset) for offset in (0, 99, 100, 399)] == [100, 199, 1000, 1299]
    assert TWO.borders(0, 400) == [100]
    assert TWO.borders(100, 400) == []
    assert TWO.pieces(50, 250) == [(150, 200), (1000, 1150)]


def test_what_touches_is_one_stretch() -> None:
    """New regions extend, join and add stretches."""
    grown = TWO.with_runs(ints(200, 990, 5000), ints(300, 1000, 5001))
    assert grown.stretches == ((100, 300), (990, 1300), (5000, 5001))
    assert Axis().with_runs(ints(5, 0), ints(6, 5)).stretches == ((0, 6),)


def test_covering() -> None:
    """Only regions inside of stretches are covered; nothing is covered by no stretch."""
    assert TWO.covers(ints(100, 1000), ints(200, 1300))
    assert not TWO.covers(ints(150), ints(201))
    assert not TWO.covers(ints(99), ints(110))
    assert Axis().covers(ints(), ints())
    assert not Axis().covers(ints(1), ints(2))


def test_a_frame_is_placed() -> None:
    """Addresses become offsets; all else stays."""
    frame = frames.of_record(Record(0, 0, None, 0, None, [shot(10**9, [(150, 200, 3, 0), (1000, 1010, 4, 1)])]))
    placed = TWO.place(frame)
    assert placed.start.tolist() == [50, 100]
    assert placed.end.tolist() == [100, 110]
    assert placed.nr_accesses.tolist() == [3, 4]


@given(st.integers(0, 399))
def test_addresses_and_offsets_agree(offset: int) -> None:
    """An offset's address has that offset."""
    assert TWO.offset(TWO.address(offset)) == offset


def test_marks_stand_where_stretches_begin_and_do_not_touch() -> None:
    """Each mark has room; the first and the borders come first."""
    found = marks(TWO, (0, 400), 80, 14)
    assert [mark.column for mark in found][:2] == [0, 20]
    assert [mark.address for mark in found][:2] == [100, 1000]
    columns = [mark.column for mark in found]
    assert all(after - before >= 14 for before, after in pairwise(columns))
    assert columns[-1] + 14 <= 81
    assert marks(TWO, (0, 0), 80, 14) == []
