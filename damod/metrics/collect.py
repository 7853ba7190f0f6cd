"""From the daemon's state to samples: plain data in, plain data out, so that the socket can carry them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from damod.access import measure
from damod.access.snapshot import Snapshot
from damod.metrics.catalog import IDLE_BUCKETS_S, METRICS, RECORDING_STATES, STAGES, WORKING_SET_S

Family = list[tuple[tuple[str, ...], Any]]
"""Samples of one metric: the values of its labels, and a number (histograms: {"buckets", "sum"}, not cumulative)."""


@dataclass(frozen=True)
class Seen:
    """What was found in one look. `status`, `stats`: as on the socket; `snapshots`: the newest of each target.

    `lost`: reader -> trace events lost; `policies`: rows of `policy.list`; `recordings`: rows of `record.list`.
    """

    status: Mapping[str, Any]
    stats: Mapping[str, Any]
    snapshots: Sequence[Snapshot]
    policies: Sequence[Mapping[str, Any]]
    recordings: Sequence[Mapping[str, Any]]
    lost: Mapping[str, int]
    streams_lost: int
    open_fds: int
    start_s: float


def collect(seen: Seen) -> dict[str, Family]:
    """The samples of every metric of the catalog, by name; what is not known has none."""
    daemon = seen.status["daemon"]
    states = Counter(str(item["state"]) for item in seen.recordings)
    stages = Counter(str(item["stage"]) for item in seen.policies)
    pressure_us = seen.stats["memory_pressure_us"]
    kernel = daemon["kernel"]
    found: dict[str, Family] = {metric.name: [] for metric in METRICS}
    found |= {
        "damod": [((daemon["version"], kernel["name"], kernel["release"]), 1)],
        "damod_start_time_seconds": [((), seen.start_s)],
        "damod_cpu_seconds": [((), seen.stats["daemon"]["cpu_ns"] / 1e9)],
        "damod_resident_memory_bytes": [((), seen.stats["daemon"]["rss_bytes"])],
        "damod_open_fds": [((), seen.open_fds)],
        "damod_connections": [((), daemon["connections"])],
        "damod_subscriptions": [((), daemon["subscriptions"])],
        "damod_stream_events_lost": [((), seen.streams_lost)],
        "damod_ring_events_lost": [((reader,), lost) for reader, lost in seen.lost.items()],
        "damod_problems": [((), len(seen.status["problems"]))],
        "damod_recordings": [((state,), states[state]) for state in RECORDING_STATES],
        "damod_policies": [((stage,), stages[stage]) for stage in STAGES],
        "damod_policy_running": [((item["name"],), int(item["stage"] == "running")) for item in seen.policies],
        "damod_policy_drift": [((item["name"],), len(item["drift"])) for item in seen.policies],
        "damod_policy_generation": [((), seen.status["policy_generation"])],
        "damod_memory_pressure_seconds": [] if pressure_us is None else [((), pressure_us / 1e6)],
    }
    for row in seen.stats["kdamonds"]:
        whose = str(row["kdamond"]), row["name"] or ""
        _kdamond(found, whose, row)
        _access(found, whose, [item for item in seen.snapshots if item.kdamond == row["kdamond"]])
    return found


def _kdamond(found: dict[str, Family], whose: tuple[str, ...], row: Mapping[str, Any]) -> None:
    if row["cpu_ns"] is not None:
        found["damon_kdamond_cpu_seconds"].append((whose, row["cpu_ns"] / 1e9))
    found["damon_sample_interval_seconds"].append((whose, row["sample_us"] / 1e6))
    found["damon_aggregation_interval_seconds"].append((whose, row["aggr_us"] / 1e6))
    for index, scheme in enumerate(row["schemes"]):
        labels, stats = (*whose, str(index), str(scheme["action"])), scheme["stats"]
        for name, value in (
            ("tried_bytes", stats["sz_tried"]),
            ("applied_bytes", stats["sz_applied"]),
            ("tried_regions", stats["nr_tried"]),
            ("applied_regions", stats["nr_applied"]),
            ("filter_passed_bytes", stats["sz_ops_filter_passed"]),
            ("quota_exceeded", stats["qt_exceeds"]),
            ("effective_quota_bytes", scheme["effective_quota_bytes"]),
        ):
            found[f"damon_scheme_{name}"].append((labels, value))


def _access(found: dict[str, Family], whose: tuple[str, ...], snapshots: Sequence[Snapshot]) -> None:
    if not snapshots:
        return
    idle: list[tuple[float, int]] = []
    for item in snapshots:
        seconds = (idle_us / 1e6 for idle_us in measure.idle_us(item.regions, item.sample_us, item.aggr_us))
        idle += zip(seconds, measure.sizes(item.regions), strict=True)
    found["damon_regions"].append((whose, len(idle)))
    found["damon_monitored_bytes"].append((whose, sum(size for _, size in idle)))
    found["damon_idle_age_bytes"].append((whose, histogram(idle)))
    found["damon_working_set_bytes"] += [
        ((*whose, str(within)), sum(size for idle_s, size in idle if idle_s <= within)) for within in WORKING_SET_S
    ]


def histogram(idle: Iterable[tuple[float, int]]) -> dict[str, Any]:
    """Bytes by idle time: how many are in each bucket (the last one has no bound), and the sum of bytes x seconds."""
    buckets = [0] * (len(IDLE_BUCKETS_S) + 1)
    total = 0.0
    for idle_s, size in idle:
        buckets[bisect_left(IDLE_BUCKETS_S, idle_s)] += size
        total += idle_s * size
    return {"buckets": buckets, "sum": total}
