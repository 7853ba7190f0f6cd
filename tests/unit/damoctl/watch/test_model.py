"""What keys and data do to a view."""

from __future__ import annotations

import pytest

from damoctl.reports.frames import Series
from damoctl.watch.keys import KEYS, help_lines
from damoctl.watch.model import Model, Start
from damoctl.watch.source import Counted, Running, Seen, Trouble
from damod.errors import NoData
from tests.unit.damoctl.watch.shots import MIB, MS, SERIES, S, recording, shot, stats, status, walk

OTHER = Series(1, 0, None, 4711)


def live() -> Model:
    """A live view that has seen ten seconds of two targets."""
    model = Model("sock", live=True)
    model.resize(20, 50)
    for item in walk(100):
        model.feed(Seen([(SERIES, item), (OTHER, shot(item.end_ns, [(0, MIB, 3, 1)], pid=4711, kdamond=1))]))
    model.feed(Running(status(0, 1)))
    model.settle()
    return model


def of_record() -> Model:
    model = recording()
    model.resize(10, 50)
    model.settle()
    return model


def test_a_live_view_follows() -> None:
    """It shows the newest moment, and goes on as more comes."""
    model = live()
    assert model.chosen is not None
    assert model.chosen.series == SERIES
    assert model.chosen.view.follow
    assert model.chosen.view.row_ns == 500 * MS
    assert model.chosen.shown.end_ns == 10 * S
    model.feed(Seen([(SERIES, shot(12 * S, [(0, MIB, 1, 1)]))]))
    model.settle()
    assert model.chosen.shown.end_ns == 12 * S


def test_pausing_stays_while_data_come_in() -> None:
    """What is shown stands still; space (or end) goes on, at the newest moment."""
    model = live()
    model.act("pause")
    model.feed(Seen([(SERIES, shot(12 * S, [(0, MIB, 1, 1)]))]))
    model.settle()
    assert model.chosen is not None
    assert model.chosen.shown.end_ns == 10 * S
    assert not model.chosen.view.follow
    model.act("pause")
    model.settle()
    assert model.chosen.shown.end_ns == 12 * S


def test_going_back_is_a_pause() -> None:
    """Up goes back a row, home to the beginning, end to now and on."""
    model = live()
    assert model.chosen is not None
    model.act("up")
    assert not model.chosen.view.follow
    assert model.chosen.view.cursor_ns == 10 * S - 500 * MS
    model.act("home")
    assert model.chosen.shown.end_ns == 100 * MS
    model.act("end")
    assert model.chosen.view.follow


def test_targets_are_taken_in_turn() -> None:
    """Tab goes on to the next target and from the last to the first, each with a view of its own."""
    model = live()
    assert model.chosen is not None
    model.act("zoom_in")
    model.act("next")
    assert model.chosen.series == OTHER
    assert model.chosen.label == "kdamond 1, pid 4711"
    assert model.chosen.view.whole
    model.act("next")
    assert model.chosen.series == SERIES
    assert not model.chosen.view.whole
    model.act("previous")
    assert (model.chosen.series, model.number) == (OTHER, 2)


def test_a_kdamond_that_ends_is_of_the_past() -> None:
    """Its memory stays on the screen; a new target takes its place, one that was there does not."""
    model = live()
    model.feed(Running(status(1)))
    assert model.chosen is not None
    assert not model.chosen.running
    assert model.chosen.series == SERIES
    model.feed(Seen([(Series(2, 0, None, 0), shot(11 * S, [(0, MIB, 1, 1)], kdamond=2))]))
    assert model.chosen.series.kdamond == 2
    model.feed(Running(status(modules=["damon_stat"])))
    assert model.idle
    assert model.modules == ["damon_stat"]


def test_trouble_comes_and_goes() -> None:
    """What was wrong is forgotten when the source says that all is well."""
    model = live()
    model.feed(Trouble("damod went away", "start it"))
    assert model.trouble == ("damod went away", "start it")
    model.feed(Trouble(""))
    assert model.trouble is None


def test_counters_are_those_of_what_runs() -> None:
    """A kdamond that is gone costs nothing any more."""
    model = live()
    model.feed(Counted(stats(S, 0)))
    assert 0 in model.counters.kdamonds
    model.feed(Running(status(1)))
    assert model.counters.kdamonds == {}


