"""Where each field of a spec lives in DAMON's sysfs tree; the only file with DAMON path strings.

A layout is a table of `File` (one field, one attribute) and `Children` (a tuple of models, numbered directories). The
writer walks it from spec to files, the reader from files to spec, `features` looks for its attributes. Paths are
relative to `.../mm/damon/admin`. Adding an attribute of a newer kernel is one line here, one in `features.FEATURES`
and the field in `damod.spec`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

NR_KDAMONDS = "kdamonds/nr_kdamonds"

# How a field's value is spelled in its file; see writer.spell and reader.unspell.
Kind = Literal["number", "text", "flag", "pid", "nid", "rate_min", "rate_max", "age_min", "age_max"]


@dataclass(frozen=True)
class File:
    """One attribute. `field` is dotted, relative to the model; `feature` brought the file ("": all kernels have it)."""

    field: str
    path: str
    kind: Kind = "number"
    feature: str = ""


@dataclass(frozen=True)
class Children:
    """Numbered directories 0, 1, ... below `path`, one per item of `field`; writing `path/nr` makes them anew.

    `layer` says which DAMOS filters live here: those of the core or ops layer, or (empty) all on old kernels.
    """

    field: str
    path: str
    nr: str
    layout: Layout
    feature: str = ""
    layer: Literal["", "core", "ops"] = ""

    @property
    def count(self) -> str:
        return f"{self.path}/{self.nr}"


Layout = tuple[File | Children, ...]

FILTER: Layout = (
    File("filter_type", "type", "text"),
    File("matching", "matching", "flag"),
    File("allow", "allow", "flag", feature="filter_allow"),
    File("memcg_path", "memcg_path", "text"),
    File("address_range.start", "addr_start"),
    File("address_range.end", "addr_end"),
    File("damon_target_idx", "damon_target_idx"),
    File("hugepage_size.0", "min", feature="filter.hugepage_size"),
    File("hugepage_size.1", "max", feature="filter.hugepage_size"),
)
GOAL: Layout = (
    File("metric", "target_metric", "text"),
    File("target_value", "target_value"),
    File("current_value", "current_value"),
    File("nid", "nid", feature="quota_goal.nid"),
    File("memcg_path", "path", "text", feature="quota_goal.path"),
)
SCHEME: Layout = (
    File("action", "action", "text"),
    File("target_nid", "target_nid", "nid"),
    Children("dests", "dests", "nr_dests", (File("id", "id"), File("weight", "weight")), feature="dests"),
    File("apply_interval_us", "apply_interval_us"),
    File("access_pattern.sz_bytes.min", "access_pattern/sz/min"),
    File("access_pattern.sz_bytes.max", "access_pattern/sz/max"),
    File("access_pattern.nr_accesses.min", "access_pattern/nr_accesses/min", "rate_min"),
    File("access_pattern.nr_accesses.max", "access_pattern/nr_accesses/max", "rate_max"),
    File("access_pattern.age.min", "access_pattern/age/min", "age_min"),
    File("access_pattern.age.max", "access_pattern/age/max", "age_max"),
    File("quotas.time_ms", "quotas/ms"),
    File("quotas.sz_bytes", "quotas/bytes"),
    File("quotas.reset_interval_ms", "quotas/reset_interval_ms"),
    File("quotas.fail_charge_num", "quotas/fail_charge_num", feature="fail_charge"),
    File("quotas.fail_charge_denom", "quotas/fail_charge_denom", feature="fail_charge"),
    File("quotas.goal_tuner", "quotas/goal_tuner", "text", feature="goal_tuner"),
    Children("quotas.goals", "quotas/goals", "nr_goals", GOAL),
    File("quotas.weights.sz_permil", "quotas/weights/sz_permil"),
    File("quotas.weights.nr_accesses_permil", "quotas/weights/nr_accesses_permil"),
    File("quotas.weights.age_permil", "quotas/weights/age_permil"),
    File("watermarks.metric", "watermarks/metric", "text"),
    File("watermarks.interval_us", "watermarks/interval_us"),
    File("watermarks.high_permil", "watermarks/high"),
    File("watermarks.mid_permil", "watermarks/mid"),
    File("watermarks.low_permil", "watermarks/low"),
    # In the order in which the kernel evaluates them: core, ops, then what stands in the old common directory.
    Children("filters", "core_filters", "nr_filters", FILTER, feature="core_ops_filters", layer="core"),
    Children("filters", "ops_filters", "nr_filters", FILTER, feature="core_ops_filters", layer="ops"),
    Children("filters", "filters", "nr_filters", FILTER),
    File("max_nr_snapshots", "stats/max_nr_snapshots", feature="max_nr_snapshots"),
)
# What a scheme tells; never written (max_nr_snapshots, which is an input, is in SCHEME).
SCHEME_STATS: tuple[File, ...] = (
    File("nr_tried", "stats/nr_tried"),
    File("sz_tried", "stats/sz_tried"),
    File("nr_applied", "stats/nr_applied"),
    File("sz_applied", "stats/sz_applied"),
    File("sz_ops_filter_passed", "stats/sz_ops_filter_passed", feature="stats.sz_ops_filter_passed"),
    File("qt_exceeds", "stats/qt_exceeds"),
    File("nr_snapshots", "stats/nr_snapshots", feature="stats.nr_snapshots"),
    File("max_nr_snapshots", "stats/max_nr_snapshots", feature="max_nr_snapshots"),
)
EFFECTIVE_QUOTA = File("quotas.effective_sz_bytes", "quotas/effective_bytes")
TRIED_BYTES = "tried_regions/total_bytes"
PROBE_FILTER: Layout = (
    File("filter_type", "type", "text"),
    File("matching", "matching", "flag"),
    File("allow", "allow", "flag"),
    File("path", "path", "text"),
    File("range_min", "min", feature="probe_filter.hugepage_size"),
    File("range_max", "max", feature="probe_filter.hugepage_size"),
)
PROBE: Layout = (
    Children("filters", "filters", "nr_filters", PROBE_FILTER),
    File("weight", "weight", feature="probe_weight"),
)
TARGET: Layout = (
    File("pid", "pid_target", "pid"),
    File("obsolete", "obsolete_target", "flag", feature="obsolete_target"),
    Children("regions", "regions", "nr_regions", (File("start", "start"), File("end", "end"))),
)
CONTEXT: Layout = (
    File("ops", "operations", "text"),
    File("addr_unit", "addr_unit", feature="addr_unit"),
    File("intervals.sample_us", "monitoring_attrs/intervals/sample_us"),
    File("intervals.aggr_us", "monitoring_attrs/intervals/aggr_us"),
    File("intervals.ops_update_us", "monitoring_attrs/intervals/update_us"),
    *(
        File(
            f"intervals.intervals_goal.{name}",
            f"monitoring_attrs/intervals/intervals_goal/{name}",
            feature="intervals_goal",
        )
        for name in ("access_bp", "aggrs", "min_sample_us", "max_sample_us")
    ),
    File("nr_regions.min", "monitoring_attrs/nr_regions/min"),
    File("nr_regions.max", "monitoring_attrs/nr_regions/max"),
    Children("probes", "monitoring_attrs/probes", "nr_probes", PROBE, feature="probes"),
    File("pause", "pause", "flag", feature="pause"),
    Children("targets", "targets", "nr_targets", TARGET),
    Children("schemes", "schemes", "nr_schemes", SCHEME),
)
KDAMOND: Layout = (
    File("refresh_ms", "refresh_ms", feature="refresh_ms"),
    Children("contexts", "contexts", "nr_contexts", CONTEXT),
)
OPERATIONS, NR_SCHEMES, ACTION = "operations", "schemes/nr_schemes", "action"
AVAIL_OPERATIONS = "avail_operations"
TUNED_FILES = ("intervals.sample_us", "intervals.aggr_us")


def kdamond(slot: int) -> str:
    return f"kdamonds/{slot}"


def state(slot: int) -> str:
    return f"kdamonds/{slot}/state"


def pid(slot: int) -> str:
    return f"kdamonds/{slot}/pid"


def nr_contexts(slot: int) -> str:
    return f"kdamonds/{slot}/contexts/nr_contexts"


def context(slot: int, index: int = 0) -> str:
    return f"kdamonds/{slot}/contexts/{index}"


def scheme(slot: int, index: int) -> str:
    return f"kdamonds/{slot}/contexts/0/schemes/{index}"


def tried_regions(slot: int, scheme_index: int) -> str:
    return f"{scheme(slot, scheme_index)}/tried_regions"


def module(name: str, parameter: str = "") -> str:
    """Path below /sys/module of a parameter of a DAMON module, or of its parameters' directory."""
    return f"{name}/parameters/{parameter}".rstrip("/")


def walk(layout: Layout, at: str) -> Iterator[tuple[str, File | Children]]:
    """(directory pattern, entry) of a layout and all below it, children as ``*``."""
    for entry in layout:
        yield at, entry
        if isinstance(entry, Children):
            yield from walk(entry.layout, f"{at}/{entry.path}/*")
