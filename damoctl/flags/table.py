"""Group P: every option that says what DAMON shall do, once.

What a word means and where its value goes in a spec is said here and nowhere else; words without a path (filters,
goals, actions, regions, counts) have a grammar of their own in `compile`. `level` says whose property the option is;
`MARKERS` open an item of a level, `COUNTS` say how many items each parent has.
"""

from __future__ import annotations

from damoctl.flags.option import Option, Word

OPS = ("vaddr", "paddr", "fvaddr")
ACTIONS = (
    "willneed", "cold", "pageout", "hugepage", "collapse", "nohugepage",
    "lru_prio", "lru_deprio", "migrate_hot", "migrate_cold", "stat",
)  # fmt: skip
MIGRATIONS = ("migrate_hot", "migrate_cold")

# Keyword -> the words after it. A filter is <allow|reject> [none] <type> <words>.
FILTER_TYPES: dict[str, tuple[Word, ...]] = {
    "anon": (),
    "active": (),
    "memcg": (Word("path", "text", "memcg_path"),),
    "young": (),
    "hugepage_size": (Word("min", "bytes", "hugepage_size.0"), Word("max", "bytes", "hugepage_size.1")),
    "unmapped": (),
    "addr": (Word("start", "bytes", "address_range.start"), Word("end", "bytes", "address_range.end")),
    "target": (Word("index", "index", "damon_target_idx"),),
    "probe_hits_wsum": (
        Word("min", "count", "probe_hits_wsum_range.0"),
        Word("max", "count", "probe_hits_wsum_range.1"),
    ),
}
PROBE_FILTER_TYPES: dict[str, tuple[Word, ...]] = {
    "anon": (),
    "memcg": (Word("path", "text", "path"),),
    "pgidle_set": (),
    "pgidle_unset": (),
    "hugepage_size": (Word("min", "bytes", "range_min"), Word("max", "bytes", "range_max")),
}
_NID, _PATH = Word("node id", "index", "nid"), Word("memcg path", "text", "memcg_path")
# Metric -> kind of its target value, words after it (`current_value` of user_input is 0 if left out).
GOAL_METRICS: dict[str, tuple[str, tuple[Word, ...]]] = {
    "user_input": ("count", (Word("current value", "count", "current_value"),)),
    "some_mem_psi_us": ("us", ()),
    "node_mem_used_bp": ("bp", (_NID,)),
    "node_mem_free_bp": ("bp", (_NID,)),
    "node_memcg_used_bp": ("bp", (_NID, _PATH)),
    "node_memcg_free_bp": ("bp", (_NID, _PATH)),
    "active_mem_bp": ("bp", ()),
    "inactive_mem_bp": ("bp", ()),
    "node_eligible_mem_bp": ("bp", (_NID,)),
}


def _marker(name: str, level: str, what: str, category: str) -> Option:
    return Option((name,), level, f"Start of {what}: the options after it are its own.", repeat=True, category=category)


def _count(name: str, child: str, parent: str, category: str = "monitoring") -> Option:
    about = (
        f"Number of {child} of each {parent}, in order. Not needed where the order of the options or markers say it."
    )
    return Option((name,), "count", about, (Word("number", "count"),), more=True, hidden=True, category=category)


def _one(
    name: str,
    level: str,
    about: str,
    *words: Word,
    least: int = -1,
    more: bool = False,
    feature: str = "",
    since: str = "",
    hidden: bool = False,
    default: str = "",
) -> Option:
    return Option(
        tuple(name.split()),
        level,
        about,
        words,
        least,
        more,
        True,
        "damos" if level == "scheme" or name.startswith("--damos") else "monitoring",
        feature,
        since,
        hidden,
        default,
    )


_FILTER = "<allow|reject> [none] <type> [<option>...]"

