"""The terminal: textual carries keys, the mouse and changed lines; what they mean and say is the model's and `paint`'s.

One widget draws everything. It is repainted at most five times a second, and only lines that differ from what is on the
screen are sent, so that a slow ssh connection can carry it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from damoctl.term.ramp import Ramp, ramp
from damoctl.watch.keys import KEYS
from damoctl.watch.layout import layout
from damoctl.watch.model import Model
from damoctl.watch.screen import paint
from damoctl.watch.source import Source, Update
from damoctl.watch.text import Line

FRAME_S = 0.2
"""Between two paintings."""
_CPU_S = 2.0
_COLORS = {"standard": 8, "windows": 8, "256": 256, "truecolor": 1 << 24}


@lru_cache(maxsize=4096)
def _style(text: str) -> Style:
    return Style.parse(text)


def _strip(line: Line, width: int) -> Strip:
    made = Strip([Segment(text, _style(style)) for text, style in line])
    return made.adjust_cell_length(width)


class Canvas(Widget):
    """The lines of `paint`."""

    DEFAULT_CSS = "Canvas { width: 100%; height: 100%; background: ansi_default; color: ansi_default; }"

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self.ramp: Ramp = ramp(0, blocks=False)
        self.lines: list[Line] = []

    def repaint(self) -> None:
        """Paint, and have drawn what changed."""
        width, height = self.size
        if not width or not height:
            return
        old, self.lines = self.lines, paint(self._model, width, height, self.ramp)
        if len(old) != len(self.lines):
            self.refresh()
            return
        changed = [y for y, (before, now) in enumerate(zip(old, self.lines, strict=True)) if before != now]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        return _strip(self.lines[y], width) if y < len(self.lines) else Strip.blank(width)

    def on_resize(self, _: events.Resize) -> None:
        self.lines = []
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        at = self._cell(event)
        if at is not None:
            line, _ = at
            self._model.point(line * (2 if self.ramp.halves else 1) + (1 if self.ramp.halves else 0))
            self.repaint()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, steps: int) -> None:
        at = self._cell(event)
        if at is None:
            return
        if event.ctrl or event.shift:
            self._model.act("time_in" if steps > 0 else "time_out")
        else:
            self._model.wheel(steps, at[1])
        self.repaint()

    def _cell(self, event: events.MouseEvent) -> tuple[int, float] | None:
        place = layout(self.size.width, self.size.height, edit=self._model.edit)
        return None if place is None else place.cell(int(event.x), int(event.y))


class WatchApp(App[None]):
    """A model on a terminal, fed by a source. `colors` is how many the terminal has, None to find out."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [  # noqa: RUF012 - textual's own declaration
        Binding(key.keys, f"act('{key.action}')", show=False, priority=True) for key in KEYS
    ]

    def __init__(self, model: Model, source: Source | None, *, blocks: bool = True, colors: int | None = None) -> None:
        super().__init__(ansi_color=True)
        self.model = model
        self._source = source
        self._blocks = blocks
        self._colors = colors
        self._told: deque[Update] = deque()
        self._canvas = Canvas(model)
        self._painted = -1
        self.failure: Exception | None = None
        self._cpu = (time.monotonic(), time.process_time())

    def compose(self) -> ComposeResult:
        yield self._canvas

    def on_mount(self) -> None:
        colors = self._colors
        if colors is None:
            colors = 0 if self.no_color else _COLORS.get(self.console.color_system or "", 0)
        self._canvas.ramp = ramp(colors, blocks=self._blocks)
        for number in (signal.SIGTERM, signal.SIGHUP):  # the terminal is to be put back
            asyncio.get_running_loop().add_signal_handler(number, self.exit)
        if self._source is not None:
            self._source.start(self._told.append)
        self.set_interval(FRAME_S, self.step)
        self.step()

    def step(self) -> None:
        """Take what came and paint it."""
        model = self.model
        while self._told:
            model.feed(self._told.popleft())
        now = time.monotonic()
        model.tick(time.monotonic_ns())
        since, used = self._cpu
        if now - since >= _CPU_S:
            self._cpu = (now, time.process_time())
            model.own_cpu = (self._cpu[1] - used) / (now - since)
        if model.version != self._painted:
            self._painted = model.version
            self._canvas.repaint()

    def action_act(self, action: str) -> None:
        """A key was pressed."""
        self.model.act(action)
        if self.model.done:
            self.exit()
        else:
            self._painted = self.model.version
            self._canvas.repaint()

    def on_key(self, _: events.Key) -> None:
        """A key that means nothing else leaves the help."""
        if self.model.help:
            self.action_act("help")

    def _handle_exception(self, error: Exception) -> None:
        """A bug ends the view and is told as every other one; textual would print a page of traceback."""
        self.failure = self.failure or error
        self.exit(return_code=1)

    def on_unmount(self) -> None:
        if self._source is not None:
            self._source.close()
