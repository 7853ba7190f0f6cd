"""What systemd is told so that it restarts a daemon that hangs: a sign of life from the event loop, given only while
the kernel thread gets on too.

A write to DAMON may rightly take an aggregation interval or more, so how long one may take follows from what runs. The
sign is due twice in the unit's WatchdogSec=, and nothing else wakes up for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from damod.daemon.kernel_thread import KernelThread
from damod.spec.kdamond import Kdamond
from damod.systemd import Notifier

log = structlog.get_logger(__name__)

# A busy machine's scheduler, a large sysfs tree and an emulated processor all fit into this.
PATIENCE_S = 60.0
# A command may have to wait for the end of one aggregation, and a transaction is several commands.
AGGREGATIONS = 8


def longest_aggregation_s(kdamonds: Iterable[Kdamond]) -> float:
    """The longest that any of them may aggregate, auto-tuning and apply intervals included; 0 if there is none."""
    longest = 0.0
    for kdamond in kdamonds:
        for context in kdamond.contexts:
            intervals = context.intervals
            times = [intervals.aggr_us, *(scheme.apply_interval_us for scheme in context.schemes)]
            goal = intervals.intervals_goal
            if goal.active:
                # The kernel keeps the ratio of the two when it tunes them.
                times.append(intervals.aggr_us * goal.max_sample_us // max(intervals.sample_us, 1))
            longest = max(longest, max(times) / 1e6)
    return longest


class Watchdog:
    """`running` gives the kdamonds that are ours now; `status` the line for systemd while all is well."""

    def __init__(
        self,
        notifier: Notifier,
        thread: KernelThread,
        running: Callable[[], Iterable[Kdamond]],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._notifier = notifier
        self._thread = thread
        self._running = running
        self._patience_s = patience_s
        self._told = False

    def look(self) -> bool:
        """Give the sign of life if the kernel thread gets on; whether it was given."""
        busy_s = self._thread.busy_s()
        if busy_s <= self._patience_s + AGGREGATIONS * longest_aggregation_s(self._running()):
            self._told = False
            self._notifier.watchdog()
            return True
        if not self._told:
            self._told = True
            log.error("the kernel does not answer; systemd will restart damod", for_s=round(busy_s, 1))
        self._notifier.status(f"the kernel has not answered for {busy_s:.0f} s; the watchdog is not fed any more")
        return False

    async def feed(self, interval_s: float | None) -> None:
        """Look every `interval_s`, until cancelled; None: nobody asks for it."""
        while interval_s is not None:
            await asyncio.sleep(interval_s)
            self.look()
