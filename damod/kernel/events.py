"""What a record of a trace event looks like, as the kernel itself describes it in the event's `format` file.

Offsets, sizes and signedness differ between kernels (and fields come and go), so nothing of them is known here: a
`Format` is made from the text, and `pages.PageDecoder` makes its decoders from the `Format`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REGIONS = "damon_aggregated"
REGIONS_AND_PROBES = "damon_region_aggregated"
INTERVALS = "damon_monitor_intervals_tune"

_FIELD = re.compile(r"field:\s*([^;]+);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:([01]);)?")
_DECLARATION = re.compile(r"(?P<type>.*?)\s*(?P<name>\w+)\s*(?P<array>\[[^]]*\])?")
_DATA_LOC = "__data_loc "
_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}
# The element types of dynamic arrays; the text has no size for them. `long` is that of a 64-bit kernel, as DAMON needs.
_ELEMENTS = {"char": 1, "u8": 1, "short": 2, "u16": 2, "int": 4, "u32": 4, "long": 8, "u64": 8}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `code` is its `struct` code; `element` that of the items of a dynamic array, else empty."""

    name: str
    offset: int
    size: int
    code: str
    element: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """One event: its number in `common_type`, and its fields by ascending offset, common ones included."""

    name: str
    id: int
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """A field by name. Raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


def parse_fields(text: str) -> tuple[Field, ...]:
    """The ``field:...; offset:...; size:...; signed:...;`` lines of a text, in its order."""
    return tuple(_field(*match.groups()) for match in _FIELD.finditer(text))


def parse(text: str) -> Format:
    """A whole `format` file. Raises ValueError if it is not one."""
    name = re.search(r"^name: (\S+)$", text, re.MULTILINE)
    number = re.search(r"^ID: (\d+)$", text, re.MULTILINE)
    fields = tuple(sorted(parse_fields(text), key=lambda field: field.offset))
    if not name or not number or not fields:
        raise ValueError(f"not the format of a trace event: {text[:80]!r}")
    first = fields[0]
    if (first.name, first.offset, first.size) != ("common_type", 0, 2):
        raise ValueError(f"event {name[1]}: the first field is {first.name}, not a common_type of two bytes")
    return Format(name[1], int(number[1]), fields)


def print_format(text: str) -> tuple[str, list[str]]:
    """How the kernel prints an event, from its `format` file: a text with ``%`` places, and what each shows.

    What is shown is the name of a field, or ``hex:`` and the name of an array. ("", []) where that is not understood.
    """
    match = re.search(r'^print fmt: "((?:[^"\\\\]|\\\\.)*)"(.*)$', text, re.MULTILINE)
    if match is None:
        return "", []
    shown = [
        plain or f"hex:{array}"
        for plain, array in re.findall(r"REC->(\w+)|__print_hex\(__get_dynamic_array\((\w+)\)", match[2])
    ]
    form = re.sub(r"%[0-9]*[hlz]*[dux]", "%d", match[1])
    return (form, shown) if form.count("%") == len(shown) else ("", [])


def _field(declaration: str, offset: str, size: str, signed: str | None) -> Field:
    dynamic = declaration.startswith(_DATA_LOC)
    words = declaration.removeprefix(_DATA_LOC).strip()
    if dynamic:
        kind, name = words.rsplit(None, 1)
        kind = kind.removesuffix("[]").strip()
        element = _code(_ELEMENTS.get(kind.split()[-1], 1), signed=not kind.startswith("u"))
        return Field(name, int(offset), int(size), "I", element)
    match = _DECLARATION.fullmatch(words)
    if not match:
        raise ValueError(f"not a field of a trace event: {declaration!r}")
    width = int(size)
    code = f"{width}s" if match["array"] or width not in _CODES else _code(width, signed=signed == "1")
    return Field(match["name"], int(offset), width, code)


def _code(size: int, *, signed: bool) -> str:
    return _CODES[size] if signed else _CODES[size].upper()
