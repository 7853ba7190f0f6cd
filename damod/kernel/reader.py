"""Tree -> spec: what a kernel holds, its own or somebody else's, and what it tells about the work.

A file that is not there is an attribute that this kernel lacks, so its field stays at the default. Reading may answer
EBUSY while a command is under way (**verified** on 6.12, even for `state`); it is tried again for a bounded time, since
a busy kernel is not an absent one. Nothing is validated here: what a kernel holds is shown even if we would refuse it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

from damod.kernel import paths
from damod.kernel.features import Features
from damod.kernel.interface import Clock, Kernel
from damod.kernel.refusal import refused
from damod.spec import filter as filters
from damod.spec.base import Age, Rate, Spec
from damod.spec.filter import AddressRange
from damod.spec.kdamond import (
    Context,
    Intervals,
    IntervalsGoal,
    Kdamond,
    NrRegions,
    Probe,
    ProbeFilter,
    Target,
)
from damod.spec.scheme import (
    GOAL_NEEDS,
    AccessPattern,
    AgeRange,
    Dest,
    Quota,
    QuotaGoal,
    QuotaWeights,
    RateRange,
    Scheme,
    SchemeStats,
    SizeRange,
    Watermarks,
)
from damod.units import U32_MAX

BUSY_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.1

_FILTERS: dict[str, type[Spec]] = {
    "memcg": filters.MemcgFilter,
    "hugepage_size": filters.HugepageFilter,
    "addr": filters.AddrFilter,
    "target": filters.TargetFilter,
}
# Dotted prefix of a layout's fields -> the model that collects them.
_PARTS: dict[type[Spec], dict[str, type[Spec]]] = {
    Context: {"intervals": Intervals, "nr_regions": NrRegions},
    Intervals: {"intervals_goal": IntervalsGoal},
    Scheme: {"access_pattern": AccessPattern, "quotas": Quota, "watermarks": Watermarks},
    AccessPattern: {"sz_bytes": SizeRange, "nr_accesses": RateRange, "age": AgeRange},
    Quota: {"weights": QuotaWeights},
    filters.AddrFilter: {"address_range": AddressRange},
}
_ITEMS: dict[tuple[type[Spec], str], type[Spec]] = {
    (Kdamond, "contexts"): Context,
    (Context, "targets"): Target,
    (Context, "schemes"): Scheme,
    (Context, "probes"): Probe,
    (Probe, "filters"): ProbeFilter,
    (Target, "regions"): AddressRange,
    (Scheme, "dests"): Dest,
    (Scheme, "quotas.goals"): QuotaGoal,
    (Scheme, "filters"): Spec,
}


class Pauses:
    """Growing pauses on the kernel's clock until a deadline; for waits that nothing can announce."""

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self._clock = clock
        self._end_ns = clock.monotonic_ns() + int(patience_s * 1e9)
        self._pause_s = _FIRST_PAUSE_S

    def more(self) -> bool:
        """Pause and say True, or say False when the time is over."""
        if self._clock.monotonic_ns() >= self._end_ns:
            return False
        self._clock.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        return True


def read(kernel: Kernel, path: str, patience_s: float = BUSY_S) -> str:
    """A file's text; EBUSY is waited out for `patience_s`.

    Raises FileNotFoundError, and KernelRefused or NotAllowed for all other refusals.
    """
    pauses = Pauses(kernel.clock, patience_s)
    while True:
        try:
            return kernel.damon.read(path).strip()
        except FileNotFoundError:
            raise
        except OSError as exc:
            if exc.errno != errno.EBUSY or not pauses.more():
                raise refused(f"reading {path}", path, exc.errno or 0) from exc


def _maybe(kernel: Kernel, path: str) -> str | None:
    try:
        return read(kernel, path)
    except FileNotFoundError:
        return None


