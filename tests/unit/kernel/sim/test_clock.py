"""The clocks of a simulated kernel."""

import threading
import time

import pytest

from damod.kernel.sim.clock import ScaledClock, SimClock


def test_manual_time_moves_only_by_hand():
    """Sleeping and waiting advance it by what was asked for; wall time goes along; it never goes back."""
    clock = SimClock()
    start, wall = clock.monotonic_ns(), clock.time_ns()
    clock.sleep(1.5)
    clock.advance(0.25)
    clock.advance(-3)
    with (condition := threading.Condition()):
        clock.wait(condition, 0.25)
    assert clock.monotonic_ns() - start == clock.time_ns() - wall == 2_000_000_000


def test_scaled_time_is_faster_than_real():
    """A clock at a hundred times the speed sleeps a second in some hundredths."""
    clock, before = ScaledClock(100), time.monotonic()
    start, wall = clock.monotonic_ns(), clock.time_ns()
    clock.sleep(1)
    assert clock.monotonic_ns() - start >= 1_000_000_000
    assert clock.time_ns() - wall >= 1_000_000_000
    assert time.monotonic() - before < 0.9


def test_waiting_ends_early_when_notified():
    """A wait on the condition does not sit out its time."""
    clock, condition, done = ScaledClock(), threading.Condition(), []

    def waiter():
        with condition:
            done.append("waits")
            condition.notify_all()
            clock.wait(condition, 60)
            done.append("woken")

    with condition:
        thread = threading.Thread(target=waiter)
        thread.start()
        condition.wait_for(lambda: done, timeout=5)
        condition.notify_all()
    thread.join(5)
    assert done == ["waits", "woken"]


def test_a_clock_must_run():
    """A speed of zero or less is refused."""
    with pytest.raises(ValueError, match="0"):
        ScaledClock(0)
