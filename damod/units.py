"""Numbers as people write them and as DAMON takes them: sizes, times, shares, rates, counts; in and out.

Reading accepts all of damo's spellings (``1 h 2 m``, ``4 KiB``, ``50 %``, ``1,000``) and the ones people try first
(``1h2m``, ``4k``, ``0x1000``). Arithmetic is on integers and fractions: nothing is rounded silently. Writing has two
families: the human forms of reports (three decimals, `size`, `time`, ...), and exact forms (`exact_size`,
`exact_time`) that read back as the same number, for specs.

Parsers raise ValueError with the offending text in it.
"""

from __future__ import annotations

import re
from fractions import Fraction

U64_MAX = 2**64 - 1
U32_MAX = 2**32 - 1

_SIZES = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
TIME_NS = {
    "ns": 1,
    "us": 1000,
    "ms": 1000_000,
    "s": 1000_000_000,
    "m": 60 * 1000_000_000,
    "h": 3600 * 1000_000_000,
    "d": 86400 * 1000_000_000,
}
# How many of a share's own unit make the whole.
SHARE_WHOLE = {"percent": 100, "permil": 1000, "bp": 10000}

_NUMBER = r"[+-]?(?:\d[\d,]*(?:\.\d*)?|\.\d+)"
_SIZE_RE = re.compile(rf"\s*({_NUMBER})\s*([A-Za-z]*)\s*")
_TIME_RE = re.compile(rf"\s*({_NUMBER})\s*([A-Za-z]+)\s*")
_BARE_RE = re.compile(rf"\s*({_NUMBER})\s*")


