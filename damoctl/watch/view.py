"""Which part of time and memory a picture shows, and how zooming and moving change that. Values only.

Time is in rows: row n is [n * row_ns, (n + 1) * row_ns) on the record's clock. Memory is in offsets of an `Axis`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from damod.units import TIME_NS

Span = tuple[int, int]

_S, _M, _H = TIME_NS["s"], TIME_NS["m"], TIME_NS["h"]
STEPS_NS = (
    *(TIME_NS["ms"] * step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(_S * step for step in (1, 2, 5, 10, 20, 30)),
    *(_M * step for step in (1, 2, 5, 10, 20, 30)),
    *(_H * step for step in (1, 2, 6, 12, 24, 48, 168)),
)
"""How long a row becomes by zooming."""
_FINE_NS = tuple(
    unit * count // 2
    for unit, counts in (
        *((TIME_NS["ms"] * scale, (2, 3, 4, 5, 6, 8, 10, 12, 16)) for scale in (1, 10, 100)),
        (_S, (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 30, 40, 60, 80, 90)),
        (_M, (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 30, 40, 60, 80, 90)),
        (_H, (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 36, 48, 96, 168, 336)),
    )
    for count in counts
)
"""How long a row is so that some time fits."""
LEAST_BYTES = 4096
"""A column is not narrower than a page."""


@dataclass(frozen=True)
class View:
    """`rows` by `columns` pixels; the last row is the one before `bottom`; columns share the offsets `space`.

    `cursor_ns` is the moment whose regions are listed. `follow`: both stay at the end as time goes on. `whole`: all of
    the memory is shown, however it grows.
    """

    row_ns: int = 500 * TIME_NS["ms"]
    rows: int = 1
    columns: int = 1
    bottom: int = 0
    space: Span = (0, 0)
    cursor_ns: int = 0
    follow: bool = True
    whole: bool = True

    @property
    def times(self) -> Span:
        """The times shown, in ns."""
        return (self.bottom - self.rows) * self.row_ns, self.bottom * self.row_ns

    @property
    def cursor_row(self) -> int:
        """The row of the picture that the cursor is in, from 0; outside of it where the cursor is not shown."""
        return (self.cursor_ns - 1) // self.row_ns - (self.bottom - self.rows)

    @property
    def column_bytes(self) -> float:
        return (self.space[1] - self.space[0]) / max(self.columns, 1)


def step(wanted_ns: int) -> int:
    """The shortest row that is at least so long."""
    return next((step_ns for step_ns in STEPS_NS if step_ns >= wanted_ns), STEPS_NS[-1])


def _holding(span: Span, rows: int) -> int:
    """The shortest row of which so many hold all of a time."""
    low, high = span
    holds = (row_ns for row_ns in _FINE_NS if _row_after(high, row_ns) - low // row_ns <= rows)
    return next(holds, -(-(high - low) // max(rows - 1, 1)))


def resized(view: View, rows: int, columns: int) -> View:
    return replace(view, rows=max(rows, 1), columns=max(columns, 1))


def settled(view: View, span: Span, total: int) -> View:
    """The view made to fit what there is now: at the end if it follows, never beside what was seen."""
    low, high = span
    if view.follow:
        view = replace(view, cursor_ns=high, bottom=_row_after(high, view.row_ns))
    view = replace(view, cursor_ns=min(max(view.cursor_ns, low), high))
    if view.whole:
        return replace(view, space=(0, total))
    width = min(view.space[1] - view.space[0], total)
    start = min(max(view.space[0], 0), total - width)
    return replace(view, space=(start, start + width))


def _row_after(time_ns: int, row_ns: int) -> int:
    return -(-time_ns // row_ns)


def _showing_cursor(view: View) -> View:
    """The picture moved as little as needed to show the cursor."""
    row = (view.cursor_ns - 1) // view.row_ns
    return replace(view, bottom=min(max(view.bottom, row + 1), row + view.rows))


def fitted(view: View, span: Span, total: int) -> View:
    """All of time and memory, on whole rows."""
    high = span[1]
    row_ns = _holding(span, view.rows)
    view = replace(view, row_ns=row_ns, bottom=_row_after(high, row_ns), whole=True)
    return settled(view, span, total)


def with_times(view: View, times: Span) -> View:
    """The shortest rows with which the picture has all of the times, which end at its bottom."""
    high = times[1]
    row_ns = _holding(times, view.rows)
    return replace(view, row_ns=row_ns, bottom=_row_after(high, row_ns), cursor_ns=high, follow=False)


def zoomed_time(view: View, steps: int) -> View:
    """Rows `steps` shorter (or, negative, longer); what is under the cursor stays where it is."""
    finer = [row_ns for row_ns in STEPS_NS if row_ns < view.row_ns] or [view.row_ns]
    coarser = [row_ns for row_ns in STEPS_NS if row_ns > view.row_ns] or [view.row_ns]
    row_ns = finer[-min(steps, len(finer))] if steps > 0 else coarser[min(-steps, len(coarser)) - 1]
    kept = min(max(view.cursor_row, 0), view.rows - 1)
    bottom = (view.cursor_ns - 1) // row_ns + view.rows - kept
    return replace(view, row_ns=row_ns, bottom=_row_after(view.cursor_ns, row_ns) if view.follow else bottom)


def zoomed_space(view: View, steps: int, total: int, center: float = 0.5) -> View:
    """Half the memory per step (or, negative, twice); the place at the share `center` of the picture stays."""
    low, high = view.space
    width = int((high - low) / 2.0**steps)
    width = min(max(width, min(LEAST_BYTES * view.columns, total)), total)
    start = int(low + (high - low) * center - width * center)
    start = min(max(start, 0), total - width)
    return replace(view, space=(start, start + width), whole=width == total)


def panned(view: View, eighths: int, total: int) -> View:
    """Moved along the memory by eighths of what is shown."""
    low, high = view.space
    start = min(max(low + (high - low) * eighths // 8, 0), total - (high - low))
    return replace(view, space=(start, start + high - low))


def moved(view: View, rows: int, span: Span) -> View:
    """The cursor moved by rows of time, the picture along where it has to; no longer following."""
    return sought(view, view.cursor_ns + rows * view.row_ns, span)


def sought(view: View, time_ns: int, span: Span) -> View:
    """The cursor at a time."""
    low, high = span
    return _showing_cursor(replace(view, cursor_ns=min(max(time_ns, low + 1), max(high, low + 1)), follow=False))


def scrolled(view: View, rows: int, span: Span) -> View:
    """The picture moved by rows of time, not out of sight of what was seen; the cursor comes along."""
    low, high = span
    first, last = low // view.row_ns + 1, _row_after(high, view.row_ns) + view.rows - 1
    bottom = min(max(view.bottom + rows, first), last)
    cursor = view.cursor_ns + (bottom - view.bottom) * view.row_ns
    return replace(view, bottom=bottom, cursor_ns=min(max(cursor, low + 1), max(high, low + 1)), follow=False)
