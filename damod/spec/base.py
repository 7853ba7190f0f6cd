"""The base of all spec models and their scalar types.

A scalar type is an `int` in the kernel's own unit plus a `Unit` that knows how the number is read (damo's and our
spellings) and how it is written so that it reads back as the same number. Everything that prints or parses a spec
derives from these annotations; there is no second table of units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic.fields import FieldInfo

from damod import units
from damod.units import U32_MAX, U64_MAX


class Spec(BaseModel):
    """A frozen model that knows only its declared keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Unit:
    """How a scalar is read and written. `human` gives text that `parse` reads back as the same value."""

    name: str
    parse: Callable[[Any], int]
    human: Callable[[int], str]

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """A number in the unit itself, or text with a unit."""
        return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "x-unit": self.name}


def _bounded(parse: Callable[[Any], int], top: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = parse(value)
        if number < 0:
            raise ValueError(f"{value!r} is negative")
        if number > top:
            raise ValueError(f"{value!r} is more than the kernel can hold ({top:,})")
        return number

    return check


def _time(unit: str, top: int = U64_MAX) -> Unit:
    def human(value: int) -> str:
        if value == U64_MAX:
            return "max"
        ns = value * units.TIME_NS[unit]
        # exact_time says "max" from 2**64-1 ns on, which read back would be another number of a coarser unit.
        return f"{value:,} {unit}" if ns >= U64_MAX else units.exact_time(ns)

    return Unit(unit, _bounded(lambda v: units.parse_time(v, unit), top), human)


def _share(unit: str, top: int = U64_MAX) -> Unit:
    return Unit(unit, _bounded(lambda v: units.parse_whole_share(v, unit), top), lambda v: units.share(v, unit))


_BYTES = Unit("bytes", _bounded(units.parse_size, U64_MAX), units.exact_size)
_ADDRESS = Unit("address", _bounded(units.parse_size, U64_MAX), lambda v: f"{v:,}")
_COUNT32 = Unit("count", _bounded(units.parse_count, U32_MAX), lambda v: f"{v:,}")
_COUNT = Unit("count", _bounded(units.parse_count, U64_MAX), lambda v: f"{v:,}")


def _annotated(unit: Unit) -> tuple[Unit, BeforeValidator]:
    return unit, BeforeValidator(unit.parse)


_us, _ms, _bp, _permil = _time("us"), _time("ms"), _share("bp"), _share("permil", U32_MAX)
_ms32 = _time("ms", U32_MAX)

_s = _time("s")

Micros = Annotated[int, _us, BeforeValidator(_us.parse)]
Millis = Annotated[int, _ms, BeforeValidator(_ms.parse)]
Seconds = Annotated[int, _s, BeforeValidator(_s.parse)]
BasisPoints = Annotated[int, _bp, BeforeValidator(_bp.parse)]
Permil = Annotated[int, _permil, BeforeValidator(_permil.parse)]
Bytes = Annotated[int, _BYTES, BeforeValidator(_BYTES.parse)]
Address = Annotated[int, _ADDRESS, BeforeValidator(_ADDRESS.parse)]
Count = Annotated[int, _COUNT, BeforeValidator(_COUNT.parse)]
# Where the kernel keeps an unsigned int, a larger number is ERANGE.
Count32 = Annotated[int, _COUNT32, BeforeValidator(_COUNT32.parse)]
I32_MAX = 2**31 - 1
NodeId = Annotated[int, Field(ge=0, le=I32_MAX)]
Millis32 = Annotated[int, _ms32, BeforeValidator(_ms32.parse)]
Flag = Annotated[bool, BeforeValidator(units.parse_bool)]


@dataclass(frozen=True)
class Rate:
    """One bound of an access rate: a share of the samples of an aggregation, or a number of samples.

    Percent is kept as an exact fraction; how many samples it means depends on the intervals (`samples`).
    """

    value: Fraction
    unit: Literal["percent", "samples"]

    @classmethod
    def parse(cls, text: object) -> Rate:
        """From ``5 %``, ``3 samples``, or a bare number of percent. Hz needs intervals; a `Context` reads it."""
        if isinstance(text, Rate):
            return text
        if isinstance(text, str) and text.strip().endswith(("samples", "sample")):
            return cls(Fraction(_COUNT.parse(text.strip().removesuffix("s").removesuffix("sample"))), "samples")
        if not isinstance(text, (str, int, float)):
            raise ValueError(f"{text!r} is not an access rate (like 5% or '3 samples')")
        # damo's float arithmetic turns the largest number into one more, and its users' files have that.
        return cls(min(units.parse_share(text, "percent"), Fraction(U64_MAX)), "percent")

    def samples(self, max_samples: int, *, upper: bool) -> int:
        """The bound in samples for the kernel: a lower bound is rounded up, an upper one down; u32 at most."""
        exact = self.value if self.unit == "samples" else self.value * max_samples / 100
        if self.value == U64_MAX:
            return U32_MAX
        whole = exact.numerator // exact.denominator if upper else -(-exact.numerator // exact.denominator)
        return min(whole, U32_MAX)

    def __str__(self) -> str:
        if self.unit == "samples":
            return f"{int(self.value):,} samples"
        return units.exact_percent(self.value)


@dataclass(frozen=True)
class Age:
    """One bound of an age: microseconds, or a number of aggregation intervals."""

    value: int
    unit: Literal["us", "aggr_intervals"]

    @classmethod
    def parse(cls, text: object) -> Age:
        """From ``5 s``, ``3 aggr_intervals``, ``max`` or a bare number of microseconds."""
        if isinstance(text, Age):
            return text
        if isinstance(text, str) and text.strip().endswith(("aggr_intervals", "aggr_interval")):
            return cls(_COUNT.parse(text.strip().split("aggr")[0]), "aggr_intervals")
        if not isinstance(text, (str, int, float)):
            raise ValueError(f"{text!r} is not an age (like 5s or '3 aggr_intervals')")
        return cls(_us.parse(text), "us")

    def aggrs(self, aggr_us: int, *, upper: bool) -> int:
        """The bound in aggregation intervals for the kernel: lower rounded up, upper down; u32 at most."""
        if self.value == U64_MAX:
            return U32_MAX
        if self.unit == "aggr_intervals":
            return min(self.value, U32_MAX)
        whole = self.value // max(aggr_us, 1) if upper else -(-self.value // max(aggr_us, 1))
        return min(whole, U32_MAX)

    def __str__(self) -> str:
        return f"{self.value:,} aggr_intervals" if self.unit == "aggr_intervals" else _us.human(self.value)


_NUMBER_OR_TEXT = WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
AccessRate = Annotated[Rate, PlainValidator(Rate.parse), PlainSerializer(str), _NUMBER_OR_TEXT]
RegionAge = Annotated[Age, PlainValidator(Age.parse), PlainSerializer(str), _NUMBER_OR_TEXT]


def _unit_within(annotation: Any) -> Unit | None:
    found = (item for item in getattr(annotation, "__metadata__", ()) if isinstance(item, Unit))
    return next(found, None) or next(filter(None, map(_unit_within, get_args(annotation))), None)


def unit_of(field: FieldInfo) -> Unit | None:
    """The `Unit` of a field, if it is one of the scalar types above, or an optional one, or several of one."""
    return next((item for item in field.metadata if isinstance(item, Unit)), None) or _unit_within(field.annotation)


def human(value: Any, unit: Unit | None = None) -> Any:
    """A spec as plain JSON values with units in them, which reads back as the same spec.

    Models become dicts in field order, scalars with a unit become text, everything else stays.
    """
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {name: human(getattr(value, name), unit_of(field)) for name, field in fields.items()}
    if isinstance(value, (list, tuple)):
        return [human(item, unit) for item in value]
    if isinstance(value, (Rate, Age)):
        return str(value)
    if unit is not None and isinstance(value, int) and not isinstance(value, bool):
        return unit.human(value)
    return value
