"""Where what is on a screen of a given size."""

from __future__ import annotations

from typing import NamedTuple

LEAST_WIDTH, LEAST_HEIGHT = 60, 16
GUTTER = 9
"""Columns left of the picture, for the times."""
WIDE = 80
"""Columns of the regions' table with everything in it."""
_FRAME_LINES = 5
"""Title, facts, addresses, legend, keys."""
_MOST_TABLE, _MOST_SIDE = 22, 46


class Layout(NamedTuple):
    """Lines from top to bottom: title, facts, addresses, `heat` lines of picture, legend, `table` lines, keys.

    The picture is `columns` wide; the regions' table takes `left` columns and the rest of the line `right`.
    """

    width: int
    height: int
    heat: int
    table: int
    columns: int
    left: int
    right: int

    @property
    def heat_top(self) -> int:
        return 3

    def cell(self, x: int, y: int) -> tuple[int, float] | None:
        """The line of the picture, and the share of its width, at a place on the screen; None beside the picture."""
        line, column = y - self.heat_top, x - GUTTER
        if not (0 <= line < self.heat and 0 <= column < self.columns):
            return None
        return line, (column + 0.5) / self.columns


def layout(width: int, height: int, *, edit: bool) -> Layout | None:
    """The layout; None where there is no room."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return None
    free = height - _FRAME_LINES
    table = 0 if edit else min(max(round(free * 0.46), 5), _MOST_TABLE)
    left = WIDE if width >= WIDE + 40 else 45
    return Layout(width, height, free - table, table, width - GUTTER - 1, left, min(width - left - 3, _MOST_SIDE))
