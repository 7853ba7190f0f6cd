"""The whole screen as lines of text, from a model: `paint`. No terminal in it."""

from __future__ import annotations

from datetime import datetime
from textwrap import wrap

from damoctl.term.ramp import Ramp
from damoctl.watch import heatlines, panes
from damoctl.watch.keys import KEYS, help_lines
from damoctl.watch.layout import LEAST_HEIGHT, LEAST_WIDTH, Layout, layout
from damoctl.watch.model import NO_ADDRESSES, Model, Target
from damoctl.watch.text import BAD, BOLD, DIM, TITLE, Line, fit, joined, printable, spread, time

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
    head = [_title(model, target, place, ramp), _second(model, target, place)]
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
    if target.newest.source == NO_ADDRESSES:
        told = ["damon_stat tells idle times without addresses:", "`damoctl report access` shows them"]
        drawn, whole = _centered(told, place.width, place.heat), 100.0
    else:
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


def _title(model: Model, target: Target | None, place: Layout, ramp: Ramp) -> Line:
    what = "edit" if model.edit else "watch"
    left = f" damoctl {what}  "
    if not model.live:
        left += printable(model.name, 30) + "  "
    if target is not None:
        left += target.label
        if len(model.targets) > 1:
            left += f" ({model.number} of {len(model.targets)})"
    return spread([(left, TITLE)], [(_moment(model, target, ramp) + " ", TITLE)], place.width, TITLE)


def _moment(model: Model, target: Target | None, ramp: Ramp) -> str:
    """Where in time the cursor is."""
    if target is None:
        return "waiting"
    view, (low, high) = target.view, target.history.span
    shot = target.shown
    clock = datetime.fromtimestamp((view.cursor_ns + shot.wall_offset_ns) / 1e9).strftime("%H:%M:%S")
    if not model.live:
        state = ("► " if ramp.blocks else "> ") if model.playing else ""
        if shot.wall_offset_ns == 0 and view.cursor_ns < 10**17:  # a clock that says nothing about the day
            clock = ""
        return f"{state}{time(view.cursor_ns - low)} of {time(high - low)}  {clock}".rstrip()
    if not target.running:
        return f"ENDED  {clock}"
    if view.follow:
        return f"LIVE  {clock}"
    return f"PAUSED, {time(high - view.cursor_ns)} back  {clock}"


def _second(model: Model, target: Target | None, place: Layout) -> Line:
    if model.trouble is not None:
        return fit([(" " + printable(model.trouble.message), BAD)], place.width)
    if target is None:
        return []
    return [(" ", ""), *joined([(text, "") for text in panes.facts(target, target.shown)], place.width - 2)]


def _waiting(model: Model, place: Layout) -> list[Line]:
    if model.trouble is not None:
        told = [model.trouble.message, model.trouble.hint]
    elif model.idle:
        told = [_IDLE, _IDLE_HINT]
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
