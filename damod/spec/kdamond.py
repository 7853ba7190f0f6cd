"""Kdamonds, their contexts and targets: who watches which memory how closely."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from damod import units
from damod.errors import SpecInvalid
from damod.near import near
from damod.spec.base import BasisPoints, Bytes, Count, Count32, Flag, Micros, Millis32, Spec
from damod.spec.filter import LAYER, AddressRange
from damod.spec.scheme import Scheme

# The smallest page of all architectures; see "Address Unit" in the kernel's Documentation/mm/damon/design.rst.
PAGE = 4096
# **verified** on 7.3: EINVAL for five.
MAX_PROBES = 4
Ops = Literal["vaddr", "fvaddr", "paddr"]


class IntervalsGoal(Spec):
    """Let the kernel tune the intervals until `access_bp` of the possible accesses are seen in `aggrs` aggregations."""

    access_bp: BasisPoints = 0
    aggrs: Count = 0
    min_sample_us: Micros = 0
    max_sample_us: Micros = 0

    @property
    def active(self) -> bool:
        return self.aggrs > 0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_sample_us > self.max_sample_us:
            raise ValueError(f"min_sample_us ({self.min_sample_us:,}) is above max_sample_us ({self.max_sample_us:,})")
        return self


class Intervals(Spec):
    """Check accesses each `sample_us`, make a snapshot each `aggr_us`, look for new memory each `ops_update_us`."""

    sample_us: Micros = 5_000
    aggr_us: Micros = 100_000
    ops_update_us: Micros = 1_000_000
    intervals_goal: IntervalsGoal = IntervalsGoal()

    @property
    def max_samples(self) -> int:
        """The most accesses that can be counted in one aggregation."""
        return max(self.aggr_us // max(self.sample_us, 1), 1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sample_us == 0:
            raise ValueError("sample_us is 0; the smallest is 1 us")
        if self.aggr_us < self.sample_us:
            raise ValueError(f"aggr_us ({self.aggr_us:,}) is below sample_us ({self.sample_us:,})")
        goal = self.intervals_goal
        # damon_valid_intervals_goal() in mm/damon/core.c: EINVAL for a tuned interval that starts outside its bounds.
        if goal.active and not goal.min_sample_us <= self.sample_us <= goal.max_sample_us:
            raise ValueError(
                f"sample_us ({self.sample_us:,}), where the tuning starts, is outside of its goal's bounds"
                f" ({goal.min_sample_us:,} to {goal.max_sample_us:,})"
            )
        return self


class NrRegions(Spec):
    """Bounds of the number of regions, which bound the cost of monitoring."""

    min: Count = 10
    max: Count = 1_000

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min < 3:
            raise ValueError(f"min ({self.min}) is below 3, the least that DAMON takes")
        if self.min > self.max:
            raise ValueError(f"min ({self.min:,}) is above max ({self.max:,})")
        return self


class Target(Spec):
    """A process (vaddr, fvaddr) or, for paddr, ranges of physical addresses."""

    pid: int | None = Field(default=None, ge=0)
    obsolete: Flag = False
    regions: tuple[AddressRange, ...] = ()

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        for left, right in pairwise(self.regions):
            if right.start < left.end:
                raise ValueError(
                    "regions overlap or are out of order: "
                    f"[{left.start:,}, {left.end:,}) before [{right.start:,}, {right.end:,})"
                )
        return self


class ProbePrep(Spec):
    """What to do to a page before the probe looks at it. In no released kernel yet."""

    prep_action: Literal["set_pgidle"]


class ProbeFilter(Spec):
    """One condition of a data-attribute probe."""

    filter_type: Literal["anon", "memcg", "pgidle_set", "pgidle_unset", "hugepage_size"]
    matching: Flag = True
    allow: Flag = False
    path: str | None = None
    range_min: Bytes | None = None
    range_max: Bytes | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.filter_type == "memcg" and not self.path:
            raise ValueError("probe filter memcg needs a path")
        if self.filter_type == "hugepage_size" and (self.range_min is None or self.range_max is None):
            raise ValueError("probe filter hugepage_size needs range_min and range_max")
        return self


class Probe(Spec):
    """A data attribute that DAMON counts beside accesses."""

    preps: tuple[ProbePrep, ...] = ()
    filters: tuple[ProbeFilter, ...] = ()
    weight: Count32 = 0


class Primitives(Spec):
    """How accesses are seen: by the page table's accessed bit, or (experimental kernels) by page faults."""

    page_table: Flag = True
    page_fault: Flag = False


