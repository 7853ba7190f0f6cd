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
        """Add regions to the pixels that they overlap, or only touch at their end, one after the other."""
        inside = (start < self.high) & (stop > self.low)
        begin, finish, start, stop = (column[inside] for column in (begin, finish, start, stop))
        value = value[inside]

        def spread(low: Ints, high: Ints, origin: int, size: int, count: int) -> tuple[Ints, Ints]:
            # cut towards zero, so that what ended up to one pixel before the first row takes heat from it
            first, last = (((at - origin) / size).astype(np.int64) for at in (low, high))
            first = np.maximum(first, 0)
            return first, np.maximum(np.minimum(last, count - 1) + 1 - first, 0)

        first, tall = spread(begin, finish, self.begin, self.tall, self.rows)
        left, wide = spread(start, stop, self.low, self.wide, self.columns)
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
            self._sum(row * self.columns + column, value[owner] * time * space)
            at = until

    def _sum(self, pixel: Ints, more: Floats) -> None:
        """Add to pixels in this order, for the last digit: each time the sum is divided by the area and multiplied."""
        area = float(self.tall * self.wide)
        order = np.argsort(pixel, kind="stable")
        counts = np.bincount(pixel)
        counts = counts[counts > 0]
        turn = np.arange(len(pixel)) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[np.argsort(turn, kind="stable")]
        at = 0
        for count in np.bincount(turn).tolist():
            now = order[at : at + count]
            self._sums[pixel[now]] = (self._sums[pixel[now]] * area + more[now]) / area
            at += count
        self._some[pixel] = True


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
                values: Floats = np.zeros(len(shown.start))
            else:
                values = heat_values(shown, known=False, df_passed=options.df_passed)
            if known:
                values = values / (shown.per_region(shown.aggr_us) / 1_000_000)
            sheet.add(*_spans(shown, before), shown.start, shown.end, values)
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


def _spans(frame: Frame, before: int | None) -> tuple[Ints, Ints]:
    """Per region since when it looks so, but not from before the snapshot processed last, and until when."""
    grown = np.maximum(frame.age.astype(np.int64), 0) * frame.per_region(frame.aggr_us) * 1000
    # Nothing is before the first snapshot.
    limits = np.concatenate(([-(2**63) if before is None else before], frame.end_ns))[: len(frame)]
    since = np.maximum(frame.per_region(frame.start_ns) - grown, frame.per_region(limits))
    return since, frame.per_region(frame.end_ns)
