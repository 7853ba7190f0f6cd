"""The table of regions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from damoctl.watch.regions import SORTS, rows
from tests.unit.damoctl.watch.shots import MIB, S, shot

SHOT = shot(S, [(0, MIB, 20, 3), (MIB, 4 * MIB, 0, 50), (4 * MIB, 6 * MIB, 4, 9), (6 * MIB, 7 * MIB, 0, 2)])


@pytest.mark.parametrize(
    ("sort", "starts"),
    [
        ("hot", [4, 0, 6, 1]),  # older is hotter while it is accessed, and colder while it is not
        ("cold", [1, 6, 0, 4]),
        ("size", [1, 4, 0, 6]),
        ("address", [0, 1, 4, 6]),
        ("access", [0, 4, 1, 6]),
        ("age", [1, 4, 0, 6]),
    ],
)
def test_orders(sort: str, starts: list[int]) -> None:
    """Each order that a person can choose."""
    assert [row.start // MIB for row in rows(SHOT, sort)] == starts
    assert sort in SORTS


def test_neighbours_that_look_the_same_are_one() -> None:
    """DAMON splits at random; a reader need not see it."""
    (row,) = rows(shot(S, [(0, MIB, 5, 2), (MIB, 2 * MIB, 5, 2)]), "hot")
    assert (row.start, row.end, row.percent, row.age_us) == (0, 2 * MIB, 25.0, 200_000)


def test_what_a_record_does_not_tell() -> None:
    """Without intervals neither percent nor age are known; an unknown age is not zero."""
    told = replace(shot(S, [(0, MIB, 5, -1)]), sample_us=0, aggr_us=0)
    (row,) = rows(told, "hot")
    assert (row.samples, row.percent, row.age_us) == (5, None, -1)
    assert rows(shot(S, [(0, MIB, 5, -1)]), "hot")[0].age_us == -1
