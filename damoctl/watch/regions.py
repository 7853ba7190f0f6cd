"""The regions of one snapshot as rows of a table, in the order that the person chose."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from damod.access import measure
from damod.access.snapshot import Regions, Snapshot

SORTS = ("hot", "cold", "size", "address", "access", "age")


class Row(NamedTuple):
    """`percent` of the checks saw an access (None: not known), for `age_us` (-1: not known).

    `heat` is the temperature (`measure.temperatures`).
    """

    start: int
    end: int
    samples: int
    percent: float | None
    age_us: int
    heat: int

    @property
    def size(self) -> int:
        return self.end - self.start


_KEYS: dict[str, Callable[[Row], tuple[float, int]]] = {
    "hot": lambda row: (-row.heat, row.start),
    "cold": lambda row: (row.heat, row.start),
    "size": lambda row: (row.start - row.end, row.start),
    "address": lambda row: (0, row.start),
    "access": lambda row: (-row.samples, row.start),
    "age": lambda row: (-row.age_us, row.start),
}


def rows(snapshot: Snapshot, sort: str) -> list[Row]:
    """One row per region; neighbours that look the same are one."""
    sample_us, aggr_us = max(snapshot.sample_us, 1), max(snapshot.aggr_us, 1)
    own = snapshot.regions
    merged = measure.merged(Regions(list(own.start), list(own.end), list(own.nr_accesses), list(own.age)))
    known = snapshot.sample_us > 0 and snapshot.aggr_us > 0
    found = map(
        Row,
        merged.start,
        merged.end,
        merged.nr_accesses,
        measure.percents(merged.nr_accesses, sample_us, aggr_us) if known else [None] * len(merged),
        [age * aggr_us if age >= 0 and known else -1 for age in merged.age],
        measure.temperatures(merged, sample_us, aggr_us),
    )
    return sorted(found, key=_KEYS[sort])
