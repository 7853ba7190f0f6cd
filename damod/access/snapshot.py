"""One look at one monitoring target: regions as columns, and everything needed to interpret them.

Columns are parallel sequences of ints, one entry per region, sorted by address. No object per region exists on this
path: a thousand regions are four lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Regions:
    """Parallel columns. `start`/`end` in bytes, `nr_accesses` in samples, `age` in aggregation intervals.

    An unknown age is -1. `probe_hits` has one sequence per region, `sz_filter_passed` bytes per region; both None
    where not known.
    """

    start: Sequence[int] = ()
    end: Sequence[int] = ()
    nr_accesses: Sequence[int] = ()
    age: Sequence[int] = ()
    probe_hits: Sequence[Sequence[int]] | None = None
    sz_filter_passed: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.start)

    def total_bytes(self) -> int:
        """Sum of the sizes."""
        return sum(self.end) - sum(self.start)

    def columns(self) -> dict[str, Any]:
        """Name -> list, or None where not known: msgpack-able."""
        return {
            name: value if value is None else list(value)
            for name in Regions.__slots__
            for value in [getattr(self, name)]
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The regions of one target at the end of one aggregation.

    `kdamond`, `context`, `target` are indices; `start_ns`/`end_ns` are on the kernel's trace clock (monotonic) and
    `wall_offset_ns` added to them gives time since the epoch. `sample_us`/`aggr_us` are those in force for this
    snapshot (auto-tuned ones included), 0 where a record does not tell. `source` is "ring", "tried_regions" or
    "damon_stat". `lost` counts trace events the ring lost since the snapshot before. `stats` are the DAMOS stats of
    the scheme that took the snapshot, as the kernel names them. `sample_noted` tells whether a record gives this
    snapshot's own sampling interval; it is not sent.
    """

    kdamond: int
    context: int
    target: int
    start_ns: int
    end_ns: int
    wall_offset_ns: int
    sample_us: int
    aggr_us: int
    regions: Regions
    ops: str = "paddr"
    pid: int | None = None
    source: str = "ring"
    lost: int = 0
    filters: Sequence[Mapping[str, Any]] = field(default=())
    intervals_goal: Mapping[str, int] | None = None
    stats: Mapping[str, int] | None = None
    sample_noted: bool = False

    def to_wire(self) -> dict[str, Any]:
        """The snapshot as msgpack-able data; columns stay columns."""
        plain = {name: getattr(self, name) for name in Snapshot.__slots__ if name not in ("regions", "sample_noted")}
        plain["filters"] = [dict(item) for item in self.filters]
        plain["stats"] = None if self.stats is None else dict(self.stats)
        return {**plain, "regions": self.regions.columns()}

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Snapshot:
        """The inverse of `to_wire`; keys of a newer daemon are ignored."""
        known = {name: data[name] for name in cls.__slots__ if name in data and name != "regions"}
        columns = {name: data["regions"][name] for name in Regions.__slots__ if name in data["regions"]}
        return cls(regions=Regions(**columns), **known)
