"""The pictures in docs/images: heatmaps of workloads of the simulated kernel, recorded through its trace ring.

python -m tests.pictures docs/images
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from damod.access.snapshot import Snapshot
from damod.kernel import ring
from damod.kernel.aggregations import Aggregations
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter
from tests.contract.driver import Damon

SAMPLE_US, AGGR_US = 5_000, 100_000
WALL_OFFSET_NS = 1_700_000_000_000_000_000


def record(path: Path, scenario: str, seconds: float) -> Path:
    """A record of so many seconds of a scenario over physical memory."""
    clock = SimClock()
    kernel = SimKernel(scenario=scenario, clock=clock)
    damon = Damon(kernel)
    damon.reset()
    damon.slots(1)
    damon.configure(0, nr_regions=(100, 400), sample_us=SAMPLE_US, aggr_us=AGGR_US)
    writer = RecordWriter(path.parent, path.name, RecordMeta(wall_offset_ns=WALL_OFFSET_NS, tool="pictures"))
    assembler = Aggregations()
    with ring.open_reader(kernel) as reader:
        damon.start(0)
        end = clock.monotonic_ns() + int(seconds * 1e9)
        while clock.monotonic_ns() < end:
            clock.advance(0.5)
            if not reader.wait(0.1):
                continue
            for found in assembler.feed(reader.read()):
                if found.start_ns is None:
                    continue
                writer.append(
                    Snapshot(0, 0, 0, found.start_ns, found.end_ns, WALL_OFFSET_NS, SAMPLE_US, AGGR_US, found.regions)
                )
    writer.seal()
    return path


def main(where: str) -> None:
    """Draw stairs and zigzag into a directory."""
    from damoctl.main import run

    with tempfile.TemporaryDirectory() as directory:
        for scenario, seconds in (("stairs", 50), ("zigzag", 90)):
            path = record(Path(directory, "damon.data"), scenario, seconds)
            words = ["report", "heatmap", "--input", str(path)]
            run([*words, "--output", f"{where}/heatmap-{scenario}.png", "--resol", "200", "200"])
            with open(f"{where}/heatmap-{scenario}.txt", "w") as out, contextlib.redirect_stdout(out):
                run([*words, "--resol", "20", "80"])
            path.unlink()


if __name__ == "__main__":
    main(sys.argv[1])
