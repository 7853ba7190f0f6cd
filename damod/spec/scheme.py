"""DAMOS: what to do (action), to which memory (access pattern, filters), how much of it (quota), when (watermarks)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from damod.spec.base import (
    AccessRate,
    Age,
    Bytes,
    Count,
    Count32,
    Flag,
    Micros,
    Millis,
    NodeId,
    Permil,
    Rate,
    RegionAge,
    Spec,
)
from damod.spec.filter import Filter
from damod.units import U64_MAX

Action = Literal[
    "willneed", "cold", "pageout", "hugepage", "collapse", "nohugepage",
    "lru_prio", "lru_deprio", "migrate_hot", "migrate_cold", "stat",
]  # fmt: skip
MIGRATIONS = ("migrate_hot", "migrate_cold")
GoalMetric = Literal[
    "user_input", "some_mem_psi_us", "node_mem_used_bp", "node_mem_free_bp", "node_memcg_used_bp",
    "node_memcg_free_bp", "active_mem_bp", "inactive_mem_bp", "node_eligible_mem_bp",
]  # fmt: skip
# Which of a goal's extra fields its metric needs.
GOAL_NEEDS: dict[str, tuple[str, ...]] = {
    "user_input": (),
    "some_mem_psi_us": (),
    "node_mem_used_bp": ("nid",),
    "node_mem_free_bp": ("nid",),
    "node_memcg_used_bp": ("nid", "memcg_path"),
    "node_memcg_free_bp": ("nid", "memcg_path"),
    "active_mem_bp": (),
    "inactive_mem_bp": (),
    "node_eligible_mem_bp": ("nid",),
}


def _ordered(name: str, low: int, high: int, shown: str) -> None:
    if low > high:
        raise ValueError(f"{name}: min is above max ({shown}), so nothing can match")


class SizeRange(Spec):
    min: Bytes = 0
    max: Bytes = U64_MAX

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _ordered("sz_bytes", self.min, self.max, f"{self.min:,} > {self.max:,}")
        return self


class RateRange(Spec):
    min: AccessRate = Rate.parse(0)
    max: AccessRate = Rate.parse("max")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min.unit == self.max.unit and self.min.value > self.max.value:
            raise ValueError(f"nr_accesses: min is above max ({self.min} > {self.max}), so nothing can match")
        return self


class AgeRange(Spec):
    min: RegionAge = Age.parse(0)
    max: RegionAge = Age.parse("max")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min.unit == self.max.unit:
            _ordered("age", self.min.value, self.max.value, f"{self.min} > {self.max}")
        return self


class AccessPattern(Spec):
    """Regions of this size, access rate and age; all bounds inclusive."""

    sz_bytes: SizeRange = SizeRange()
    nr_accesses: RateRange = RateRange()
    age: AgeRange = AgeRange()


class Dest(Spec):
    """A NUMA node that a migration goes to, with its share (weight) of the memory."""

    id: NodeId
    weight: Count32 = 0


class QuotaGoal(Spec):
    """Let the kernel tune the quota until `metric` is at `target_value` (in the metric's own unit: bp, us or free)."""

    metric: GoalMetric
    complement: Flag = False
    nid: Count32 | None = None
    memcg_path: str | None = None
    target_value: Count
    current_value: Count = 0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for field in GOAL_NEEDS[self.metric]:
            if getattr(self, field) in (None, ""):
                raise ValueError(f"goal {self.metric} needs {field}")
        if self.target_value == 0:
            raise ValueError(f"goal {self.metric}: target_value 0 can never be aimed at (the kernel divides by it)")
        return self


class QuotaWeights(Spec):
    """What makes a region come first when the quota is short."""

    sz_permil: Permil = 0
    nr_accesses_permil: Permil = 0
    age_permil: Permil = 0


class Quota(Spec):
    """At most `time_ms` of work and `sz_bytes` of memory each `reset_interval_ms`; zero means no limit."""

    time_ms: Millis = 0
    sz_bytes: Bytes = 0
    reset_interval_ms: Millis = U64_MAX
    fail_charge_num: Count32 = 0
    fail_charge_denom: Count32 = 0
    goals: tuple[QuotaGoal, ...] = ()
    goal_tuner: Literal["consist", "temporal"] = "consist"
    effective_sz_bytes: Bytes = 0
    weights: QuotaWeights = QuotaWeights()

    @property
    def active(self) -> bool:
        """Whether the kernel limits the scheme at all."""
        return bool(self.time_ms or self.sz_bytes or self.goals)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.goals and self.reset_interval_ms in (0, U64_MAX):
            raise ValueError("goals need a reset_interval_ms, the time in which the quota is used up")
        if self.fail_charge_num and not self.fail_charge_denom:
            raise ValueError("fail_charge_num without fail_charge_denom")
        return self


class Watermarks(Spec):
    """Work only while `metric` is between `low` and `high`, start again at `mid`; checked each `interval_us`."""

    metric: Literal["none", "free_mem_rate"] = "none"
    interval_us: Micros = 0
    high_permil: Permil = 0
    mid_permil: Permil = 0
    low_permil: Permil = 0

    @model_validator(mode="after")
    def _descending(self) -> Self:
        if self.metric != "none" and not self.high_permil >= self.mid_permil >= self.low_permil:
            marks = f"{self.high_permil}, {self.mid_permil}, {self.low_permil} permil"
            raise ValueError(f"watermarks must not rise from high to low ({marks})")
        return self


class SchemeStats(Spec):
    """What a scheme has done since it was installed, as the kernel counts it."""

    nr_tried: Count = 0
    sz_tried: Bytes = 0
    nr_applied: Count = 0
    sz_applied: Bytes = 0
    sz_ops_filter_passed: Bytes = 0
    qt_exceeds: Count = 0
    nr_snapshots: Count = 0
    max_nr_snapshots: Count = 0


class Scheme(Spec):
    """One DAMON-based operation scheme. An empty one only counts (`stat`) everything."""

    action: Action = "stat"
    dests: tuple[Dest, ...] = ()
    target_nid: Annotated[NodeId | None, BeforeValidator(lambda value: None if value in (-1, "-1") else value)] = None
    access_pattern: AccessPattern = AccessPattern()
    apply_interval_us: Micros = 0
    quotas: Quota = Quota()
    watermarks: Watermarks = Watermarks()
    filters: tuple[Filter, ...] = ()
    max_nr_snapshots: Count = 0
    stats: SchemeStats | None = None

    @model_validator(mode="after")
    def _destination(self) -> Self:
        if self.action in MIGRATIONS:
            if not self.dests and self.target_nid is None:
                raise ValueError(f"{self.action} needs a node to go to (target_nid or dests)")
        elif self.dests or self.target_nid is not None:
            raise ValueError(f"{self.action} goes nowhere: target_nid and dests are for {' and '.join(MIGRATIONS)}")
        return self
