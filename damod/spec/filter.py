"""DAMOS filters: one class per type, so that a filter cannot carry what its type does not use.

The kernel evaluates *core* filters (by address, target, probe hits) per region before *ops* filters (by page), see
`LAYER`. Within a layer the first match decides.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from damod.errors import SpecInvalid
from damod.spec.base import Address, Bytes, Count, Flag, Spec

FilterType = Literal[
    "anon", "active", "memcg", "young", "hugepage_size", "unmapped", "addr", "target", "probe_hits_wsum"
]
LAYER: dict[str, Literal["core", "ops"]] = {
    "anon": "ops",
    "active": "ops",
    "memcg": "ops",
    "young": "ops",
    "hugepage_size": "ops",
    "unmapped": "ops",
    "addr": "core",
    "target": "core",
    "probe_hits_wsum": "core",
}


class AddressRange(Spec):
    """Addresses in [start, end)."""

    start: Address
    end: Address

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start:,}) is not below end ({self.end:,})")
        return self


class BaseFilter(Spec):
    """`matching` says whether memory of the type (or all other) is meant, `allow` what happens to it."""

    filter_type: FilterType
    matching: Flag = True
    allow: Flag = False


class PageFilter(BaseFilter):
    """A filter by a property of the page that needs no further argument."""

    filter_type: Literal["anon", "active", "young", "unmapped"]


class MemcgFilter(BaseFilter):
    """Pages charged to one memory cgroup, by its path below the cgroup mount."""

    filter_type: Literal["memcg"]
    memcg_path: str = Field(min_length=1)


class HugepageFilter(BaseFilter):
    """Pages whose folio size lies in [min, max]."""

    filter_type: Literal["hugepage_size"]
    hugepage_size: tuple[Bytes, Bytes]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hugepage_size[0] > self.hugepage_size[1]:
            raise ValueError(f"hugepage_size: min ({self.hugepage_size[0]:,}) is above max ({self.hugepage_size[1]:,})")
        return self


class AddrFilter(BaseFilter):
    """Regions, cut at the borders, inside an address range."""

    filter_type: Literal["addr"]
    address_range: AddressRange


class TargetFilter(BaseFilter):
    """Regions of one monitoring target, by its index in the context."""

    filter_type: Literal["target"]
    damon_target_idx: Count


class ProbeHitsFilter(BaseFilter):
    """Regions whose weighted sum of probe hits lies in [min, max]. No released kernel takes it in sysfs yet."""

    filter_type: Literal["probe_hits_wsum"]
    probe_hits_wsum_range: tuple[Count, Count]


# What damo and the kernel write into the fields that a type does not use.
_NO_RANGE = ({"start": "0", "end": "0"}, {"start": 0, "end": 0})
_UNUSED: tuple[Any, ...] = (None, "", "0", 0, ["0", "0"], [0, 0], ["0 B", "0 B"], *_NO_RANGE)
_OWN = {
    "memcg": "memcg_path",
    "hugepage_size": "hugepage_size",
    "addr": "address_range",
    "target": "damon_target_idx",
    "probe_hits_wsum": "probe_hits_wsum_range",
}


def _drop_unused(value: Any) -> Any:
    """Read damo's flat form: all keys always there, the unused ones null or zero; `filter_pass` is old for `allow`."""
    if not isinstance(value, dict):
        return value
    own = _OWN.get(str(value.get("filter_type")))
    kept = {key: item for key, item in value.items() if key not in _OWN.values() or key == own or item not in _UNUSED}
    if "filter_pass" in kept:
        kept.setdefault("allow", kept.pop("filter_pass"))
    return kept


Filter = Annotated[
    Annotated[
        PageFilter | MemcgFilter | HugepageFilter | AddrFilter | TargetFilter | ProbeHitsFilter,
        Field(discriminator="filter_type"),
    ],
    BeforeValidator(_drop_unused),
]

_FILTERS = TypeAdapter(tuple[Filter, ...])


def parse_filters(plain: list[Any] | None) -> tuple[Filter, ...]:
    """Filters from plain data, as for a snapshot that counts what passes them. Raises SpecInvalid."""
    try:
        return _FILTERS.validate_python(plain or ())
    except ValidationError as exc:
        problems = [{"path": "filters", "message": error["msg"]} for error in exc.errors(include_url=False)]
        raise SpecInvalid(f"the filters are wrong: {problems[0]['message']}", problems=problems) from exc