def _fraction(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def _words(text: object) -> str:
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ValueError(f"{text!r} is not a number")
    return str(text).strip()


def parse_size(text: str | int | float) -> int:
    """Bytes from ``4K``, ``1.5 GiB``, ``4,096``, ``0x1000``, ``min`` or ``max``; all units are powers of 1024.

    A fraction of a byte is cut off, more than 2**64-1 is ``max`` (both as damo does).
    """
    words = _words(text)
    if words == "max":
        return U64_MAX
    if words == "min":
        return 0
    if words.lower().startswith("0x"):
        try:
            return min(int(words, 16), U64_MAX)
        except ValueError:
            raise ValueError(f"{text!r} is not a hexadecimal number") from None
    match = _SIZE_RE.fullmatch(words)
    if not match:
        raise ValueError(f"{text!r} is not a size (like 4096, 4K, 1.5 GiB, max)")
    number, unit = match.groups()
    key = unit.upper()
    if len(key) > 1:
        key = key.removesuffix("IB") or key
        key = key.removesuffix("B") if len(key) == 2 and key != "IB" else key
        key = key.removesuffix("I") if len(key) == 2 else key
    if key not in _SIZES:
        raise ValueError(f"{text!r}: unknown size unit {unit!r} (B, K, M, G, T, P or E, each also as KB or KiB)")
    value = _fraction(number) * _SIZES[key]
    if value < 0:
        raise ValueError(f"{text!r} is a negative size")
    return min(int(value), U64_MAX)


def parse_time_ns(text: str | int | float, unit: str) -> Fraction:
    """Nanoseconds, exact, from ``5ms``, ``1 h 2 m``, ``1h2m`` or a bare number of `unit`.

    A leading minus counts for its own field only, as in damo (``-1 s 500 ms`` is -500 ms).
    """
    words = _words(text)
    if words == "max":
        return Fraction(U64_MAX)
    if words == "min":
        return Fraction(0)
    bare = _BARE_RE.fullmatch(words)
    if bare:
        return _fraction(bare.group(1)) * TIME_NS[unit]
    total, at = Fraction(0), 0
    while at < len(words):
        match = _TIME_RE.match(words, at)
        if not match:
            raise ValueError(f"{text!r} is not a time (like 5ms, 1.5 s, 1h2m, max)")
        number, name = match.groups()
        if name not in TIME_NS:
            raise ValueError(f"{text!r}: unknown time unit {name!r} (ns, us, ms, s, m, h or d)")
        total += _fraction(number) * TIME_NS[name]
        at = match.end()
    if not words:
        raise ValueError("an empty text is not a time (like 5ms, 1.5 s, 1h2m, max)")
    return total


def parse_time(text: str | int | float, unit: str = "us") -> int:
    """Whole `unit`s from a time as `parse_time_ns` takes it; ``max`` is 2**64-1 of the unit.

    Anything finer than the unit is refused rather than rounded.
    """
    if isinstance(text, str) and text.strip() == "max":
        return U64_MAX
    value = parse_time_ns(text, unit) / TIME_NS[unit]
    if value.denominator != 1:
        raise ValueError(f"{text!r} is finer than 1 {unit}")
    return int(value)


def parse_share(text: str | int | float, unit: str) -> Fraction:
    """A share in its own `unit` (percent, permil, bp), exact, from ``50 %`` or a bare number of that unit."""
    words = _words(text)
    if words == "max":
        return Fraction(U64_MAX)
    if words == "min":
        return Fraction(0)
    percent = words.endswith("%")
    bare = _BARE_RE.fullmatch(words[:-1] if percent else words)
    if not bare:
        raise ValueError(f"{text!r} is not a share (like 50% or a number of {unit})")
    value = _fraction(bare.group(1))
    if value < 0:
        raise ValueError(f"{text!r} is a negative share")
    return value * SHARE_WHOLE[unit] / 100 if percent else value


def parse_whole_share(text: str | int | float, unit: str) -> int:
    """A share that the kernel takes as a whole number of `unit`; finer ones are refused rather than rounded."""
    value = parse_share(text, unit)
    if value.denominator != 1:
        raise ValueError(f"{text!r} is finer than 1 {unit}")
    return int(value)


def parse_count(text: str | int | float) -> int:
    """A whole number, commas allowed; ``min`` and ``max`` too. ``4.0`` is 4, ``4.5`` is refused."""
    words = _words(text)
    if words == "max":
        return U64_MAX
    if words == "min":
        return 0
    if words.lower().startswith("0x"):
        return int(words, 16)
    bare = _BARE_RE.fullmatch(words)
    value = _fraction(bare.group(1)) if bare else Fraction(1, 2)
    if value.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


def parse_bool(text: object) -> bool:
    """``y yes true n no false`` in any case (and ``on``, ``off``, 1, 0), as the option takes them."""
    if isinstance(text, bool):
        return text
    words = str(text).strip().lower()
    if words in ("y", "yes", "true", "on", "1"):
        return True
    if words in ("n", "no", "false", "off", "0"):
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


def number(value: float, *, raw: bool = False) -> str:
    """``1,234,567``; a fraction is cut off."""
    return f"{int(value)}" if raw else f"{int(value):,}"


_BINARY = (("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10))


def size(value: float, *, raw: bool = False, digits: int = 3) -> str:
    """``1.366 GiB``. The unit changes strictly above its power (1 MiB is ``1024.000 KiB``), as damo's users know it."""
    if raw:
        return f"{int(value)}"
    if value == U64_MAX:
        return "max"
    for unit, shift in _BINARY:
        if value > 1 << shift:
            return f"{value / (1 << shift):.{digits}f} {unit}"
    return f"{int(value)} B"


def exact_size(value: int) -> str:
    """The shortest size that `parse_size` reads back as `value`: ``4.000 KiB``, ``1.000977 KiB`` or ``4,097 B``."""
    for digits in (3, 6):
        text = size(value, digits=digits)
        if parse_size(text) == value:
            return text
    return f"{value:,} B"


def exact_time(ns: int) -> str:
    """Every unit for itself, nothing lost: ``1 ms 234 us 567 ns``; days are used. 2**64-1 and above is ``max``."""
    if ns >= U64_MAX:
        return "max"
    if ns == 0:
        return "0 ns"
    sign, rest, words = ("-" if ns < 0 else ""), abs(ns), []
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, TIME_NS[unit])
        if count:
            words.append(f"{count:,} {unit}")
    return sign + " ".join(words)


def _fields(value: float, unit: str) -> str:
    return f"{int(value)} {unit}" if value == int(value) else f"{value:.3f} {unit}"


def time(ns: float, *, raw: bool = False, raw_unit: str = "ns") -> str:
    """``3.400 s``, ``8 m 59.809 s``, ``485608 h 46 m 49.650 s``; `raw` prints whole `raw_unit`s."""
    if raw:
        return f"{int(ns / TIME_NS[raw_unit])}" if isinstance(ns, float) else f"{ns // TIME_NS[raw_unit]}"
    if ns >= U64_MAX:
        return "max"
    if ns < 0:
        return "-" + time(-ns)
    if ns >= TIME_NS["h"]:
        hours, rest = divmod(ns, TIME_NS["h"])
        return f"{int(hours)} h" + (f" {time(rest)}" if rest else "")
    if ns >= TIME_NS["m"]:
        minutes, rest = divmod(ns, TIME_NS["m"])
        return f"{int(minutes)} m" + (f" {_fields(rest / TIME_NS['s'], 's')}" if rest else "")
    for unit in ("s", "ms", "us"):
        if ns >= TIME_NS[unit]:
            return _fields(ns / TIME_NS[unit], unit)
    return f"{int(ns)} ns"


def hz(value: float, *, raw: bool = False) -> str:
    """``200 hz``; below ten three decimals, ``0.333 hz``."""
    if raw:
        return f"{value:f}"
    if value and value < 10:
        return f"{value:.3f} hz"
    return f"{int(value):,} hz"


def percent(value: float | Fraction, *, raw: bool = False) -> str:
    """``5 %``, ``0.0227156 %``: up to seven decimals, trailing zeros gone."""
    if raw:
        return f"{float(value):f}"
    whole, rest = divmod(round(Fraction(value) * 10**7), 10**7)
    tail = f"{rest:07}".rstrip("0")
    return f"{whole:,}.{tail} %" if tail else f"{whole:,} %"


def exact_percent(value: Fraction) -> str:
    """Percent with all its decimals (``0.00001 %``), so that `parse_share` reads back the same."""
    whole, rest = divmod(value, 1)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, 1)
        digits += str(digit)
        if len(digits) > 40:
            raise ValueError(f"{value} % has no end as a decimal number")
    return f"{whole:,}.{digits} %" if digits else f"{whole:,} %"


def share(value: int | Fraction, unit: str, *, raw: bool = False) -> str:
    """A share of `unit` (percent, permil, bp) as percent; `raw` in its own unit."""
    return percent(value, raw=True) if raw else percent(Fraction(value) * 100 / SHARE_WHOLE[unit])


def bandwidth(bytes_per_second: float, *, raw: bool = False) -> str:
    """``75.464 GiB per second``."""
    return f"{size(int(bytes_per_second), raw=raw)} per second"
