"""Templates of snapshots, for all snapshots of a frame at once.

What has no way on columns (a rare keyword, a heatmap of overlapping regions) is asked of the `SnapshotView` of the one
snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import repeat

import numpy as np

from damoctl.reports import heat_lines
from damoctl.reports.access import parts
from damoctl.reports.base import texts
from damoctl.reports.columns import SNAPSHOT, Keyword
from damoctl.reports.frames import Frame, Ints
from damoctl.reports.view import RecordView, SnapshotView
from damod import units
from damod.access.snapshot import Regions, Snapshot

# A snapshot begins where the one before it ends.
_told = lru_cache(1 << 10)(units.time)


def texts_of(template: str, frame: Frame, by_address: Frame, view: RecordView, wanted: Sequence[int]) -> list[str]:
    """A template for each of the snapshots of these indices; none where there is no template."""
    if not template:
        return []
    options = view.options
    columns: list[Iterable[str]] = []
    for part in parts(template, SNAPSHOT):
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
    found = snapshot(frame, index)
    return SnapshotView(view, found, found.regions.total_bytes(), view.bounds)


def snapshot(frame: Frame, index: int) -> Snapshot:
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
