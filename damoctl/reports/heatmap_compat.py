"""The heat of pixels as damo sums it, in its order of operations, so that its numbers come out to the last digit.

Pixels are of whole nanoseconds and bytes (what is left over at the end is cut off), a snapshot counts from the end of
whatever snapshot was processed before it, and overlaps may be negative where a range is narrowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from damoctl.reports.frames import Floats, Frame, Ints, Series, Source

if TYPE_CHECKING:
    from damoctl.reports.heatmap import Options


# Pieces of regions that are summed at a time.
_PIECES = 1 << 20


class _Sheet:
    """The pixels of one address range."""

    def __init__(self, times: tuple[int, int], addresses: tuple[int, int], resol: tuple[int, int]) -> None:
        self.rows, self.columns = resol
        self.begin, self.low = times[0], addresses[0]
        self.end, self.high = times[1], addresses[1]
        self.tall = max((times[1] - times[0]) // self.rows, 1)
        self.wide = max((addresses[1] - addresses[0]) // self.columns, 1)
        self._sums: Floats = np.zeros(self.rows * self.columns)
        self._some = np.zeros(self.rows * self.columns, dtype=bool)

    @property
    def heat(self) -> Floats:
        """NaN where nothing was added."""
        return np.where(self._some, self._sums, np.nan).reshape(self.rows, self.columns)

    def add(self, begin: Ints, finish: Ints, start: Ints, stop: Ints, value: Floats) -> None:
        """Add regions to the pixels that they overlap, one after the other, rows before columns."""
        inside = (start < self.high) & (stop > self.low) & (begin < self.end) & (finish > self.begin)
        begin, finish, start, stop = (column[inside] for column in (begin, finish, start, stop))
        value = value[inside]
        first = np.maximum((begin - self.begin) // self.tall, 0)
        tall = np.maximum(np.minimum(-((self.begin - finish) // self.tall), self.rows) - first, 0)
        left = np.maximum((start - self.low) // self.wide, 0)
        wide = np.maximum(np.minimum(-((self.low - stop) // self.wide), self.columns) - left, 0)
        ends = np.cumsum(tall * wide)
        at = 0
        while at < len(ends):
            # At least one region, and as many more as there is room for.
            until = max(int(np.searchsorted(ends, (ends[at - 1] if at else 0) + _PIECES, "right")), at + 1)
            some = slice(at, until)
            pieces = tall[some] * wide[some]
            owner = np.repeat(np.arange(at, until), pieces)
            number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
            row, column = first[owner] + number // wide[owner], left[owner] + number % wide[owner]
            moment, place = self.begin + row * self.tall, self.low + column * self.wide
            time = np.minimum(finish[owner], moment + self.tall) - np.maximum(begin[owner], moment)
            space = np.minimum(stop[owner], place + self.wide) - np.maximum(start[owner], place)
            pixel = row * self.columns + column
            # Unlike a sum over sorted pixels this adds in the order of regions, which decides about the last digit.
            np.add.at(self._sums, pixel, value[owner] * time * space / float(self.tall * self.wide))
            self._some[pixel] = True
            at = until


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
        values = heat_values(frame, known=False, df_passed=options.df_passed)
        if known:
            values = values / (frame.per_region(frame.aggr_us) / 1_000_000)
        for sheet in sheets:
            sheet.add(*_spans(frame, before), frame.start, frame.end, values)
        if len(frame):
            before = int(frame.end_ns[-1])
    return [sheet.heat for sheet in sheets]


def _spans(frame: Frame, before: int | None) -> tuple[Ints, Ints]:
    """Per region since when it looks so, but not from before the snapshot processed last, and until when."""
    grown = np.maximum(frame.age.astype(np.int64), 0) * frame.per_region(frame.aggr_us) * 1000
    # Nothing is before the first snapshot.
    limits = np.concatenate(([-(2**63) if before is None else before], frame.end_ns))[: len(frame)]
    since = np.maximum(frame.per_region(frame.start_ns) - grown, frame.per_region(limits))
    return since, frame.per_region(frame.end_ns)
