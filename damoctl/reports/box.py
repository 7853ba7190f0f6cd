"""A region as a box: `|000|`, whose length, colour and height stand for its age, access rate and size (or others).

Values are rescaled from what all shown regions have to a range of columns, digits or rows; a box says little in
absolute terms and much by comparison with its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

from damoctl.term import heat

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """What length, colour and height stand for (in this order), in which range and scale each is drawn."""

    values: Sequence[str] = ("age", "access_rate", "size")
    ranges: Sequence[tuple[int, int]] = ((1, 30), (0, 9), (1, 5))
    scales: Sequence[str] = ("log", "linear", "log")
    colorset: str = "gray"
    align: str = "left"
    newline: bool = False
    """A newline behind the box also if none is higher than a row."""


def rescaled(values: Sequence[float], bounds: Bounds, into: tuple[int, int], scale: str) -> list[int]:
    """Each value's place in `into`, as its place between `bounds`; the least where all are equal."""
    low, high = bounds
    if scale == "log":
        # not log2: damo's last bit, which decides where the greatest value is cut to
        low, high = (log(low, 2) if low > 0 else 0), (log(high, 2) if high > 0 else 0)
        values = [log(value, 2) if value > 0 else 0 for value in values]
    first, last = into
    if low == high:
        return [first] * len(values)
    step = (last - first) / (high - low)
    return [int((value - low) * step + first) for value in values]


def boxes(
    columns: Sequence[Sequence[float] | None], bounds: Sequence[Bounds], box: Box, *, color: bool
) -> Iterator[str]:
    """The box of each region, one at a time, as large ones of many regions would not fit into memory together.

    `columns` and `bounds` belong to length, colour and height.

    A column of None (`none`) always draws the least. A box of several rows ends with a newline.
    """
    count = next((len(column) for column in columns if column is not None), 0)
    length, level, height = (
        [into[0]] * count if column is None else rescaled(column, bound, into, scale)
        for column, bound, into, scale in zip(columns, bounds, box.ranges, box.scales, strict=True)
    )
    for sides in zip(length, level, height, strict=True):
        yield drawn(*sides, box, color=color)


def drawn(columns: int, digit: int, rows: int, box: Box, *, color: bool) -> str:
    """One box; one of several rows ends with a newline."""
    widest, tallest = box.ranges[0][1], box.ranges[2][1]
    pad = " " * (widest - columns) if box.align == "right" else ""
    row = f"{pad}|{heat.run(digit, columns, box.colorset, color=color)}|"
    return "\n".join([row] * rows) + ("\n" if tallest > 1 or box.newline else "")
