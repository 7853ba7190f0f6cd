"""What all reports share: how columns of numbers become columns of text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)


def texts(values: Sequence[Value], show: Callable[[Value], str]) -> list[str]:
    """A column as text. Equal values are formatted once: monitoring results repeat a lot."""
    known = {value: show(value) for value in set(values)}
    return [known[value] for value in values]
