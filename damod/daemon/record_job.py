"""What was asked for and what runs -> the job that a recorder is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damod.daemon.recording import Ask
from damod.daemon.view import Watched
from damod.errors import FeatureMissing
from damod.kernel.events import INTERVALS, REGIONS, REGIONS_AND_PROBES
from damod.kernel.interface import Kernel
from damod.recorder.job import Caller, Events, Job, Watch

TRIED = "damos_before_apply"
_EVENT_BYTES = 56
_RING_S = 2.0
_RING_KB = (256, 16384)


def job_of(
    ask: Ask, name: str, kernel: Kernel, watched: Sequence[Watched], specs: Sequence[Any], caller: Caller | None
) -> Job:
    """The job of recording `watched` (whose kdamonds are `specs`). Raises FeatureMissing without trace events."""
    return Job(
        name=name,
        out=ask.out,
        kernel=kernel.name,
        release=kernel.release,
        watches=tuple(watch(item) for item in watched),
        kdamonds=specs,
        events=None if ask.snapshot else _events(ask, kernel, watched),
        caller=caller,
        mode=ask.permission,
        force=ask.force,
        output_type=ask.output_type,
        kinds=ask.kinds,
        timeout_s=ask.timeout_s,
        flush_s=ask.flush_s,
        keep_s=ask.keep_s,
        keep_bytes=ask.keep_bytes,
        wall_offset_ns=None if kernel.name == "linux" else kernel.clock.time_ns() - kernel.trace.now_ns(),
        perf=ask.perf,
        selection=ask.selection,
        segmented=ask.policy,
    )


def watch(item: Watched) -> Watch:
    """A kdamond as the recorder needs to know it."""
    return Watch(
        index=item.slot,
        pid=item.pid,
        ops=item.ops,
        sample_us=item.sample_us,
        aggr_us=item.aggr_us,
        target_pids=tuple(item.target_pids),
        intervals_goal=item.intervals_goal,
    )


def _events(ask: Ask, kernel: Kernel, watched: Sequence[Watched]) -> Events:
    trace = kernel.trace
    formats = trace.events()
    if ask.schemes_target_regions:
        regions = TRIED
    elif any(item.probes for item in watched) and REGIONS_AND_PROBES in formats:
        regions = REGIONS_AND_PROBES
    else:
        regions = REGIONS
    if regions not in formats:
        raise FeatureMissing(
            f"cannot record from the trace ring: there is no {regions} event",
            hint="mount tracefs (mount -t tracefs nodev /sys/kernel/tracing), or record with --snapshot",
        )
    # An interval that the kernel tunes may become as short as its goal allows.
    room = sum(item.max_nr_regions * _EVENT_BYTES * _RING_S * 1e6 / max(_shortest_aggr_us(item), 1) for item in watched)
    names = tuple(name for name in (regions, INTERVALS) if name in formats)
    least, most = _RING_KB
    buffer_kb = min(max(int(room / 1024), least), most)
    if kernel.name == "linux":
        return Events(names, buffer_kb)
    texts = {name: formats[name] for name in names}
    return Events(names, buffer_kb, piped=True, header_page=trace.header_page(), formats=texts)


def _shortest_aggr_us(item: Watched) -> int:
    goal = item.intervals_goal
    if not goal or not item.sample_us:
        return item.aggr_us
    return min(item.aggr_us, item.aggr_us * int(goal["min_sample_us"]) // item.sample_us)
