"""Records in the plain data of damo's JSON format, for writing files and for `report access --json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from damod import units
from damod.access.record import Record
from damod.access.snapshot import Snapshot


def to_plain(record: Record, *, raw: bool, compat: bool = False) -> dict[str, Any]:
    """A record as JSON-able data in damo's format; `raw` writes times as plain numbers, as damo's files do."""

    def us(value: int) -> str:
        return str(value) if raw else units.exact_time(value * 1000)

    intervals = record.intervals
    return {
        "kdamond_idx": record.kdamond,
        "context_idx": record.context,
        "intervals": None
        if intervals is None
        else {
            "sample_us": us(intervals.sample_us),
            "aggr_us": us(intervals.aggr_us),
            "ops_update_us": us(intervals.ops_update_us),
            "intervals_goal": {
                "access_bp": units.share(_exact(intervals.goal.access_bp), "bp", raw=raw),
                "aggrs": units.number(intervals.goal.aggrs, raw=raw),
                "min_sample_us": us(intervals.goal.min_sample_us),
                "max_sample_us": us(intervals.goal.max_sample_us),
            },
        },
        "scheme_idx": record.scheme,
        "target_id": record.target_id,
        "scheme_filters": [dict(item) for item in record.filters],
        "snapshots": [plain_snapshot(snapshot, raw=raw, compat=compat) for snapshot in record.snapshots],
        "data_source": record.data_source,
    }


def _exact(value: float) -> Any:
    from fractions import Fraction

    return Fraction(value)


def plain_snapshot(snapshot: Snapshot, *, raw: bool, compat: bool = False) -> dict[str, Any]:
    """A snapshot of `to_plain`. Access rates are in percent, which damo (`compat`) cuts to whole numbers."""
    from damod.access import measure

    time: Callable[[int], str] = str if raw else units.exact_time

    regions, sample, aggr, offset = snapshot.regions, snapshot.sample_us, snapshot.aggr_us, snapshot.wall_offset_ns
    if sample and aggr:
        shares: list[float | None] = [
            int(share) if share == int(share) else share
            for share in measure.percents(regions.nr_accesses, sample, aggr, compat=compat)
        ]
    else:
        shares = [None] * len(regions)
    return {
        "start_time": time(snapshot.start_ns + offset),
        "end_time": time(snapshot.end_ns + offset),
        "regions": [
            {
                "start": f"{regions.start[index]:,}",
                "end": f"{regions.end[index]:,}",
                "nr_accesses": {"samples": regions.nr_accesses[index], "percent": shares[index]},
                "age": {
                    "usec": units.exact_time(age * aggr * 1000) if age >= 0 and aggr else None,
                    "aggr_intervals": f"{age:,}" if age >= 0 else None,
                },
                "probe_hits": list(regions.probe_hits[index]) if regions.probe_hits else [],
                "sz_filter_passed": None
                if regions.sz_filter_passed is None
                else units.exact_size(regions.sz_filter_passed[index]),
            }
            for index, age in enumerate(regions.age)
        ],
        "total_bytes": f"{regions.total_bytes()}" if raw else units.exact_size(regions.total_bytes()),
        "damos_stats": None if snapshot.stats is None else {name: str(value) for name, value in snapshot.stats.items()},
        "sample_interval_us": (str(sample * 1000) if raw else units.exact_time(sample * 1000)) if sample else None,
    }
