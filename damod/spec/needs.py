"""Which kernel features a spec asks for, with the path that asks, and the refusal when a kernel lacks one.

A field asks for its feature when it is not at its default; what is at its default is simply not written on a kernel
that lacks the file. Features are names here (damod.kernel.features explains them), so that specs stay without a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from damod.errors import FeatureMissing
from damod.spec.base import Spec
from damod.spec.filter import LAYER
from damod.spec.kdamond import Context, Kdamond, Probe, ProbeFilter, Target
from damod.spec.scheme import Quota, QuotaGoal, Scheme

# (model, field) -> feature that any value but the default asks for.
FIELD_NEEDS: dict[tuple[type[Spec], str], str] = {
    (Kdamond, "refresh_ms"): "refresh_ms",
    (Context, "addr_unit"): "addr_unit",
    (Context, "pause"): "pause",
    (Context, "probes"): "probes",
    (Context, "sample_control"): "sample_control",
    (Target, "obsolete"): "obsolete_target",
    (Probe, "preps"): "probe_preps",
    (Probe, "weight"): "probe_weight",
    (Scheme, "dests"): "dests",
    (Scheme, "target_nid"): "target_nid",
    (Scheme, "apply_interval_us"): "apply_interval",
    (Scheme, "max_nr_snapshots"): "max_nr_snapshots",
    (Quota, "fail_charge_num"): "fail_charge",
    (Quota, "fail_charge_denom"): "fail_charge",
    (Quota, "goal_tuner"): "goal_tuner",
    (QuotaGoal, "complement"): "quota_goal.complement",
}
# (model, field) -> prefix of the feature that its keyword asks for.
WORD_NEEDS: dict[tuple[type[Spec], str], str] = {
    (Context, "ops"): "ops.",
    (Scheme, "action"): "action.",
    (QuotaGoal, "metric"): "quota_goal.",
    (ProbeFilter, "filter_type"): "probe_filter.",
}


class Offer(Protocol):
    """The part of damod.kernel.features.Features that a refusal needs."""

    @property
    def release(self) -> str: ...

    def has(self, name: str) -> bool: ...

    def since(self, name: str) -> str: ...


def _of(model: Spec, path: str) -> Iterator[tuple[str, str]]:
    for name, info in type(model).model_fields.items():
        value, at = getattr(model, name), f"{path}.{name}"
        feature = FIELD_NEEDS.get((type(model), name))
        if feature and value != info.get_default():
            yield feature, at
        prefix = WORD_NEEDS.get((type(model), name))
        if prefix:
            yield f"{prefix}{value}", at
        elif name == "filter_type" and value in LAYER:
            yield f"filter.{value}", at
        elif (
            name == "allow"
            and value
            and getattr(model, "filter_type", None) in LAYER
            and not isinstance(model, ProbeFilter)
        ):
            yield "filter_allow", at
        elif name == "intervals_goal" and value.active:
            yield "intervals_goal", at
        yield from _below(value, at)


def _below(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Spec):
        yield from _of(value, at)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _below(item, f"{at}[{index}]")


def needs(kdamonds: Sequence[Kdamond]) -> list[tuple[str, str]]:
    """(feature, path of the field that asks for it) in the order of the spec."""
    return [need for index, item in enumerate(kdamonds) for need in _of(item, f"kdamonds[{index}]")]


def check(kdamonds: Sequence[Kdamond], features: Offer) -> None:
    """Raise FeatureMissing for the first thing that this kernel lacks; `facts["missing"]` has all of them."""
    missing = [(name, path) for name, path in needs(kdamonds) if not features.has(name)]
    if not missing:
        return
    name, path = missing[0]
    since = features.since(name)
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    raise FeatureMissing(
        f"{path} needs {name}, which this kernel ({features.release}) does not have{more}",
        hint=(
            f"Linux {since} or a backport has it; `damoctl features` shows what this kernel has"
            if since
            else "no released Linux has it yet; `damoctl features` shows what this kernel has"
        ),
        feature=name,
        path=path,
        since=since,
        missing=[{"feature": item, "path": where, "since": features.since(item)} for item, where in missing],
    )
