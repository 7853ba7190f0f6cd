"""Whether a record is what monitoring with given limits can have made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from damod.records.file import RecordFile

Range = tuple[int, int]


class Limits(NamedTuple):
    """What is allowed, both ends included. `boundaries` are half-open address ranges, none means any address.

    `allow_error` percent of the snapshots of a series may have another duration or number of regions.
    """

    aggr_us: Range = (75_000, 125_000)
    nr_regions: Range = (3, 1200)
    nr_accesses: Range = (0, 24)
    boundaries: Sequence[Range] = ()
    allow_error: float = 2.0


class Problem(NamedTuple):
    """A value outside of its limits: the first one of its kind, and how many snapshots have one (of how many)."""

    text: str
    snapshots: int
    of: int


def _expect(low: int, name: str, high: int, value: int) -> str:
    return f"expect {low}<={name}<={high} but {value}"


class _Count:
    def __init__(self) -> None:
        self.snapshots = 0
        self.bad = 0
        self.first = ""

    def add(self, text: str) -> None:
        self.bad += 1
        self.first = self.first or text


def problems(record: RecordFile, limits: Limits) -> list[Problem]:
    """Everything that is wrong, the worst kind first; empty for a valid record. A record without rows is a problem."""
    import numpy as np

    soft: dict[tuple[int, int, int, int], _Count] = {}
    hard = _Count()
    total = 0
    for series, snapshot in record.aggregations():
        total += 1
        count = soft.setdefault(series.key, _Count())
        count.snapshots += 1
        regions = snapshot.regions
        took = (snapshot.end_ns - snapshot.start_ns) // 1000
        if not limits.aggr_us[0] <= took <= limits.aggr_us[1]:
            count.add(_expect(limits.aggr_us[0], "aggregate interval (us)", limits.aggr_us[1], took))
        elif not limits.nr_regions[0] <= len(regions) <= limits.nr_regions[1]:
            count.add(_expect(limits.nr_regions[0], "number of regions", limits.nr_regions[1], len(regions)))
        if not len(regions):
            continue
        start, end = np.asarray(regions.start, "u8"), np.asarray(regions.end, "u8")
        samples = np.asarray(regions.nr_accesses, "i8")
        low, high = limits.nr_accesses
        if (wrong := np.flatnonzero(start >= end)).size:
            hard.add(f"expect start<end but {start[wrong[0]]}-{end[wrong[0]]}")
        elif (wrong := np.flatnonzero((samples < low) | (samples > high))).size:
            hard.add(_expect(low, "nr_accesses", high, int(samples[wrong[0]])))
        elif limits.boundaries:
            inside = np.zeros(len(start), bool)
            for begin, finish in limits.boundaries:
                inside |= (start >= begin) & (end <= finish)
            if (wrong := np.flatnonzero(~inside)).size:
                allowed = ", ".join(f"{begin}-{finish}" for begin, finish in limits.boundaries)
                hard.add(f"expect regions inside {allowed} but {start[wrong[0]]}-{end[wrong[0]]}")
    found = []
    if not total:
        found.append(Problem("expect at least one snapshot but there is none", 0, 0))
    if hard.bad:
        found.append(Problem(hard.first, hard.bad, total))
    found += [
        Problem(count.first, count.bad, count.snapshots)
        for count in soft.values()
        if count.bad * 100 > limits.allow_error * count.snapshots
    ]
    return found
