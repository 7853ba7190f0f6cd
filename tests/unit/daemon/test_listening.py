"""Listeners to trace events on the simulated kernel."""

from __future__ import annotations

import asyncio

import pytest

from damod.daemon import listening
from damod.daemon.listening import Listeners
from damod.errors import Busy, NotFound, UsageError
from damod.kernel.sim.kernel import SimKernel


@pytest.fixture
def kernel() -> SimKernel:
    """A simulated kernel on which somebody's kdamond runs."""
    return SimKernel("7.3", foreign=True)


def rings(kernel: SimKernel) -> int:
    return len(kernel.trace.rings)  # type: ignore[attr-defined]


async def test_events_come_in_order_with_all_fields(kernel: SimKernel) -> None:
    """Region events are told with the kernel's fields and rising times; the kernel's print format comes along."""
    listeners = Listeners(kernel)
    opened = await listeners.open(["damon_aggregated"])
    assert opened["formats"]["damon_aggregated"] == (
        "target_id=%d nr_regions=%d %d-%d: %d %d",
        ["target_id", "nr_regions", "start", "end", "nr_accesses", "age"],
    )
    runs = []
    while not runs:
        runs = (await listeners.read(opened["listener"], 1.0))["runs"]
    assert {run["event"] for run in runs} == {"damon_aggregated"}
    assert runs[0]["fields"] == ["pid", "target_id", "nr_regions", "start", "end", "nr_accesses", "age"]
    times = [ns for run in runs for ns in run["ns"]]
    assert times == sorted(times) and len(times) == sum(len(run["columns"][0]) for run in runs)
    await listeners.close(opened["listener"])
    await listeners.close_all(1.0)
    assert rings(kernel) == 0
    with pytest.raises(NotFound):
        await listeners.read(opened["listener"], 0)


async def test_who_does_not_read_is_forgotten(kernel: SimKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring of a client that died goes with its patience."""
    monkeypatch.setattr(listening, "PATIENCE_S", 0.05)
    listeners = Listeners(kernel)
    await listeners.open([])
    async with asyncio.timeout(10):
        while rings(kernel):
            await asyncio.sleep(0.02)


async def test_there_are_few(kernel: SimKernel) -> None:
    """One more than may be is Busy; an event that the kernel lacks is told, and leaves no ring."""
    listeners = Listeners(kernel)
    with pytest.raises(UsageError, match="no event damon_nonsense"):
        await listeners.open(["damon_nonsense"])
    for _ in range(listening.MOST):
        await listeners.open([])
    with pytest.raises(Busy):
        await listeners.open([])
    await listeners.close_all(1.0)
    assert rings(kernel) == 0