OPTIONS: tuple[Option, ...] = (
    _marker("--kdamond", "kdamond", "a kdamond", "monitoring"),
    _marker("--damon_ctx", "ctx", "a context of the kdamond", "monitoring"),
    _one(
        "--ops",
        "ctx",
        "Monitoring operations set: virtual memory of processes, physical memory, or fixed ranges of virtual memory. "
        "A second --ops is that of a second context.",
        Word("name", path="ops", choices=OPS),
        default="vaddr with a --target_pid, else paddr",
    ),
    _marker("--probe", "probe", "a data attribute probe of the context", "monitoring"),
    _one(
        "--probe_prep",
        "probe",
        "What to do to a page before the probe looks at it.",
        Word("prep action", choices=("set_pgidle",)),
        feature="probe_preps",
        since="none",
    ),
    _count("--nr_probe_preps", "--probe_prep", "probe"),
    _one(
        "--probe_filter",
        "probe",
        f"One or more filters of the probe: {_FILTER}; types: anon, memcg <path>, pgidle_set, pgidle_unset, "
        "hugepage_size <min> <max>.",
        Word("filter"),
        more=True,
        feature="probes",
        since="7.2",
    ),
    _count("--nr_probe_filters", "--probe_filter", "probe"),
    _one(
        "--probe_weight",
        "probe",
        "Weight of the probe; several words are those of the first, second, ... probe.",
        Word("number", "count"),
        more=True,
        feature="probe_weight",
        since="7.3",
        default="0",
    ),
    _count("--nr_probes", "probes", "context"),
    _one(
        "--pause_ctx",
        "global",
        "Contexts, counted from 0 over the whole command line, that are set up paused.",
        Word("context index", "index"),
        more=True,
        feature="pause",
        since="7.1",
    ),
    _one(
        "--exp_ops_use_reports",
        "ctx",
        "Experimental: see accesses by page faults. Not in any released kernel.",
        Word("Y|N", "bool"),
        hidden=True,
        feature="sample_control",
        since="none",
    ),
    _one(
        "--exp_ops_write_only",
        "ctx",
        "Experimental: count writes only. Not in any released kernel.",
        Word("Y|N", "bool"),
        hidden=True,
        feature="sample_control",
        since="none",
    ),
    _one(
        "--exp_ops_cpus",
        "ctx",
        "Experimental: count accesses by these CPUs only, like 0-3,5. Not in any released kernel.",
        Word("cpulist"),
        hidden=True,
        feature="sample_control",
        since="none",
    ),
    _one(
        "--exp_ops_tids",
        "ctx",
        "Experimental: count accesses by these threads only. Not in any released kernel.",
        Word("thread ids"),
        hidden=True,
        feature="sample_control",
        since="none",
    ),
    _one(
        "--refresh_stat",
        "kdamond",
        "Let the kernel itself refresh statistics and tuned values each so often.",
        Word("time", "ms", "refresh_ms"),
        feature="refresh_ms",
        since="6.17",
        default="0, never",
    ),
    _one(
        "--damon_addr_unit",
        "ctx",
        "Bytes of one address unit (paddr only).",
        Word("bytes", "bytes", "addr_unit"),
        feature="addr_unit",
        since="6.18",
        default="1",
    ),
    _marker("--damon_target", "target", "a monitoring target of the context", "monitoring"),
    _one(
        "--target_pid",
        "target",
        "Process to monitor. A second --target_pid is that of a second target.",
        Word("pid", "pid", "pid"),
    ),
    _one(
        "--regions -r",
        "target",
        "Address ranges of the target, all in one word: '4K-8K 1M-2M'.",
        Word('"start-end ..."'),
        default="for paddr the largest System RAM range of /proc/iomem",
    ),
    _one(
        "--numa_node",
        "target",
        "For paddr: the memory of these NUMA nodes as address ranges.",
        Word("node id", "index"),
        more=True,
    ),
    Option(
        ("--monitoring_intervals_autotune",),
        "global",
        "Short for --monitoring_intervals_goal 4% 3 5ms 10s in every context.",
        category="monitoring",
        feature="intervals_goal",
        since="6.15",
    ),
    _one(
        "--monitoring_intervals",
        "ctx",
        "Sampling, aggregation and update interval.",
        Word("sample", "us", "intervals.sample_us"),
        Word("aggr", "us", "intervals.aggr_us"),
        Word("update", "us", "intervals.ops_update_us"),
        default="5ms 100ms 1s",
    ),
    _one(
        "--monitoring_intervals_goal",
        "ctx",
        "Let the kernel tune the intervals: share of accesses to see, in so many aggregations, bounds of the sampling "
        "interval.",
        Word("access_bp", "bp", "intervals.intervals_goal.access_bp"),
        Word("aggrs", "count", "intervals.intervals_goal.aggrs"),
        Word("min_sample_us", "us", "intervals.intervals_goal.min_sample_us"),
        Word("max_sample_us", "us", "intervals.intervals_goal.max_sample_us"),
        feature="intervals_goal",
        since="6.15",
        default="off",
    ),
    _one(
        "--monitoring_nr_regions_range",
        "ctx",
        "Least and most number of regions.",
        Word("min", "count", "nr_regions.min"),
        Word("max", "count", "nr_regions.max"),
        default="10 1000",
    ),
    _one(
        "--sample_primitives",
        "ctx",
        "How accesses are seen, one of both. Page faults are not in any released kernel.",
        Word("primitive", choices=("page_table", "page_fault")),
        more=True,
        hidden=True,
        feature="sample_control",
        since="none",
        default="page_table",
    ),
    _count("--nr_targets", "targets", "context"),
    _one(
        "--obsolete_targets",
        "global",
        "Targets, counted from 0 over the whole command line, that the next commit removes.",
        Word("target index", "index"),
        more=True,
        feature="obsolete_target",
        since="6.19",
    ),
    _count("--nr_ctxs", "contexts", "kdamond"),
    _marker("--damos_scheme", "scheme", "a scheme of the context", "damos"),
    _one(
        "--damos_action",
        "scheme",
        "What to do to the memory: " + ", ".join(ACTIONS) + ". A migration needs a node, or nodes with weights: "
        "migrate_hot <nid>, migrate_hot <nid> <weight> [<nid> <weight> ...]. A second --damos_action begins a second "
        "scheme.",
        Word("action"),
        more=True,
        default="stat",
    ),
    _one(
        "--damos_sz_region",
        "scheme",
        "Size of the regions to act on.",
        Word("min", "bytes", "access_pattern.sz_bytes.min"),
        Word("max", "bytes", "access_pattern.sz_bytes.max"),
        default="min max",
    ),
    _one(
        "--damos_access_rate",
        "scheme",
        "Access rate of the regions to act on: '5%', '3 samples', '50hz'.",
        Word("min", "percent", "access_pattern.nr_accesses.min"),
        Word("max", "percent", "access_pattern.nr_accesses.max"),
        default="min max",
    ),
    _one(
        "--damos_age",
        "scheme",
        "For how long the access rate has been so: '5s', '3 aggr_intervals'.",
        Word("min", "age", "access_pattern.age.min"),
        Word("max", "age", "access_pattern.age.max"),
        default="min max",
    ),
    _one(
        "--damos_apply_interval",
        "scheme",
        "Apply the scheme each so often.",
        Word("time", "us", "apply_interval_us"),
        feature="apply_interval",
        since="6.7",
        default="0, the aggregation interval",
    ),
    _one(
        "--damos_quotas",
        "scheme",
        "Limits in one option: time, size, interval in which they hold, weights of size, access rate and age.",
        Word("time", "ms", "quotas.time_ms"),
        Word("size", "bytes", "quotas.sz_bytes"),
        Word("reset interval", "ms", "quotas.reset_interval_ms"),
        Word("sz weight", "permil", "quotas.weights.sz_permil"),
        Word("access weight", "permil", "quotas.weights.nr_accesses_permil"),
        Word("age weight", "permil", "quotas.weights.age_permil"),
        least=1,
        default="0 0 max 0 0 0, no limit",
    ),
    _one(
        "--damos_quota_interval",
        "scheme",
        "Interval in which the limits hold.",
        Word("time", "ms", "quotas.reset_interval_ms"),
        default="1s as soon as there is a --damos_quota_time or --damos_quota_space",
    ),
    _one(
        "--damos_quota_time",
        "scheme",
        "Most time that is spent in an interval.",
        Word("time", "ms", "quotas.time_ms"),
        default="0, no limit",
    ),
    _one(
        "--damos_quota_space",
        "scheme",
        "Most memory that is acted on in an interval.",
        Word("bytes", "bytes", "quotas.sz_bytes"),
        default="0, no limit",
    ),
    _one(
        "--damos_quota_weights",
        "scheme",
        "How much size, access rate and age count for which region comes first.",
        Word("sz", "permil", "quotas.weights.sz_permil"),
        Word("nr_accesses", "permil", "quotas.weights.nr_accesses_permil"),
        Word("age", "permil", "quotas.weights.age_permil"),
        default="1 1 1 with the --damos_quota_* options, else 0 0 0",
    ),
    _one(
        "--damos_quota_fail_charge_ratio",
        "scheme",
        "Share of memory on which the action failed that still counts for the limit.",
        Word("numerator", "count", "quotas.fail_charge_num"),
        Word("denominator", "count", "quotas.fail_charge_denom"),
        feature="fail_charge",
        since="7.1",
        default="0 0, all of it",
    ),
    _one(
        "--damos_quota_goal",
        "scheme",
        "Let the kernel tune the limit until a metric is at its target: <metric> <target value> [complement] "
        "[<option>...]. Metrics: user_input (option: current value), some_mem_psi_us, active_mem_bp, inactive_mem_bp, "
        "node_mem_used_bp, node_mem_free_bp, node_eligible_mem_bp (option: node id), node_memcg_used_bp, "
        "node_memcg_free_bp (options: node id, memcg path). Bare numbers are bp, us or plain as the metric's name "
        "says.",
        Word("metric"),
        Word("target value"),
        more=True,
        feature="quota_goal.user_input",
        since="6.9",
    ),
    _one(
        "--damos_quota_goal_tuner",
        "scheme",
        "How the limit follows the goals.",
        Word("name", path="quotas.goal_tuner", choices=("consist", "temporal")),
        feature="goal_tuner",
        since="7.1",
        default="consist",
    ),
    _count("--damos_nr_quota_goals", "--damos_quota_goal", "scheme", "damos"),
    _one(
        "--damos_filter",
        "scheme",
        f"Filters, one or more: {_FILTER}; or in the old form one: <type> <matching|nomatching> [<option>...] "
        "[allow|reject]. deny and block are reject, pass is allow. Types: anon, active, young, unmapped, memcg <path>, "
        "addr <start> <end>, target <index>, hugepage_size <min> <max>, probe_hits_wsum <min> <max>.",
        Word("filter"),
        more=True,
        feature="filter.anon",
        since="6.3",
    ),
    _count("--damos_nr_filters", "--damos_filter", "scheme", "damos"),
    _one(
        "--damos_wmarks",
        "scheme",
        "Work only while the metric is between high and low, checked each interval.",
        Word("metric", path="watermarks.metric", choices=("none", "free_mem_rate")),
        Word("interval", "us", "watermarks.interval_us"),
        Word("high", "permil", "watermarks.high_permil"),
        Word("mid", "permil", "watermarks.mid_permil"),
        Word("low", "permil", "watermarks.low_permil"),
        default="none 0 0 0 0",
    ),
    _one(
        "--damos_max_nr_snapshots",
        "scheme",
        "Stop the scheme after so many snapshots.",
        Word("number", "count", "max_nr_snapshots"),
        feature="max_nr_snapshots",
        since="7.0",
        default="0, never",
    ),
    _count("--nr_schemes", "schemes", "context"),
    _one(
        "--schemes -c",
        "whole",
        "Schemes of the first context as JSON or YAML, text or file.",
        Word("json|yaml|file"),
        hidden=True,
    ),
    _one(
        "--kdamonds",
        "whole",
        "The whole set-up as JSON or YAML, text or file.",
        Word("json|yaml|file"),
        hidden=True,
    ),
    _one("-s --sample", "ctx", "Old form: sampling interval.", Word("time", "us", "intervals.sample_us"), hidden=True),
    _one("-a --aggr", "ctx", "Old form: aggregation interval.", Word("time", "us", "intervals.aggr_us"), hidden=True),
    _one("-u --updr", "ctx", "Old form: update interval.", Word("time", "us", "intervals.ops_update_us"), hidden=True),
    _one(
        "-n --minr", "ctx", "Old form: least number of regions.", Word("number", "count", "nr_regions.min"), hidden=True
    ),
    _one(
        "-m --maxr", "ctx", "Old form: most number of regions.", Word("number", "count", "nr_regions.max"), hidden=True
    ),
)

MARKERS = {option.name: option.level for option in OPTIONS if not option.words and option.level != "global"}
# Count -> (what is counted, whose).
COUNTS = {
    "--nr_ctxs": ("ctx", "kdamond"),
    "--nr_targets": ("target", "ctx"),
    "--nr_schemes": ("scheme", "ctx"),
    "--nr_probes": ("probe", "ctx"),
    "--damos_nr_filters": ("--damos_filter", "scheme"),
    "--damos_nr_quota_goals": ("--damos_quota_goal", "scheme"),
    "--nr_probe_preps": ("--probe_prep", "probe"),
    "--nr_probe_filters": ("--probe_filter", "probe"),
}
TARGET_ABOUT = (
    "What to monitor: paddr, vaddr or fvaddr, a pid, a command, or a whole set-up as JSON or YAML: text, a file "
    "(.json, .yaml, .yml) or - for standard input."
)
