"""The heat of pixels as damo sums it, in its order of operations, so that its numbers come out to the last digit.

Pixels are of whole nanoseconds and bytes (what is left over at the end is cut off), a snapshot counts from the end of
whatever snapshot was processed before it, and overlaps may be negative where a range is narrowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from damoctl.reports.canvas import heat_values
from damoctl.reports.choose import cut
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
        """Add a region to the pixels that it overlaps, or only touches at its end."""
        if start >= self.high or stop <= self.low:
            return
        # cut towards zero, so that what ended up to one pixel before the first row takes heat from it
        first, last = (int((time - self.begin) / self.tall) for time in (begin, finish))
        left, right = (int((at - self.low) / self.wide) for at in (start, stop))
        area = self.tall * self.wide
        for row in range(max(first, 0), min(last, self.rows - 1) + 1):
            at = self.begin + row * self.tall
            time = min(finish, at + self.tall) - max(begin, at)
            for column in range(max(left, 0), min(right, self.columns - 1) + 1):
                place = self.low + column * self.wide
                space = min(stop, place + self.wide) - max(start, place)
                before = self.heat[row, column]
                # in this order, for the last digit
                sums = (0.0 if np.isnan(before) else float(before)) * area + value * time * space
                self.heat[row, column] = sums / area


def heats(
    source: Source,
    series: Series,
    times: tuple[int, int],
    spans: Sequence[tuple[int, int]],
    options: Options,
) -> list[Floats]:
    """The pixels of each address range."""
    sheets = [_Sheet(times, span, options.resol) for span in spans]
    before: int | None = None
    for frame in source.frames():
        if frame.series != series:
            continue
        known = bool(len(frame)) and bool((frame.aggr_us > 0).all())
        for sheet in sheets:
            shown = by_temperature(frame, (sheet.low, sheet.high), options.weights) if options.by_temperature else frame
            if options.df_passed and shown.passed is None:
                values = [0.0] * len(shown.start)
            else:
                values = heat_values(shown, known=False, df_passed=options.df_passed).tolist()
            _draw(sheet, shown, values, before, known=known)
        if len(frame):
            before = int(frame.end_ns[-1])
    return [sheet.heat for sheet in sheets]


def by_temperature(frame: Frame, span: tuple[int, int], weights: tuple[float, float]) -> Frame:
    """The parts of regions in an address range, of each snapshot the coldest first and without gaps from its start."""
    found = cut(frame, [span])
    sample, aggr = (found.per_region(np.maximum(column, 1)) for column in (found.sample_us, found.aggr_us))
    percent = (found.nr_accesses * 100 / (aggr / sample)).astype(np.int64)
    heats = percent * weights[0] + np.maximum(found.age, 0) * aggr * weights[1]
    order = np.lexsort((np.where(percent > 0, heats, -heats), found.snapshot()))
    sizes = found.sizes[order]
    ends = np.cumsum(sizes)
    if len(ends):
        ends = ends - found.per_region(np.concatenate(([0], ends))[found.first[:-1]]) + span[0]
    return Frame(
        found.series, found.first, found.start_ns, found.end_ns, found.sample_us, found.aggr_us,
        ends - sizes, ends, found.nr_accesses[order], found.age[order],
        None if found.passed is None else found.passed[order], found.wall_offset_ns,
    )  # fmt: skip


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
