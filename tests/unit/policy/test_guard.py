"""The guard: which limit is passed, named with what was measured."""

from __future__ import annotations

import pytest

from damod.policy.document import Guard
from damod.policy.guard import Probation, Reading

START = Reading(pressure_us=0, refaults=0, swapped_in=0, cpu_ns=0)
GUARD = Guard(probation="10s", memory_pressure="10%", refaults=100, swap_in="1M", cpu="5%")
S = 1_000_000_000


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(400_000, 0, 0, 0), "guard.memory_pressure: tasks waited for memory 20 % of the time (limit 10 %)"),
        (Reading(0, 202, 0, 0), "guard.refaults: 101 pages per second came back (limit 100)"),
        (Reading(0, 0, 3 << 20, 0), "guard.swap_in: 1.500 MiB per second came back from swap"),
        (Reading(0, 0, 0, S // 5), "guard.cpu: damod and its kdamonds took 10 % of a CPU (limit 5 %)"),
        (Reading(None, 0, 0, 0), ""),
        (Reading(200_000, 200, 2 << 20, S // 10), ""),
    ],
)
def test_limits(reading: Reading, words: str) -> None:
    """Above the limit it trips, at it it does not, and what the kernel does not tell is no reason."""
    _, tripped = Probation.begin(GUARD, (), START, 0).look(reading, 2 * S)
    assert tripped.startswith(words) and bool(tripped) == bool(words)


def test_rates_are_since_the_last_look() -> None:
    """A calm minute does not hide a bad second, and too short a time says nothing."""
    watched, tripped = Probation.begin(GUARD, (), START, 0).look(START, 60 * S)
    assert not tripped
    same, tripped = watched.look(Reading(0, 10_000, 0, 0), 60 * S + 1)
    assert same is watched and not tripped
    _, tripped = watched.look(Reading(0, 200, 0, 0), 61 * S)
    assert tripped.startswith("guard.refaults: 200 ")


def test_null_switches_a_limit_off() -> None:
    """Without limits nothing trips; the probation ends after its time."""
    guard = Guard(memory_pressure=None, refaults=None, swap_in=None, cpu=None)
    watched = Probation.begin(guard, (), START, 0)
    assert watched.look(Reading(10**9, 10**9, 10**12, 10**12), S)[1] == ""
    assert not watched.over(60 * S - 1) and watched.over(60 * S)
