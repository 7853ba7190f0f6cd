"""What this kernel's DAMON can do: one table of features, and how each is seen.

Presence is probed, never a version: an attribute is looked for in the directories that exist, a keyword is tried on a
scratch slot that is ours and idle, an event is looked for in tracefs, a module below /sys/module. Where nothing can be
seen (no directory is allocated, no slot is ours) the answer is inferred from the newest thing that can be seen and the
release, and says so. Nothing here touches a kdamond that runs or what somebody else has staged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from damod.kernel import paths
from damod.kernel.interface import Kernel, Tree

How = Literal["file", "ops", "action", "filter", "goal", "tuner", "probe_filter", "command", "event", "module", "none"]


@dataclass(frozen=True)
class Feature:
    """`since` is the first release that has it, "" if none has; `word` the keyword, event or module that shows it."""

    name: str
    since: str
    about: str
    how: How = "file"
    word: str = ""


def _words(how: How, prefix: str, entries: Mapping[str, str], about: str) -> tuple[Feature, ...]:
    return tuple(
        Feature(f"{prefix}{word}", since, about.format(word), how, word)
        for since, words in entries.items()
        for word in words.split()
    )


FEATURES: tuple[Feature, ...] = (
    *_words("ops", "ops.", {"5.18": "vaddr paddr", "5.19": "fvaddr"}, "operations set {}"),
    Feature("refresh_ms", "6.17", "the kernel itself renews the stats files"),
    Feature("addr_unit", "6.18", "bytes per address unit of a paddr context"),
    Feature("pause", "7.1", "a context that keeps its regions without sampling"),
    Feature("intervals_goal", "6.15", "tuning of the sampling and aggregation intervals"),
    Feature("obsolete_target", "6.19", "taking single targets out by a commit"),
    Feature("probes", "7.2", "monitoring of data attributes"),
    Feature("probe_weight", "7.3", "weights of data attributes"),
    Feature("probe_preps", "", "preparing pages for a probe", "none"),
    *_words("probe_filter", "probe_filter.", {"7.2": "anon memcg"}, "probe filter {}"),
    *_words("none", "probe_filter.", {"": "pgidle_set pgidle_unset"}, "probe filter {}"),
    Feature("probe_filter.hugepage_size", "", "probe filter by folio size"),
    Feature("sample_control", "", "which accesses count and how they are seen (experimental)", "none"),
    *_words(
        "action",
        "action.",
        {
            "5.18": "willneed cold pageout hugepage nohugepage stat",
            "6.0": "lru_prio lru_deprio",
            "6.11": "migrate_hot migrate_cold",
            "7.2": "collapse",
        },
        "scheme action {}",
    ),
    Feature("target_nid", "6.11", "the node that a migration goes to"),
    Feature("dests", "6.17", "several weighted nodes that a migration goes to"),
    Feature("apply_interval", "6.7", "an interval of its own for a scheme"),
    Feature("fail_charge", "7.1", "charging failed work differently to the quota"),
    Feature("goal_tuner", "7.1", "the choice of the quota's tuner"),
    *_words("tuner", "goal_tuner.", {"7.1": "consist temporal"}, "quota tuner {}"),
    Feature("quota_goal.nid", "6.16", "quota goals that look at one NUMA node"),
    Feature("quota_goal.path", "6.19", "quota goals that look at one memory cgroup"),
    *_words(
        "goal",
        "quota_goal.",
        {
            "6.9": "user_input some_mem_psi_us",
            "6.16": "node_mem_used_bp node_mem_free_bp",
            "6.19": "node_memcg_used_bp node_memcg_free_bp",
            "7.0": "active_mem_bp inactive_mem_bp",
            "7.2": "node_eligible_mem_bp",
        },
        "aiming a quota at {}",
    ),
    Feature("quota_goal.complement", "", "aiming a quota at what is missing to the whole", "none"),
    Feature("filter_allow", "6.14", "filters that let memory pass"),
    Feature("core_ops_filters", "6.15", "separate directories for filters of regions and of pages"),
    *_words(
        "filter",
        "filter.",
        {"6.3": "anon memcg", "6.6": "addr target", "6.10": "young", "6.15": "active unmapped hugepage_size"},
        "scheme filter {}",
    ),
    Feature("filter.probe_hits_wsum", "", "scheme filter by weighted probe hits", "none"),
    Feature("max_nr_snapshots", "7.0", "a scheme that ends itself after some snapshots"),
    Feature("stats.nr_snapshots", "7.0", "how many snapshots a scheme has worked on"),
    Feature("stats.sz_ops_filter_passed", "6.14", "how much memory passed the page filters"),
    Feature("effective_bytes", "6.9", "the quota that is in force"),
    Feature("tried_regions", "6.2", "the regions that a scheme was tried on"),
    Feature("tried_bytes", "6.6", "their total size alone"),
    Feature("update_tuned_intervals", "6.15", "reading the tuned intervals", "command", "update_tuned_intervals"),
    *_words(
        "event",
        "trace.",
        {
            "5.15": "damon_aggregated",
            "6.7": "damos_before_apply",
            "6.17": "damon_monitor_intervals_tune damos_esz",
            "7.2": "damon_region_aggregated damos_stat_after_apply_interval",
        },
        "trace event {}",
    ),
    *_words("module", "module.", {"5.16": "damon_reclaim", "6.0": "damon_lru_sort", "6.17": "damon_stat"}, "module {}"),
)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}

_CONTEXT, _SCHEME = "kdamonds/*/contexts/*", "kdamonds/*/contexts/*/schemes/*"
# Attributes that no spec field stands for, and features whose file belongs to another one's field.
_MORE_FILES: dict[str, tuple[str, str]] = {
    "target_nid": (_SCHEME, "target_nid"),
    "apply_interval": (_SCHEME, "apply_interval_us"),
    "filter_allow": (f"{_SCHEME}/filters/*", "allow"),
    "effective_bytes": (f"{_SCHEME}/quotas", "effective_bytes"),
    "tried_regions": (_SCHEME, "tried_regions"),
    "tried_bytes": (f"{_SCHEME}/tried_regions", "total_bytes"),
    "stats.sz_ops_filter_passed": (f"{_SCHEME}/stats", "sz_ops_filter_passed"),
    "stats.nr_snapshots": (f"{_SCHEME}/stats", "nr_snapshots"),
}


def _files() -> dict[str, tuple[str, str]]:
    """Feature -> (pattern of the directory, name in it) that shows it, from the layout of `paths`."""
    found = dict(_MORE_FILES)
    found["intervals_goal"] = (f"{_CONTEXT}/monitoring_attrs/intervals", "intervals_goal")
    for at, entry in paths.walk(paths.KDAMOND, "kdamonds/*"):
        if entry.feature and BY_NAME[entry.feature].how == "file":
            path = f"{at}/{entry.path}"
            found.setdefault(entry.feature, (path.rpartition("/")[0], path.rpartition("/")[2]))
    return found


FILES = _files()

# Accepted by the kernel, but without effect before that release ("" is: in none). **verified** for migrations of vaddr
# on 6.12 (applies nothing) and 7.3 (moves memory); the rest is the table of the kernel's Documentation/mm/damon/design.
_VIRTUAL, _PHYSICAL = ("vaddr", "fvaddr"), ("paddr",)
EFFECT_SINCE: dict[tuple[str, str], str] = {
    **{(ops, action): "6.17" for ops in _VIRTUAL for action in ("migrate_hot", "migrate_cold")},
    **{(ops, action): "" for ops in _VIRTUAL for action in ("lru_prio", "lru_deprio")},
    **{(ops, action): "" for ops in _PHYSICAL for action in ("willneed", "cold", "hugepage", "nohugepage", "collapse")},
}


def release_key(release: str) -> tuple[int, int]:
    """(6, 12) from ``6.12.117+deb12-amd64``; (0, 0) from what is not a release."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


