"""One thread, one job at a time, in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from damod.daemon.kernel_thread import KernelThread


@pytest.fixture
async def thread() -> AsyncIterator[KernelThread]:
    thread = KernelThread()
    yield thread
    assert await thread.close(5)


async def test_results_and_exceptions_come_back(thread: KernelThread) -> None:
    """What the function returns or raises is what run() returns or raises, and the thread goes on."""
    assert await thread.run(int, "ff", base=16) == 255
    with pytest.raises(ValueError, match="invalid literal"):
        await thread.run(int, "x")
    assert await thread.run(threading.current_thread) is not threading.current_thread()


async def test_jobs_run_one_after_the_other_in_order(thread: KernelThread) -> None:
    """There is one writer at a time."""
    order: list[str] = []
    go = threading.Event()

    def job(name: str) -> None:
        order.append(f"{name} begins")
        go.wait(5)
        order.append(f"{name} ends")

    jobs = [asyncio.create_task(thread.run(job, name)) for name in "ab"]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*jobs)
    assert order == ["a begins", "a ends", "b begins", "b ends"]


async def test_a_cancelled_job_that_waits_is_not_run_and_one_that_runs_ends(thread: KernelThread) -> None:
    """Cancelling never interrupts a write, and never starts one that nobody wants any more."""
    begun, go, done = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        go.wait(5)
        done.append("slow")

    running = asyncio.create_task(thread.run(slow))
    waiting = asyncio.create_task(thread.run(done.append, "waiting"))
    await asyncio.to_thread(begun.wait, 5)
    running.cancel()
    waiting.cancel()
    await asyncio.wait([running, waiting])
    go.set()
    await thread.run(done.append, "next")
    assert done == ["slow", "next"]


async def test_closing_does_not_wait_for_ever() -> None:
    """close() says that the thread still works when its grace is over."""
    thread, go = KernelThread(), threading.Event()
    job = asyncio.create_task(thread.run(go.wait, 5))
    await asyncio.sleep(0)
    assert not await thread.close(0.01)
    go.set()
    await job
