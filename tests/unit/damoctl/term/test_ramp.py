"""Heat in colours and characters."""

from __future__ import annotations

import pytest
from rich.style import Style

from damoctl.term.ramp import Ramp, level, ramp

ALL = [ramp(colors, blocks=blocks) for colors in (0, 8, 256, 1 << 24) for blocks in (True, False)]


@pytest.mark.parametrize("found", ALL)
def test_all_cells_can_be_drawn(found: Ramp) -> None:
    """Each pair of levels, and nothing, is one character in a style that rich knows; levels look different."""
    cells = set()
    for upper in range(-1, found.steps):
        for lower in range(-1, found.steps) if found.halves else [upper]:
            char, style = found.cell(upper, lower)
            assert len(char) == 1
            Style.parse(style)
            cells.add((char, style))
    count = found.steps + 1
    assert len(cells) == (count * count if found.halves else count)


def test_without_blocks_it_is_ascii() -> None:
    """For a terminal or a font that has nothing else."""
    for colors in (0, 8, 256, 1 << 24):
        assert "".join(ramp(colors, blocks=False).chars).isascii()


def test_shades_are_of_the_linux_console() -> None:
    """Its font has the 256 characters of code page 437."""
    for colors in (0, 8):
        "".join(ramp(colors, blocks=True).chars).encode("cp437")
    "▀▄".encode("cp437")


def test_levels() -> None:
    """Zero is alone at the bottom, the whole is the top; half of the levels are for the first quarter."""
    assert level(0, 24) == 0
    assert level(0.01, 24) == 1
    assert level(25, 24) == 12
    assert level(100, 24) == level(150, 24) == 23
    assert level(float("nan"), 24) == -1
    assert level(10, 24, whole=10) == 23
