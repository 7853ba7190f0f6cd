"""`report access` of large records: the same text as `access`, made a frame at a time on columns.

A record is read twice, once for what decides about the layout and once to show it (with boxes once more, for what they
are compared with), so that memory is that of a frame. JSON and the raw listing are made of one
snapshot after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from damoctl.reports import access, listing, region_cells, styles
from damoctl.reports.access import block, parts
from damoctl.reports.box import Bounds
from damoctl.reports.choose import Chooser, temperatures
from damoctl.reports.columns import RECORD, REGION, Keyword
from damoctl.reports.frames import Frame, Ints, Series, Source
from damoctl.reports.glyphs import Lines
from damoctl.reports.options import Options
from damoctl.reports.snapshot_texts import snapshot, texts_of
from damoctl.reports.styles import PAGE_FILTERS, Facts, Templates
from damoctl.reports.view import RecordView
from damoctl.term.term import Term
from damod.access.record import Record
from damod.access.select import needs_intervals
from damod.access.snapshot import Snapshot
from damod.errors import NoData

# Regions made into text at a time.
_ROWS = 1 << 14
# Characters of the largest box; larger ones are drawn one at a time.
_MOST_BOX = 1000


class Outline(NamedTuple):
    """What is known of a series before any of it is shown: its first and last snapshot kept, and how many there are."""

    record: Record
    first_ns: int
    last_ns: int
    wall_offset_ns: int
    snapshots: int


def can(options: Options, templates: Templates) -> bool:
    """Whether columns can show this: nothing that damo computes otherwise, no distributions as JSON."""
    wanted = {part.name for part in parts(templates.region, REGION) if isinstance(part, Keyword)}
    (_, columns), _, (_, rows) = options.box.ranges
    boxed = "<box>" in wanted and columns * rows > _MOST_BOX
    return not (options.compat or access.is_distribution(options) or boxed or wanted - set(region_cells.KNOWN))


def tells_stats(options: Options, templates: Templates) -> bool:
    """Whether it shows statistics of schemes, for which frames have no column."""
    return options.as_json or "<damos stats>" in templates.snapshot_head + templates.snapshot_tail


def outlines(source: Source, options: Options) -> dict[Series, Outline]:
    """The series in the order in which they appear. NoData if intervals are missing or the filters leave nothing."""
    found: dict[Series, Outline] = {}
    chooser = Chooser(options.selection)
    some = False
    need = {"start_ns", "intervals", "wall"} | ({"age"} if options.selection.ages_us or options.selection.temperatures
                                                else set())  # fmt: skip
    chooses = any(options.selection[:-1])  # all but the weights
    lenient = _plain(options) and not needs_intervals(options.selection)
    for frame in source.frames(need, regions=chooses):
        if not lenient and not (frame.sample_us.all() and frame.aggr_us.all()):
            raise NoData(
                f"the record of target {frame.series.target_id} lacks the intervals, so access rates and ages are not"
                " known",
                hint="--raw_form and --json show it as it is",
            )
        some |= bool(len(frame))
        kept = np.flatnonzero(chooser(frame)[1])
        if not len(kept):
            continue
        series, before = frame.series, found.get(frame.series)
        if before is None:
            record = Record(
                series.kdamond, series.context, series.scheme, series.target_id, source.intervals(series), (),
                source.filters(series), source.data_source(series),
            )  # fmt: skip
            offset = int(frame.wall_offset_ns[kept[0]]) if frame.wall_offset_ns is not None else 0
            before = Outline(record, int(frame.start_ns[kept[0]]), 0, offset, 0)
        found[series] = before._replace(last_ns=int(frame.end_ns[kept[-1]]), snapshots=before.snapshots + len(kept))
    if some and not found:
        raise NoData("the filters leave no snapshot", hint="widen --sz_snapshot, --snapshot_time or --snapshot_idx")
    return found


def layout(found: Mapping[Series, Outline], options: Options) -> Templates:
    """The templates, decided once for all series."""
    records = [outline.record for outline in found.values()]
    known = Facts(
        records=len(records),
        several_snapshots=any(outline.snapshots > 1 for outline in found.values()),
        filtered=any(item.get("filter_type") in PAGE_FILTERS for record in records for item in record.filters),
        tuned=any(record.intervals is not None and record.intervals.goal.active for record in records),
        sourced=any(record.data_source == "damon_stat" for record in records),
    )
    return styles.apply_edits(
        styles.templates(
            options.style,
            known,
            region_box=options.region_box,
            total_sz_only=options.total_sz_only,
            compat=False,
        ),
        options.edits,
    )


def _plain(options: Options) -> bool:
    """Whether records are listed as they are, without a template."""
    return options.as_json or options.raw_form


class _RecordView(RecordView):
    """The head and tail of a record that is not held."""

    def __init__(
        self, outline: Outline, options: Options, templates: Templates, bounds: Mapping[str, Bounds], *, color: bool
    ) -> None:
        super().__init__(outline.record, options, templates, bounds, color=color)
        self._outline = outline
        self.start_ns = outline.first_ns

    @property
    def abs_start_ns(self) -> int:
        return self._outline.first_ns + self._outline.wall_offset_ns

    @property
    def duration_ns(self) -> int:
        return self._outline.last_ns - self._outline.first_ns


def render(
    source: Source, found: Mapping[Series, Outline], templates: Templates, options: Options, term: Term
) -> Iterator[str]:
    """The lines of the report; an item may be a block of many lines."""
    if _plain(options):
        shown = ((outline.record, _snapshots(source, series, options)) for series, outline in found.items())
        if options.as_json:
            yield from listing.json_lines(shown, raw=options.raw)
        else:
            yield from listing.raw_form(shown, raw=options.raw)
        return
    bounds = {}
    if "<box>" in templates.region or "<region box description>" in templates.snapshot_head + templates.snapshot_tail:
        bounds = _bounds(source, options)
    for series, outline in found.items():
        view = _RecordView(outline, options, templates, bounds, color=term.color)
        if templates.record_head:
            yield block(templates.record_head, RECORD, view, options)
        chooser = Chooser(options.selection)
        some, lines = False, Lines()
        for frame in _small(source, series):
            kept, snapshots = chooser(frame)
            for text in _blocks(_ordered(kept, options), kept, np.flatnonzero(snapshots), view, lines):
                if some and not options.total_sz_only:
                    yield ""
                some = True
                if text:
                    yield text
        if templates.record_tail:
            yield block(templates.record_tail, RECORD, view, options)


def _snapshots(source: Source, series: Series, options: Options) -> Iterator[Snapshot]:
    """The chosen snapshots of a series, with lists for columns."""
    chooser = Chooser(options.selection)
    for frame in _small(source, series):
        kept, snapshots = chooser(frame)
        for index in np.flatnonzero(snapshots).tolist():
            yield snapshot(kept, index)


def _bounds(source: Source, options: Options) -> dict[str, Bounds]:
    """The least and greatest age, access rate and size of all chosen regions: what boxes are compared with."""
    found: dict[str, list[float]] = {"age": [], "access_rate": [], "size": []}
    choosers: dict[Series, Chooser] = {}
    for frame in source.frames():
        kept, _ = choosers.setdefault(frame.series, Chooser(options.selection))(frame)
        if len(kept.start):
            for name, values in found.items():
                known, _ = region_cells.side(kept, name)
                values[:] = [min(*values, *known), max(*values, *known)] if values else [min(known), max(known)]
    return {name: (values[0], values[1]) if values else (0, 0) for name, values in found.items()}


def _small(source: Source, series: Series) -> Iterator[Frame]:
    """The frames of a series in pieces whose text stays in the processor's cache."""
    for frame in source.frames():
        if frame.series != series or not len(frame):
            continue
        step = max(_ROWS * len(frame) // max(len(frame.start), 1), 1)
        for low in range(0, len(frame), step):
            yield frame.slice(low, min(low + step, len(frame)))


def _blocks(frame: Frame, by_address: Frame, chosen: Ints, view: _RecordView, lines: Lines) -> Iterator[str]:
    """The text of each chosen snapshot of a frame."""
    templates = view.templates
    wanted = chosen.tolist()
    heads = texts_of(templates.snapshot_head, frame, by_address, view, wanted)
    tails = texts_of(templates.snapshot_tail, frame, by_address, view, wanted)
    bodies: Sequence[str] = [""] * len(frame)
    if templates.region and len(frame.start):
        bodies = lines.text(region_cells.columns(templates.region, frame, view), frame.first)
    for place, index in enumerate(wanted):
        body = bodies[index]
        some = [heads[place]] if heads else []
        if body:
            some.append(body)
        if tails:
            some.append(tails[place])
        yield "\n".join(some)


def _ordered(frame: Frame, options: Options) -> Frame:
    """The regions of each snapshot in the order asked for; of several keys the last dominates."""
    if all(key == "address" and not descending for key, descending in options.sort):
        return frame
    columns: dict[str, Callable[[], Ints]] = {
        "address": lambda: frame.start,
        "access_rate": lambda: frame.nr_accesses,
        "age": lambda: frame.age,
        "size": lambda: frame.sizes,
        "temperature": lambda: temperatures(frame, options.weights),
    }
    keys = []
    for key, descending in options.sort:
        column = columns[key]().astype(np.int64)
        keys.append(-column if descending else column)
    order = np.lexsort((*keys, frame.snapshot()))
    return replace(
        frame, start=frame.start[order], end=frame.end[order], nr_accesses=frame.nr_accesses[order],
        age=frame.age[order], passed=None if frame.passed is None else frame.passed[order],
    )  # fmt: skip
