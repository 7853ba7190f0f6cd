"""What the module damon_stat tells: for how long the memory has been idle, as percentiles of all of it.

There are no addresses in it. It is shown as a hundred artificial regions over as many bytes as the machine has,
coldest last; each is as old as the mean of the two percentiles around it. Idle for zero or less means accessed: from
7.0 on the number is negative and tells for how long (mm/damon/stat.c, damon_stat_idletime()). The module knows accessed
or not and no rate; ten of twenty samples stands for accessed.
"""

from __future__ import annotations

from itertools import pairwise

from damod.access.snapshot import Regions, Snapshot
from damod.errors import NoData
from damod.kernel import paths
from damod.kernel.interface import Kernel

NAME = "damon_stat"
_AGGR_US = 100_000
"""Where the kernel does not tell it (before 7.0). Only a unit here: the ages are given in milliseconds."""
_SAMPLES, _ACCESSED = 20, 10


def snapshot(kernel: Kernel) -> Snapshot:
    """What damon_stat says now. Raises NoData if it is not there, not enabled, or has not told anything yet."""
    try:
        enabled = kernel.modules.read(paths.module(NAME, "enabled")).strip() in ("Y", "1")
        idle_ms = list(map(int, kernel.modules.read(paths.module(NAME, "memory_idle_ms_percentiles")).split(",")))
    except (OSError, ValueError) as exc:
        raise NoData(
            f"this kernel ({kernel.release}) has no module damon_stat that tells idle times",
            hint="Linux 6.17 has it; `damoctl start paddr` shows accesses by address",
        ) from exc
    if not enabled:
        raise NoData("the module damon_stat is not enabled", hint="`damoctl start paddr` shows accesses by address")
    if not any(idle_ms):
        raise NoData("the module damon_stat has not measured anything yet", hint="try again in some seconds")
    try:
        aggr_us = int(kernel.modules.read(paths.module(NAME, "aggr_interval_us"))) or _AGGR_US
    except OSError:
        aggr_us = _AGGR_US
    now_ns = kernel.trace.now_ns()
    return Snapshot(
        kdamond=0,
        context=0,
        target=0,
        start_ns=now_ns - aggr_us * 1000,
        end_ns=now_ns,
        wall_offset_ns=kernel.clock.time_ns() - now_ns,
        sample_us=aggr_us // _SAMPLES,
        aggr_us=aggr_us,
        regions=regions(idle_ms, kernel.proc.meminfo()["MemTotal"], aggr_us),
        source=NAME,
    )


def regions(idle_ms: list[int], total_bytes: int, aggr_us: int) -> Regions:
    """One region between each two neighbouring percentiles, ages in aggregation intervals."""
    parts = len(idle_ms) - 1
    edges = [total_bytes * part // parts for part in range(parts + 1)]
    means = [(low + high) / 2 for low, high in pairwise(idle_ms)]
    return Regions(
        edges[:-1],
        edges[1:],
        [_ACCESSED if mean <= 0 else 0 for mean in means],
        [round(abs(mean) * 1000 / aggr_us) for mean in means],
    )
