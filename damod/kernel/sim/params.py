"""What a kdamond was asked to do: the staged files read into values at `on` and `commit`, and refused as Linux does.

Every refusal is EINVAL, as in damon_set_attrs(), damon_sysfs_add_targets() and damon_sysfs_add_schemes(). Not
refused, as in Linux: physical memory without regions, no target at all, a sampling interval of zero (it counts as 1).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from damod.kernel.sim.machine import Machine
from damod.kernel.sim.tree import Dir, refuse

PAGE_SIZE = 4096


def _invalid(what: str) -> OSError:
    return refuse(errno.EINVAL, what)


@dataclass(frozen=True)
class IntervalsGoal:
    """Tune intervals until `access_bp` of the possible accesses are seen, looking every `aggrs` aggregations."""

    access_bp: int
    aggrs: int
    min_sample_us: int
    max_sample_us: int


@dataclass(frozen=True)
class Attrs:
    """Monitoring attributes, intervals in microseconds."""

    sample_us: int
    aggr_us: int
    update_us: int
    min_nr: int
    max_nr: int
    goal: IntervalsGoal | None

    @property
    def max_accesses(self) -> int:
        """The largest nr_accesses that a region can have."""
        return max(self.aggr_us // self.sample_us, 1)


@dataclass(frozen=True)
class TargetParams:
    """A monitoring target; `pid` is 0 in physical memory, `regions` are in core addresses."""

    pid: int
    regions: tuple[tuple[int, int], ...]
    obsolete: bool


@dataclass(frozen=True)
class FilterParams:
    """A filter of a scheme or probe; what its type does not use is zero."""

    type: str
    matching: bool
    allow: bool
    start: int = 0
    end: int = 0
    target: int = 0

    @property
    def core(self) -> bool:
        """Whether DAMON's core evaluates it, per region."""
        return self.type in ("addr", "target")


@dataclass(frozen=True)
class Goal:
    """A quota goal."""

    metric: str
    target: int
    current: int
    nid: int


@dataclass(frozen=True)
class Quota:
    """Limits of a scheme per `reset_ms`; weights are (size, nr_accesses, age)."""

    ms: int
    bytes: int
    reset_ms: int
    weights: tuple[int, int, int]
    goals: tuple[Goal, ...]
    tuner: str
    fail_num: int
    fail_denom: int

    @property
    def limits(self) -> bool:
        """Whether there is any limit."""
        return bool(self.ms or self.bytes or self.goals)


@dataclass(frozen=True)
class Watermarks:
    """The scheme is active between `low` and `mid`, and until `high` once it is (thousandths of free memory)."""

    metric: str
    interval_us: int
    high: int
    mid: int
    low: int


@dataclass(frozen=True)
class SchemeParams:
    """A scheme. `dests` are (node, weight); pattern ranges are closed."""

    action: str
    target_nid: int
    dests: tuple[tuple[int, int], ...]
    apply_us: int
    size: tuple[int, int]
    nr_accesses: tuple[int, int]
    age: tuple[int, int]
    quota: Quota
    watermarks: Watermarks
    filters: tuple[FilterParams, ...]
    max_snapshots: int


@dataclass(frozen=True)
class Probe:
    """A data attribute that is sampled along."""

    weight: int
    filters: tuple[FilterParams, ...]


