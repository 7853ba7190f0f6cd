"""`report record_info`, the guide: what a record is about, that is when, whose, and which parts of the address space.

The parts are all addresses that a region of any snapshot covers; what is in no snapshot is a gap. Heatmaps take their
default ranges from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from damod import units

if TYPE_CHECKING:
    from damod.records.reader import RecordFile

Range = tuple[int, int]
COLUMNS = ("start_ns", "end_ns", "wall_ns", "aggr_us", "start", "end", "nr_accesses", "age")


class Guide(NamedTuple):
    """One (kdamond, context, scheme, target). Times are absolute (ns), wall time where the record knows it.

    `time` begins where the oldest region of the first snapshot began to look as it does.
    """

    kdamond: int
    context: int
    scheme: int | None
    target_id: int | None
    time: Range
    regions: Sequence[Range]

    @property
    def space(self) -> int:
        """Bytes in all regions."""
        return sum(end - start for start, end in self.regions)


class _Sum:
    """What is known of a series so far."""

    def __init__(self) -> None:
        self.time: Range | None = None
        self.regions: Any = None

    def add(self, rows: dict[str, Any]) -> None:
        """Rows of the series, in order of time."""
        import numpy as np

        offset = rows["wall_ns"] - rows["end_ns"]
        if self.time is None:
            first = rows["end_ns"] == rows["end_ns"][0]
            oldest = max(int(rows["age"][first].max()), 0) * int(rows["aggr_us"][0]) * 1000
            self.time = (int(rows["start_ns"][0] + offset[0]) - oldest, 0)
        self.time = (self.time[0], max(self.time[1], int((rows["end_ns"] + offset).max())))
        kept = rows["nr_accesses"] >= 0
        start, end = rows["start"][kept].view("u8"), rows["end"][kept].view("u8")
        if self.regions is not None:
            start, end = np.concatenate([self.regions[0], start]), np.concatenate([self.regions[1], end])
        self.regions = union(start, end)


def union(start: Any, end: Any) -> tuple[Any, Any]:
    """Columns of the fewest ranges that cover the same addresses, in order."""
    import numpy as np

    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    begins = np.concatenate([[True], start[1:] > end[:-1]])
    return start[begins], end[np.concatenate([begins[1:], [True]])]


def compute(records: Iterable[RecordFile]) -> list[Guide]:
    """The guides of all records, the one with the most space first."""
    guides = []
    for record in records:
        sums: dict[tuple[int, ...], _Sum] = {}
        for rows in record.columns(*KEY, *COLUMNS):
            for key, part in _by_series(rows):
                sums.setdefault(key, _Sum()).add(part)
        for series in record.series:
            found = sums.get(series.key)
            if found is None or found.time is None:
                continue
            start, end = found.regions
            guides.append(
                Guide(
                    series.kdamond,
                    series.context,
                    series.scheme,
                    series.target_id,
                    found.time,
                    [(int(low), int(high)) for low, high in zip(start, end, strict=True)],
                )
            )
    return sorted(guides, key=lambda guide: guide.space, reverse=True)


KEY = ("kdamond", "context", "scheme", "target")


def _by_series(rows: dict[str, Any]) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
    import numpy as np

    keys = np.stack([rows[name] for name in KEY])
    if (keys == keys[:, :1]).all():
        yield tuple(int(value) for value in keys[:, 0]), {name: rows[name] for name in COLUMNS}
        return
    for key in np.unique(keys, axis=1).T:
        own = (keys == key[:, None]).all(axis=0)
        yield tuple(int(value) for value in key), {name: rows[name][own] for name in COLUMNS}


def render(guides: Sequence[Guide], *, raw: bool) -> Iterator[str]:
    """The lines of the report."""
    if not guides:
        yield "no snapshot in this record"

    def size(value: int) -> str:
        return units.size(value, raw=raw, digits=6)

    def time(value: int) -> str:
        return units.time(value, raw=raw)

    for guide in guides:
        yield f"kdamond_idx: {guide.kdamond}"
        yield f"context_idx: {guide.context}"
        if guide.scheme is not None:
            yield f"scheme_idx: {guide.scheme}"
        yield f"target_id: {guide.target_id}"
        begin, finish = guide.time
        yield f"time: [{time(begin)}, {time(finish)}) ({time(finish - begin)})"
        for index, (start, end) in enumerate(guide.regions):
            yield f"region\t{index:>2}: [{size(start)}, {size(end)}) ({size(end - start)})"


def to_plain(guides: Sequence[Guide]) -> list[dict[str, Any]]:
    """The guides for programs; times in ns, addresses and sizes in bytes."""
    return [
        {
            "kdamond_idx": guide.kdamond,
            "context_idx": guide.context,
            "scheme_idx": guide.scheme,
            "target_id": guide.target_id,
            "time": {"start_ns": guide.time[0], "end_ns": guide.time[1]},
            "regions": [{"start": start, "end": end} for start, end in guide.regions],
        }
        for guide in guides
    ]
