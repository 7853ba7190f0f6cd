"""Whole screens as text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damoctl.reports.frames import Series
from damoctl.term.ramp import Ramp, ramp
from damoctl.watch.keys import KEYS
from damoctl.watch.model import Model
from damoctl.watch.screen import paint
from damoctl.watch.source import Counted, Running, Seen, Trouble
from tests.unit.damoctl.watch.shots import MIB, SERIES, S, recording, shot, stats, status, walk

TRUE = ramp(1 << 24, blocks=True)
PLAIN = ramp(0, blocks=False)


def text(model: Model, width: int = 80, height: int = 24, look: Ramp = PLAIN) -> list[str]:
    """The screen without styles."""
    return ["".join(part for part, _ in line) for line in paint(model, width, height, look)]


def live(*, seconds: int = 10) -> Model:
    model = Model("sock", live=True)
    model.feed(Seen([(SERIES, item) for item in walk(seconds * 10)]))
    model.feed(Running(status(0)))
    for second in (1, 2):
        model.feed(Counted(stats(second * S, second * 10 * MIB, cpu_ns=second * S // 100, pressure_us=second * 1000)))
    model.own_cpu = 0.02
    return model


def test_a_live_screen() -> None:
    """Title with state, facts, addresses, a picture that ends now, legend, regions, schemes with rates, costs, keys."""
    lines = text(live())
    assert "kdamond 0, physical memory" in lines[0] and "LIVE" in lines[0]
    assert "working set 1024.0 KiB of 10.0 MiB" in lines[1] and "10 regions" in lines[1] and "5 ms / 100 ms" in lines[1]
    assert lines[2].strip().startswith("|0 B")
    assert any(line.lstrip().startswith("now>") for line in lines)
    screen = "\n".join(lines)
    for said in (
        "a pixel is", "100 %", "memory pressure", "kdamond 0 (adhoc)", "1.0 % CPU", "damod", "40.0 MiB", "this view",
        "0 pageout", "tried", "10.0 MiB/s", "applied", "5.0 MiB/s", "quota 4.0 MiB", " q quit",
    ):  # fmt: skip
        assert said in screen, said


def test_a_screen_of_a_recording() -> None:
    """The hot part walks over the picture; the moment is told as time of all time."""
    lines = text(recording())
    assert "walk.data" in lines[0] and "10.0 s of 10.0 s" in lines[0]
    hot = [line[9:79].index("@") for line in lines[3:13] if "@" in line[9:79]]
    assert hot == sorted(hot) and len(set(hot)) == 10


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (60, 16), (300, 100), (79, 40)])
@pytest.mark.parametrize("make", [live, recording])
def test_screens_of_all_sizes(make: object, width: int, height: int) -> None:
    """As many lines as there are, each as wide as the screen; no line is longer than it may be."""
    for look in (TRUE, PLAIN, ramp(8, blocks=True)):
        lines = text(make(), width, height, look)  # type: ignore[operator]
        assert len(lines) == height
        assert {len(line) for line in lines} == {width}


@pytest.mark.parametrize(("width", "height"), [(20, 5), (59, 40), (100, 15), (1, 1)])
def test_a_screen_that_is_too_small(width: int, height: int) -> None:
    """It says so, as far as there is room."""
    lines = text(live(), width, height)
    assert len(lines) == height
    if width > 50:
        assert "is too small; 60x16 is needed" in "".join(lines)


def test_states() -> None:
    """Waiting, nothing runs, no answer, paused, ended: told in words."""
    model = Model("sock", live=True)
    assert "waiting for the first snapshot" in "".join(text(model))
    model.feed(Running(status()))
    assert "no kdamond is running" in "".join(text(model)) and "damoctl start paddr" in "".join(text(model))
    model.feed(Running(status(modules=["damon_stat"])))
    assert "damon_stat" in "".join(text(model))
    model.feed(Trouble("no damod listens on sock; trying again", "start it"))
    assert "no damod listens" in "".join(text(model)) and "start it" in "".join(text(model))
    model = live()
    text(model)
    model.act("up")
    assert "PAUSED 500 ms ago" in text(model)[0]
    model.feed(Trouble("gone"))
    assert "NO ANSWER" in text(model)[0] and "gone" in text(model)[1]
    model.feed(Trouble(""))
    model.feed(Running(status()))
    assert "ENDED" in text(model)[0] and "no kdamond is running" in text(model)[1]


def test_zoom_is_told() -> None:
    """How much of the memory is shown, and the size of a pixel."""
    model = recording()
    text(model)
    model.act("zoom_in")
    assert "5.0 MiB shown" in text(model)[1]


def test_the_help_has_every_key() -> None:
    """It fits into 80x24, nothing cut off."""
    model = live()
    model.act("help")
    lines = text(model)
    for key in KEYS:
        if key.shown:
            assert any(key.shown in line and key.about in line for line in lines), key


def test_many_schemes_have_a_line_each_and_the_rest_is_counted() -> None:
    """Costs stay on the screen."""
    model = live()
    told = stats(3 * S, 40 * MIB, cpu_ns=S, pressure_us=5000)
    told["kdamonds"][0]["schemes"] *= 9  # type: ignore[index]
    model.feed(Counted(told))
    screen = "\n".join(text(model))
    assert "0 pageout" in screen and "... and " in screen and "memory pressure" in screen
    assert "8 pageout" in "\n".join(text(model, 160, 50))


def test_virtual_addresses_are_hexadecimal() -> None:
    """A process has no use for sizes; two stretches stand side by side."""
    model = Model("x", live=False)
    low, high = 0x5600_0000_0000, 0x7F00_0000_0000
    model.feed(Seen([(Series(0, 0, None, 42), shot(S, [(low, low + MIB, 20, 0), (high, high + MIB, 0, 9)], pid=42))]))
    lines = text(model)
    assert "pid 42" in lines[0]
    assert "|0x560000000000" in lines[2] and "|0x7f0000000000" in lines[2]
    assert lines[2].index("|0x7f0000000000") == 9 + 35


def test_names_from_outside_cannot_draw() -> None:
    """A record's name with an escape in it is shown as text."""
    model = Model("a\x1b[2Jb", live=False)
    model.feed(Seen([(SERIES, item) for item in walk(5)]))
    assert "\x1b" not in "".join(text(model))


@settings(max_examples=60)
@given(st.lists(st.sampled_from([key.action for key in KEYS if key.action != "quit"]), max_size=25), st.booleans())
def test_any_keys_leave_a_screen(actions: list[str], is_live: bool) -> None:
    """Whatever is pressed: a screen of the right size."""
    model = live() if is_live else recording()
    text(model)
    for action in actions:
        model.act(action)
        lines = text(model, look=TRUE)
        assert {len(line) for line in lines} == {80}


def test_a_record_that_is_nearly_nothing() -> None:
    """One snapshot without regions; one region of a byte; no ages, no intervals."""
    from dataclasses import replace

    for snapshot in (shot(S, []), shot(S, [(5, 6, 1, 0)]), replace(shot(S, [(5, 6, 1, -1)]), aggr_us=0, sample_us=0)):
        model = recording([snapshot])
        assert {len(line) for line in text(model)} == {80}
        for key in KEYS:
            model.act(key.action)
            text(model)