@dataclass(frozen=True)
class ContextParams:
    """All that one context was asked to do."""

    ops: str
    addr_unit: int
    pause: bool
    attrs: Attrs
    targets: tuple[TargetParams, ...]
    schemes: tuple[SchemeParams, ...]
    probes: tuple[Probe, ...]

    @property
    def min_region(self) -> int:
        """The smallest region, in core addresses."""
        return max(PAGE_SIZE // self.addr_unit, 1)


def _children(at: Dir, path: str) -> list[Dir]:
    found = at.dir(path)
    return found.children() if found else []


def _range(at: Dir, path: str) -> tuple[int, int]:
    return at.value(f"{path}/min"), at.value(f"{path}/max")


def read_attrs(at: Dir) -> Attrs:
    """Attributes from monitoring_attrs/."""
    goal_at, goal = "intervals/intervals_goal", None
    sample, aggr = at.value("intervals/sample_us") or 1, at.value("intervals/aggr_us")
    if at.value(f"{goal_at}/access_bp"):
        goal = IntervalsGoal(
            at.value(f"{goal_at}/access_bp"),
            at.value(f"{goal_at}/aggrs"),
            at.value(f"{goal_at}/min_sample_us"),
            at.value(f"{goal_at}/max_sample_us"),
        )
        if not goal.min_sample_us <= sample <= goal.max_sample_us:
            raise _invalid("sample_us is not within the intervals goal")
    low, high = _range(at, "nr_regions")
    if low < 3 or low > high:
        raise _invalid(f"nr_regions {low} to {high}")
    if sample > aggr:
        raise _invalid(f"aggr_us {aggr} is below sample_us {sample}")
    return Attrs(sample, aggr, at.value("intervals/update_us"), low, high, goal)


def _target(at: Dir, *, process: bool, machine: Machine) -> TargetParams:
    pid = at.value("pid_target")
    regions = tuple((child.value("start"), child.value("end")) for child in _children(at, "regions"))
    if process and machine.process(pid) is None:
        raise _invalid(f"no process {pid}")
    for (start, end), (_, before) in zip(regions, [(0, 0), *regions], strict=False):
        if start > end or start < before:
            raise _invalid(f"region {start}-{end} is out of order")
    return TargetParams(pid if process else 0, regions, at.text("obsolete_target") == "Y")


def _filter(at: Dir, machine: Machine) -> FilterParams:
    kind = at.text("type")
    start, end = at.value("addr_start"), at.value("addr_end")
    if kind == "memcg" and (at.text("memcg_path") or at.text("path")) not in machine.cgroups:
        raise _invalid("no such memory cgroup")
    if kind == "addr" and start > end:
        raise _invalid("addr filter")
    if kind == "hugepage_size" and at.value("min") > at.value("max"):
        raise _invalid("hugepage_size filter")
    # 6.12 has no `allow`: its filters reject what they match.
    return FilterParams(
        kind,
        at.text("matching") == "Y",
        at.text("allow", "N") == "Y",
        start,
        end,
        at.value("damon_target_idx"),
    )


def read_goals(at: Dir) -> tuple[Goal, ...]:
    """Goals of a scheme directory; those aimed at zero do not count."""
    goals = (
        Goal(g.text("target_metric"), g.value("target_value"), g.value("current_value"), g.value("nid"))
        for g in _children(at, "quotas/goals")
    )
    return tuple(goal for goal in goals if goal.target)


def _scheme(at: Dir, machine: Machine) -> SchemeParams:
    weights = (at.value(f"quotas/weights/{name}_permil") for name in ("sz", "nr_accesses", "age"))
    size, accesses, age = weights
    return SchemeParams(
        action=at.text("action"),
        target_nid=at.value("target_nid"),
        dests=tuple((d.value("id"), d.value("weight")) for d in _children(at, "dests")),
        apply_us=at.value("apply_interval_us"),
        size=_range(at, "access_pattern/sz"),
        nr_accesses=_range(at, "access_pattern/nr_accesses"),
        age=_range(at, "access_pattern/age"),
        quota=Quota(
            ms=at.value("quotas/ms"),
            bytes=at.value("quotas/bytes"),
            reset_ms=at.value("quotas/reset_interval_ms"),
            weights=(size, accesses, age),
            goals=read_goals(at),
            tuner=at.text("quotas/goal_tuner", "consist"),
            fail_num=at.value("quotas/fail_charge_num"),
            fail_denom=at.value("quotas/fail_charge_denom"),
        ),
        watermarks=Watermarks(
            at.text("watermarks/metric"),
            *(at.value(f"watermarks/{name}") for name in ("interval_us", "high", "mid", "low")),
        ),
        # The kernel installs them in this order.
        filters=tuple(
            _filter(child, machine)
            for directory in ("core_filters", "ops_filters", "filters")
            for child in _children(at, directory)
        ),
        max_snapshots=at.value("stats/max_nr_snapshots"),
    )


def read_context(at: Dir, machine: Machine) -> ContextParams:
    """The set-up staged in a contexts/N directory. Raises OSError (EINVAL) where Linux would refuse it."""
    ops = at.text("operations")
    # Only paddr knows address units.
    unit = at.value("addr_unit", 1) if ops == "paddr" else 1
    smallest = max(PAGE_SIZE // unit, 1)
    if smallest & (smallest - 1):
        raise _invalid(f"addr_unit {unit}")
    monitoring = at.dirs["monitoring_attrs"]
    attrs = read_attrs(monitoring)
    targets = at.dirs["targets"].children()
    if ops == "paddr" and len(targets) > 1:
        raise _invalid("more than one target in physical memory")
    return ContextParams(
        ops=ops,
        addr_unit=unit,
        pause=at.text("pause") == "Y",
        attrs=attrs,
        targets=tuple(_target(child, process=ops != "paddr", machine=machine) for child in targets),
        schemes=tuple(_scheme(child, machine) for child in at.dirs["schemes"].children()),
        probes=tuple(
            Probe(child.value("weight"), tuple(_filter(f, machine) for f in _children(child, "filters")))
            for child in _children(monitoring, "probes")
        ),
    )
