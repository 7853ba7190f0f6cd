"""Snapshots on demand, from either of DAMON's two sources, behind one `snapshot()`.

The trace ring is the first choice: it costs the kernel nothing beyond the events, disturbs no scheme, and shows
somebody else's kdamonds too. It is opened when somebody looks and stays open for a minute, so that who looks
again (`report access --repeat`) gets what the ring already has instead of waiting for the next aggregation. Nothing
runs in the daemon while nobody looks.

`tried_regions` is for what the ring cannot tell (bytes that passed page-level filters, what a scheme was tried on) and
for kernels whose tracefs is not to be had. It needs a scheme in the kdamond and commands, so it is for our own kdamonds
only; of others' what stands in the files is shown. With no kdamond at all there is still what damon_stat tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from damod.access.snapshot import Regions, Snapshot
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.owner import Owner
from damod.daemon.view import Watched
from damod.errors import NoData, NotAllowed, UsageError
from damod.kernel import stat
from damod.kernel.aggregations import Aggregation
from damod.kernel.interface import Kernel
from damod.kernel.ring import Watch, open_reader
from damod.spec.filter import Filter

Source = Literal["auto", "ring", "tried_regions", "damon_stat"]

LINGER_S = 60.0
"""How long the ring stays open after the last look. Long, since making and removing one makes the kernel patch itself,
which is dear on large machines, while events that nobody reads cost it next to nothing."""
EVENT_BYTES = 64
"""Room that one region's event takes in the ring, rounded up."""


