"""Digits from 0 (cold) to 9 (hot), coloured by one of three sets of 256-colour codes."""

from __future__ import annotations

from collections.abc import Iterable

# name -> (background of levels 0 to 9, foreground of levels 0 to 9)
_EMOTION_FRONT = (239, 235, 237, 239, 243, 245, 247, 249, 251, 255)
COLORSETS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "gray": ((232,) * 10, (237, 239, 241, 243, 245, 247, 249, 251, 253, 255)),
    "flame": ((232, 1, 1, 2, 3, 3, 20, 21, 26, 27), _EMOTION_FRONT),
    "emotion": ((232, 234, 20, 21, 26, 2, 3, 1, 1, 1), _EMOTION_FRONT),
}
RESET = "\x1b[0m"


def escape(level: int, colorset: str) -> str:
    """The escape that switches to the colours of a level."""
    back, front = COLORSETS[colorset]
    return f"\x1b[48;5;{back[level]}m\x1b[38;5;{front[level]}m"


def digits(levels: Iterable[int], colorset: str, *, color: bool) -> str:
    """One digit per level; equal neighbours share one escape."""
    if not color:
        return "".join(map(str, levels))
    parts, last = [], -1
    for level in levels:
        if level != last:
            parts.append(escape(level, colorset))
            last = level
        parts.append(str(level))
    return "".join(parts) + RESET if parts else ""


def run(level: int, length: int, colorset: str, *, color: bool) -> str:
    """`length` digits of one level."""
    text = str(level) * length
    return escape(level, colorset) + text + RESET if color and text else text


def cells(levels: Iterable[int | None], colorset: str, *, color: bool) -> str:
    """A row of a map: a digit per level, a blank (in the colours of level 4) where there is none."""
    if not color:
        return "".join(" " if level is None else str(level) for level in levels)
    parts, last = [], -1
    for level in levels:
        shown = 4 if level is None else level
        if shown != last:
            parts.append(escape(shown, colorset))
            last = shown
        parts.append(" " if level is None else str(level))
    return "".join(parts) + RESET if parts else ""
