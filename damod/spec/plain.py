"""A spec as the JSON that damo's users know: its keys, their order, and how each value is spelled.

Read back, it is the same spec, always: sizes that three decimals cannot hold get six or become plain bytes. Raw numbers
are in the field's own unit (damo prints some of them in nanoseconds, so that its raw output cannot be read back).
Differences to damo's text: `max_nr_snapshots` is there if set (damo loses it), a filter's unused `memcg_path` is null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from pydantic import BaseModel

from damod import units
from damod.spec.base import Age, Rate, Unit, unit_of
from damod.spec.filter import BaseFilter
from damod.spec.kdamond import Context, Kdamond, Probe, ProbeFilter, Target
from damod.spec.scheme import MIGRATIONS, Dest, QuotaGoal, Scheme

_FILTER_KEYS = ("memcg_path", "address_range", "damon_target_idx", "hugepage_size", "probe_hits_wsum_range")
# What damo's reader demands, and what tells filters and goals apart: never left out as a default.
_ALWAYS: dict[type[BaseModel], tuple[str, ...]] = {
    Kdamond: ("contexts",),
    Context: ("ops", "targets"),
    Target: ("regions",),
    Scheme: ("action",),
    QuotaGoal: ("metric", "target_value"),
}


def _float(value: int) -> int | float:
    """damo writes refresh_ms as a float; where that would lose digits it stays an integer."""
    return float(value) if value and value < 2**53 else value


def _range_size(value: int) -> str:
    text = units.size(value, digits=6)
    return text if units.parse_size(text) == value else units.exact_size(value)


_SPELLED: dict[tuple[type[BaseModel], str], Callable[[int], Any]] = {
    (Kdamond, "refresh_ms"): _float,
    (Dest, "weight"): int,
    (Probe, "weight"): int,
    (ProbeFilter, "range_min"): _range_size,
    (ProbeFilter, "range_max"): _range_size,
}


@cache
def _fields(model: type[BaseModel]) -> tuple[tuple[str, Callable[[int], Any]], ...]:
    """Name and human spelling of each field."""

    def human(unit: Unit | None) -> Callable[[int], Any]:
        return unit.human if unit else int

    return tuple(
        (name, _SPELLED.get((model, name)) or human(unit_of(field))) for name, field in model.model_fields.items()
    )


def _raw_rate(rate: Rate) -> int | str:
    return int(rate.value) if rate.unit == "percent" and rate.value.denominator == 1 else str(rate)


class _Speller:
    def __init__(self, raw: bool, omit_defaults: bool) -> None:
        self.raw = raw
        self.omit_defaults = omit_defaults

    def model(self, model: BaseModel) -> dict[str, Any]:
        kind = type(model)
        made = {}
        for name, spell in _fields(kind):
            value = getattr(model, name)
            if _shown(model, name, value) and not (self.omit_defaults and self._default(kind, name, value)):
                made[name] = self.value(value, spell)
        if isinstance(model, BaseFilter) and not self.omit_defaults:
            made = {key: made.get(key) for key in ("filter_type", "matching", "allow", *_FILTER_KEYS)}
        return made

    def _default(self, kind: type[BaseModel], name: str, value: Any) -> bool:
        field = kind.model_fields[name]
        return name not in _ALWAYS.get(kind, ()) and not field.is_required() and value == field.get_default()

    def value(self, value: Any, spell: Callable[[int], Any]) -> Any:
        if isinstance(value, BaseModel):
            return self.model(value)
        if isinstance(value, tuple):
            return [self.value(item, spell) for item in value]
        if isinstance(value, Rate):
            return _raw_rate(value) if self.raw else str(value)
        if isinstance(value, Age):
            return value.value if self.raw and value.unit == "us" else str(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        return value if self.raw else spell(value)


def _shown(model: BaseModel, name: str, value: Any) -> bool:
    """Keys that damo writes only where they say something."""
    if isinstance(model, Kdamond):
        return name not in ("state", "pid") or model.state is not None
    if isinstance(model, Scheme):
        if name == "target_nid":
            return model.action in MIGRATIONS
        return name not in ("stats", "max_nr_snapshots") or bool(value)
    return True


def plain(kdamonds: Iterable[Kdamond], *, raw: bool = False, omit_defaults: bool = False) -> dict[str, Any]:
    """``{"kdamonds": [...]}`` of plain JSON values; `damod.spec.kdamond.parse_kdamonds` reads it back."""
    speller = _Speller(raw, omit_defaults)
    return {"kdamonds": [speller.model(kdamond) for kdamond in kdamonds]}
