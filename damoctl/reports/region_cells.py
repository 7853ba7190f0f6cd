"""Keywords of regions as columns of text: what `columns` shows of one snapshot, for all regions of a frame at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from damoctl.reports import glyphs
from damoctl.reports.access import parts
from damoctl.reports.box import drawn, rescaled
from damoctl.reports.choose import temperatures
from damoctl.reports.columns import REGION
from damoctl.reports.frames import Frame, Ints
from damoctl.reports.glyphs import Cells
from damoctl.reports.options import Options
from damoctl.reports.view import RecordView
from damod import units
from damod.access import measure

# The same ages come in each piece.
_told = lru_cache(1 << 14)(units.time)


def columns(template: str, frame: Frame, view: RecordView) -> list[Cells | str]:
    """The columns of a line of each region, whether of a keyword or of what stands between them."""
    return [
        part if isinstance(part, str) else KNOWN[part.name](frame, view, view.options.min_chars.get(part.name, 0))
        for part in parts(template, REGION)
    ]


def _sizes(column: Ints, options: Options, width: int) -> Cells:
    if options.raw or int(column.max()) >= 2**53 or int(column.min()) < 0:
        # Addresses above 2**63 stand as negative numbers in columns.
        return glyphs.distinct(column, lambda value: units.size(value & units.U64_MAX, raw=options.raw), width)
    return glyphs.sizes(column, width)


def _by_aggr(frame: Frame, column: Ints, show: Callable[[int, int, int], str], width: int) -> Cells:
    """What depends on the intervals too: `show(value, sample_us, aggr_us)`."""
    if same := _intervals(frame):
        return glyphs.distinct(column, lambda value: show(value, *same), width)
    values, index = _triples(frame, column)
    return glyphs.known([show(*row) for row in values], index, width)


def _intervals(frame: Frame) -> tuple[int, int] | None:
    """Sampling and aggregation interval, if they are the same all over the frame."""
    sample, aggr = frame.sample_us, frame.aggr_us
    return (int(sample[0]), int(aggr[0])) if (aggr == aggr[0]).all() and (sample == sample[0]).all() else None


def _triples(frame: Frame, column: Ints) -> tuple[list[tuple[int, int, int]], Ints]:
    """The distinct (value, sample_us, aggr_us) of a column, and which of them each region has."""
    if same := _intervals(frame):
        values, index = np.unique(column, return_inverse=True)
        return [(value, *same) for value in values.tolist()], index
    triples = np.stack((column, frame.per_region(frame.sample_us), frame.per_region(frame.aggr_us)), axis=1)
    found, index = np.unique(triples, axis=0, return_inverse=True)
    return [(value, sample, aggr) for value, sample, aggr in found.tolist()], index.reshape(-1)


def side(frame: Frame, name: str) -> tuple[list[float], Ints]:
    """The distinct values of what a side of a box stands for, and which of them each region has."""
    if name == "size":
        sizes, index = np.unique(frame.sizes, return_inverse=True)
        return sizes.tolist(), index
    if name == "age":
        values, index = _triples(frame, np.maximum(frame.age, 0))
        return [age * aggr for age, _, aggr in values], index
    values, index = _triples(frame, frame.nr_accesses)
    return [measure.percent(*row) for row in values], index


def _boxes(frame: Frame, view: RecordView, width: int) -> Cells:
    box = view.options.box
    kinds: list[list[int]] = []
    which = np.zeros(len(frame.start), dtype=np.int64)
    for value, into, scale in zip(box.values, box.ranges, box.scales, strict=True):
        levels, index = [into[0]], which[:0]
        if value != "none":
            known, index = side(frame, value)
            levels = rescaled(known, view.bounds[value], into, scale)
        kinds.append(sorted(set(levels)))
        which = which * len(kinds[-1])
        if len(index):
            which += np.searchsorted(kinds[-1], levels)[index]

    def show(number: int) -> str:
        rest, rows = divmod(number, len(kinds[2]))
        columns, digit = divmod(rest, len(kinds[1]))
        return drawn(kinds[0][columns], kinds[1][digit], kinds[2][rows], box, color=view.color)

    return glyphs.distinct(which, show, width)


def _passed(frame: Frame, view: RecordView, width: int) -> Cells | str:
    if frame.passed is None:
        return "N/A".ljust(width)
    return _sizes(frame.passed, view.options, width)


def _vmas(frame: Frame, view: RecordView, width: int) -> Cells | str:
    names = view.options.vmas
    if names is None:
        return "-".ljust(width)
    spaces = names.of(frame.series.target_id)
    spans, index = np.unique(np.stack((frame.start, frame.end), axis=1), axis=0, return_inverse=True)
    return glyphs.known([spaces.name(*span) for span in spans.tolist()], index.reshape(-1), width)


KNOWN: dict[str, Callable[[Frame, RecordView, int], Cells | str]] = {
    "<index>": lambda frame, view, width: glyphs.whole(
        np.arange(len(frame.start)) - frame.per_region(frame.first[:-1]), width
    ),
    "<start address>": lambda frame, view, width: _sizes(frame.start, view.options, width),
    "<end address>": lambda frame, view, width: _sizes(frame.end, view.options, width),
    "<size>": lambda frame, view, width: _sizes(frame.sizes, view.options, width),
    "<access rate>": lambda frame, view, width: _by_aggr(
        frame,
        frame.nr_accesses,
        lambda *row: units.percent(measure.percent(*row), raw=view.options.raw),
        width,
    ),
    "<access hz>": lambda frame, view, width: _by_aggr(
        frame, frame.nr_accesses, lambda n, _, aggr: units.hz(n * 1_000_000 / aggr, raw=view.options.raw), width
    ),
    "<age>": lambda frame, view, width: _by_aggr(
        frame,
        np.maximum(frame.age, 0),
        lambda n, _, aggr: _told(n * aggr * 1000, raw=view.options.raw, raw_unit="us"),
        width,
    ),
    "<temperature>": lambda frame, view, width: glyphs.distinct(
        temperatures(frame, view.options.weights),
        lambda value: units.number(value, raw=view.options.raw),
        width,
    ),
    "<filters passed bytes>": _passed,
    "<vma>": _vmas,
    "<box>": _boxes,
}
