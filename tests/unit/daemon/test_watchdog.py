"""systemd hears that damod lives only while the event loop and the kernel thread both get on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from damod.daemon.kernel_thread import KernelThread
from damod.daemon.watchdog import AGGREGATIONS, Watchdog, longest_aggregation_s
from damod.spec.kdamond import Kdamond, parse_kdamonds
from damod.systemd import Notifier


class Heard(Notifier):
    """What systemd would have heard."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def watchdog(self) -> None:
        self.words.append("WATCHDOG=1")

    def status(self, text: str) -> None:
        self.words.append(text)


def kdamond(**intervals: object) -> Kdamond:
    (made,) = parse_kdamonds([{"contexts": [{"ops": "paddr", "intervals": intervals, "targets": [{}]}]}])
    return made


async def test_an_idle_kernel_thread_is_well() -> None:
    """Nothing to do is no reason to be restarted, and takes no patience."""
    thread, heard = KernelThread(), Heard()
    await thread.run(int)
    assert thread.busy_s() == 0
    assert Watchdog(heard, thread, list, patience_s=0).look()
    assert heard.words == ["WATCHDOG=1"]
    assert await thread.close(5)


async def test_a_kernel_thread_that_is_stuck_ends_the_feeding_though_the_loop_runs() -> None:
    """Without a sign of life systemd restarts damod; the status says why. It is well again when the write ends."""
    thread, heard, go, begun = KernelThread(), Heard(), threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        go.wait(10)

    stuck = asyncio.create_task(thread.run(write))
    assert await asyncio.to_thread(begun.wait, 5)
    await asyncio.sleep(0.05)
    dog = Watchdog(heard, thread, list, patience_s=0.01)
    assert not dog.look()
    assert heard.words == ["the kernel has not answered for 0 s; the watchdog is not fed any more"]
    go.set()
    await stuck
    await thread.run(int)
    assert dog.look()
    assert await thread.close(5)


async def test_a_write_of_normal_length_does_not_count() -> None:
    """A commit may wait for aggregations, which may be long: patience follows from what runs."""
    thread, heard, go = KernelThread(), Heard(), threading.Event()
    stuck = asyncio.create_task(thread.run(go.wait, 10))
    await asyncio.sleep(0.05)
    assert not Watchdog(heard, thread, list, patience_s=0).look()
    assert Watchdog(heard, thread, lambda: [kdamond(aggr_us="1s")], patience_s=0).look()
    go.set()
    await stuck
    assert await thread.close(5)


async def test_a_dead_kernel_thread_is_never_well() -> None:
    """It could not be waited for."""
    thread, heard = KernelThread(), Heard()
    assert await thread.close(5)
    assert not Watchdog(heard, thread, list, patience_s=1e9).look()


async def test_it_is_fed_at_the_interval_or_not_at_all() -> None:
    """Without WatchdogSec= nothing ever wakes up."""
    thread, heard = KernelThread(), Heard()
    await Watchdog(heard, thread, list).feed(None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await Watchdog(heard, thread, list).feed(0.05)
    assert 1 <= len(heard.words) <= 4
    assert await thread.close(5)


def test_the_longest_aggregation_counts_what_the_kernel_may_tune_it_to() -> None:
    """The ratio of sampling and aggregation stays, so a sampling interval of up to 10 s means aggregations of 200 s."""
    goal = {"access_bp": 400, "aggrs": 3, "min_sample_us": "5ms", "max_sample_us": "10s"}
    tuned = kdamond(sample_us="5ms", aggr_us="100ms", intervals_goal=goal)
    assert longest_aggregation_s([]) == 0
    assert longest_aggregation_s([kdamond(aggr_us="2s"), kdamond()]) == 2
    assert longest_aggregation_s([tuned]) == 200
    assert AGGREGATIONS >= 2
