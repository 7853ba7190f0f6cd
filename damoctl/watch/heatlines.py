"""The picture as lines of text: times at the left, addresses above, what the colours mean below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from damoctl.reports.frames import Floats
from damoctl.term.ramp import UNKNOWN, Ramp, level
from damoctl.watch.axis import Axis, marks
from damoctl.watch.layout import GUTTER, Layout
from damoctl.watch.model import Model, Target
from damoctl.watch.text import BOLD, DIM, Line, fit, joined, size, span, spread, time
from damod import units

_TIME_EVERY = 4


def address(value: int, *, human: bool) -> str:
    """``4.000 GiB`` of physical memory, ``0x7f12a000`` of a process."""
    return units.size(value) if human else f"{value:#x}"


def levels(heat: Floats, steps: int, whole: float) -> list[bytes]:
    """Each row's levels as bytes, 255 where nothing was watched."""
    known = ~np.isnan(heat)
    share = np.sqrt(np.clip(np.where(known, heat, 0.0) / whole, 0.0, 1.0)) if whole > 0 else np.zeros(heat.shape)
    found = np.minimum(1 + (share * (steps - 1)).astype(np.int64), steps - 1)
    found[np.where(known, heat, 0.0) <= 0] = 0
    found[~known] = 255
    return [row.astype(np.uint8).tobytes() for row in found]


@lru_cache(maxsize=4096)
def _cells(ramp: Ramp, upper: bytes, lower: bytes) -> tuple[tuple[str, str], ...]:
    """One line of the picture; equal neighbours are one piece."""
    line: list[tuple[str, str]] = []
    run, last = 0, (-2, -2)
    for pair in zip(upper, lower, strict=True):
        if pair != last:
            if run:
                line.append(_piece(ramp, last, run))
            run, last = 0, pair
        run += 1
    line.append(_piece(ramp, last, run))
    return tuple(line)


def _piece(ramp: Ramp, pair: tuple[int, int], count: int) -> tuple[str, str]:
    upper, lower = (UNKNOWN if value == 255 else value for value in pair)
    char, style = ramp.cell(upper, lower)
    return char * count, style


def picture(model: Model, target: Target, place: Layout, ramp: Ramp) -> tuple[list[Line], float]:
    """The lines with their times, and the rate (percent) that has the brightest colour."""
    heat = target.picture.rows(target.view)
    whole = 100.0
    if model.relative:
        whole = float(np.nanmax(heat, initial=0.0)) or 100.0
    rows = levels(heat, ramp.steps, whole)
    per_line = 2 if ramp.halves else 1
    lines: list[Line] = []
    for index in range(place.heat):
        upper = rows[index * per_line]
        lower = rows[index * per_line + per_line - 1]
        lines.append(_gutter(model, target, index, per_line, place, ramp) + list(_cells(ramp, upper, lower)))
    return lines, whole


def _gutter(model: Model, target: Target, index: int, per_line: int, place: Layout, ramp: Ramp) -> Line:
    view, (low, high) = target.view, target.history.span
    last = index == place.heat - 1
    text = ""
    if last or index % _TIME_EVERY == (place.heat - 1) % _TIME_EVERY:
        ends = (view.bottom - view.rows + (index + 1) * per_line) * view.row_ns
        if model.live:
            back = -(-high // view.row_ns) * view.row_ns - ends
            text = time(-back) if back > 0 else "now"
        else:
            text = time(min(ends, high) - low) if ends > low else ""
    cursor = " "
    if not model.edit and view.cursor_row // per_line == index:
        cursor = "►" if ramp.blocks else ">"
    return [(f"{text:>{GUTTER - 2}}", DIM), (cursor, BOLD), (" ", "")]


def addresses(target: Target, place: Layout, ramp: Ramp) -> Line:
    """The line above the picture: addresses where stretches of memory begin, and some between."""
    human = target.physical
    tick = "│" if ramp.blocks else "|"
    line: Line = [(" " * GUTTER, "")]
    at = 0
    borders = _borders(target.history.axis, target.view.space, place.columns)
    for mark in marks(target.history.axis, target.view.space, place.columns, 14 if human else 16):
        text = tick + address(mark.address, human=human)
        line += [(" " * (mark.column - at), ""), (text, "" if mark.column in borders else DIM)]
        at = mark.column + len(text)
    return fit(line, place.width)


def _borders(axis: Axis, space: tuple[int, int], columns: int) -> set[int]:
    low, high = space
    return {0, *((at - low) * columns // max(high - low, 1) for at in axis.borders(low, high))}


def legend(model: Model, target: Target, place: Layout, ramp: Ramp, whole: float) -> Line:
    """What the colours mean, and how much a pixel stands for."""
    view = target.view
    line: Line = [(" " * GUTTER, ""), ("0 % ", DIM), *_bar(ramp, 0, 8), (f" {whole / 4:.3g} % ", DIM)]
    line += [*_bar(ramp, 8, 16), (f" {whole:.3g} %", DIM)]
    scale = "of the hottest shown" if model.relative else ""
    parts = [(f"a pixel is {size(view.column_bytes)} x {span(view.row_ns)}", DIM), (scale, BOLD)]
    right = joined(reversed(parts), place.width - sum(len(text) for text, _ in line) - 2)
    return spread(line, [*right, (" ", "")], place.width)


def _bar(ramp: Ramp, first: int, last: int, cells: int = 16) -> Sequence[tuple[str, str]]:
    """A part of the ramp, as wide as its share of all cells."""
    found = []
    for cell in range(first, last):
        step = level((cell + 0.5) ** 2 / cells**2 * 100, ramp.steps)
        found.append(ramp.cell(step, step))
    return found