def test_a_recording_is_shown_from_beginning_to_end() -> None:
    """All of its time and memory fit, whatever the size of the screen; nothing follows."""
    model = of_record()
    assert model.chosen is not None
    for rows in (10, 30, 7):
        model.resize(rows, 50)
        model.settle()
        low, high = model.chosen.view.times
        assert low <= 0 and high >= 10 * S
        assert model.chosen.view.cursor_ns == 10 * S
    model.act("time_in")
    row_ns = model.chosen.view.row_ns
    model.resize(20, 50)
    model.settle()
    assert model.chosen.view.row_ns == row_ns


def test_a_recording_is_sought_in() -> None:
    """The regions listed are those of the moment."""
    model = of_record()
    model.act("home")
    assert model.chosen is not None
    assert model.chosen.shown.end_ns == 100 * MS
    model.act("down")
    assert model.chosen.shown.end_ns == 1100 * MS


def test_a_recording_plays() -> None:
    """Space plays from the beginning when it was at the end; it stops at the end, or with space."""
    model = of_record()
    assert model.chosen is not None
    model.tick(0)
    model.act("pause")
    model.tick(2 * S)
    assert model.playing
    assert model.chosen.view.cursor_ns == pytest.approx(2 * S, abs=2)
    model.act("pause")
    model.tick(4 * S)
    assert model.chosen.view.cursor_ns == pytest.approx(2 * S, abs=2)
    model.act("pause")
    for second in range(5, 16):
        model.tick(second * S)
    assert not model.playing
    assert model.chosen.view.cursor_ns == 10 * S


def test_what_was_asked_for_is_shown_first() -> None:
    """A target, a time and a window; of a recording that has no such target NoData."""
    model = recording()
    model.feed(Seen([(OTHER, shot(S, [(0, MIB, 1, 1)], pid=4711, kdamond=1))]))
    with pytest.raises(NoData, match="no such target"):
        model.begin(Start(target_id=5))
    model.begin(Start(kdamond=0, at_ns=3 * S, window_ns=2 * S))
    model.resize(20, 50)
    model.settle()
    assert model.chosen is not None
    assert model.chosen.series == SERIES
    assert model.chosen.shown.end_ns == 3 * S
    low, high = model.chosen.view.times
    assert low <= 2 * S and high >= 4 * S and high - low <= 3 * S
    waiting = live()
    waiting.begin(Start(target_id=5))
    waiting.feed(Seen([(Series(3, 0, None, 5), shot(S, [(0, MIB, 1, 1)], pid=5, kdamond=3))]))
    assert waiting.chosen is not None
    assert waiting.chosen.series.target_id == 5


def test_times_and_addresses_are_shown_first() -> None:
    """As the options of a heatmap have them."""
    model = recording()
    model.begin(Start(times=(2 * S, 4 * S), addresses=(2 * MIB, 5 * MIB)))
    model.resize(20, 50)
    model.settle()
    assert model.chosen is not None
    assert model.chosen.view.space == (2 * MIB, 5 * MIB)
    assert model.chosen.view.times == (2 * S, 4 * S)


def test_help_is_left_by_any_key() -> None:
    """Another key does what it means; the same key only leaves."""
    model = of_record()
    model.act("help")
    assert model.help
    model.act("help")
    assert not model.help
    model.act("help")
    model.act("sort")
    assert (model.help, model.sort) == (False, "cold")
    model.act("sort_back")
    assert model.sort == "hot"


@pytest.mark.parametrize("make", [live, of_record, lambda: Model("empty", live=True)])
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.action)
def test_every_key_works_everywhere(make: object, key: object) -> None:
    """Also before anything was seen; each asks for another picture."""
    model = make()  # type: ignore[operator]
    before = model.version
    model.act(key.action)  # type: ignore[attr-defined]
    model.settle()
    assert model.version > before


def test_keys_are_told_once() -> None:
    """No key means two things, and every action but the backward ones is in the help."""
    keys = [name for key in KEYS for name in key.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert len(help_lines()) >= 12