class SampleFilter(Spec):
    """Which accesses count (experimental kernels only)."""

    filter_type: Literal["cpumask", "threads", "write"]
    matching: Flag = True
    allow: Flag = False
    cpumask: str | None = None
    tid_arr: str | None = None


class SampleControl(Spec):
    """Access sampling control (experimental kernels only)."""

    primitives_enabled: Primitives = Primitives()
    sample_filters: tuple[SampleFilter, ...] = ()


def _hz_as_percent(text: Any, sample_us: int) -> Any:
    if not isinstance(text, str) or not text.strip().lower().endswith("hz"):
        return text
    return units.exact_percent(units.parse_share(text.strip()[:-2].rstrip(), "percent") * sample_us / 10_000)


def _rates_from_hz(data: Any) -> Any:
    """Put access rates in Hz into percent, as the sampling interval makes them: an access in each sample is 100 %."""
    if not isinstance(data, dict) or not isinstance(data.get("schemes"), (list, tuple)):
        return data
    intervals = data.get("intervals")
    if isinstance(intervals, Intervals):
        sample_us = intervals.sample_us
    else:
        given = intervals.get("sample_us", Intervals().sample_us) if isinstance(intervals, dict) else None
        sample_us = Intervals().sample_us if given is None else units.parse_time(given, "us")

    def scheme(item: Any) -> Any:
        pattern = item.get("access_pattern") if isinstance(item, dict) else None
        if not isinstance(pattern, dict) or not isinstance(rates := pattern.get("nr_accesses"), dict):
            return item
        inside = {name: _hz_as_percent(rate, sample_us) for name, rate in rates.items()}
        return {**item, "access_pattern": {**pattern, "nr_accesses": inside}}

    return {**data, "schemes": [scheme(item) for item in data["schemes"]]}


class Context(Spec):
    """One address space (or physical memory) with how it is monitored and what is done to it."""

    ops: Ops = "paddr"
    addr_unit: Bytes = 1
    targets: tuple[Target, ...] = (Target(),)
    intervals: Intervals = Intervals()
    nr_regions: NrRegions = NrRegions()
    probes: tuple[Probe, ...] = ()
    sample_control: SampleControl = SampleControl()
    pause: Flag = False
    schemes: tuple[Scheme, ...] = ()

    _in_percent = model_validator(mode="before")(_rates_from_hz)

    @model_validator(mode="after")
    def _targets_fit(self, info: ValidationInfo) -> Self:
        if self.addr_unit == 0:
            raise ValueError("addr_unit is 0; the smallest is 1 byte")
        if self.addr_unit < PAGE and self.addr_unit & (self.addr_unit - 1):
            raise ValueError(f"addr_unit ({self.addr_unit:,}) below a page ({PAGE:,}) must be a power of two")
        if len(self.probes) > MAX_PROBES:
            raise ValueError(f"{len(self.probes)} probes; the kernel takes at most {MAX_PROBES}")
        if self.ops != "paddr":
            for index, scheme in enumerate(self.schemes):
                # **verified** on 7.3: EINVAL at start, with any action.
                if any(goal.metric == "node_eligible_mem_bp" for goal in scheme.quotas.goals):
                    raise ValueError(
                        f"scheme {index} aims at node_eligible_mem_bp, which the kernel measures for paddr only"
                    )
            if self.addr_unit != 1:
                raise ValueError(f"addr_unit ({self.addr_unit:,}) other than 1 is for paddr only")
            missing = [index for index, target in enumerate(self.targets) if not target.pid]
            if missing and not (info.context or {}).get("template"):
                raise ValueError(f"{self.ops} needs a pid in target {', '.join(map(str, missing))}")
        if self.ops == "fvaddr" and any(not target.regions for target in self.targets):
            raise ValueError("fvaddr needs regions in each target")
        return self


