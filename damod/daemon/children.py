"""Following the descendants of targets: while some set asks for it, forks and exits make targets come and go.

The kernel's process events (netlink's proc connector) leave no gap; where it offers none, /proc is looked at each
second, and `status` says so. Events are gathered for a moment, so that a burst of short-lived processes costs one
commit or none: who is gone again by then never becomes a target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog

from damod.daemon.kernel_thread import KernelThread
from damod.daemon.owner import Owner
from damod.errors import DamodError
from damod.kernel.interface import Kernel, ProcessEvent, ProcessEvents

log = structlog.get_logger(__name__)

GATHER_S = 0.05
LOOK_S = 1.0
DOUBT_S = 60.0
"""After so long a silence somebody looks: another listener's filter can make the kernel deaf to us (procevents.py)."""


class Follower:
    """Runs while there is something to follow; `update` is called after whatever may have changed that."""

    def __init__(self, kernel: Kernel, owner: Owner, kernel_thread: KernelThread) -> None:
        self._kernel = kernel
        self._owner = owner
        self._kernel_thread = kernel_thread
        self._events: ProcessEvents | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: KernelThread | None = None
        self._why_looking = ""
        self._changing = asyncio.Lock()
        self._looked = asyncio.Event()

    def status(self) -> Mapping[str, Any] | None:
        """{"by": "events" or "looking", "why": why not events}; None while nothing is followed."""
        if self._task is None or self._task.done():
            return None
        return {"by": "looking" if self._why_looking else "events", "why": self._why_looking}

    async def update(self) -> None:
        """Begin or end following, as the sets want it. Once this returns, no later fork is missed."""
        async with self._changing:
            wanted = await self._kernel_thread.run(self._owner.follows)
            if wanted and self._task is not None and not self._task.done():
                return
            await self.close()
            if wanted:
                await self._open()
                self._task = asyncio.create_task(self._follow(), name="children")

    async def looked(self) -> None:
        """Wait until the targets have been brought up to date once more."""
        await self._looked.wait()

    async def close(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._events is not None:
            self._events.wake()
            if self._thread is None or await self._thread.close(LOOK_S):
                self._events.close()
        elif self._thread is not None:
            await self._thread.close(LOOK_S)
        self._events = self._thread = None

    async def _open(self) -> None:
        self._thread = KernelThread("children")
        self._why_looking = ""
        try:
            self._events = await self._thread.run(self._kernel.proc.process_events)
        except OSError as exc:
            self._events, self._why_looking = None, exc.strerror or str(exc)
            log.warning("children are looked for each second", why=self._why_looking)

    async def _follow(self) -> None:
        # Whoever was born before the events were asked for has to be looked for.
        told: list[ProcessEvent] | None = None
        while True:
            try:
                await self._kernel_thread.run(self._owner.follow, told)
            except DamodError as exc:
                log.error("the targets stay as they were", why=exc.message)
                told = None
            self._looked.set()
            self._looked = asyncio.Event()
            if not await self._kernel_thread.run(self._owner.follows):
                return
            told = await self._next()

    async def _next(self) -> list[ProcessEvent] | None:
        """What has happened, after some has; None where that is only known by looking."""
        if self._events is None or self._thread is None:
            await asyncio.sleep(LOOK_S)
            return None
        while True:
            if not await self._thread.run(self._events.wait, DOUBT_S):
                return None
            await asyncio.sleep(GATHER_S)
            told = await self._thread.run(self._events.read)
            if told != []:
                return told
