"""A stairs workload as DAMON sees it: ten parts of a memory hot one after the other, boundaries moving all the time.

DAMON's own loop (mm/damon/core.c) on columns: sample, merge neighbours that look the same, report, split each region at
a random tenth of its size. So about half of the boundaries of a snapshot are not those of the one before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from damod.access.snapshot import Regions, Snapshot

PAGE = 4096
WALL_OFFSET_NS = 1_700_000_000_000_000_000


def snapshots(count: int, *, regions: int = 1000, size: int = 4 << 30, seed: int = 1) -> Iterator[Snapshot]:
    """`count` snapshots of about `regions` regions, 100 ms apart, the hot tenth moving on every five seconds."""
    rng = random.Random(seed)
    base = 4 << 30
    low, step = base, size // regions // PAGE * PAGE
    rows = [(low + i * step, low + (i + 1) * step, 0, 0) for i in range(regions)]
    # With this limit (the kernel's comes from min_nr_regions) the number of regions settles at about `regions`.
    largest = size * 100 // (regions * 88)
    now = 1_000_000_000_000
    for index in range(-30, count):
        part = (index // 50) % 10
        hot_low, hot_high = base + part * size // 10, base + (part + 1) * size // 10
        seen: list[tuple[int, int, int, int]] = []
        for start, end, last, age in rows:
            share = max(min(end, hot_high) - max(start, hot_low), 0) / (end - start)
            samples = sum(rng.random() < share for _ in range(20)) if 0 < share < 1 else int(20 * share)
            if share == 0 and rng.random() < 0.02:
                samples = rng.randint(1, 3)
            same = abs(samples - last) <= 2 and (samples == 0) == (last == 0)
            seen.append((start, end, samples, age + 1 if same else 0))
        merged = [seen[0]]
        for start, end, samples, age in seen[1:]:
            first, middle, before, old = merged[-1]
            left, right = middle - first, end - start
            if abs(samples - before) <= 2 and left + right <= largest:
                whole = left + right
                merged[-1] = (
                    first,
                    end,
                    (before * left + samples * right) // whole,
                    (old * left + age * right) // whole,
                )
            else:
                merged.append((start, end, samples, age))
        before_ns, now = now, now + 100_000_000 + rng.randint(-80_000, 120_000)
        if index >= 0:
            columns = list(zip(*merged, strict=True))
            yield Snapshot(0, 0, 0, before_ns, now, WALL_OFFSET_NS, 5000, 100_000, Regions(*columns))
        rows = []
        for start, end, samples, age in merged:
            at = start + (end - start) * rng.randint(1, 9) // 10 // PAGE * PAGE
            if start < at < end:
                rows += [(start, at, samples, age), (at, end, samples, age)]
            else:
                rows.append((start, end, samples, age))
