"""Lines of styled text, and numbers in few characters."""

from __future__ import annotations

from collections.abc import Iterable

from damod import units
from damod.units import TIME_NS

Piece = tuple[str, str]
Line = list[Piece]
"""Texts with their styles (as rich spells them), left to right."""

DIM, BOLD, BAD = "dim", "bold", "bold red"
TITLE, GOOD_TITLE, WARN_TITLE = "bold white on blue", "bold bright_green on blue", "bold bright_yellow on blue"


def printable(text: str, most: int = 200) -> str:
    """Somebody else's text without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text[:most])


def length(line: Iterable[Piece]) -> int:
    return sum(len(text) for text, _ in line)


def fit(line: Line, width: int, style: str = "") -> Line:
    """The line cut or filled with blanks to a width."""
    made: Line = []
    left = width
    for text, look in line:
        if left <= 0:
            break
        if text:
            made.append((text[:left], look))
            left -= len(text)
    if left > 0:
        made.append((" " * left, style))
    return made


def spread(left: Line, right: Line, width: int, style: str = "") -> Line:
    """Two parts at both ends of a line; the left one is cut where there is no room for both."""
    return fit([*fit(left, max(width - length(right), 0), style), *right], width, style)


def joined(parts: Iterable[Piece], width: int, gap: str = "   ") -> Line:
    """As many of the parts as fit, with gaps between them."""
    line: Line = []
    for text, style in parts:
        need = len(text) + (len(gap) if line else 0)
        if text and length(line) + need <= width:
            line += [(gap, ""), (text, style)] if line else [(text, style)]
    return line


def size(value: float) -> str:
    """``12.3 GiB``, at most 10 characters."""
    return units.size(value, digits=1)


def time(ns: float) -> str:
    """``300 ms``, ``12.5 s``, ``3m20s``, ``5h12m``, ``3d4h``: at most 7 characters up to a year."""
    if ns < 0:
        return "-" + time(-ns)
    if ns < TIME_NS["ms"]:
        return f"{ns / 1e3:.0f} us" if ns else "0 s"
    if ns < TIME_NS["s"]:
        return f"{ns / 1e6:.0f} ms"
    if ns < 100 * TIME_NS["s"]:
        return f"{ns / 1e9:.1f} s"
    for big, small, letters in (("m", "s", "ms"), ("h", "m", "hm"), ("d", "h", "dh")):
        whole, rest = divmod(int(ns), TIME_NS[big])
        if letters == "dh" or ns < 100 * TIME_NS[big]:
            return f"{whole}{letters[0]}" + (f"{rest // TIME_NS[small]}{letters[1]}" if rest >= TIME_NS[small] else "")
    raise AssertionError


def span(ns: float) -> str:
    """``100 ms``, ``2 s``, ``5 m``: a duration that is a round number."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if ns >= TIME_NS[unit]:
            return f"{ns / TIME_NS[unit]:.4g} {unit}"
    return f"{ns:.0f} ns"


def percent(share: float | None, digits: int = 1) -> str:
    """``12.3 %`` of a share of 1; ``-`` where not known."""
    return "-" if share is None else f"{share * 100:.{digits}f} %"


def rate(per_second: float | None) -> str:
    """``3.1 MiB/s``."""
    return "-" if per_second is None else f"{size(per_second)}/s"
