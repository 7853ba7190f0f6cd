"""The regions of a monitoring target, and what DAMON does to them: look, age, merge, split.

Regions are parallel columns rather than objects: a thousand of them cost a few milliseconds of Python per aggregation.

Sources: Documentation/mm/damon/design.rst (kernel-docs), mm/damon/core.c.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from damod.kernel.sim.params import TargetParams
from damod.kernel.sim.workload import Segment


class Target:
    """Regions of one target as columns, ascending. `last` is nr_accesses one aggregation ago.

    `hits` has one column of probe hits per probe.
    """

    __slots__ = ("age", "end", "hits", "last", "nr", "params", "start")

    def __init__(self, params: TargetParams, probes: int) -> None:
        self.params = params
        self.start: list[int] = []
        self.end: list[int] = []
        self.nr: list[int] = []
        self.last: list[int] = []
        self.age: list[int] = []
        self.hits: list[list[int]] = [[] for _ in range(probes)]

    def columns(self) -> list[list[int]]:
        """All columns."""
        return [self.start, self.end, self.nr, self.last, self.age, *self.hits]

    def insert(self, index: int, start: int, end: int) -> None:
        """A new region that nothing is known of."""
        for column in self.columns():
            column.insert(index, 0)
        self.start[index], self.end[index] = start, end

    def split(self, index: int, at: int) -> None:
        """Cut a region in two that know the same."""
        for column in self.columns():
            column.insert(index + 1, column[index])
        self.end[index] = self.start[index + 1] = at

    def reshape(self, ranges: Sequence[tuple[int, int]], smallest: int) -> None:
        """Cover exactly `ranges`, keeping what is known of the parts that stay (damon_set_regions())."""
        old = list(zip(*self.columns(), strict=True))
        for column in self.columns():
            column.clear()
        for low, high in ranges:
            low, high = low // smallest * smallest, -(-high // smallest) * smallest
            inside = [row for row in old if row[1] > low and row[0] < high]
            if not inside:
                if low < high:
                    self.insert(len(self.start), low, high)
                continue
            first = len(self.start)
            for row in inside:
                for column, value in zip(self.columns(), row, strict=True):
                    column.append(value)
            self.start[first], self.end[-1] = low, high


def draw(count: int, probability: float, rng: random.Random) -> int:
    """How often of `count` times something of that probability happens: binomial, near enough."""
    if probability <= 0.0:
        return 0
    if probability >= 1.0:
        return count
    mean = count * probability
    spread = mean * (1.0 - probability)
    if spread < 0.5:
        return int(mean + rng.random())
    return min(max(int(rng.gauss(mean, spread**0.5) + 0.5), 0), count)


def sample(target: Target, pattern: Sequence[Segment], count: int, rng: random.Random) -> None:
    """Fill `nr` with how often of `count` samples each region was seen accessed."""
    segments = iter([*pattern, (2**65, 2**66, 0.0)])
    low, high, share = next(segments)
    nr: list[int] = []
    add = nr.append
    for start, end in zip(target.start, target.end, strict=True):
        while high <= start:
            low, high, share = next(segments)
        if end <= low:
            add(0)
            continue
        if low <= start and end <= high:
            add(draw(count, share, rng))
            continue
        # Several segments: a sampled page lies in each with the share of the region that it covers.
        weight = 0.0
        while True:
            weight += (min(end, high) - max(start, low)) * share
            if high >= end:
                break
            low, high, share = next(segments)
            if low >= end:
                break
        add(draw(count, weight / (end - start), rng))
    target.nr = nr


def age(target: Target, values: Sequence[int], before: Sequence[int], threshold: int) -> None:
    """Regions whose value stayed within the threshold grow older, the others start again."""
    target.age = [
        old + 1 if -threshold <= now - last <= threshold and (now == 0) == (last == 0) else 0
        for old, now, last in zip(target.age, values, before, strict=True)
    ]


def merge(target: Target, threshold: int, largest: int, weights: Sequence[int] = ()) -> None:
    """Join neighbours that differ by at most the threshold, up to `largest`; `weights` make probe hits the measure."""
    if not target.start:
        return
    columns = target.columns()
    measures = weighted(target, weights) if weights else target.nr
    kept = [[column[0]] for column in columns]
    starts, ends, numbers, lasts, ages = kept[:5]
    measure = measures[0]
    rows = zip(*columns, measures, strict=True)
    next(rows)
    for row in rows:
        start, end, here = row[0], row[1], row[-1]
        left = starts[-1]
        if ends[-1] == start and -threshold <= here - measure <= threshold and end - left <= largest:
            old, new = start - left, end - start
            both = old + new
            ends[-1] = end
            numbers[-1] = (numbers[-1] * old + row[2] * new) // both
            lasts[-1] = (lasts[-1] * old + row[3] * new) // both
            ages[-1] = (ages[-1] * old + row[4] * new) // both
            for index in range(5, len(kept)):
                kept[index][-1] = (kept[index][-1] * old + row[index] * new) // both
            measure = (measure * old + here * new) // both
        else:
            starts.append(start)
            ends.append(end)
            numbers.append(row[2])
            lasts.append(row[3])
            ages.append(row[4])
            for index in range(5, len(kept)):
                kept[index].append(row[index])
            measure = here
    target.start, target.end, target.nr, target.last, target.age = kept[:5]
    target.hits = kept[5:]


def weighted(target: Target, weights: Sequence[int]) -> list[int]:
    return [sum(w * hits for w, hits in zip(weights, row, strict=True)) for row in zip(*target.hits, strict=True)] or [
        0
    ] * len(target.start)


def split(target: Target, pieces: int, smallest: int, rng: random.Random) -> None:
    """Cut each region at random into up to `pieces` of at least `smallest`."""
    rows: list[tuple[int, ...]] = []
    for row in zip(*target.columns(), strict=True):
        start, end = row[0], row[1]
        rest = row[2:]
        cuts = []
        for _ in range(pieces - 1):
            size = end - start
            if size <= 2 * smallest:
                break
            part = int(rng.random() * 9 + 1) * size // 10 // smallest * smallest
            if 0 < part < size:
                # The left part is cut again, as Linux walks it.
                cuts.append((start + part, end, *rest))
                end = start + part
        rows.append((start, end, *rest))
        rows.extend(reversed(cuts))
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        target.start, target.end, target.nr, target.last, target.age = columns[:5]
        target.hits = columns[5:]
