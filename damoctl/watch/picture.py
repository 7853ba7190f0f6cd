"""The heat of each pixel, row by row of time, each row computed once.

Rows lie at whole multiples of their duration, so that a picture that scrolls moves and never shimmers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from damoctl.reports.canvas import Canvas, cut_in_strips
from damoctl.reports.frames import Floats
from damoctl.watch.history import History
from damoctl.watch.view import View

_KEPT_ROWS = 4096


class Picture:
    """The picture of a history through a view."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._key: tuple[object, ...] = ()
        self._rows: dict[int, Floats] = {}
        self._known_ns = 0

    def rows(self, view: View) -> Floats:
        """Percent of the checks that saw an access, for each pixel: (`view.rows`, `view.columns`), oldest row first.

        NaN where nothing was watched or is known.
        """
        history = self._history
        key = (history.axis, view.row_ns, view.space, view.columns)
        if key != self._key or len(self._rows) > _KEPT_ROWS:
            self._key, self._rows = key, {}
        end_ns = history.span[1]
        if end_ns != self._known_ns:
            # Rows after the last snapshot that was known then; the next one also tells of the time before it.
            for row in [row for row in self._rows if (row + 1) * view.row_ns > self._known_ns]:
                del self._rows[row]
            self._known_ns = end_ns
        wanted = range(view.bottom - view.rows, view.bottom)
        for first, last in _runs([row for row in wanted if row not in self._rows]):
            heat = self._compute(view, first, last)
            self._rows.update(zip(range(first, last), heat, strict=True))
        return np.stack([self._rows[row] for row in wanted]) if view.rows else np.zeros((0, view.columns))

    def _compute(self, view: View, first: int, last: int) -> Floats:
        low, high = first * view.row_ns, last * view.row_ns
        canvas, known, found = Canvas((low, high), view.space, (last - first, view.columns)), True, False
        for frame, before in self._history.frames(low, high) if view.space[1] > view.space[0] else ():
            known, found = known and bool((frame.aggr_us > 0).all()), True
            canvas.add(cut_in_strips(frame, before, known=known, df_passed=False))
        if not found:
            return np.full((last - first, view.columns), np.nan)
        heat = canvas.heat(of_watched=True)
        # without intervals: a share of the most that was seen
        whole = 1e4 if known else max(float(np.nanmax(heat, initial=0.0)) / 100, 1e-9)
        return np.asarray(heat / whole)


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as [first, last) runs."""
    begin = 0
    for index in range(1, len(rows) + 1):
        if index == len(rows) or rows[index] != rows[index - 1] + 1:
            yield rows[begin], rows[index - 1] + 1
            begin = index
