"""Who listens to DAMON's trace events: each has a ring of their own, opened by a request and read by further ones.

A listener that is not read for a while is taken to be gone, so that no ring stays behind a client that died. There may
be few at a time, since a ring costs the kernel memory on each processor.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from damod.daemon.kernel_thread import KernelThread
from damod.errors import Busy, NotAllowed, NotFound
from damod.kernel.interface import Kernel
from damod.kernel.listen import Listener

MOST = 4
PATIENCE_S = 15.0
"""How long a listener may be silent. A read waits up to MOST_WAIT_S of it."""
MOST_WAIT_S = 5.0


class _Session:
    """A listener, the thread that reads it, and when it counts as left."""

    def __init__(self, number: int) -> None:
        self.thread = KernelThread(f"listener-{number}")
        self.listener: Listener | None = None
        self.leaving: asyncio.TimerHandle | None = None
        self.reading = False


class Listeners:
    """The listeners that there are, by number."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._numbers = itertools.count(1)
        self._open: dict[int, _Session] = {}
        self._ending: asyncio.Future[None] | None = None

    async def open(self, events: Sequence[str]) -> dict[str, Any]:
        """Begin to listen. {"listener": its number, "events", "formats"}; events from now on are not missed."""
        if len(self._open) >= MOST:
            raise Busy(
                f"{MOST} already listen to DAMON's trace events, as many as may", hint="one that is not read ends soon"
            )
        number = next(self._numbers)
        session = self._open[number] = _Session(number)
        try:
            session.listener = await session.thread.run(Listener, self._kernel, events)
        except BaseException as exc:
            await self.close(number)
            if isinstance(exc, OSError):
                raise NotAllowed(
                    f"cannot listen to DAMON's trace events: {exc}", hint="mount tracefs and run damod as root"
                ) from exc
            raise
        self._expect(number)
        return {"listener": number, "events": session.listener.events, "formats": session.listener.formats}

    async def read(self, number: int, wait_s: float) -> dict[str, Any]:
        """What came to a listener since its last read, as `Listener.read` tells it."""
        session = self._open.get(number)
        if session is None or session.listener is None:
            raise NotFound(f"there is no listener {number}", hint=f"one that is not read for {PATIENCE_S:g} s ends")
        if session.reading:
            raise Busy(f"listener {number} is being read already")
        if session.leaving:
            session.leaving.cancel()
        session.reading = True
        try:
            return await session.thread.run(session.listener.read, min(max(wait_s, 0.0), MOST_WAIT_S))
        finally:
            session.reading = False
            self._expect(number)

    async def close(self, number: int, grace_s: float = 1.0) -> None:
        """End a listener and wait a moment for its ring to be removed; one that there is not is ended already."""
        session = self._open.pop(number, None)
        if session is None:
            return
        if session.leaving:
            session.leaving.cancel()
        if session.listener is not None:
            session.listener.stop()
            session.thread.post(session.listener.close)
        await session.thread.close(grace_s)

    async def close_all(self, grace_s: float) -> None:
        """End all."""
        await asyncio.gather(*(self.close(number, grace_s) for number in list(self._open)))

    def _expect(self, number: int) -> None:
        session = self._open.get(number)
        if session is not None:
            loop = asyncio.get_running_loop()
            session.leaving = loop.call_later(PATIENCE_S, self._left, number)

    def _left(self, number: int) -> None:
        session = self._open.get(number)
        if session is not None and not session.reading:
            self._ending = asyncio.ensure_future(self.close(number))
