"""Access patterns: well-formed at any time, and laid over memory without loss."""

from itertools import pairwise

import pytest

from damod.kernel.sim.workload import MIB, SCENARIOS, lay, scenario


@pytest.mark.parametrize("name", SCENARIOS)
def test_segments_are_in_order(name):
    """At any second the segments ascend within the arena, do not overlap, and have a probability."""
    for second in range(0, 400, 7):
        segments = scenario(name).segments(float(second), 256 * MIB)
        assert segments
        assert all(0 <= start < end <= 256 * MIB and 0 < share <= 1 for start, end, share in segments)
        assert all(left[1] <= right[0] for left, right in pairwise(segments))


def test_stairs_climb_and_zigzag_turns():
    """Stairs begin again at the bottom after the last part, zigzag walks back."""
    stairs = [scenario("stairs").segments(5.0 * n, 1000 * 4096)[0][0] for n in range(11)]
    assert stairs[:10] == sorted(stairs[:10])
    assert stairs[10] == stairs[0]
    zigzag = [scenario("zigzag").segments(5.0 * n, 1000 * 4096)[0][0] for n in range(12)]
    assert zigzag[:10] == stairs[:10]
    assert zigzag[10:] == [stairs[8], stairs[7]]


def test_hot_is_twenty_of_a_hundred():
    """The constant scenario has 20 MiB hot in a process of 100 MiB."""
    assert scenario("hot").size == 100 * MIB
    assert scenario("hot").segments(123.0, 100 * MIB) == [(0, 20 * MIB, 1.0)]


def test_laying_over_areas():
    """A segment that does not fit into one area goes on in the next."""
    assert lay([(5, 25, 0.5), (30, 31, 1.0)], [(100, 110), (200, 300)]) == [
        (105, 110, 0.5),
        (200, 215, 0.5),
        (220, 221, 1.0),
    ]
