"""`report access` of large records: the same text as `access`, made a frame at a time on columns.

A record is read twice, once for what decides about the layout and once to show it (with boxes once more, for what they
are compared with), so that memory is that of a frame. Whatever has no way on columns (a rare keyword, a heatmap of
overlapping regions) is asked of the `SnapshotView` of the one snapshot. JSON and the raw listing are made of one
snapshot after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

import numpy as np

from damoctl.reports import access, glyphs, heat_lines, listing, styles
from damoctl.reports.access import _block, _parts
from damoctl.reports.base import texts
from damoctl.reports.box import Bounds, drawn, rescaled
from damoctl.reports.choose import Chooser, temperatures
from damoctl.reports.columns import RECORD, REGION, SNAPSHOT, Keyword
from damoctl.reports.frames import Frame, Ints, Series, Source
from damoctl.reports.glyphs import Cells, Lines
from damoctl.reports.options import Options
from damoctl.reports.styles import PAGE_FILTERS, Facts, Templates
from damoctl.reports.view import RecordView, SnapshotView
from damoctl.term.term import Term
from damod import units
from damod.access import measure
from damod.access.record import Record
from damod.access.select import needs_intervals
from damod.access.snapshot import Regions, Snapshot
from damod.errors import NoData

# Regions made into text at a time.
_ROWS = 1 << 14
# Characters of the largest box; larger ones are drawn one at a time.
_MOST_BOX = 1000
# The same ages come in each piece, and a snapshot begins where the one before it ends.
_told = lru_cache(1 << 14)(units.time)


class Outline(NamedTuple):
    """What is known of a series before any of it is shown: its first and last snapshot kept, and how many there are."""

    record: Record
    first_ns: int
    last_ns: int
    wall_offset_ns: int
    snapshots: int


def can(options: Options, templates: Templates) -> bool:
    """Whether columns can show this: no distributions as JSON, and no filters where damo forgets them in totals."""
    wanted = {part.name for part in _parts(templates.region, REGION) if isinstance(part, Keyword)}
    (_, columns), _, (_, rows) = options.box.ranges
    boxed = "<box>" in wanted and columns * rows > _MOST_BOX
    forgotten = options.compat and any(options.selection[:-1])
    return not (forgotten or access.is_distribution(options) or boxed or wanted - set(_REGION))


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
            compat=options.compat,
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
        super().__init__(outline.record, options, templates, color=color)
        self.bounds = bounds
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
            yield from listing.json_lines(shown, raw=options.raw, compat=options.compat)
        else:
            yield from listing.raw_form(shown, raw=options.raw)
        return
    bounds = {}
    if "<box>" in templates.region or "<region box description>" in templates.snapshot_head + templates.snapshot_tail:
        bounds = _bounds(source, options)
    for series, outline in found.items():
        view = _RecordView(outline, options, templates, bounds, color=term.color)
        if templates.record_head:
            yield _block(templates.record_head, RECORD, view, options)
        chooser = Chooser(options.selection)
        some, lines = False, Lines()
        for frame in _small(source, series):
            kept, snapshots = chooser(frame)
            for block in _blocks(_ordered(kept, options), kept, np.flatnonzero(snapshots), view, lines):
                if some:
                    yield ""
                some = True
                if block:
                    yield block
        if templates.record_tail:
            yield _block(templates.record_tail, RECORD, view, options)


def _snapshots(source: Source, series: Series, options: Options) -> Iterator[Snapshot]:
    """The chosen snapshots of a series, with lists for columns."""
    chooser = Chooser(options.selection)
    for frame in _small(source, series):
        kept, snapshots = chooser(frame)
        for index in np.flatnonzero(snapshots).tolist():
            yield _snapshot(kept, index)


def _bounds(source: Source, options: Options) -> dict[str, Bounds]:
    """The least and greatest age, access rate and size of all chosen regions: what boxes are compared with."""
    found: dict[str, list[float]] = {"age": [], "access_rate": [], "size": []}
    choosers: dict[Series, Chooser] = {}
    for frame in source.frames():
        kept, _ = choosers.setdefault(frame.series, Chooser(options.selection))(frame)
        if len(kept.start):
            for name, values in found.items():
                known, _ = _side(kept, name, compat=options.compat)
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
    heads = _template(templates.snapshot_head, frame, by_address, view, wanted)
    tails = _template(templates.snapshot_tail, frame, by_address, view, wanted)
    bodies: Sequence[str] = [""] * len(frame)
    if templates.region and len(frame.start):
        bodies = lines.text(_line(templates.region, frame, view), frame.first)
    for place, index in enumerate(wanted):
        body = bodies[index]
        parts = [heads[place]] if heads else []
        if body:
            parts.append(body)
        if tails:
            parts.append(tails[place])
        yield "\n".join(parts)


def _ordered(frame: Frame, options: Options) -> Frame:
    """The regions of each snapshot in the order asked for; of several keys the last dominates."""
    if all(key == "address" and not descending for key, descending in options.sort):
        return frame
    columns: dict[str, Callable[[], Ints]] = {
        "address": lambda: frame.start,
        "access_rate": lambda: frame.nr_accesses,
        "age": lambda: frame.age,
        "size": lambda: frame.sizes,
        "temperature": lambda: temperatures(frame, options.weights, compat=options.compat),
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


# regions


def _line(template: str, frame: Frame, view: _RecordView) -> list[Cells | str]:
    return [
        part if isinstance(part, str) else _REGION[part.name](frame, view, view.options.min_chars.get(part.name, 0))
        for part in _parts(template, REGION)
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


def _side(frame: Frame, name: str, *, compat: bool) -> tuple[list[float], Ints]:
    """The distinct values of what a side of a box stands for, and which of them each region has."""
    if name == "size":
        sizes, index = np.unique(frame.sizes, return_inverse=True)
        return sizes.tolist(), index
    if name == "age":
        values, index = _triples(frame, np.maximum(frame.age, 0))
        return [age * aggr for age, _, aggr in values], index
    values, index = _triples(frame, frame.nr_accesses)
    return [measure.percent(*row, compat=compat) for row in values], index


def _boxes(frame: Frame, view: _RecordView, width: int) -> Cells:
    box = view.options.box
    kinds: list[list[int]] = []
    which = np.zeros(len(frame.start), dtype=np.int64)
    for value, into, scale in zip(box.values, box.ranges, box.scales, strict=True):
        levels, index = [into[0]], which[:0]
        if value != "none":
            known, index = _side(frame, value, compat=view.options.compat)
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


def _passed(frame: Frame, view: _RecordView, width: int) -> Cells | str:
    if frame.passed is None:
        return "N/A".ljust(width)
    return _sizes(frame.passed, view.options, width)


def _vmas(frame: Frame, view: _RecordView, width: int) -> Cells | str:
    names = view.options.vmas
    if names is None:
        return "-".ljust(width)
    spaces = names.of(frame.series.target_id)
    spans, index = np.unique(np.stack((frame.start, frame.end), axis=1), axis=0, return_inverse=True)
    return glyphs.known([spaces.name(*span) for span in spans.tolist()], index.reshape(-1), width)


_REGION: dict[str, Callable[[Frame, _RecordView, int], Cells | str]] = {
    "<index>": lambda frame, view, width: glyphs.whole(
        np.arange(len(frame.start)) - frame.per_region(frame.first[:-1]), width
    ),
    "<start address>": lambda frame, view, width: _sizes(frame.start, view.options, width),
    "<end address>": lambda frame, view, width: _sizes(frame.end, view.options, width),
    "<size>": lambda frame, view, width: _sizes(frame.sizes, view.options, width),
    "<access rate>": lambda frame, view, width: _by_aggr(
        frame,
        frame.nr_accesses,
        lambda *row: units.percent(measure.percent(*row, compat=view.options.compat), raw=view.options.raw),
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
        temperatures(frame, view.options.weights, compat=view.options.compat),
        lambda value: units.number(value, raw=view.options.raw),
        width,
    ),
    "<filters passed bytes>": _passed,
    "<vma>": _vmas,
    "<box>": _boxes,
}


# snapshots


def _template(template: str, frame: Frame, by_address: Frame, view: RecordView, wanted: Sequence[int]) -> list[str]:
    """A template for each of the snapshots of these indices; none where there is no template."""
    if not template:
        return []
    options = view.options
    columns: list[Iterable[str]] = []
    for part in _parts(template, SNAPSHOT):
        if isinstance(part, str):
            columns.append(repeat(part, len(wanted)))
            continue
        quick = _SNAPSHOT.get(part.name)
        one = quick(by_address, view) if quick else _slowly(part, frame, by_address, view)
        width = options.min_chars.get(part.name, 0)
        columns.append([one(index).ljust(width) for index in wanted] if width else map(one, wanted))
    return list(map("".join, zip(*columns, strict=True)))


def _slowly(keyword: Keyword, frame: Frame, by_address: Frame, view: RecordView) -> Callable[[int], str]:
    return lambda index: keyword.show(_snapshot_view(by_address, view, index))


def _snapshot_view(frame: Frame, view: RecordView, index: int) -> SnapshotView:
    snapshot = _snapshot(frame, index)
    bounds = view.bounds if isinstance(view, _RecordView) else {}
    return SnapshotView(view, snapshot, snapshot.regions.total_bytes(), bounds)


def _snapshot(frame: Frame, index: int) -> Snapshot:
    """A snapshot of a frame by itself; its addresses are unsigned again."""
    rows = slice(int(frame.first[index]), int(frame.first[index + 1]))
    return Snapshot(
        frame.series.kdamond, frame.series.context, 0, int(frame.start_ns[index]), int(frame.end_ns[index]),
        0 if frame.wall_offset_ns is None else int(frame.wall_offset_ns[index]),
        int(frame.sample_us[index]), int(frame.aggr_us[index]),
        Regions(
            frame.start[rows].view(np.uint64).tolist(), frame.end[rows].view(np.uint64).tolist(),
            frame.nr_accesses[rows].tolist(), frame.age[rows].tolist(), None,
            None if frame.passed is None else frame.passed[rows].tolist(),
        ),
    )  # fmt: skip


def _each(column: Ints, show: Callable[[int], str]) -> Callable[[int], str]:
    return texts(column.tolist(), show).__getitem__


def _time(pick: Callable[[Frame, RecordView], Ints]) -> Callable[[Frame, RecordView], Callable[[int], str]]:
    return lambda frame, view: _each(pick(frame, view), lambda value: _told(value, raw=view.options.raw))


def _same_intervals(frame: Frame, view: RecordView) -> Callable[[int], str]:
    known: dict[tuple[int, int], str] = {}
    show = SNAPSHOT["<snapshot intervals>"].show

    def one(index: int) -> str:
        key = int(frame.sample_us[index]), int(frame.aggr_us[index])
        if key not in known:
            known[key] = show(_snapshot_view(frame, view, index))
        return known[key]

    return one


def _bandwidth(frame: Frame, view: RecordView) -> Callable[[int], str]:
    seen = frame.sums(frame.sizes * frame.nr_accesses).tolist()
    aggr = frame.aggr_us.tolist()
    return lambda index: units.bandwidth(seen[index] * 1_000_000 / aggr[index], raw=view.options.raw)


def _heatmap(frame: Frame, view: RecordView) -> Callable[[int], str]:
    """Heatmaps of all snapshots whose regions do not overlap; the others' one by one."""
    slow = SNAPSHOT["<heatmap>"].show
    quick: Sequence[str | None] = [None] * len(frame)
    if not view.options.compat:
        quick = heat_lines.texts(frame, view.options, color=view.color)
    return lambda index: quick[index] or slow(_snapshot_view(frame, view, index))


_SNAPSHOT: dict[str, Callable[[Frame, RecordView], Callable[[int], str]]] = {
    "<heatmap>": _heatmap,
    "<total bytes>": lambda frame, view: _each(
        frame.sums(frame.sizes), lambda value: units.size(value, raw=view.options.raw)
    ),
    "<duration>": _time(lambda frame, view: frame.end_ns - frame.start_ns),
    "<start time>": _time(lambda frame, view: frame.start_ns - view.start_ns),
    "<end time>": _time(lambda frame, view: frame.end_ns - view.start_ns),
    "<number of regions>": lambda frame, view: _each(
        np.diff(frame.first), lambda value: units.number(value, raw=view.options.raw)
    ),
    "<snapshot intervals>": _same_intervals,
    "<estimated memory bandwidth>": _bandwidth,
}
