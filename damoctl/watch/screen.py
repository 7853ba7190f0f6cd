"""The whole screen as lines of text, from a model: `paint`. No terminal in it."""

from __future__ import annotations

from datetime import datetime
from textwrap import wrap

from damoctl.term.ramp import Ramp
from damoctl.watch import heatlines, panes
from damoctl.watch.keys import KEYS, help_lines
from damoctl.watch.layout import LEAST_HEIGHT, LEAST_WIDTH, Layout, layout
from damoctl.watch.model import Model, Target
from damoctl.watch.text import (
    BAD,
    BOLD,
    DIM,
    GOOD_TITLE,
    TITLE,
    WARN_TITLE,
    Line,
    fit,
    joined,
    printable,
    size,
    spread,
    time,
)

_LEAST_WALL_NS = 10**17
"""What is less is no time since 1970, but a clock that tells nothing about the day."""
_IDLE = "no kdamond is running"
_IDLE_HINT = "`damoctl start paddr` starts one; this screen will show it"


def resize(model: Model, width: int, height: int, ramp: Ramp) -> Layout | None:
    """Tell the model how many pixels the picture has on a screen of a size."""
    place = layout(width, height, edit=model.edit)
    if place is not None:
        model.resize(place.heat * (2 if ramp.halves else 1), place.columns)
    return place


def paint(model: Model, width: int, height: int, ramp: Ramp) -> list[Line]:
    """`height` lines of `width` characters."""
    place = resize(model, width, height, ramp)
    if place is None:
        text = f"{width}x{height} is too small; {LEAST_WIDTH}x{LEAST_HEIGHT} is needed"
        return _centered([text, "q: quit"], width, height)
    model.settle()
    target = model.chosen
    head = [_title(model, target, place), _second(model, target, place)]
    if model.help:
        body = _help(place)
    elif target is None:
        body = _waiting(model, place)
    else:
        body = _body(model, target, place, ramp)
    lines = [*head, *body][: height - 1]
    lines += [[] for _ in range(height - 1 - len(lines))]
    return [fit(line, width) for line in (*lines, _keys(place))]


def _body(model: Model, target: Target, place: Layout, ramp: Ramp) -> list[Line]:
    drawn, whole = heatlines.picture(model, target, place, ramp)
    lines = [heatlines.addresses(target, place, ramp), *drawn, heatlines.legend(model, target, place, ramp, whole)]
    if place.table:
        left = panes.region_lines(model, target, place, ramp)
        right = panes.side_lines(model, target, place)
        for index in range(place.table):
            one = left[index] if index < len(left) else []
            other = right[index] if index < len(right) else []
            lines.append([*fit(one, place.left), ("  ", ""), *other])
    return lines


def _title(model: Model, target: Target | None, place: Layout) -> Line:
    left = " damoctl watch  " if model.live else f" {printable(model.name, 30)}  "
    if target is not None:
        left += target.label
        if len(model.targets) > 1:
            left += f" ({model.number} of {len(model.targets)})"
    state, moment = _moment(model, target)
    style = GOOD_TITLE if state in ("LIVE", "PLAYING") else WARN_TITLE
    return spread([(left, TITLE)], [(state, style), (f"  {moment} ", TITLE)], place.width, TITLE)


def _moment(model: Model, target: Target | None) -> tuple[str, str]:
    """Whether time goes on, and where in it the cursor is."""
    if target is None:
        return ("WAITING" if model.trouble is None else "NO ANSWER"), ""
    view, (low, high) = target.view, target.history.span
    offset_ns = target.shown.wall_offset_ns
    clock = datetime.fromtimestamp((view.cursor_ns + offset_ns) / 1e9).strftime("%H:%M:%S")
    if not model.live:
        if offset_ns == 0 and view.cursor_ns < _LEAST_WALL_NS:
            clock = ""
        state = "PLAYING" if model.playing else ""
        return state, f"{time(view.cursor_ns - low)} of {time(high - low)}  {clock}".rstrip()
    if model.trouble is not None:
        return "NO ANSWER", clock
    if not target.running:
        return "ENDED", clock
    if view.follow:
        return "LIVE", clock
    return f"PAUSED {time(high - view.cursor_ns)} ago", clock


def _second(model: Model, target: Target | None, place: Layout) -> Line:
    if model.trouble is not None:
        return fit([(" " + printable(model.trouble.message), BAD)], place.width)
    if target is None:
        return []
    parts = [(text, "") for text in panes.facts(model, target, target.shown)]
    low, high = target.view.space
    if not target.view.whole:
        parts.insert(1, (f"{size(high - low)} shown", BOLD))
    if model.live and model.idle:
        parts.insert(0, (_IDLE, BAD))
    return [(" ", ""), *joined(parts, place.width - 2)]


def _waiting(model: Model, place: Layout) -> list[Line]:
    if model.trouble is not None:
        told = [model.trouble.message, model.trouble.hint]
    elif model.idle:
        told = [_IDLE, _IDLE_HINT]
        if "damon_stat" in model.modules:
            told.append("(damon_stat is on: `damoctl report access` shows the idle times that it measures)")
    else:
        told = ["waiting for the first snapshot ..."]
    return _centered(told, place.width, place.height - 3)


def _centered(texts: list[str], width: int, height: int) -> list[Line]:
    lines = [line for text in texts for line in wrap(printable(text, 2000), max(width - 4, 10))]
    above = max((height - len(lines)) // 2, 0)
    middle: list[Line] = [[(line.center(width), "")] for line in lines]
    return ([[] for _ in range(above)] + middle + [[] for _ in range(height)])[:height]


def _help(place: Layout) -> list[Line]:
    rows = help_lines()
    width = max(len(shown) for shown, _ in rows)
    lines: list[Line] = [[]] if place.height >= len(rows) + 8 else []
    lines += [[("  " + shown.ljust(width), BOLD), ("   " + about, "")] for shown, about in rows]
    lines += [
        [],
        [("  Each pixel: how often its memory was accessed in its time; blank: not watched.", DIM)],
        [("  The list shows the regions at the moment that the mark at the left points to.", DIM)],
    ]
    return lines


def _keys(place: Layout) -> Line:
    line: Line = []
    for key in KEYS:
        if key.brief:
            part: Line = [(" " + key.shown.replace("left right, h l", "arrows"), BOLD), (" " + key.brief + " ", DIM)]
            if sum(len(text) for text, _ in (*line, *part)) <= place.width:
                line += part
    return line
