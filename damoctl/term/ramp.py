"""How heat from 0 to 100 percent looks on a terminal: colours as far as it has them, else shades or letters.

With many colours a character cell is two pixels, one above the other (an upper half block in two colours); with
eight, shade characters between two colours make the steps; without, the shades alone do.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

# Inferno-like, dark to bright in equal steps for the eye: (percent of the ramp, r, g, b).
_TRUE = (
    (0, 22, 18, 54), (18, 71, 16, 105), (36, 133, 33, 107), (54, 194, 58, 72), (72, 240, 112, 32), (88, 251, 186, 40),
    (100, 255, 253, 190),
)  # fmt: skip
_STEPS = 24
_256 = (17, 54, 90, 126, 125, 161, 160, 202, 208, 214, 220, 227, 229, 231)
_SHADES = "░▒▓"
_8 = ("blue", "magenta", "red", "yellow", "white")
_ASCII = ".:-=+*oO%#@"
UNKNOWN = -1


class Ramp(NamedTuple):
    """`halves`: a cell shows two pixels. `blocks`: whether block and line characters may be used.

    `chars` and `styles` are those of each level (of whole cells); for halves `styles` are colour names.
    """

    halves: bool
    blocks: bool
    chars: tuple[str, ...]
    styles: tuple[str, ...]

    @property
    def steps(self) -> int:
        """How many levels there are."""
        return len(self.chars)

    def cell(self, upper: int, lower: int) -> tuple[str, str]:
        """Character and style of a cell by the levels of its pixels (without halves both are the same pixel)."""
        if not self.halves:
            return (" ", "") if upper < 0 else (self.chars[upper], self.styles[upper])
        if upper < 0 and lower < 0:
            return " ", ""
        if upper < 0:
            return "▄", self.styles[lower]
        if lower < 0:
            return "▀", self.styles[upper]
        if upper == lower:
            return " ", f"on {self.styles[upper]}"
        return "▀", f"{self.styles[upper]} on {self.styles[lower]}"


def _true(share: float) -> str:
    """A colour of the bright ramp as #rrggbb."""
    place = share * 100
    (low, *dark), (high, *bright) = next((below, above) for below, above in pairwise(_TRUE) if place <= above[0])
    part = (place - low) / (high - low)
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(dark, bright, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def ramp(colors: int, *, blocks: bool) -> Ramp:
    """The best ramp for a terminal with so many colours (0, 8, 16, 256 or more), with block characters or without."""
    if colors > 256 and blocks:
        return Ramp(True, True, (" ",) * _STEPS, tuple(_true(step / (_STEPS - 1)) for step in range(_STEPS)))
    if colors == 256 and blocks:
        return Ramp(True, True, (" ",) * len(_256), tuple(f"color({code})" for code in _256))
    if not blocks:
        digits = "0123456789" if colors else _ASCII
        styles = ("", "", *("blue",) * 2, *("magenta",) * 2, *("red",) * 2, "yellow", "white")
        return Ramp(False, False, tuple(digits), styles if colors else ("",) * len(digits))
    if not colors:
        return Ramp(False, True, ("·", *_SHADES, "█"), ("",) * 5)
    chars, looks = ["·"], [_8[0]]
    for dark, bright in zip(("", *_8), _8, strict=False):
        on = f" on {dark}" if dark else ""
        chars += _SHADES if dark else "▒▓"
        looks += [bright + on] * (3 if dark else 2)
        chars.append(" ")
        looks.append(f"on {bright}")
    return Ramp(False, True, tuple(chars), tuple(looks))


def level(percent: float, steps: int, whole: float = 100.0) -> int:
    """The level of a share of `whole`; zero has the lowest one for itself. By the root, as most memory is cool."""
    if percent != percent:
        return UNKNOWN
    if percent <= 0 or whole <= 0:
        return 0
    return min(1 + int((percent / whole) ** 0.5 * (steps - 1)), steps - 1)