def unspell(text: str, kind: paths.Kind) -> Any:
    """A field's value from its file's text, the inverse of `writer.spell`; the largest u32 is `max` of rates, ages."""
    if kind == "text":
        return text
    if kind == "flag":
        return text in ("Y", "1")
    number = int(text)
    if kind == "pid":
        return number or None
    if kind == "nid":
        return None if number < 0 else number
    if kind in ("rate_min", "rate_max"):
        if number >= U32_MAX:
            return Rate.parse("max")
        return Rate.parse(f"{number} samples") if number else Rate.parse(0)
    if kind in ("age_min", "age_max"):
        if number >= U32_MAX:
            return Age.parse("max")
        return Age(number, "aggr_intervals") if number else Age.parse(0)
    return number


def _build(model: type[Spec], values: dict[str, Any]) -> Any:
    """A model from dotted fields, without validation."""
    plain: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        if rest:
            parts.setdefault(head, {})[rest] = value
        else:
            plain[head] = value
    for head, inner in parts.items():
        plain[head] = _build(_PARTS[model][head], inner)
    return model.model_construct(**plain)


def _filter(values: dict[str, Any]) -> Spec:
    kind = values["filter_type"]
    model = _FILTERS.get(kind, filters.PageFilter)
    own = {name: value for name, value in values.items() if name.partition(".")[0] in model.model_fields}
    if model is filters.HugepageFilter:
        own["hugepage_size"] = (own.pop("hugepage_size.0", 0), own.pop("hugepage_size.1", 0))
    built: Spec = _build(model, own)
    return built


def _item(model: type[Spec], values: dict[str, Any]) -> Any:
    if model is Spec:
        return _filter(values)
    if model is QuotaGoal:
        # The kernel always has the files; a metric that does not use them leaves them at their defaults.
        for name in ("nid", "memcg_path"):
            if name in values and name not in GOAL_NEEDS.get(str(values["metric"]), (name,)):
                del values[name]
    if model is ProbeFilter:
        kind = values["filter_type"]
        for name in ("path",) if kind != "memcg" else ():
            values.pop(name, None)
        for name in ("range_min", "range_max") if kind != "hugepage_size" else ():
            values.pop(name, None)
    return _build(model, values)


