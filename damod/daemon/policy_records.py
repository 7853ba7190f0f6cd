"""The recordings that policies ask for: each runs while its policy's kdamonds do, and follows its `record`.

Nothing of it is on disk. A new damod finds the kdamonds running and no recording of them, and starts one, which goes on
in the same directory; the time in between is missing in the record.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from damod.daemon.kernel_thread import KernelThread
from damod.daemon.recording import Ask
from damod.daemon.recordings import Recordings
from damod.errors import DamodError, NotFound
from damod.policy.document import Record
from damod.policy.reconcile import Reconciler
from damod.policy.roster import FIRST_RETRY_S, LAST_RETRY_S
from damod.policy.steps import SOON_S

log = structlog.get_logger(__name__)


@dataclass
class _Try:
    """How it went with the recording of one policy. Times are the event loop's; `why` not, if it did not begin."""

    record: Record
    began_s: float = 0.0
    next_s: float = 0.0
    tries: int = 0
    why: str = ""


class PolicyRecords:
    """`keep` runs as long as the daemon; `wake` it when a policy or a recording may have changed."""

    def __init__(self, recordings: Recordings, reconciler: Reconciler, thread: KernelThread) -> None:
        self._recordings = recordings
        self._reconciler = reconciler
        self._thread = thread
        self._tries: dict[str, _Try] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look soon."""
        self._wake.set()

    async def keep(self) -> None:
        """Look when it is woken or something is to be tried again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            waits = [item.next_s - loop.time() for item in self._tries.values() if item.next_s]
            try:
                async with asyncio.timeout(max(min(waits), 0.05) if waits else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._look()
            except Exception:  # one round that fails must not end the care for all recordings
                log.exception("the recordings of policies could not be looked after")
                await asyncio.sleep(FIRST_RETRY_S)
                self._wake.set()

    def hold(self, name: str) -> None:
        """A recording that somebody stops by hand stays stopped until the next reload."""
        state = self._reconciler.states.get(name)
        recording = self._recordings.find(name)
        if state is not None and recording is not None and recording.policy:
            state.unrecorded = True

    def why_not(self, name: str) -> str:
        """Why the recording of a policy does not run; empty if it does, or is not to."""
        state = self._reconciler.states.get(name)
        if state is not None and state.unrecorded:
            return "stopped by hand; `damoctl policy reload` starts it again"
        return self._tries[name].why if name in self._tries else ""

    def problems(self) -> list[str]:
        """Recordings that should run and do not."""
        return [f"policy {name} is not recorded: {item.why}" for name, item in self._tries.items() if item.why]

    async def _look(self) -> None:
        wanted = await self._thread.run(self._reconciler.records)
        for name in [name for name in self._tries if name not in wanted]:
            del self._tries[name]
            await self._end(name, "its policy is no longer recorded")
        for name, record in wanted.items():
            before = self._tries.get(name)
            if before is not None and before.record != record:
                del self._tries[name]
                await self._end(name, "what to record has changed")
            await self._begin(name, record)

    async def _end(self, name: str, why: str) -> None:
        recording = self._recordings.find(name)
        if recording is not None and recording.running and recording.policy:
            # It may just have ended by itself.
            with contextlib.suppress(NotFound):
                await self._recordings.stop(name, why)

    async def _begin(self, name: str, record: Record) -> None:
        now = asyncio.get_running_loop().time()
        item = self._tries.setdefault(name, _Try(record))
        recording = self._recordings.find(name)
        if recording is not None and recording.running:
            # Of an earlier damod it ends soon, and we are woken then.
            item.why = "" if recording.policy else f"a recording named {name!r} was started by hand"
            return
        if item.next_s > now:
            return
        if item.began_s and not item.next_s:
            if now - item.began_s < SOON_S:
                # What ends again and again is started with growing pauses.
                told = recording.to_wire() if recording else {"why": "", "problems": []}
                item.why = "; ".join(["it ended soon after its start", *filter(None, [told["why"], *told["problems"]])])
                self._postpone(item, now)
                return
            item.tries = 0
        try:
            await self._recordings.start(_ask(name, record))
        except DamodError as exc:
            item.why = exc.message + (f" ({exc.hint})" if exc.hint else "")
            self._postpone(item, now)
            log.error("a policy is not recorded", policy=name, why=exc.message)
        else:
            item.began_s, item.next_s, item.why = now, 0.0, ""
            log.info("a policy is recorded", policy=name)

    def _postpone(self, item: _Try, now: float) -> None:
        item.next_s = now + min(FIRST_RETRY_S * 2**item.tries, LAST_RETRY_S)
        item.tries += 1


def _ask(name: str, record: Record) -> Ask:
    return Ask(
        name=name,
        detach=True,
        of=name,
        policy=True,
        out=record.out,
        snapshot=None if record.snapshot_sec is None else (float(record.snapshot_sec), 0),
        kinds=record.kinds,
        output_type=record.output_type,
        permission=int(record.output_permission, 8),
        flush_s=float(record.output_flush_sec),
        keep_s=None if record.keep_age is None else float(record.keep_age),
        keep_bytes=record.keep_bytes,
    )
