"""`report access` of large records: the same text as `access`, made a frame at a time on columns.

A record is read twice, once for what decides about the layout and once to show it, so that memory is that of a frame.
Whatever has no way on columns (a rare keyword, a heatmap of overlapping regions) is asked of the `SnapshotView` of the
one snapshot. Boxes, JSON and the raw listing are shown snapshot by snapshot elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

import numpy as np

from damoctl.reports import glyphs, heat_lines, styles
from damoctl.reports.access import _block, _parts
from damoctl.reports.base import texts
from damoctl.reports.choose import Chooser, temperatures
from damoctl.reports.columns import RECORD, REGION, SNAPSHOT, Keyword
from damoctl.reports.frames import Frame, Ints, Series, Source
from damoctl.reports.glyphs import Cells, Lines
from damoctl.reports.options import Options
from damoctl.reports.styles import PAGE_FILTERS, Facts, Templates
from damoctl.reports.view import RecordView, SnapshotView
from damoctl.term.term import Term
from damod import units
from damod.access.record import Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import NoData

# Regions made into text at a time.
_ROWS = 1 << 14
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
    """Whether columns can show this: no boxes, no JSON, no raw listing, nothing that damo computes otherwise."""
    wanted = {part.name for part in _parts(templates.region, REGION) if isinstance(part, Keyword)}
    return not (
        options.as_json or options.raw_form or options.compat or wanted - set(_REGION)
        or "<region box description>" in templates.snapshot_head + templates.snapshot_tail
    )  # fmt: skip


def outlines(source: Source, options: Options) -> dict[Series, Outline]:
    """The series in the order in which they appear. NoData if intervals are missing or the filters leave nothing."""
    found: dict[Series, Outline] = {}
    chooser = Chooser(options.selection)
    some = False
    need = {"start_ns", "intervals", "wall"} | ({"age"} if options.selection.ages_us or options.selection.temperatures
                                                else set())  # fmt: skip
    chooses = any(options.selection[:-1])  # all but the weights
    for frame in source.frames(need, regions=chooses):
        if not (frame.sample_us.all() and frame.aggr_us.all()):
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
            options.style, known, region_box=options.region_box, total_sz_only=options.total_sz_only, compat=False
        ),
        options.edits,
    )


class _RecordView(RecordView):
    """The head and tail of a record that is not held."""

    def __init__(self, outline: Outline, options: Options, templates: Templates, *, color: bool) -> None:
        super().__init__(outline.record, options, templates, color=color)
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
    for series, outline in found.items():
        view = _RecordView(outline, options, templates, color=term.color)
        if templates.record_head:
            yield _block(templates.record_head, RECORD, view, options)
        chooser = Chooser(options.selection)
        shown, lines = False, Lines()
        for frame in _small(source, series):
            kept, snapshots = chooser(frame)
            for block in _blocks(_ordered(kept, options), kept, np.flatnonzero(snapshots), view, lines):
                if shown and not options.total_sz_only:
                    yield ""
                shown = True
                if block:
                    yield block
        if templates.record_tail:
            yield _block(templates.record_tail, RECORD, view, options)


def _small(source: Source, series: Series) -> Iterator[Frame]:
    """The frames of a series in pieces whose text stays in the processor's cache."""
    for frame in source.frames():
        if frame.series != series or not len(frame):
            continue
        step = max(_ROWS * len(frame) // max(len(frame.start), 1), 1)
        for low in range(0, len(frame), step):
            yield frame.slice(low, min(low + step, len(frame)))


def _blocks(frame: Frame, by_address: Frame, chosen: Ints, view: RecordView, lines: Lines) -> Iterator[str]:
    """The text of each chosen snapshot of a frame."""
    options, templates = view.options, view.templates
    wanted = chosen.tolist()
    heads = _template(templates.snapshot_head, frame, by_address, view, wanted)
    tails = _template(templates.snapshot_tail, frame, by_address, view, wanted)
    bodies: Sequence[str] = [""] * len(frame)
    if templates.region and len(frame.start):
        bodies = lines.text(_line(templates.region, frame, options), frame.first)
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


# regions


def _line(template: str, frame: Frame, options: Options) -> list[Cells | str]:
    return [
        part if isinstance(part, str) else _REGION[part.name](frame, options, options.min_chars.get(part.name, 0))
        for part in _parts(template, REGION)
    ]


def _sizes(column: Ints, options: Options, width: int) -> Cells:
    if options.raw or int(column.max()) >= 2**53 or int(column.min()) < 0:
        # Addresses above 2**63 stand as negative numbers in columns.
        return glyphs.distinct(column, lambda value: units.size(value & units.U64_MAX, raw=options.raw), width)
    return glyphs.sizes(column, width)


def _by_aggr(frame: Frame, column: Ints, show: Callable[[int, int, int], str], width: int) -> Cells:
    """What depends on the intervals too: `show(value, sample_us, aggr_us)`."""
    if (frame.aggr_us == frame.aggr_us[0]).all() and (frame.sample_us == frame.sample_us[0]).all():
        sample, aggr = int(frame.sample_us[0]), int(frame.aggr_us[0])
        return glyphs.distinct(column, lambda value: show(value, sample, aggr), width)
    triples = np.stack((column, frame.per_region(frame.sample_us), frame.per_region(frame.aggr_us)), axis=1)
    values, index = np.unique(triples, axis=0, return_inverse=True)
    return glyphs.known([show(*row) for row in values.tolist()], index.reshape(-1), width)


def _passed(frame: Frame, options: Options, width: int) -> Cells | str:
    if frame.passed is None:
        return "N/A".ljust(width)
    return _sizes(frame.passed, options, width)


def _vmas(frame: Frame, options: Options, width: int) -> Cells | str:
    if options.vmas is None:
        return "-".ljust(width)
    spaces = options.vmas.of(frame.series.target_id)
    spans, index = np.unique(np.stack((frame.start, frame.end), axis=1), axis=0, return_inverse=True)
    return glyphs.known([spaces.name(*span) for span in spans.tolist()], index.reshape(-1), width)


_REGION: dict[str, Callable[[Frame, Options, int], Cells | str]] = {
    "<index>": lambda frame, options, width: glyphs.whole(
        np.arange(len(frame.start)) - frame.per_region(frame.first[:-1]), width
    ),
    "<start address>": lambda frame, options, width: _sizes(frame.start, options, width),
    "<end address>": lambda frame, options, width: _sizes(frame.end, options, width),
    "<size>": lambda frame, options, width: _sizes(frame.sizes, options, width),
    "<access rate>": lambda frame, options, width: _by_aggr(
        frame, frame.nr_accesses, lambda n, sample, aggr: units.percent(n * 100 * sample / aggr, raw=options.raw), width
    ),
    "<access hz>": lambda frame, options, width: _by_aggr(
        frame, frame.nr_accesses, lambda n, _, aggr: units.hz(n * 1_000_000 / aggr, raw=options.raw), width
    ),
    "<age>": lambda frame, options, width: _by_aggr(
        frame,
        np.maximum(frame.age, 0),
        lambda n, _, aggr: _told(n * aggr * 1000, raw=options.raw, raw_unit="us"),
        width,
    ),
    "<temperature>": lambda frame, options, width: glyphs.distinct(
        temperatures(frame, options.weights), lambda value: units.number(value, raw=options.raw), width
    ),
    "<filters passed bytes>": _passed,
    "<vma>": _vmas,
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
    rows = slice(int(frame.first[index]), int(frame.first[index + 1]))
    snapshot = Snapshot(
        view.record.kdamond, view.record.context, 0, int(frame.start_ns[index]), int(frame.end_ns[index]),
        0 if frame.wall_offset_ns is None else int(frame.wall_offset_ns[index]),
        int(frame.sample_us[index]), int(frame.aggr_us[index]),
        Regions(
            frame.start[rows].tolist(), frame.end[rows].tolist(), frame.nr_accesses[rows].tolist(),
            frame.age[rows].tolist(), None, None if frame.passed is None else frame.passed[rows].tolist(),
        ),
    )  # fmt: skip
    return SnapshotView(view, snapshot, snapshot.regions.total_bytes(), {})


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
