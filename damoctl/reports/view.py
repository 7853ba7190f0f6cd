"""One snapshot (or record) with all that its keywords need: columns, metrics and how to show them.

Metrics are computed when first asked for, once, on whole columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from damoctl.reports.box import Bounds
from damoctl.reports.options import Options
from damoctl.reports.styles import Templates
from damod.access import measure, select
from damod.access.record import Record, age_us
from damod.access.snapshot import Regions, Snapshot


class RecordView:
    """A record as its head and tail show it. `bounds` are what boxes are compared with."""

    def __init__(
        self,
        record: Record,
        options: Options,
        templates: Templates,
        bounds: Mapping[str, Bounds] | None = None,
        *,
        color: bool,
    ) -> None:
        self.record = record
        self.bounds = bounds or {}
        self.options = options
        self.templates = templates
        self.color = color
        first = record.snapshots[0] if record.snapshots else None
        self.start_ns = first.start_ns if first else 0

    @property
    def abs_start_ns(self) -> int:
        first = self.record.snapshots[0] if self.record.snapshots else None
        return first.start_ns + first.wall_offset_ns if first else 0

    @property
    def duration_ns(self) -> int:
        return self.record.snapshots[-1].end_ns - self.start_ns if self.record.snapshots else 0


class SnapshotView:
    """A snapshot as its head, regions and tail show it. `regions` are in the order of display."""

    def __init__(self, record: RecordView, snapshot: Snapshot, total_bytes: int, bounds: Mapping[str, Bounds]) -> None:
        self.of = record
        self.snapshot = snapshot
        self.total_bytes = total_bytes
        self.bounds = bounds
        self.options = record.options
        self.color = record.color

    @cached_property
    def by_address(self) -> Regions:
        return self.snapshot.regions

    @cached_property
    def regions(self) -> Regions:
        return in_order(self.snapshot, self.options, self.age_us)

    @cached_property
    def age_us(self) -> int:
        """What one unit of age is."""
        return age_us(self.of.record, self.snapshot, compat=self.options.compat)

    @cached_property
    def sizes(self) -> list[int]:
        return measure.sizes(self.regions)

    @cached_property
    def percents(self) -> list[float]:
        return self.percents_of(self.regions)

    def percents_of(self, regions: Regions) -> list[float]:
        """The access rates of regions of the snapshot, in percent."""
        snapshot = self.snapshot
        return measure.percents(regions.nr_accesses, snapshot.sample_us, snapshot.aggr_us, compat=self.options.compat)

    @cached_property
    def ages_us(self) -> list[int]:
        return measure.ages_us(self.regions.age, self.age_us)

    def temperatures(self, weights: measure.Weights, regions: Regions | None = None) -> list[int]:
        regions = self.regions if regions is None else regions
        return temperatures(self.snapshot, regions, self.options, weights, self.age_us)

    def metric(self, name: str) -> list[int]:
        """Per region what histograms and percentiles are about: "temperature" (without size) or "recency" (us)."""
        snapshot, attrs = self.snapshot, self.options.attrs
        if name == "temperature":
            first, second, third = self.options.weights
            return self.temperatures((0, second, third) if attrs is None else (first, second, 0))
        if attrs is not None:
            return attrs.idle_us(snapshot, self.regions)
        return measure.idle_us(
            self.regions, snapshot.sample_us, snapshot.aggr_us, compat=self.options.compat, age_us=self.age_us
        )

    def box_column(self, name: str) -> Sequence[float] | None:
        """Per region what a box's side stands for; None for "none"."""
        if name == "age":
            return self.ages_us
        if name == "access_rate":
            return self.percents
        return self.sizes if name == "size" else None

    def bandwidth(self, amounts: Sequence[int]) -> float:
        return measure.bandwidth(amounts, self.regions.nr_accesses, self.snapshot.aggr_us)


def temperatures(
    snapshot: Snapshot,
    regions: Regions,
    options: Options,
    weights: measure.Weights | None = None,
    age_us: int | None = None,
) -> list[int]:
    """Per region how hot it is, by its accesses or (`report attrs`) by its probe hits."""
    weights = options.weights if weights is None else weights
    if options.attrs is not None:
        return options.attrs.temperatures(snapshot, regions, weights)
    return measure.temperatures(
        regions, snapshot.sample_us, snapshot.aggr_us, weights, compat=options.compat, age_us=age_us
    )


def in_order(snapshot: Snapshot, options: Options, age_us: int | None = None) -> Regions:
    """The regions (sorted by address) sorted as asked for; of several keys the last dominates."""
    regions = snapshot.regions
    order: list[int] | None = None
    for key, descending in options.sort:
        if key == "address":
            if order is None and not descending:
                continue
            column: Sequence[float] = regions.start
        elif key == "access_rate":
            column = regions.nr_accesses
        elif key == "probe_hits_wsum" and options.attrs is not None:
            column = options.attrs.sums(snapshot, regions)
        elif key == "age":
            column = regions.age
        elif key == "size":
            column = measure.sizes(regions)
        else:
            column = temperatures(snapshot, regions, options, age_us=age_us)
        order = sorted(range(len(regions)) if order is None else order, key=column.__getitem__, reverse=descending)
    return regions if order is None else select.take(regions, order)
