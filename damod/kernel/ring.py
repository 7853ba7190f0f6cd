"""The kernel's trace ring, from events to snapshots: what DAMON saw, without perf and without asking DAMON.

At the end of each aggregation a kdamond emits one event per region, `damon_aggregated` (7.2+: also
`damon_region_aggregated`, with probe hits). They come out of `trace_pipe_raw` as pages (`pages`).

Surprises that the code answers:
- One kdamond's events lie in several CPUs' rings as the scheduler moves it; they are merged by time stamp.
- `target_id` is the target's index in its context, not an address (since 5.16; seen with two targets on 6.12 and 7.3).
- Regions of a target come in address order, so a start address that does not rise begins the next aggregation.
- A target without regions emits nothing at all.
- `damon_monitor_intervals_tune` comes before the regions of the same aggregation, and those are already rescaled to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

from damod.errors import NoData
from damod.kernel import events as event_formats
from damod.kernel.aggregations import Aggregation, Aggregations
from damod.kernel.events import INTERVALS, REGIONS, REGIONS_AND_PROBES, Format
from damod.kernel.interface import Kernel, RawRing
from damod.kernel.pages import Drain, Run


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of all CPUs in time order. `lost` events are missing, all of them within the `gaps` (from, to) in ns."""

    runs: Sequence[Run] = ()
    lost: int = 0
    gaps: Sequence[tuple[int, int]] = ()


def merge(by_cpu: Sequence[Sequence[Run]]) -> list[Run]:
    """The runs of several CPUs, each in order, as one in order; runs that overlap in time are taken apart."""
    filled = [runs for runs in by_cpu if runs]
    if len(filled) == 1:
        return list(filled[0])
    runs = sorted((run for runs in filled for run in runs), key=_first_ns)
    if all(left.time_ns(-1) <= right.time_ns(0) for left, right in pairwise(runs)):
        return runs
    return sorted((single for run in runs for single in run.split()), key=_first_ns)


def _first_ns(run: Run) -> int:
    return run.time_ns(0)


class RingReader:
    """Reads a ring to its end each time, without waiting; one per ring, not thread-safe."""

    def __init__(self, raw: RawRing, header_page: str, formats: Iterable[Format]) -> None:
        self._drain = Drain(raw, header_page, formats)

    @property
    def raw(self) -> RawRing:
        """The ring that is read."""
        return self._drain.raw

    def read(self) -> Batch:
        """Everything that is there."""
        by_cpu, lost, gaps = self._drain.read()
        return Batch(merge([found.runs for found in by_cpu.values()]), lost, gaps)

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is something to read or the time is over; whether there is."""
        return self.raw.wait(timeout_s)

    def close(self) -> None:
        """Remove the ring from the kernel."""
        self.raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_reader(kernel: Kernel, *, probes: bool = False, buffer_kb: int = 1024) -> RingReader:
    """A ring of region and interval-tuning events. `probes` asks for the event that has probe hits, if there is one.

    Raises NoData where the kernel has no tracefs mounted, OSError where it may not be used.
    """
    formats = {name: event_formats.parse(text) for name, text in kernel.trace.events().items()}
    regions = REGIONS_AND_PROBES if probes and REGIONS_AND_PROBES in formats else REGIONS
    if regions not in formats:
        raise NoData(
            "cannot read DAMON's snapshots from the trace ring: there is no damon_aggregated event",
            hint="mount tracefs (mount -t tracefs nodev /sys/kernel/tracing), or use the tried_regions source",
        )
    wanted = [name for name in (regions, INTERVALS) if name in formats]
    raw = kernel.trace.open(wanted, buffer_kb=buffer_kb)
    return RingReader(raw, kernel.trace.header_page(), [formats[name] for name in wanted])


class Look(NamedTuple):
    """What one look at the ring gave: an aggregation per (pid, target), and the events lost meanwhile."""

    aggregations: Mapping[tuple[int, int], Aggregation]
    lost: int


class Watch:
    """The newest whole aggregation of each target, for who looks now and then. One thread's; close it at the end.

    The ring is read only when somebody looks, so a look costs nothing in between, and who looks twice within an
    aggregation gets the same answer at once instead of waiting for the next one.
    """

    # A kdamond that ends says nothing any more, so waiting is cut into slices that ask whether it lives.
    _SLICE_S = 0.5

    def __init__(self, kernel: Kernel, reader: RingReader) -> None:
        self._kernel = kernel
        self._reader = reader
        self._assembler = Aggregations()
        self._newest: dict[tuple[int, int], Aggregation] = {}

    def look(self, pids: Mapping[int, int], *, timeout_s: float) -> Look:
        """The newest aggregation of each target of the kdamonds `pids` (pid -> number of targets).

        Waits for targets of which none has been seen, at most `timeout_s` of the kernel's time, so missing keys are
        possible. A target without regions says nothing: a kdamond that reports another one twice has no more to say.
        """
        clock = self._kernel.clock
        deadline = clock.monotonic_ns() + int(timeout_s * 1e9)
        self._newest = {key: item for key, item in self._newest.items() if key[0] in pids}
        missing = {(pid, target) for pid, count in pids.items() for target in range(count)}
        seen: set[tuple[int, int]] = set()
        lost = 0
        while True:
            batch = self._reader.read()
            lost += batch.lost
            for item in self._assembler.feed(batch):
                key = item.pid, item.target_id
                if item.pid not in pids:
                    continue
                if key in seen:
                    missing = {other for other in missing if other[0] != item.pid}
                seen.add(key)
                self._newest[key] = item
            missing = {key for key in missing - self._newest.keys() if self._kernel.proc.alive(key[0])}
            left_s = (deadline - clock.monotonic_ns()) / 1e9
            if not missing or left_s <= 0:
                return Look(dict(self._newest), lost)
            self._reader.wait(min(left_s, self._SLICE_S))

    def close(self) -> None:
        """Take the ring out of the kernel."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
