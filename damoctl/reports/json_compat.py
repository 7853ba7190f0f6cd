"""Records as the JSON that damo prints: what it does not know is zero, and sizes are rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from damod import units
from damod.access.record import Record
from damod.access.snapshot import Snapshot
from damod.records.damo_plain import plain_snapshot, to_plain


def plain_record(record: Record, *, raw: bool, newest: bool) -> dict[str, Any]:
    """The record without its snapshots; 3.4 (`newest`) has one more kind of filters than 3.3."""
    made = to_plain(replace(record, snapshots=()), raw=raw)
    filters = [_filter(item, raw=raw) for item in record.filters]
    for item in () if newest else filters:
        del item["probe_hits_wsum_range"]
    return {**made, "scheme_filters": filters}


def plain_shot(record: Record, snapshot: Snapshot, total: int, *, raw: bool) -> dict[str, Any]:
    """One of its snapshots; rates and ages are by the record's intervals, also where others were in force."""
    regions, set_ = snapshot.regions, record.intervals
    if set_ is not None:
        shot = replace(snapshot, sample_us=set_.sample_us, aggr_us=set_.aggr_us)
        made = plain_snapshot(shot, raw=raw, compat=True)
    else:
        made = plain_snapshot(snapshot, raw=raw, compat=True)
    passed = regions.sz_filter_passed or [0] * len(regions)
    for region, size in zip(made["regions"], passed, strict=True):
        region["sz_filter_passed"] = units.size(size)
    made["total_bytes"] = units.size(total, raw=raw)
    if snapshot.stats is not None:
        made["damos_stats"] = {
            name: (units.size if name.startswith("sz_") else units.number)(snapshot.stats.get(name, 0), raw=raw)
            for name in _STATS
        }
    noted = snapshot.sample_us * 1000
    made["sample_interval_us"] = (str(noted) if raw else units.exact_time(noted)) if snapshot.sample_noted else None
    return made


_STATS = (
    "nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots",
    "max_nr_snapshots",
)  # fmt: skip


def _filter(item: Mapping[str, Any], *, raw: bool) -> dict[str, Any]:
    kind = item.get("filter_type")
    span, sizes, hits = item.get("address_range"), item.get("hugepage_size"), item.get("probe_hits_wsum_range")

    def number(value: Any) -> str:
        return units.number(units.parse_size(value), raw=raw)

    return {
        "filter_type": kind,
        "matching": bool(item.get("matching", True)),
        "allow": bool(item.get("allow", item.get("filter_pass", False))),
        "memcg_path": item.get("memcg_path"),
        "address_range": {side: number(span[side]) for side in ("start", "end")} if kind == "addr" and span else None,
        "damon_target_idx": item.get("damon_target_idx") if kind == "target" else None,
        "hugepage_size": [units.size(units.parse_size(size), raw=raw) for size in sizes] if sizes else None,
        "probe_hits_wsum_range": [number(bound) for bound in hits] if hits else None,
    }
