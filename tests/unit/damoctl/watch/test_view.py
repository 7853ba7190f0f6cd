"""Zooming and moving."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from damoctl.watch import view as views
from damoctl.watch.view import View
from tests.unit.damoctl.watch.shots import MIB, MS, S

SPAN = (2 * S, 62 * S)
TOTAL = 1000 * MIB
BASE = views.fitted(View(rows=20, columns=70, follow=False), SPAN, TOTAL)


def test_fitting_shows_everything() -> None:
    """All rows hold all of the time, with hardly any to spare, and the space is all there is."""
    low, high = BASE.times
    assert low <= SPAN[0] and high >= SPAN[1]
    assert BASE.row_ns == 4 * S
    assert BASE.space == (0, TOTAL)


@given(st.integers(1, 10**15), st.integers(1, 10**15), st.integers(1, 60))
def test_any_time_fits(low: int, length: int, rows: int) -> None:
    """Whatever the span and the number of rows (from two on), the picture has all of it."""
    span = (low, low + length)
    begin, end = views.fitted(View(rows=rows + 1, columns=5, follow=False), span, 1).times
    assert begin <= span[0] and end >= span[1]


def test_a_view_that_follows_is_at_the_end() -> None:
    """The last row holds the end, and the cursor is there."""
    view = views.settled(View(row_ns=S, rows=10, columns=10), SPAN, TOTAL)
    assert view.bottom == 62
    assert view.cursor_ns == SPAN[1]
    assert view.cursor_row == 9


def test_zooming_in_time_keeps_the_cursor_in_its_row() -> None:
    """Rows get shorter around the cursor, and as long as before on the way back."""
    at = views.sought(BASE, 30 * S, SPAN)
    closer = views.zoomed_time(at, 1)
    assert closer.row_ns == 2 * S
    assert closer.cursor_row == at.cursor_row
    assert views.zoomed_time(closer, -1).row_ns == 5 * S


def test_zooming_in_time_ends_somewhere() -> None:
    """Neither shorter than the shortest row nor longer than the longest."""
    view = BASE
    for _ in range(60):
        view = views.zoomed_time(view, 1)
    assert view.row_ns == views.STEPS_NS[0]
    for _ in range(60):
        view = views.zoomed_time(view, -1)
    assert view.row_ns == views.STEPS_NS[-1]


def test_zooming_in_space_keeps_what_is_pointed_at() -> None:
    """The offset at the given share of the picture is there afterwards too; out again is all."""
    closer = views.zoomed_space(BASE, 1, TOTAL, 0.25)
    assert closer.space == (125 * MIB, 625 * MIB)
    assert not closer.whole
    out = views.zoomed_space(closer, -1, TOTAL, 0.25)
    assert out.space == (0, TOTAL) and out.whole


def test_a_column_is_not_narrower_than_a_page() -> None:
    """There is nothing to see below the page."""
    view = BASE
    for _ in range(60):
        view = views.zoomed_space(view, 1, TOTAL)
    assert view.column_bytes >= 4096


def test_panning_stops_at_the_ends() -> None:
    """The picture moves by eighths and not beside the memory."""
    closer = views.zoomed_space(BASE, 2, TOTAL)
    assert views.panned(closer, 1, TOTAL).space[0] - closer.space[0] == 250 * MIB // 8
    for _ in range(50):
        closer = views.panned(closer, -1, TOTAL)
    assert closer.space == (0, 250 * MIB)
    for _ in range(50):
        closer = views.panned(closer, 1, TOTAL)
    assert closer.space == (750 * MIB, TOTAL)


def test_the_cursor_takes_the_picture_along() -> None:
    """Going back beyond the first row moves the picture; the cursor stays within what was seen."""
    view = views.settled(View(row_ns=S, rows=10, columns=10), SPAN, TOTAL)
    back = views.moved(view, -15, SPAN)
    assert not back.follow
    assert back.cursor_row == 0
    assert back.bottom == 62 - 6
    assert views.moved(view, -1000, SPAN).cursor_ns == SPAN[0] + 1
    assert views.moved(view, 1000, SPAN).cursor_ns == SPAN[1]


def test_scrolling_does_not_lose_sight_of_the_record() -> None:
    """At least one row of what was seen stays in the picture."""
    far = views.scrolled(BASE, -1000, SPAN)
    assert far.times[1] > SPAN[0]
    far = views.scrolled(BASE, 1000, SPAN)
    assert far.times[0] < SPAN[1]


def test_memory_that_shrinks_or_grows() -> None:
    """A view of everything stays one; a part stays inside."""
    assert views.settled(BASE, SPAN, 2 * TOTAL).space == (0, 2 * TOTAL)
    part = views.zoomed_space(BASE, 1, TOTAL, 1.0)
    assert views.settled(part, SPAN, TOTAL // 2).space == (0, TOTAL // 2)


@given(st.lists(st.sampled_from("+-<>hljkud"), max_size=40))
def test_no_way_leads_out(keys: list[str]) -> None:
    """Whatever is pressed in whatever order, the space is inside, and the cursor in time."""
    view = BASE
    for key in keys:
        if key in "+-":
            view = views.zoomed_space(view, 1 if key == "+" else -1, TOTAL)
        elif key in "<>":
            view = views.zoomed_time(view, 1 if key == ">" else -1)
        elif key in "hl":
            view = views.panned(view, 1 if key == "l" else -1, TOTAL)
        elif key in "jk":
            view = views.moved(view, 1 if key == "j" else -1, SPAN)
        else:
            view = views.scrolled(view, view.rows if key == "d" else -view.rows, SPAN)
        view = views.settled(view, SPAN, TOTAL)
        low, high = view.space
        assert 0 <= low < high <= TOTAL
        assert SPAN[0] <= view.cursor_ns <= SPAN[1]


def test_times_that_were_asked_for_are_shown() -> None:
    """The picture ends with them, and has all of them."""
    view = views.with_times(BASE, (10 * S, 10 * S + 700 * MS))
    low, high = view.times
    assert low <= 10 * S and high >= 10 * S + 700 * MS
    assert high - low < 2 * S