@dataclass(frozen=True)
class Features:
    """What one kernel has. `names` are available, `inferred` says of which this was not seen but concluded."""

    release: str
    names: frozenset[str]
    inferred: frozenset[str] = field(default=frozenset())

    @classmethod
    def known(cls, release: str) -> Features:
        """What a kernel of that release has, without looking at one."""
        key = release_key(release)
        if key == (0, 0):
            raise ValueError(f"{release!r} is not a kernel release (like 6.12)")
        names = frozenset(item.name for item in FEATURES if item.since and release_key(item.since) <= key)
        return cls(release, names, frozenset(BY_NAME))

    def has(self, name: str) -> bool:
        return name in self.names

    def since(self, name: str) -> str:
        """First release that has a feature; "" if none has."""
        return BY_NAME[name].since if name in BY_NAME else ""

    def effect(self, ops: str, action: str) -> str:
        """Why a scheme that the kernel accepts does nothing; "" if it works."""
        since = EFFECT_SINCE.get((ops, action))
        if since is None:
            return ""
        if not since:
            return f"{action} does nothing to {ops} memory in any kernel so far"
        # The effect leaves no trace in sysfs; the several destinations came with it in 6.17 (same patch series).
        if self.has("dests"):
            return ""
        return (
            f"{action} has no effect on {ops} memory before Linux {since}; this kernel accepts it and applies nothing"
        )

    def to_wire(self) -> dict[str, Any]:
        """{"release", "features": [{"name", "available", "since" ("" if in no release), "about", "inferred"}],
        "no_effect": [{"ops", "action", "since"}] of what the kernel accepts and does not do}."""
        rows = [
            {
                "name": item.name,
                "available": item.name in self.names,
                "since": item.since,
                "about": item.about,
                "inferred": item.name in self.inferred,
            }
            for item in FEATURES
        ]
        idle = [
            {"ops": ops, "action": action, "since": since}
            for (ops, action), since in EFFECT_SINCE.items()
            if self.has(f"ops.{ops}") and self.has(f"action.{action}") and self.effect(ops, action)
        ]
        return {"release": self.release, "features": rows, "no_effect": idle}


