"""The kdamonds of recordings: started and stopped with them where they asked for that, and how they are meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from damod.daemon.children import Follower
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.owner import Owner
from damod.daemon.recording import Ask, Recording
from damod.daemon.view import Watched
from damod.errors import DamodError, NoData, NotFound

log = structlog.get_logger(__name__)


class RecordedSets:
    """`owner` is asked in the kernel thread."""

    def __init__(self, owner: Owner, kernel_thread: KernelThread, follower: Follower) -> None:
        self._owner = owner
        self._kernel_thread = kernel_thread
        self._follower = follower
        self._tuned = asyncio.Event()

    def look(self) -> None:
        """Somebody has changed a kdamond."""
        self._tuned.set()
        self._tuned = asyncio.Event()

    async def start(self, ask: Ask, recording: Recording, remember: Callable[[], None]) -> list[str]:
        """Start the kdamonds that a recording asked for, after `remember`; what is to be noted about that."""
        if not ask.kdamonds:
            return []
        recording.set_name = recording.name
        # Remembered first: kdamonds must not stay behind if we die in between.
        remember()
        try:
            processes = any(target.pid for item in ask.kdamonds for ctx in item.contexts for target in ctx.targets)
            started = await self._kernel_thread.run(
                self._owner.start,
                recording.name,
                ask.kdamonds,
                take_over=ask.take_over,
                include_child_tasks=ask.follow and processes,
            )
            await self._follower.update()
        except BaseException:
            recording.set_name = None
            raise
        return list(started["notes"])

    async def watched(self, ask: Ask, recording: Recording) -> list[Watched]:
        """The kdamonds that are to be recorded. Raises NoData, NotFound."""
        watched = await self._kernel_thread.run(self._owner.watched, ask.kdamond)
        recording.of = recording.set_name or ask.of
        if recording.of:
            mine = await self._kernel_thread.run(self._owner.slots_of, recording.of)
            watched = [item for item in watched if item.slot in mine]
        if not watched:
            raise NoData(
                "no kdamond is running, so there is nothing to record",
                hint="`damoctl start paddr` starts one; `damoctl record paddr` starts one for as long as it records",
            )
        return watched

    async def now(self, recording: Recording) -> list[Watched]:
        """How its kdamonds are, with the intervals that they were given."""
        watched = await self._kernel_thread.run(self._owner.watched, tuned=False)
        if recording.of is None:
            slots = list(recording.slots)
        else:
            slots = await self._kernel_thread.run(self._owner.slots_of, recording.of)
        return [item for item in watched if item.slot in slots]

    async def changed(self) -> None:
        """Return when somebody has changed a kdamond, or its targets have."""
        waits = [asyncio.ensure_future(self._tuned.wait()), asyncio.ensure_future(self._follower.looked())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def specs(self, recording: Recording, watched: Sequence[Watched] = ()) -> list[Any]:
        """The kdamonds as `.kdamonds` has them, with state and statistics; empty if they cannot be told now."""
        try:
            rows = await self._kernel_thread.run(self._owner.show)
        except DamodError as exc:
            log.warning("a recording goes on without the state of its kdamonds", name=recording.name, why=exc.message)
            return []
        if watched:
            recording.slots = tuple(item.slot for item in watched)
        return [row["spec"] for row in rows if row["index"] in recording.slots]

    async def stop(self, recording: Recording) -> None:
        """Stop the kdamonds that were started for a recording."""
        if recording.set_name is None:
            return
        name, recording.set_name = recording.set_name, None
        try:
            await self._kernel_thread.run(self._owner.stop, name)
        except NotFound:
            await self._kernel_thread.run(self._owner.ended_as_meant, name)
        except DamodError as exc:
            recording.problems.append(f"its kdamonds could not be stopped: {exc.message}")
            log.error("the kdamonds of a recording stay", name=recording.name, why=exc.message)
