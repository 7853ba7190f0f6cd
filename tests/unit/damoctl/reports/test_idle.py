"""Idle times of damon_stat: interpolation, shares of memory, and what is no input."""

import pytest

from damoctl.reports import idle
from damod.errors import UsageError


def test_missing_percentiles_are_interpolated_and_extrapolated(tmp_path):
    """Between two given ones on the line through them, beyond the last on the line of the last two."""
    made = idle.of_pairs(["10", "0", "50", "40", "60", "60"])
    assert (len(made), made[10], made[30], made[55], made[0], made[100]) == (101, 0, 20, 50, -10, 140)
    (tmp_path / "pairs").write_text("10 0\n50 40\n60 60\n")
    assert idle.of_pairs([str(tmp_path / "pairs")]) == made


@pytest.mark.parametrize("words", [["1"], ["1", "2"], ["a", "b", "c", "d"], ["0", "1", "101", "2"], ["0", "1", "5"]])
def test_what_is_no_pairs_is_refused(words):
    """One pair, a file that is not there, words, percentiles above 100, an odd number."""
    with pytest.raises(UsageError):
        idle.of_pairs(words)


def test_all_memory_is_in_some_step():
    """The shares add up to a hundred, the first step has what is in use, the last what is coldest."""
    percentiles = [-5.0] * 21 + [float(at) for at in range(21, 101)]
    rows = idle.mem_sz(percentiles, 10)
    assert sum(row["percent"] for row in rows) == 100
    assert rows[0]["percent"] == 20
    assert rows[-1]["idle_s"] == 100
    assert [row["percent"] for row in idle.mem_sz([3.0] * 101, 3)] == [100, 0, 0]
    assert list(idle.render("idle_time_mem_sz", rows[-1:], raw=True)) == ["100              11"]


def test_a_range_is_pythons():
    """Start, stop (not included) and step; outside of 0 to 101 it is refused."""
    percentiles = [float(at) for at in range(101)]
    assert [row["percentile"] for row in idle.of_range(percentiles, 0, 101, 50)] == [0, 50, 100]
    assert list(idle.render("idle_time_percentiles", idle.of_range(percentiles, 5, 6, 1))) == ["  5 5 s"]
    for words in ((0, 102, 1), (5, 5, 1), (0, 10, 0), (-1, 5, 1)):
        with pytest.raises(UsageError):
            idle.of_range(percentiles, *words)
