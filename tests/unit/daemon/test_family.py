"""Families of processes, by events and by looking."""

from __future__ import annotations

import pytest

from damod.daemon import family
from damod.kernel.interface import ProcessEvent
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel


@pytest.fixture
def kernel() -> SimKernel:
    return SimKernel("7.3", clock=SimClock())


def of(kernel: SimKernel, *pids: int) -> family.Family:
    return {pid: kernel.proc.start_time(pid) for pid in pids}


def test_grandchildren_of_parents_that_ended(kernel: SimKernel) -> None:
    """With events a grandchild is a member although its parent has ended and init has it now; by looking it is not."""
    top = kernel.spawn()
    events = kernel.proc.process_events()
    child = kernel.spawn(parent=top)
    grandchild = kernel.spawn(parent=child)
    kernel.spawn()
    kernel.exit(child)
    told = events.read()
    assert told is not None
    assert family.by_events(of(kernel, top), told, kernel.proc) == of(kernel, top, grandchild)
    assert family.by_looking(of(kernel, top), kernel.proc) == of(kernel, top)
    assert family.by_looking(of(kernel, top, grandchild), kernel.proc) == of(kernel, top, grandchild)


def test_looking_finds_all_generations(kernel: SimKernel) -> None:
    """Children's children too."""
    top = kernel.spawn()
    child = kernel.spawn(parent=top)
    grandchild = kernel.spawn(parent=child)
    assert family.by_looking(of(kernel, top), kernel.proc) == of(kernel, top, child, grandchild)


def test_a_reused_pid_is_a_stranger(kernel: SimKernel) -> None:
    """Who has a member's number but another start time is no member, and its children are none."""
    top, other = kernel.spawn(), kernel.spawn()
    known = {top: kernel.proc.start_time(top), other: -1}
    assert family.alive(known, kernel.proc) == of(kernel, top)
    born = kernel.spawn(parent=other)
    assert family.by_looking(known, kernel.proc) == of(kernel, top)
    told = [ProcessEvent("fork", born, top), ProcessEvent("exit", born)]
    assert family.by_events(of(kernel, top), told, kernel.proc) == of(kernel, top)


def test_lost_events_are_told(kernel: SimKernel) -> None:
    """More than a listener has room for is answered by None, once."""
    events = kernel.proc.process_events()
    for _ in range(1001):
        kernel.exit(kernel.spawn())
    assert events.read() is None
    assert events.read() == []
