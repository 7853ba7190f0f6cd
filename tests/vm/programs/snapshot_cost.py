"""Runs inside a guest: CPU time of one snapshot of 1,000 regions from the ring, and from tried_regions, as JSON.

Both are this process's CPU time alone, user and system, and the medians of several turns. The ring is open, as it is
in the daemon; each turn empties it first, then waits for one aggregation and makes it columns.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from damod.kernel import ring, tried
from damod.kernel.linux import LinuxKernel
from tests.contract.driver import Damon

TURNS = 9
AGGR_S = 0.5


def cpu_ms(what: Callable[[], object]) -> float:
    before = time.process_time()
    what()
    return (time.process_time() - before) * 1000


def main() -> None:
    if "virtme" not in Path("/proc/cmdline").read_text():
        sys.exit("this writes below /sys: for guests only")
    damon = Damon(LinuxKernel())
    damon.reset()
    damon.slots(1)
    at = damon.configure(0, nr_regions=(1000, 3000), sample_us=50_000, aggr_us=int(AGGR_S * 1e6))
    pid = damon.start(0)
    counts: list[int] = []
    from_ring: list[float] = []
    with ring.Watch(damon.kernel, ring.open_reader(damon.kernel)) as watch:

        def look() -> int:
            return len(watch.look({pid: 1}, timeout_s=60).aggregations[pid, 0].regions)

        damon.wait(lambda: look() >= 1000, "regions are split")
        for _ in range(TURNS):
            # A new aggregation at least, or the look would only give again what it has.
            damon.kernel.clock.sleep(AGGR_S)
            from_ring.append(cpu_ms(lambda: counts.append(look())))

    def read_tried() -> None:
        damon.command(0, "update_schemes_tried_regions")
        counts.append(len(tried.read(damon.tree, f"{at}/schemes/0/tried_regions")))

    from_tried = [cpu_ms(read_tried) for _ in range(TURNS)]
    damon.reset()
    answer = {
        "regions": min(counts),
        "most_regions": max(counts),
        "ring_ms": round(statistics.median(from_ring), 1),
        "tried_regions_ms": round(statistics.median(from_tried), 1),
        "ring_all_ms": [round(value, 1) for value in from_ring],
        "tried_all_ms": [round(value, 1) for value in from_tried],
    }
    print(json.dumps(answer))


main()