def room_for(watched: Sequence[Watched], *, aggregations: int) -> int:
    """KiB that a ring needs for so many aggregations of all that is watched."""
    return max(256, aggregations * EVENT_BYTES * sum(item.max_nr_regions for item in watched) // 1024)


def of_ring(kernel: Kernel, item: Watched, seen: Aggregation) -> Snapshot:
    """An aggregation of a kdamond that is known, as a snapshot."""
    sample_us = seen.sample_us or item.sample_us
    return _snapshot(kernel, item, seen.target_id, seen.regions, seen.start_ns, seen.end_ns, sample_us, "ring", [])


class Ring:
    """A ring that is open while somebody looks, with room for what they look at. The ring thread's."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._watch: Watch | None = None
        self._room_kb = 0
        self._probes = False

    def newest(self, watched: Sequence[Watched], timeout_s: float) -> Mapping[tuple[int, int], Aggregation]:
        """(pid, target) -> its newest aggregation. Raises OSError or NoData where there is no ring to be had."""
        watch = self._open(watched)
        return watch.look({item.pid: item.nr_targets for item in watched}, timeout_s=timeout_s).aggregations

    def _open(self, watched: Sequence[Watched]) -> Watch:
        """The ring, opened anew if it is too small for some aggregations of all that is watched."""
        room_kb = room_for(watched, aggregations=4)
        probes = any(item.probes for item in watched)
        if self._watch is not None and room_kb <= self._room_kb and probes == self._probes:
            return self._watch
        self.close()
        self._watch = Watch(self._kernel, open_reader(self._kernel, probes=probes, buffer_kb=room_kb))
        self._room_kb, self._probes = room_kb, probes
        return self._watch

    def close(self) -> None:
        """Take the ring out of the kernel and forget what it said."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None


class Looker:
    """Answers who wants to see. `owner` is asked in the kernel thread, the ring is read in a thread of its own."""

    def __init__(self, kernel: Kernel, owner: Owner, kernel_thread: KernelThread) -> None:
        self._kernel = kernel
        self._owner = owner
        self._kernel_thread = kernel_thread
        self._ring = Ring(kernel)
        self._ring_thread = KernelThread("ring")
        self._linger: asyncio.TimerHandle | None = None

    async def snapshot(
        self,
        slot: int | None = None,
        *,
        source: Source = "auto",
        filters: Sequence[Filter] = (),
        scheme: int | None = None,
        timeout_s: float | None = None,
    ) -> list[Snapshot]:
        """One snapshot of each target of the kdamonds that run, or of the one in `slot`.

        `filters` are page-level DAMOS filters whose passed bytes are wanted for each region (tried_regions then). With
        `scheme`, the regions that this scheme of the kdamond in `slot` was tried on. With no kdamond at all, "auto" is
        what damon_stat tells. Raises NoData if nothing runs or nothing came within `timeout_s` (default: two and a half
        aggregations and five seconds), NotFound for a slot in which nothing runs.
        """
        if source == "damon_stat":
            return [await self._kernel_thread.run(stat.snapshot, self._kernel)]
        watched = await self._kernel_thread.run(self._owner.watched, slot)
        if not watched:
            if source == "auto" and not filters and scheme is None:
                with suppress(NoData):
                    return [await self._kernel_thread.run(stat.snapshot, self._kernel)]
            raise NoData("no kdamond is running, so there is nothing to see", hint="`damoctl start paddr` starts one")
        if scheme is not None:
            if slot is None:
                raise UsageError("a scheme is that of one kdamond", hint="give `kdamond` beside `scheme`")
            return [await self._tried_of(watched[0], scheme)]
        if source == "tried_regions" or filters:
            return await self._tried(watched, filters)
        patience_s = timeout_s or 5 + 2.5e-6 * max(item.aggr_us for item in watched)
        try:
            found = await self._ring_thread.run(self._ring.newest, watched, patience_s)
        except OSError as exc:
            if source == "auto" and all(item.ours for item in watched):
                return await self._tried(watched, ())
            raise NotAllowed(
                f"cannot read DAMON's trace events: {exc}", hint="mount tracefs and run damod as root", errno=exc.errno
            ) from exc
        except NoData:
            if source == "auto" and all(item.ours for item in watched):
                return await self._tried(watched, ())
            raise
        finally:
            self._close_later()
        snapshots = [
            of_ring(self._kernel, item, found[item.pid, target])
            for item in watched
            for target in range(item.nr_targets)
            if (item.pid, target) in found
        ]
        if not snapshots:
            pids = ", ".join(str(item.pid) for item in watched)
            raise NoData(
                f"no snapshot came from kdamond {pids} within {patience_s:.1f} s",
                hint="a process that has ended, a paused context, and schemes asleep at their watermarks say nothing;"
                " `damoctl report damon` shows them",
            )
        return snapshots

    async def close(self, grace_s: float) -> None:
        """Close the ring and end its thread."""
        if self._linger:
            self._linger.cancel()
        closing = asyncio.ensure_future(self._ring_thread.run(self._ring.close))
        await asyncio.wait([closing], timeout=grace_s)
        await self._ring_thread.close(grace_s)

    def _close_later(self) -> None:
        if self._linger:
            self._linger.cancel()
        loop = asyncio.get_running_loop()
        self._linger = loop.call_later(LINGER_S, lambda: self._ring_thread.post(self._ring.close))

    async def _tried(self, watched: Sequence[Watched], filters: Sequence[Filter]) -> list[Snapshot]:
        snapshots = []
        for item in watched:
            regions = await self._kernel_thread.run(self._owner.tried_now, item.slot, filters)
            end_ns = self._kernel.trace.now_ns()
            told = [dict(entry.model_dump(mode="json")) for entry in filters]
            snapshots.append(
                _snapshot(self._kernel, item, 0, regions, None, end_ns, item.sample_us, "tried_regions", told)
            )
        return snapshots

    async def _tried_of(self, item: Watched, index: int) -> Snapshot:
        regions, scheme = await self._kernel_thread.run(self._owner.tried_of, item.slot, index)
        told = [dict(entry.model_dump(mode="json")) for entry in scheme.filters]
        seen = _snapshot(
            self._kernel, item, 0, regions, None, self._kernel.trace.now_ns(), item.sample_us, "tried_regions", told
        )
        return replace(seen, stats=scheme.stats.model_dump() if scheme.stats else None)


def _snapshot(
    kernel: Kernel,
    item: Watched,
    target: int,
    regions: Regions,
    start_ns: int | None,
    end_ns: int,
    sample_us: int,
    source: str,
    filters: list[dict[str, Any]],
) -> Snapshot:
    # Auto-tuning keeps the number of samples in an aggregation.
    aggr_us = item.aggr_us * sample_us // item.sample_us
    return Snapshot(
        kdamond=item.slot,
        context=0,
        target=target,
        start_ns=end_ns - aggr_us * 1000 if start_ns is None else start_ns,
        end_ns=end_ns,
        wall_offset_ns=kernel.clock.time_ns() - kernel.trace.now_ns(),
        sample_us=sample_us,
        aggr_us=aggr_us,
        regions=regions,
        ops=item.ops,
        pid=item.target_pids[target] if target < len(item.target_pids) else None,
        source=source,
        filters=filters,
        intervals_goal=item.intervals_goal,
    )
