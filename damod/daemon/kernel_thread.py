"""The one thread that touches the kernel.

Writes to DAMON's sysfs may block for an aggregation interval or more, and there must be one writer at a time; so all
kernel access queues here. The executors of `concurrent.futures` are not used because the interpreter waits for their
threads at its end, and the daemon has to stop within a second also while a write blocks.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class KernelThread:
    """Runs functions one after the other, in the order in which they were asked for."""

    def __init__(self, name: str = "kernel") -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._began: float | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`fn(*args, **kwargs)` in the kernel thread.

        When the caller is cancelled, a function that waits is not run any more; one that runs is not interrupted.
        """
        future: Future[R] = Future()
        self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return await asyncio.wrap_future(future)

    def post(self, fn: Callable[[], object]) -> None:
        """Run `fn` when its turn comes; nobody waits for it."""
        self._jobs.put((Future(), fn))

    def busy_s(self) -> float:
        """For how long it has been at the job that runs now; 0 if none does, for ever if the thread has died."""
        if not self._thread.is_alive():
            return float("inf")
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    async def close(self, grace_s: float) -> bool:
        """Take no more work and wait for what runs; whether the thread ended within `grace_s`."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, grace_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, fn = job
            if not future.set_running_or_notify_cancel():
                continue
            self._began = time.monotonic()
            try:
                result = fn()
            except BaseException as exc:  # the exception belongs to who awaits run(), whatever it is
                self._began = None
                future.set_exception(exc)
            else:
                self._began = None
                future.set_result(result)
            # A result may be large; do not keep the last one until the next job comes.
            del job, future, fn
            result = None
