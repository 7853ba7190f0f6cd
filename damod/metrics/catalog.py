"""Each metric once: its name, type, unit, help and labels. docs/metrics.md is held to this by a test.

Names follow Prometheus: base units in the name, `_total` for what only grows. Labels are bounded by what is configured:
slots (eight, unless a policy needs more), sets, schemes, stages; nothing is per region or process.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Type = Literal["gauge", "counter", "histogram", "info"]


class Metric(NamedTuple):
    """`name` without the suffixes that a type adds (``_total``, ``_bucket``)."""

    name: str
    type: Type
    unit: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """The names under which samples of it appear."""
        if self.type == "counter":
            return (f"{self.name}_total",)
        if self.type == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "gcount", "gsum"))
        return (f"{self.name}_info",) if self.type == "info" else (self.name,)


IDLE_BUCKETS_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
"""Fixed for ever, so that hosts and releases may be summed."""
WORKING_SET_S = (0, 10, 60, 300, 1800, 3600, 86400)
STAGES = ("running", "disabled", "masked", "invalid", "unmet", "waiting", "refused", "rolled-back", "stopped")
RECORDING_STATES = (
    "starting", "recording", "no room", "sealing", "done", "aborted", "failed", "crashed", "interrupted",
)  # fmt: skip

_KDAMOND = ("kdamond", "set")
_SCHEME = ("kdamond", "set", "scheme", "action")

METRICS: tuple[Metric, ...] = (
    Metric("damod", "info", "", "Versions of damod and of the kernel.", ("version", "kernel", "release")),
    Metric("damod_start_time_seconds", "gauge", "seconds", "When damod started, since the epoch."),
    Metric("damod_cpu_seconds", "counter", "seconds", "CPU time that damod has used."),
    Metric("damod_resident_memory_bytes", "gauge", "bytes", "Memory that damod has resident."),
    Metric("damod_open_fds", "gauge", "", "Files that damod has open."),
    Metric("damod_connections", "gauge", "", "Peers connected to the socket."),
    Metric("damod_subscriptions", "gauge", "", "Live streams."),
    Metric("damod_stream_events_lost", "counter", "", "Stream events that subscribers lost by not reading."),
    Metric(
        "damod_ring_events_lost", "counter", "",
        "Trace events that the kernel's ring lost while every aggregation was wanted, by who wanted them.", ("reader",),
    ),
    Metric("damod_problems", "gauge", "", "Problems that `damoctl status` tells."),
    Metric("damod_recordings", "gauge", "", "Recordings by state.", ("state",)),
    Metric("damod_policies", "gauge", "", "Policies by stage.", ("stage",)),
    Metric("damod_policy_running", "gauge", "", "1 if the policy runs, else 0.", ("policy",)),
    Metric(
        "damod_policy_drift", "gauge", "", "Parameters of the policy that somebody else has changed.", ("policy",)
    ),
    Metric(
        "damod_policy_generation", "gauge", "", "Goes up with each reload or repair of policies that changed something."
    ),
    Metric(
        "damod_memory_pressure_seconds", "counter", "seconds",
        "Time in which some task of this machine waited for memory (PSI), since boot.",
    ),
    Metric("damon_kdamond_cpu_seconds", "counter", "seconds", "CPU time of the kdamond, a kernel thread.", _KDAMOND),
    Metric("damon_sample_interval_seconds", "gauge", "seconds", "Sampling interval in force, tuned or not.", _KDAMOND),
    Metric("damon_aggregation_interval_seconds", "gauge", "seconds", "Aggregation interval in force.", _KDAMOND),
    Metric("damon_regions", "gauge", "", "Regions in the newest snapshot.", _KDAMOND),
    Metric("damon_monitored_bytes", "gauge", "bytes", "Size of all regions in the newest snapshot.", _KDAMOND),
    Metric(
        "damon_working_set_bytes", "gauge", "bytes",
        "Memory accessed within so many seconds before the newest snapshot (0: in its own aggregation).",
        (*_KDAMOND, "within_seconds"),
    ),
    Metric(
        "damon_idle_age_bytes", "histogram", "bytes",
        "Memory by the seconds since its last access: bytes that have been idle for at most `le`.", _KDAMOND,
    ),
    Metric("damon_scheme_tried_bytes", "counter", "bytes", "Memory that the scheme was tried on.", _SCHEME),
    Metric("damon_scheme_applied_bytes", "counter", "bytes", "Memory that the scheme was applied to.", _SCHEME),
    Metric("damon_scheme_tried_regions", "counter", "", "Regions that the scheme was tried on.", _SCHEME),
    Metric("damon_scheme_applied_regions", "counter", "", "Regions that the scheme was applied to.", _SCHEME),
    Metric(
        "damon_scheme_filter_passed_bytes", "counter", "bytes", "Memory that passed the scheme's page filters.", _SCHEME
    ),
    Metric(
        "damon_scheme_quota_exceeded", "counter", "", "How often the scheme's quota was exceeded; no bytes.", _SCHEME
    ),
    Metric(
        "damon_scheme_effective_quota_bytes", "gauge", "bytes",
        "Bytes that the scheme may be applied to in one reset interval now, all its quotas and goals taken together.",
        _SCHEME,
    ),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in METRICS}