def _values(kernel: Kernel, layout: paths.Layout, model: type[Spec], at: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for entry in layout:
        if isinstance(entry, paths.Children):
            count = _maybe(kernel, f"{at}/{entry.count}")
            if count is None:
                continue
            item = _ITEMS[model, entry.field]
            found = tuple(
                _item(item, _values(kernel, entry.layout, item, f"{at}/{entry.path}/{index}"))
                for index in range(int(count))
            )
            values[entry.field] = values.get(entry.field, ()) + found
        else:
            text = _maybe(kernel, f"{at}/{entry.path}")
            if text is not None:
                values[entry.field] = unspell(text, entry.kind)
    return values


def kdamond(kernel: Kernel, slot: int) -> Kdamond:
    """What a slot holds, as a spec: rates in samples, ages in aggregation intervals. Raises as `read` does."""
    held: Kdamond = _build(Kdamond, _values(kernel, paths.KDAMOND, Kdamond, paths.kdamond(slot)))
    return held


@dataclass(frozen=True)
class Life:
    """Whether a kdamond runs, and as which kernel thread (None if it does not)."""

    slot: int
    on: bool
    pid: int | None


def life(kernel: Kernel, slot: int) -> Life:
    """State and pid of one slot. Raises FileNotFoundError if there is no such slot."""
    on = read(kernel, paths.state(slot)) == "on"
    pid = int(read(kernel, paths.pid(slot))) if on else -1
    return Life(slot, on, pid if pid > 0 else None)


def count(kernel: Kernel) -> int:
    """Number of kdamond directories that are allocated now."""
    return int(read(kernel, paths.NR_KDAMONDS))


def lives(kernel: Kernel) -> list[Life]:
    """State of every allocated slot."""
    return [life(kernel, slot) for slot in range(count(kernel))]


def brief(kernel: Kernel, slot: int) -> tuple[str, list[str]]:
    """Operations set and the schemes' actions of a slot; ("", []) if nothing is staged there."""
    at = paths.context(slot)
    schemes = int(_maybe(kernel, f"{at}/{paths.NR_SCHEMES}") or 0)
    actions = (_maybe(kernel, f"{paths.scheme(slot, index)}/{paths.ACTION}") for index in range(schemes))
    return _maybe(kernel, f"{at}/{paths.OPERATIONS}") or "", [action for action in actions if action]


def with_stats(kernel: Kernel, slot: int, held: Kdamond) -> Kdamond:
    """`held` with the statistics and effective quotas that stand in the files now (see Control.update_stats)."""

    def one(index: int, scheme: Scheme) -> Scheme:
        at = paths.scheme(slot, index)
        texts = {file.field: _maybe(kernel, f"{at}/{file.path}") for file in paths.SCHEME_STATS}
        stats = _build(SchemeStats, {name: int(text) for name, text in texts.items() if text is not None})
        effective = _maybe(kernel, f"{at}/{paths.EFFECTIVE_QUOTA.path}")
        quotas = scheme.quotas.model_copy(update={"effective_sz_bytes": int(effective or 0)})
        return scheme.model_copy(update={"stats": stats, "quotas": quotas})

    contexts = tuple(
        context.model_copy(update={"schemes": tuple(one(index, item) for index, item in enumerate(context.schemes))})
        for context in held.contexts
    )
    return held.model_copy(update={"contexts": contexts})


def intervals(kernel: Kernel, slot: int) -> tuple[int, int]:
    """(sample_us, aggr_us) as they stand in the files: what was written, or tuned after update_tuned_intervals."""
    files = {entry.field: entry.path for entry in paths.CONTEXT}
    sample, aggr = (int(read(kernel, f"{paths.context(slot)}/{files[name]}")) for name in paths.TUNED_FILES)
    return sample, aggr


def tried_bytes(kernel: Kernel, slot: int, scheme: int) -> int:
    """Total size of the regions that the last update_schemes_tried_regions (or _bytes) left; 0 before 6.6."""
    return int(_maybe(kernel, f"{paths.scheme(slot, scheme)}/{paths.TRIED_BYTES}") or 0)


def normalise(spec: Kdamond, features: Features) -> Kdamond:
    """A spec as a kernel holds it, so that it can be compared with one that was read.

    Rates in samples and ages in aggregation intervals of its own intervals, filters of the core layer first where the
    kernel has directories for each; what only a running kernel knows (state, pid, stats, effective quota) is left out.
    """

    def scheme(item: Scheme, context: Context) -> Scheme:
        pattern, spans = item.access_pattern, context.intervals
        rates, ages = pattern.nr_accesses, pattern.age
        held_rates = RateRange.model_construct(
            min=unspell(str(rates.min.samples(spans.max_samples, upper=False)), "rate_min"),
            max=unspell(str(rates.max.samples(spans.max_samples, upper=True)), "rate_max"),
        )
        held_ages = AgeRange.model_construct(
            min=unspell(str(ages.min.aggrs(spans.aggr_us, upper=False)), "age_min"),
            max=unspell(str(ages.max.aggrs(spans.aggr_us, upper=True)), "age_max"),
        )
        return item.model_copy(
            update={
                "access_pattern": pattern.model_copy(update={"nr_accesses": held_rates, "age": held_ages}),
                "filters": tuple(sorted(item.filters, key=lambda one: filters.LAYER[one.filter_type]))
                if features.has("core_ops_filters")
                else item.filters,
                "quotas": item.quotas.model_copy(update={"effective_sz_bytes": 0}),
                "stats": None,
            }
        )

    contexts = tuple(
        context.model_copy(update={"schemes": tuple(scheme(item, context) for item in context.schemes)})
        for context in spec.contexts
    )
    return spec.model_copy(update={"contexts": contexts, "state": None, "pid": None})
