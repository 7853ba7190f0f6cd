"""The terminal around it, driven by textual's pilot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual import events
from textual.pilot import Pilot

from damoctl.watch.app import Canvas, WatchApp
from damoctl.watch.keys import KEYS
from damoctl.watch.model import Model
from damoctl.watch.source import Seen, Trouble, Update
from tests.unit.damoctl.watch.shots import SERIES, recording, walk


class Fixed:
    """A source that tells some updates at once."""

    live = True
    name = "fixed"

    def __init__(self, updates: list[Update]) -> None:
        self.updates = updates
        self.closed = False

    def start(self, tell: Callable[[Update], None]) -> None:
        for update in self.updates:
            tell(update)

    def close(self) -> None:
        self.closed = True


def shown(app: WatchApp) -> str:
    """The screen's text, as textual would draw it."""
    canvas = app.query_one(Canvas)
    return "\n".join(canvas.render_line(y).text for y in range(canvas.size.height))


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()


async def test_keys_reach_the_model() -> None:
    """Zoom, move, sort, help, contrast, by the names that a terminal gives the keys."""
    app = WatchApp(recording(), None, colors=1 << 24)
    async with app.run_test(size=(80, 24)) as pilot:
        target = app.model.chosen
        assert target is not None
        await press(pilot, "+")
        assert not target.view.whole
        await press(pilot, "l")
        moved = target.view.space
        await press(pilot, "h", "right")
        assert target.view.space == moved
        row_ns = target.view.row_ns
        await press(pilot, ">")
        assert target.view.row_ns < row_ns
        await press(pilot, "0")
        assert target.view.whole
        await press(pilot, "k", "k")
        assert target.view.cursor_ns < target.history.span[1]
        await press(pilot, "G", "s")
        assert (target.view.cursor_ns, app.model.sort) == (target.history.span[1], "cold")
        await press(pilot, "S", "c")
        assert (app.model.sort, app.model.relative) == ("hot", True)
        await press(pilot, "?")
        assert "any key leaves it" in shown(app)
        await press(pilot, "x")
        assert "any key leaves it" not in shown(app)
        await press(pilot, "space")
        assert app.model.playing


@pytest.mark.parametrize("key", [name for key in KEYS for name in key.keys.split(",")])
async def test_every_name_of_a_key_is_one_that_textual_knows(key: str) -> None:
    """A key that is misspelt in the table would never come."""
    app = WatchApp(recording(), None, colors=0, blocks=False)
    told: list[str] = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.model.act = told.append  # type: ignore[method-assign]
        await press(pilot, key)
    assert len(told) == 1


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_it_ends(key: str) -> None:
    """q and Ctrl-C end it, and the source is told."""
    source = Fixed([])
    app = WatchApp(Model("x", live=True), source, colors=0)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, key)
    assert app.model.done
    assert source.closed
    assert app.return_code == 0


async def test_what_a_source_tells_is_painted() -> None:
    """Snapshots become a picture, trouble a line, without a key."""
    source = Fixed([Seen([(SERIES, item) for item in walk(50)]), Trouble("no damod listens", "start it")])
    app = WatchApp(Model("x", live=True), source, colors=256)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.3)
        assert "no damod listens" in shown(app)
        assert "4.000 MiB 1024.0 KiB" in shown(app)


async def test_the_screen_follows_the_terminal() -> None:
    """A terminal that gets smaller, too small, and large again."""
    app = WatchApp(recording(), None, colors=1 << 24)
    async with app.run_test(size=(80, 24)) as pilot:
        for size, said in (((160, 50), "temperature"), ((40, 10), "too small"), ((80, 24), "legend")):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert (said if said != "legend" else "a pixel is") in shown(app)


async def test_the_mouse() -> None:
    """A click goes to a moment; the wheel zooms where it points, with ctrl in time."""
    app = WatchApp(recording(), None, colors=1 << 24)
    async with app.run_test(size=(80, 24)) as pilot:
        target = app.model.chosen
        assert target is not None
        await pilot.click(Canvas, offset=(40, 5))
        await pilot.pause()
        assert target.view.cursor_row // 2 == 2
        await pilot.click(Canvas, offset=(2, 23))
        canvas = app.query_one(Canvas)
        await pilot._post_mouse_events([events.MouseScrollUp], canvas, (9, 5))
        await pilot.pause()
        assert target.view.space[0] < target.history.axis.total // 70
        assert not target.view.whole


async def test_only_lines_that_changed_are_drawn() -> None:
    """What a slow connection pays for."""
    app = WatchApp(recording(), None, colors=1 << 24)
    async with app.run_test(size=(80, 24)) as pilot:
        canvas = app.query_one(Canvas)
        drawn: list[int] = []
        whole = canvas.refresh

        def count(*regions: object, **more: object) -> object:
            drawn.append(len(regions))
            return whole(*regions, **more)  # type: ignore[arg-type]

        canvas.refresh = count  # type: ignore[assignment]
        canvas.repaint()
        assert drawn == []
        await press(pilot, "s")
        assert len(drawn) == 1
        assert 0 < drawn[0] <= 10


@pytest.mark.parametrize("where", ["act", "tick"])
async def test_a_bug_ends_it_without_a_traceback(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a key or in the clock: the error is kept for `damoctl.main`, which tells it in a sentence."""
    app = WatchApp(recording(), None, colors=0)

    def fail(*_: object) -> None:
        raise ValueError("a bug")

    async with app.run_test(size=(80, 24)):
        setattr(app.model, where, fail)
        app.simulate_key("s")  # the pilot would wait for the screen that ends
        while app.failure is None:
            await asyncio.sleep(0.01)
    assert str(app.failure) == "a bug"
    assert app.return_code == 1
    assert "Traceback" not in capsys.readouterr().err
