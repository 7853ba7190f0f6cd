"""Recordings of any size for benchmarks: a memory whose hot tenth moves on, with boundaries that move all the time.

Made on columns (`tests/bench/stairs.py` plays DAMON's own loop, a hundred times slower), half of the boundaries of a
snapshot are those of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from damod.access.snapshot import Regions, Snapshot
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter

PAGE = 4096
BASE = 4 << 30
WALL_OFFSET_NS = 1_700_000_000_000_000_000


def snapshots(count: int, regions: int, *, size: int = 16 << 30, seed: int = 1) -> Iterator[Snapshot]:
    """`count` snapshots of `regions` regions, 100 ms apart; the hot tenth moves on every hundredth of the time."""
    rng = np.random.default_rng(seed)
    pages = size // PAGE
    inner = np.sort(rng.choice(np.arange(1, pages), regions - 1, replace=False))
    ages = rng.integers(0, 100, regions)
    now = 1_000_000_000_000
    step = max(count // 100, 1)
    for index in range(count):
        fresh = inner.copy()
        fresh[::2] += rng.integers(-40, 41, len(fresh[::2]))
        inner = np.unique(np.clip(fresh, 1, pages - 1))
        while len(inner) < regions - 1:
            inner = np.union1d(inner, rng.integers(1, pages, regions - 1 - len(inner)))
        edges = BASE + np.concatenate(([0], inner, [pages])) * PAGE
        start, end = edges[:-1], edges[1:]
        part = index // step % 10
        middle = (start + end) // 2 - BASE
        hot = (middle >= part * size // 10) & (middle < (part + 1) * size // 10)
        samples = np.where(hot, rng.integers(15, 21, regions), np.where(rng.random(regions) < 0.05, 1, 0))
        ages = np.where(rng.random(regions) < 0.05, 0, ages + 1)
        before, now = now, now + 100_000_000 + int(rng.integers(-80_000, 120_000))
        yield Snapshot(0, 0, 0, before, now, WALL_OFFSET_NS, 5000, 100_000, Regions(start, end, samples, ages.copy()))


def write(path: Path, count: int, regions: int) -> Path:
    """A Parquet record of such snapshots."""
    writer = RecordWriter(path.parent, path.name, RecordMeta(wall_offset_ns=WALL_OFFSET_NS, tool="bench"))
    for snapshot in snapshots(count, regions):
        writer.append(snapshot)
    writer.seal()
    return path
