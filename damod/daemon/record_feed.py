"""What the daemon tells a recorder on the way: snapshots where it asked for those, and what changes in its kdamonds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any

from damod.daemon.look import Looker
from damod.daemon.record_job import watch
from damod.daemon.recorder import Recorder
from damod.daemon.recording import Ask
from damod.daemon.view import Watched
from damod.errors import DamodError, NoData, NotFound
from damod.recorder.job import Job, Watch

FOLLOW_S = 3.0
"""How often a recording's kdamonds are looked at, if nobody says that they have changed."""


async def send_snapshots(recorder: Recorder, job: Job, ask: Ask, looker: Looker, alive: Callable[[int], bool]) -> None:
    """Send a snapshot of each kdamond every `delay`, `count` times (0: without end), then end the recording."""
    delay_s, count = ask.snapshot or (0.0, 0)
    loop = asyncio.get_running_loop()
    due, taken, why = loop.time(), 0, "all snapshots are taken"
    while not count or taken < count:
        wires: list[dict[str, Any]] = []
        for item in job.watches:
            with contextlib.suppress(NoData, NotFound):
                found = await looker.snapshot(item.index, filters=ask.snapshot_filters)
                wires += [shot.to_wire() for shot in found]
        if not wires and not any(alive(item.pid) for item in job.watches):
            why = "its kdamonds have ended"
            break
        recorder.send({"kind": "snapshots", "snapshots": wires})
        await recorder.drain()
        taken += 1
        if count and taken == count:
            break
        due = max(due + delay_s, loop.time())
        await asyncio.sleep(due - loop.time())
    recorder.send({"kind": "stop", "why": why})


async def send_changes(
    recorder: Recorder,
    job: Job,
    look: Callable[[], Awaitable[Sequence[Watched]]],
    specs: Callable[[Sequence[Watched]], Awaitable[Sequence[Any]]],
    changed: Callable[[], Awaitable[None]],
) -> None:
    """Tell of kdamonds that got other targets, other intervals or another pid, until cancelled.

    `look` says how they are now, with the intervals that they were given, and `specs` what else they were given;
    `changed` returns when somebody changed something.
    """
    told = {item.pid: item for item in job.watches}
    given: dict[int, Watch] = {}
    while True:
        try:
            watched = await look()
        except DamodError:
            watched = ()  # the kernel cannot be looked at now
        now = {item.pid: watch(item) for item in watched}
        if given and now and now != given:
            told = {pid: _still(told.get(pid), given.get(pid), item) for pid, item in now.items()}
            plain = [asdict(item) for item in told.values()]
            recorder.send({"kind": "kdamonds", "specs": await specs(watched), "watches": plain})
        given = now or given
        # At once when somebody was at work; now and then in any case, since a kdamond may have ended.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLLOW_S):
                await changed()


def _still(told: Watch | None, before: Watch | None, now: Watch) -> Watch:
    """`now`, with the intervals that the kernel had tuned if it was given no others."""
    intervals = attrgetter("sample_us", "aggr_us", "intervals_goal")
    if told is None or before is None or intervals(before) != intervals(now):
        return now
    return replace(now, sample_us=told.sample_us, aggr_us=told.aggr_us)
