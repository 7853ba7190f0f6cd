"""Size of records and speed of reading and converting them: `python -m tests.bench.record_size [SNAPSHOTS]`.

Three workloads of about 1,000 regions at 100 ms: boundaries that rest, DAMON's own stairs, and one worse than DAMON,
where every boundary of 64 GiB moves anywhere between its neighbours at every aggregation.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from damod.access.snapshot import Regions, Snapshot
from damod.records import convert, open_record
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter
from tests.bench.stairs import PAGE, snapshots

TYPES = ("json_compressed", "json", "perf_script")


def resting(count: int) -> Iterator[Snapshot]:
    """The boundaries of one stairs snapshot for ever; accesses and ages as they come."""
    (first,) = snapshots(1)
    rng = random.Random(1)
    for index in range(count):
        samples = [rng.choice((0, 0, 0, 1, 20)) for _ in first.regions.start]
        regions = replace(first.regions, nr_accesses=samples, age=[index % 50] * len(samples))
        start = index * 100_000_000
        yield replace(first, start_ns=start, end_ns=start + 100_000_000, regions=regions)


def restless(count: int, *, size: int = 64 << 30, regions: int = 1000) -> Iterator[Snapshot]:
    """Stairs over regions of which each boundary is drawn anew for each snapshot."""
    rng = random.Random(1)
    step = size // regions
    for index in range(count):
        inner = [int((place + rng.uniform(-0.4, 0.4)) * step) // PAGE * PAGE for place in range(1, regions)]
        edges = [0, *inner, size]
        hot = index // 50 % 10
        samples = [20 if place * 10 // regions == hot else 0 for place in range(regions)]
        ages = [index % 50] * regions
        start = index * 100_000_000
        yield Snapshot(
            0, 0, 0, start, start + 100_000_000, 0, 5_000, 100_000, Regions(edges[:-1], edges[1:], samples, ages)
        )


WORKLOADS = {"resting": resting, "stairs": snapshots, "restless": restless}


def record(where: Path, rows: Iterable[Snapshot]) -> tuple[Path, int]:
    """A sealed record of the snapshots, and how many bytes its stream had."""
    made = RecordWriter(where, "damon.data", RecordMeta())
    for index, snapshot in enumerate(rows):
        made.append(snapshot)
        if index % 10 == 9:
            made.flush()  # as once a second
    made.close()
    part = made.bytes
    made.seal()
    return where / "damon.data", part


def main(count: int = 600) -> None:
    for name, workload in WORKLOADS.items():
        rows = list(workload(count))
        regions = sum(len(row.regions) for row in rows)
        with tempfile.TemporaryDirectory() as directory:
            began = time.process_time()
            path, part = record(Path(directory), rows)
            took = time.process_time() - began
            print(f"{name}: {regions / count:,.0f} regions in each of {count} snapshots")
            print(f"  .part            {part / regions:7.2f} bytes per region")
            size = path.stat().st_size
            print(f"  parquet          {size / regions:7.2f}   written in {took:.2f} s of CPU, {_read(path)}")
            for kind in TYPES:
                other = path.with_name(kind)
                began = time.process_time()
                with open_record(path) as source:
                    size = convert.write(source, other, kind)
                took = time.process_time() - began
                print(f"  {kind:<16} {size / regions:7.2f}   converted to in {took:.2f} s of CPU, {_read(other)}")


def _read(path: Path) -> str:
    began = time.process_time()
    with open_record(path) as found:
        for _ in found.columns("start_ns", "end_ns", "start", "end", "nr_accesses", "age"):
            pass
    return f"read in {time.process_time() - began:.2f} s"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