def _old_refresh(value: Any) -> Any:
    return 0 if value is None else value


class Kdamond(Spec):
    """One kernel thread. `state` and `pid` are set when it was read from a kernel and ignored as input."""

    state: str | None = None
    pid: int | None = None
    refresh_ms: Annotated[Millis32, BeforeValidator(_old_refresh)] = 0
    contexts: tuple[Context, ...] = (Context(),)

    @model_validator(mode="after")
    def _one_context(self) -> Self:
        if len(self.contexts) != 1:
            raise ValueError(f"{len(self.contexts)} contexts; every kernel so far takes exactly one per kdamond")
        return self

    def without_status(self) -> Self:
        """What was set, without what was read: state, pid, statistics, the quota in force."""

        def scheme(item: Scheme) -> Scheme:
            quotas = item.quotas.model_copy(update={"effective_sz_bytes": 0})
            return item.model_copy(update={"stats": None, "quotas": quotas})

        contexts = tuple(
            context.model_copy(update={"schemes": tuple(map(scheme, context.schemes))}) for context in self.contexts
        )
        return self.model_copy(update={"state": None, "pid": None, "contexts": contexts})


_KDAMONDS = TypeAdapter(tuple[Kdamond, ...])


def problem_path(loc: Sequence[str | int]) -> str:
    """``kdamonds[0].contexts[0].intervals`` from pydantic's location; union members are left out."""
    text = "kdamonds"
    for before, part in zip((None, *loc), loc, strict=False):
        # ("filters", 0, "memcg", "memcg_path"): an index is followed by the name of the class in the union.
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() and not (isinstance(before, int) and part in LAYER):
            text += f".{part}"
    return text


def _keys(model: type[Spec]) -> set[str]:
    return set(model.model_fields).union(*map(_keys, model.__subclasses__()))


def _message(error: ErrorDetails) -> str:
    """pydantic's complaint in our words: what was given, what is allowed, and what was nearly written."""
    given, told = error["input"], error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return f"there is no such key{near(name, sorted(_keys(Spec)))}"
    if error["type"] == "missing":
        return "is missing"
    if error["type"] in ("literal_error", "union_tag_invalid"):
        said = error["ctx"]["tag"] if error["type"] == "union_tag_invalid" else given
        allowed = str(error["ctx"]["expected" if error["type"] == "literal_error" else "expected_tags"])
        words = re.findall(r"'([^']*)'", allowed)
        return f"{said!r} is not one of {', '.join(words)}{near(str(said), words)}"
    if error["type"] in ("model_type", "model_attributes_type", "dict_type", "tuple_type"):
        wanted = "a list" if error["type"] == "tuple_type" else "an object with keys"
        return f"{given!r} is not {wanted}"
    return told


def parse_kdamonds(data: object, *, template: bool = False) -> tuple[Kdamond, ...]:
    """Kdamonds from JSON-like data: ``{"kdamonds": [...]}`` or the bare list that damo also writes.

    A `template` may lack what is filled in before a start: the pids of targets.
    Raises SpecInvalid with all problems at once, each with its path.
    """
    if isinstance(data, dict):
        unknown = sorted(set(data) - {"kdamonds"})
        if "kdamonds" not in data or unknown:
            raise SpecInvalid(
                'a kdamonds spec is {"kdamonds": [...]} or a list'
                + (f", not something with {', '.join(map(repr, unknown))}" if unknown else ""),
                hint="`damoctl args damon` prints one to start from",
            )
        data = data["kdamonds"]
    try:
        return _KDAMONDS.validate_python(data, context={"template": template})
    except ValidationError as exc:
        problems = [
            {"path": problem_path(error["loc"]), "message": _message(error)} for error in exc.errors(include_url=False)
        ]
        lines = [f"{problem['path']}: {problem['message']}" for problem in problems]
        told = f"is wrong: {lines[0]}" if len(lines) == 1 else f"has {len(lines)} problems:\n  " + "\n  ".join(lines)
        raise SpecInvalid(f"the kdamonds spec {told}", problems=problems) from exc
