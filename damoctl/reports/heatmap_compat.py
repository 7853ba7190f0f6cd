"""The heat of pixels as damo sums it, in its order of operations, so that its numbers come out to the last digit.

Pixels are of whole nanoseconds and bytes (what is left over at the end is cut off), a snapshot counts from the end of
whatever snapshot was processed before it, and overlaps may be negative where a range is narrowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from damoctl.reports.frames import Floats, Frame, Series, Source

if TYPE_CHECKING:
    from damoctl.reports.heatmap import Options


class _Sheet:
    """The pixels of one address range."""

    def __init__(self, times: tuple[int, int], addresses: tuple[int, int], resol: tuple[int, int]) -> None:
        self.rows, self.columns = resol
        self.begin, self.low = times[0], addresses[0]
        self.end, self.high = times[1], addresses[1]
        self.tall = max((times[1] - times[0]) // self.rows, 1)
        self.wide = max((addresses[1] - addresses[0]) // self.columns, 1)
        self.heat: Floats = np.full(resol, np.nan)

    def add(self, begin: int, finish: int, start: int, stop: int, value: float) -> None:
        """Add a region to the pixels that it overlaps."""
        if start >= self.high or stop <= self.low or begin >= self.end or finish <= self.begin:
            return
        first = max((begin - self.begin) // self.tall, 0)
        last = min(-((self.begin - finish) // self.tall), self.rows)
        left = max((start - self.low) // self.wide, 0)
        right = min(-((self.low - stop) // self.wide), self.columns)
        area = self.tall * self.wide
        for row in range(first, last):
            at = self.begin + row * self.tall
            time = min(finish, at + self.tall) - max(begin, at)
            for column in range(left, right):
                place = self.low + column * self.wide
                space = min(stop, place + self.wide) - max(start, place)
                before = self.heat[row, column]
                more = value * time * space / area
                self.heat[row, column] = more if np.isnan(before) else before + more


def heats(
    source: Source,
    series: Series,
    times: tuple[int, int],
    spans: Sequence[tuple[int, int]],
    options: Options,
) -> list[Floats]:
    """The pixels of each address range."""
    from damoctl.reports.heatmap import by_temperature, heat_values

    sheets = [_Sheet(times, span, options.resol) for span in spans]
    before: int | None = None
    for frame in source.frames():
        if frame.series != series:
            continue
        if options.by_temperature:
            frame = by_temperature(frame, options.weights)
        known = bool(len(frame)) and bool((frame.aggr_us > 0).all())
        values = heat_values(frame, known=False, df_passed=options.df_passed).tolist()
        for sheet in sheets:
            _draw(sheet, frame, values, before, known=known)
        if len(frame):
            before = int(frame.end_ns[-1])
    return [sheet.heat for sheet in sheets]


def _draw(sheet: _Sheet, frame: Frame, values: Sequence[float], before: int | None, *, known: bool) -> None:
    starts, ends, ages = frame.start.tolist(), frame.end.tolist(), frame.age.tolist()
    for index in range(len(frame)):
        begin, finish, aggr = int(frame.start_ns[index]), int(frame.end_ns[index]), int(frame.aggr_us[index])
        for at in range(int(frame.first[index]), int(frame.first[index + 1])):
            since = begin - max(ages[at], 0) * aggr * 1000
            if before is not None:
                since = max(since, before)
            value = values[at] / (aggr / 1_000_000) if known else values[at]
            sheet.add(since, finish, starts[at], ends[at], value)
        before = finish
