"""Distributions as charts in the terminal."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from damoctl.reports.chart import lines
from damoctl.reports.spread import Look, Values


def drawn(values: list[int], width: int = 40, *, by_time: bool = False, **more: str) -> list[str]:
    return list(
        lines(Values(7, np.array(values, dtype=np.int64)), Look(by_time=by_time), "size", show=str, width=width, **more)
    )


def test_a_staircase() -> None:
    """Each quarter of the values has its column height; the labels are those of the axis."""
    title, *rows, axis, scale = drawn([3, 6, 9, 12] * 5)
    assert title == "size of target 7"
    assert [row.partition(" ┤")[0].strip() for row in rows if row[0] != " " or row[1] != " "] == ["12", "9", "6", "3"]
    assert [row.count("█") for row in rows[::3]] == [9, 18, 26, 35]  # of 35 columns
    assert axis == " 0 └" + "─" * 35
    assert scale.split() == ["0", "percentile", "100"]


def test_in_order_of_time() -> None:
    """A peak in the middle of the recording stands in the middle."""
    _, *rows, _, scale = drawn([0, 0, 8, 0, 0], by_time=True, steps="    ::::#")
    assert rows[0].index("#") > 12 and rows[0].rindex("#") < 32 and "─" not in scale
    assert "percent of the recording's time" in scale


@given(st.lists(st.integers(0, 1 << 62), max_size=30), st.integers(1, 200))
def test_it_fits(values: list[int], width: int) -> None:
    """Whatever the values and the terminal's width: a chart of its height, no wider than it may be."""
    found = drawn(values, width)
    assert len(found) == (15 if values else 2)
    assert max(map(len, found[1:])) <= max(width, 40)
