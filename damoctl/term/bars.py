"""Bars of stars between two strokes, as the distribution reports draw them."""

from __future__ import annotations


def bar(stars: int, width: int) -> str:
    """``|***   |``: `stars` of `width`."""
    return f"|{'*' * stars:<{width}}|"
