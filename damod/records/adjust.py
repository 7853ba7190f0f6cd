"""A record seen through a filter or with longer aggregation intervals, as a record of its own.

Joining snapshots: regions are cut at all boundaries of the snapshots joined, accesses and probe hits are summed (so
rates stay what they were on average), ages and passed bytes are those of the last snapshot, pieces that look the same
are one region again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord
from damod.records import batch, schema
from damod.records.file import RecordFile, aggregation_bounds, snapshots_in
from damod.records.schema import Series
from damod.records.writer import ROWS_PER_BATCH

if TYPE_CHECKING:
    import pyarrow as pa

Change = Callable[[Iterable[Snapshot]], Iterable[Snapshot]]
"""From the snapshots of one series to those that take their place, in order of time."""


class Adjusted(RecordFile):
    """`source` with each series' snapshots put through `changes`, one after the other.

    With `aggr_us` the snapshots that are left are joined until they are at least so long, and `skip` of each series are
    left out first. `source` stays the caller's.
    """

    def __init__(
        self, source: RecordFile, changes: Sequence[Change] = (), *, aggr_us: int | None = None, skip: int = 0
    ) -> None:
        super().__init__(source.name, source.type, source.meta)
        self._source = source
        self._aggr_us = aggr_us
        self._changes: list[Change] = [lambda given: islice(given, skip, None), *changes]
        if aggr_us is not None:
            length = aggr_us
            self._changes.append(lambda given: joined(given, length))

    @property
    def series(self) -> Sequence[Series]:
        """Those of the source, with the intervals that their snapshots have now."""
        if self._aggr_us is None:
            return self._source.series
        return [
            replace(one, intervals=replace(one.intervals, aggr_us=max(one.intervals.aggr_us, self._aggr_us)))
            if one.intervals
            else one
            for one in self._source.series
        ]

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        found = self._source.all_series()
        self.warnings = list(self._source.warnings)
        held = merge(*(self._held(series) for series in found), key=lambda item: item.order)
        for group in batch.groups(held, ROWS_PER_BATCH):
            yield batch.build(group, columns)

    def all_series(self) -> Sequence[Series]:
        self._source.all_series()
        self.warnings = list(self._source.warnings)
        return self.series

    def aggregations(self, of: Series | None = None) -> Iterator[tuple[Series, Snapshot]]:
        if of is None:
            yield from super().aggregations()
            return
        # who asks for one series after the other must not have all of them changed each time
        for group in batch.groups(self._held(of), ROWS_PER_BATCH):
            rows = batch.build(group)
            yield from snapshots_in(rows, aggregation_bounds(rows, ("end_ns", *schema.KEY)), {of.key: of})

    def _held(self, series: Series) -> Iterator[batch.Held]:
        found: Iterable[Snapshot] = (one for _, one in self._source.aggregations(series))
        for change in self._changes:
            found = change(found)
        for snapshot in found:
            yield batch.hold(snapshot, series.key)


def joined(snapshots: Iterable[Snapshot], aggr_us: int) -> Iterator[Snapshot]:
    """Consecutive snapshots as one, as soon as they are together at least `aggr_us` long; so is what is left."""
    group: list[Snapshot] = []
    for snapshot in snapshots:
        group.append(snapshot)
        if snapshot.end_ns - group[0].start_ns >= aggr_us * 1000:
            yield _join(group)
            group = []
    if group:
        yield _join(group)


def _join(group: Sequence[Snapshot]) -> Snapshot:
    last = group[-1]
    if len(group) == 1:
        return last
    aggr_us = sum(one.aggr_us for one in group)
    return replace(
        last,
        start_ns=group[0].start_ns,
        aggr_us=aggr_us,
        regions=_overlay([one.regions for one in group], last.aggr_us, aggr_us),
        lost=sum(one.lost for one in group),
        stats=last.stats,
    )


def _overlay(layers: Sequence[Regions], last_aggr_us: int, aggr_us: int) -> Regions:
    import numpy as np

    layers = [one for one in layers if len(one)]
    if not layers:
        return Regions()
    bounds = [np.asarray(column, "u8") for one in layers for column in (one.start, one.end)]
    edges = np.unique(np.concatenate(bounds))
    low, high = edges[:-1], edges[1:]
    covered = np.zeros(len(low), bool)
    samples = np.zeros(len(low), "i8")
    probes = layers[-1].probe_hits
    width = len(probes[0]) if probes is not None else 0
    hits = np.zeros((len(low), width), "i8")
    for one in layers:
        place, inside = _places(one, low)
        covered |= inside
        samples[inside] += np.asarray(one.nr_accesses, "i8")[place[inside]]
        if width and one.probe_hits is not None and {len(row) for row in one.probe_hits} == {width}:
            hits[inside] += np.asarray(one.probe_hits, "i8")[place[inside]]
    if samples.max() > 2**31 - 1:
        raise BadRecord("joined snapshots have more accesses than a record can hold")
    last = layers[-1]
    place, inside = _places(last, low)
    place = np.where(inside, place, 0)
    age = np.where(inside, np.asarray(last.age, "i8")[place], 0)
    if aggr_us:
        age = np.where(age > 0, age * last_aggr_us // aggr_us, age)
    looks = [samples, age, *hits.T]
    passed = None
    if last.sz_filter_passed is not None:
        size = np.asarray(last.end, "u8") - np.asarray(last.start, "u8")
        share = np.asarray(last.sz_filter_passed, "f8") / np.maximum(size, 1)
        passed = np.where(inside, share[place], 0)
        looks.append(passed)
    return _condensed(low, high, covered, looks, samples, age, hits if width else None, passed)


def _places(regions: Regions, low: Any) -> tuple[Any, Any]:
    """For each address the index of the region that it may be in, and whether it is."""
    import numpy as np

    place = np.searchsorted(np.asarray(regions.start, "u8"), low, "right") - 1
    return place, (place >= 0) & (low < np.asarray(regions.end, "u8")[place])


def _condensed(
    low: Any, high: Any, covered: Any, looks: Sequence[Any], samples: Any, age: Any, hits: Any, passed: Any
) -> Regions:
    """The covered pieces, neighbours that look the same as one; `passed` is a share of the size."""
    import numpy as np

    begins = covered.copy()
    alike = covered[1:] & covered[:-1]
    for values in looks:
        alike &= values[1:] == values[:-1]
    begins[1:] &= ~alike
    first = np.flatnonzero(begins)
    ends = covered.copy()
    ends[:-1] &= ~alike
    last = np.flatnonzero(ends)
    size = high[last] - low[first]
    return Regions(
        start=low[first],
        end=high[last],
        nr_accesses=samples[first],
        age=age[first],
        probe_hits=None if hits is None else hits[first].tolist(),
        sz_filter_passed=None if passed is None else np.rint(passed[first] * size).astype("i8"),
    )
