"""A screenful over the one before, for views that go on. Plain escapes; no cursor is hidden, no mode is left behind."""

from __future__ import annotations

from collections.abc import Sequence

CLEAR = "\x1b[2J"
# What is wider than the screen is cut by the terminal rather than wrapped, for the time of a drawing.
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
# At the end of a report stand its sums.
_TAIL = 4


def redraw(title: str, lines: Sequence[str], height: int) -> str:
    """What to write for a title and lines; regions that do not fit give way to a line that counts them."""
    room = max(height - 3, 1)
    shown = list(lines)
    if len(shown) > room:
        kept = max(room - _TAIL - 1, 0)
        gone = len(shown) - kept - _TAIL
        shown = [*shown[:kept], f"... {gone} more lines", *shown[-_TAIL:]][:room] if gone > 0 else shown[:room]
    return HOME + _CUT + "".join(f"{line}{CLEAR_LINE}\n" for line in [title, "", *shown]) + CLEAR_BELOW + _WRAP
