"""Distributions as charts of columns: in the terminal (``--plot stdout``), or handed on to be an image file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from damoctl.reports.spread import Look, Values, at_points

if TYPE_CHECKING:
    from damoctl.context import Context

STDOUT = "stdout"
_ROWS, _MOST_COLUMNS = 12, 80
_BLOCKS, _PLAIN = " ▁▂▃▄▅▆▇█", "    ::::#"
"""Eighths of a character's height, where the terminal has them and where it has not."""


def draw(
    found: Sequence[Values],
    look: Look,
    path: str,
    what: str,
    ctx: Context,
    *,
    show: Callable[[int], str],
    is_bytes: bool,
) -> None:
    """Draw the distribution of each subject: into the terminal, or all into the image file at `path`."""
    if path != STDOUT:
        from damoctl.reports import plot

        plot.distribution(found, look, path, what, is_bytes=is_bytes)
        ctx.note(f"damoctl: wrote {path}")
        return
    blocks = (getattr(ctx.term.stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    ctx.term.write(
        line
        for item in found
        for line in lines(item, look, what, show=show, width=ctx.term.width, steps=_BLOCKS if blocks else _PLAIN)
    )


def lines(
    item: Values, look: Look, what: str, *, show: Callable[[int], str], width: int, steps: str = _BLOCKS
) -> Iterator[str]:
    """The chart of one subject's values over their percentiles, or over the time of the recording."""
    yield what if item.target_id is None else f"{what} of target {item.target_id}"
    if not len(item.values):
        yield "no snapshot"
        return
    top = max(int(item.values.max()), 1)
    labels = [show(round(top * row / _ROWS)) if row % 3 == 0 else "" for row in range(_ROWS, 0, -1)]
    gutter = max(map(len, [*labels, show(0)]))
    columns = max(min(width - gutter - 3, _MOST_COLUMNS), 10)
    low, high = min(look.points), max(look.points)
    heights = at_points(
        item.values, [low + (high - low) * at / (columns - 1) for at in range(columns)], by_time=look.by_time
    )
    full = len(steps) - 1
    eighths = [round(value * _ROWS * full / top) for value in heights]
    for row, label in zip(range(_ROWS - 1, -1, -1), labels, strict=True):
        drawn = "".join(steps[max(0, min(full, height - row * full))] for height in eighths)
        yield f"{label:>{gutter}} ┤{drawn}".rstrip() if steps is _BLOCKS else f"{label:>{gutter}} |{drawn}".rstrip()
    axis = "└" + "─" * columns if steps is _BLOCKS else "+" + "-" * columns
    yield f"{show(0):>{gutter}} {axis}"
    unit = "percent of the recording's time" if look.by_time else "percentile"
    ends = f"{low:g}{f'{high:g}':>{columns - len(f'{low:g}')}}"
    middle = (columns - len(unit)) // 2
    yield f"{'':>{gutter}}  {ends[:middle]}{unit}{ends[middle + len(unit) :]}"