def _names(tree: Tree, path: str) -> list[str]:
    try:
        return tree.names(path)
    except OSError:
        return []


def _directories(tree: Tree, pattern: str) -> list[str]:
    """Existing directories that a pattern with ``*`` for numbers stands for."""
    found = [""]
    for part in pattern.split("/"):
        if part == "*":
            found = [f"{at}/{name}" for at in found for name in _names(tree, at) if name.isdigit()]
        else:
            found = [f"{at}/{part}".lstrip("/") for at in found]
    return [at for at in found if _names(tree, at)]


def look(kernel: Kernel) -> dict[str, bool]:
    """What can be seen by reading alone: feature -> whether it is there; features that cannot be told are left out."""
    seen: dict[str, bool] = {}
    listed: dict[str, list[str]] = {}
    for name, (pattern, leaf) in FILES.items():
        if pattern not in listed:
            where = _directories(kernel.damon, pattern)
            listed[pattern] = _names(kernel.damon, where[0]) if where else []
        if listed[pattern]:
            seen[name] = leaf in listed[pattern]
        elif any(pattern.startswith("/".join(FILES[other])) for other, has in seen.items() if not has):
            seen[name] = False  # inside a directory that another missing feature would have brought
    for at in _directories(kernel.damon, _CONTEXT)[:1]:
        words = re.findall(r"\w+", kernel.damon.read(f"{at}/{paths.AVAIL_OPERATIONS}"))
        seen.update({item.name: item.word in words for item in FEATURES if item.how == "ops"})
    events = kernel.trace.events()
    if events:
        seen.update({item.name: item.word in events for item in FEATURES if item.how == "event"})
    modules = _names(kernel.modules, "")
    if modules:
        seen.update({item.name: item.word in modules for item in FEATURES if item.how == "module"})
    return seen


def _infer(kernel: Kernel, seen: Mapping[str, bool]) -> Features:
    """Complete what was seen by the newest release that fits it."""
    newest = max(
        [release_key(kernel.release), *(release_key(BY_NAME[name].since) for name, has in seen.items() if has)]
    )
    names = {item.name for item in FEATURES if item.since and release_key(item.since) <= newest}
    names = {name for name in names if seen.get(name, True)} | {name for name, has in seen.items() if has}
    inferred = {item.name for item in FEATURES if item.name not in seen and item.how != "none"}
    return Features(kernel.release, frozenset(names), frozenset(inferred))


def probe(kernel: Kernel, scratch: int | None = None) -> Features:
    """What this kernel has. With `scratch`, the index of an idle slot that is ours, keywords are tried there.

    Without it nothing is written at all. The scratch slot is left without contexts.
    """
    if scratch is None:
        return _infer(kernel, look(kernel))
    tree = kernel.damon
    try:
        _stage_one_of_everything(tree, scratch)
        seen = look(kernel)
        seen.update(_try_words(tree, scratch))
    finally:
        tree.write(paths.nr_contexts(scratch), "0")
    return _infer(kernel, seen)


def _accepts(tree: Tree, path: str, word: str) -> bool:
    try:
        tree.write(path, word)
    except OSError:
        return False
    return True


def _stage_one_of_everything(tree: Tree, slot: int) -> None:
    def stage(layout: paths.Layout, at: str) -> None:
        for entry in layout:
            # A count that does not exist is a feature that this kernel lacks.
            if isinstance(entry, paths.Children) and _accepts(tree, f"{at}/{entry.count}", "1"):
                stage(entry.layout, f"{at}/{entry.path}/0")

    stage(paths.KDAMOND, paths.kdamond(slot))


def _try_words(tree: Tree, slot: int) -> dict[str, bool]:
    scheme = paths.scheme(slot, 0)
    files: dict[How, str] = {
        "action": f"{scheme}/action",
        "filter": f"{scheme}/filters/0/type",
        "goal": f"{scheme}/quotas/goals/0/target_metric",
        "tuner": f"{scheme}/quotas/goal_tuner",
        "probe_filter": f"{paths.context(slot)}/monitoring_attrs/probes/0/filters/0/type",
    }
    return {item.name: _accepts(tree, files[item.how], item.word) for item in FEATURES if item.how in files}
