"""What all reports share: how their numbers are written and the errors that every report may meet."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)


def texts(values: Sequence[Value], show: Callable[[Value], str], width: int = 0) -> list[str]:
    """A column as text, right-padded to `width`. Equal values are formatted once: monitoring results repeat a lot."""
    known = {value: show(value).ljust(width) for value in set(values)}
    return [known[value] for value in values]
