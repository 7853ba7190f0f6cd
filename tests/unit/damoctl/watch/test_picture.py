"""Rows of heat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damoctl.watch.history import History
from damoctl.watch.picture import Picture
from damoctl.watch.view import View
from damod.access.snapshot import Snapshot
from tests.unit.damoctl.watch.shots import MIB, MS, SERIES, S, shot, walk


def history_of(*snapshots: Snapshot) -> History:
    history = History(SERIES)
    for item in snapshots:
        history.add(item)
    return history


def test_a_hot_part_that_walks_is_a_diagonal() -> None:
    """Ten rows of a second by ten columns of a MiB: each row has one column with 100 percent."""
    history = history_of(*walk(100))
    view = View(row_ns=S, rows=10, columns=10, bottom=10, space=(0, 10 * MIB))
    assert np.allclose(Picture(history).rows(view), np.eye(10) * 100)


def test_percent_are_means_over_what_was_watched() -> None:
    """A pixel half of which is hot has half the rate; one that was watched for half of its time has all of it."""
    history = history_of(shot(100 * MS, [(0, MIB, 20, 0), (MIB, 2 * MIB, 0, 0)]))
    view = View(row_ns=200 * MS, rows=1, columns=1, bottom=1, space=(0, 2 * MIB))
    assert Picture(history).rows(view)[0].tolist() == pytest.approx([50])


def test_ages_fill_the_time_between_snapshots() -> None:
    """What looks the same for three seconds was so in the pause before the snapshot, and before the first one."""
    history = history_of(shot(S, [(0, MIB, 10, 0)]), shot(5 * S, [(0, MIB, 20, 20)]))
    view = View(row_ns=S, rows=6, columns=1, bottom=6, space=(0, MIB))
    heat = Picture(history).rows(view)[:, 0].tolist()
    assert heat[0] == pytest.approx(50)
    assert np.isnan(heat[1])  # two seconds old, so nothing is known of this one
    assert heat[3:5] == pytest.approx([100, 100])
    assert np.isnan(heat[5])


def test_without_intervals_the_most_samples_are_the_brightest() -> None:
    """Records of damo may not tell out of how many checks; heat is then relative."""
    told = replace(shot(S, [(0, MIB, 7, 0), (MIB, 2 * MIB, 14, 0)]), sample_us=0, aggr_us=0)
    view = View(row_ns=S, rows=1, columns=2, bottom=1, space=(0, 2 * MIB))
    assert Picture(history_of(told)).rows(view)[0].tolist() == pytest.approx([50, 100])


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 9),
            st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([100 * MS, 300 * MS, S]),
)
def test_rows_that_are_kept_are_those_that_would_be_computed(
    told: list[tuple[int, list[tuple[int, int]]]], row_ns: int
) -> None:
    """A picture that was looked at after each snapshot is the same as one that is looked at once, at the end."""
    history, end = History(SERIES), 0
    picture = Picture(history)
    view = View(row_ns=row_ns, rows=8, columns=5, space=(0, 4 * MIB))
    for pause, regions in told:
        end += pause * 100 * MS
        rows = [(index * MIB, (index + 1) * MIB, count, age) for index, (count, age) in enumerate(regions)]
        history.add(shot(end, rows))
        view = replace(view, bottom=-(-end // row_ns))
        seen = picture.rows(view)
    np.testing.assert_allclose(seen, Picture(history).rows(view))
