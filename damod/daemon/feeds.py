"""What streams tell, and how often the kernel is looked at for it: snapshots from the ring, stats, status.

Snapshots have a thread and a ring of their own, so that who asks for one snapshot and waits (`daemon.look`) does not
hold them up. While somebody wants every aggregation the thread sleeps on the ring; when all want fewer, the ring is
looked at as often as the most eager one needs and gives the newest aggregation of each target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from damod.access.snapshot import Snapshot
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.look import LINGER_S, of_ring, room_for
from damod.daemon.owner import Owner
from damod.daemon.streams import Streams, Subscriber
from damod.daemon.view import Watched
from damod.errors import DamodError, NotAllowed
from damod.kernel.aggregations import Aggregation, Aggregations
from damod.kernel.interface import Kernel
from damod.kernel.ring import RingReader, open_reader

# The thread asks now and then whether it is still wanted.
_WAIT_S = 0.5
# From the first event of an aggregation to the last; so the whole of it comes at once, most of the time.
_SETTLE_S = 0.003
# Kdamonds that damod did not start may come and go without a word.
_WATCHED_S = 5.0
_STATUS_S = 2.0
STATS_NS = 1_000_000_000
"""How often stats are read for subscribers that do not say."""
LEAST_STATS_S = 0.2
_STATS_SLACK_NS = 50_000_000


class _RingLook:
    """The ring and what has been put together of it. The stream thread's."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._reader: RingReader | None = None
        self._whole = Aggregations()
        self._room_kb = 0
        self._probes = False

    def open(self, watched: Sequence[Watched]) -> None:
        """Have a ring with room for what is watched. Raises OSError, NoData."""
        room_kb = room_for(watched, aggregations=8)
        probes = any(item.probes for item in watched)
        if self._reader is not None and room_kb <= self._room_kb and probes == self._probes:
            return
        self.close()
        self._reader = open_reader(self._kernel, probes=probes, buffer_kb=room_kb)
        self._whole = Aggregations()
        self._room_kb, self._probes = room_kb, probes

    def look(self, watched: Sequence[Watched], wait_s: float) -> tuple[list[Aggregation], int]:
        """The aggregations that have become whole, and the events lost; waits for the first one."""
        self.open(watched)
        reader = self._reader
        assert reader is not None
        if wait_s:
            if not reader.wait(wait_s):
                return [], 0
            self._kernel.clock.sleep(_SETTLE_S)
        batch = reader.read()
        return self._whole.feed(batch), batch.lost

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class Snapshots:
    """The feed of snapshots."""

    def __init__(self, kernel: Kernel, owner: Owner, kernel_thread: KernelThread, streams: Streams) -> None:
        self._kernel = kernel
        self._owner = owner
        self._kernel_thread = kernel_thread
        self._streams = streams
        self._thread: KernelThread | None = None
        self._ring = _RingLook(kernel)
        self._watched: dict[int, Watched] = {}
        self._newest: dict[tuple[int, int], Snapshot] = {}
        self._stale = asyncio.Event()
        self._linger: asyncio.TimerHandle | None = None
        # Events that the ring lost while every aggregation was wanted.
        self.lost = 0

    async def open(self) -> None:
        """Have the ring open. Raises NotAllowed or NoData where there is none to be had."""
        if self._linger:
            self._linger.cancel()
            self._linger = None
        if self._streams.wanting("snapshots"):
            return  # it is open, and the thread may be waiting on it
        await self._find()
        self._thread = self._thread or KernelThread("stream")
        try:
            await self._thread.run(self._ring.open, list(self._watched.values()))
        except OSError as exc:
            raise NotAllowed(
                f"cannot read DAMON's trace events: {exc}", hint="mount tracefs and run damod as root", errno=exc.errno
            ) from exc

    def changed(self) -> None:
        """Kdamonds may have come, gone or changed."""
        self._stale.set()

    def greet(self, subscriber: Subscriber) -> None:
        self._streams.publish_snapshots(self._newest.values(), only=subscriber)

    async def run(self) -> None:
        finding = asyncio.create_task(self._keep_found(), name="stream finds kdamonds")
        try:
            await self._publish()
        finally:
            finding.cancel()
            self._newest.clear()
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._close_ring)

    async def close(self, grace_s: float) -> None:
        """Close the ring and end the thread."""
        if self._linger:
            self._linger.cancel()
        if self._thread is not None:
            self._thread.post(self._ring.close)
            await self._thread.close(grace_s)

    def _close_ring(self) -> None:
        self._linger = None
        if self._thread is not None:
            self._thread.post(self._ring.close)

    async def _publish(self) -> None:
        assert self._thread is not None
        clock = asyncio.get_running_loop()
        looked_s, followed = 0.0, False
        while True:
            watched = list(self._watched.values())
            pause_s = self._streams.interval_ns("snapshots") / 1e9
            follow = pause_s <= max((item.aggr_us for item in watched), default=0) / 1e6
            if not follow:
                # In slices, as the next subscriber may be more eager.
                left_s = looked_s + pause_s - clock.time()
                if left_s > 0:
                    await asyncio.sleep(min(left_s, _WAIT_S))
                    continue
            found, lost = await self._thread.run(self._ring.look, watched, _WAIT_S if follow else 0.0)
            looked_s = clock.time()
            self.lost += lost if followed else 0
            # Who looks now and then means to miss what is in between.
            self._streams.publish_snapshots(list(self._snapshots(found, lost if followed else 0, whole=follow)))
            followed = follow

    def _snapshots(self, found: list[Aggregation], lost: int, *, whole: bool) -> Iterator[Snapshot]:
        if not whole:
            found = list({(item.pid, item.target_id): item for item in found}.values())
        for seen in found:
            item = self._watched.get(seen.pid)
            if item is None:
                self._stale.set()
                continue
            snapshot = of_ring(self._kernel, item, seen)
            if lost:
                snapshot = replace(snapshot, lost=lost)
            self._newest[seen.pid, seen.target_id] = snapshot
            yield snapshot

    async def _find(self) -> None:
        self._stale.clear()
        try:
            found = await self._kernel_thread.run(self._owner.watched)
        except (DamodError, OSError):
            return  # a kernel that is busy is asked again
        self._watched = {item.pid: item for item in found}
        self._newest = {key: item for key, item in self._newest.items() if key[0] in self._watched}

    async def _keep_found(self) -> None:
        """Know the kdamonds that run, without holding up the stream while the kernel is busy."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCHED_S):
                    await self._stale.wait()
            await self._find()
            # The kdamonds of DAMON's modules report too and are in no slot; they must not keep us asking.
            await asyncio.sleep(_WAIT_S)


class Stats:
    """The feed of what schemes did, what the kdamonds cost, and the machine's memory pressure."""

    def __init__(self, streams: Streams, read: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._streams = streams
        self._read = read

    async def open(self) -> None:
        pass

    def greet(self, subscriber: Subscriber) -> None:
        pass

    async def run(self) -> None:
        clock = asyncio.get_running_loop()
        while True:
            begun_s = clock.time()
            seen = await self._read()
            now_ns = int(begun_s * 1e9)
            due = [
                item
                for item in self._streams.wanting("stats")
                if item.due("stats", now_ns, _STATS_SLACK_NS, unsaid_ns=STATS_NS)
            ]
            for only in {item.want.kdamond for item in due}:
                rows = [row for row in seen["kdamonds"] if only in (None, row["kdamond"])]
                told = [item for item in due if item.want.kdamond == only]
                self._streams.tell(told, "stats", {**seen, "kdamonds": rows})
            took_s = clock.time() - begun_s
            # A kernel that takes long to answer is asked less often.
            pause_s = max(self._streams.interval_ns("stats", unsaid_ns=STATS_NS) / 1e9, LEAST_STATS_S)
            await asyncio.sleep(max(pause_s - took_s, took_s))


class Status:
    """The feed of status changes: looked at after each change that damod knows of, and every two seconds."""

    def __init__(self, streams: Streams, read: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._streams = streams
        self._read = read
        self._told: Mapping[str, Any] | None = None
        self._stale = asyncio.Event()

    async def open(self) -> None:
        self._told = await self._read()

    def changed(self) -> None:
        """Look soon."""
        self._stale.set()

    def greet(self, subscriber: Subscriber) -> None:
        if self._told is not None:
            self._streams.tell([subscriber], "status", self._told)

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_S):
                    await self._stale.wait()
            self._stale.clear()
            seen = await self._read()
            if seen != self._told:
                self._told = seen
                self._streams.publish("status", "status", seen)
