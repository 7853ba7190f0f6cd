"""A record as accesses to be done again: which pages of which target, when, and how often. Values in, values out.

What DAMON writes down of a region, `nr_accesses` of an aggregation's samples, says in how many of the sampling
intervals a page of it had been touched. So a step (one aggregation of one target) is cut into slots of the sampling
interval, and the region's pages are wanted in that share of the slots, evenly spread: who monitors the replay with the
same intervals finds the same number. Steps keep the length that they really had, which is longer than asked for where
the recorded kdamond could not keep up.

Recorded addresses become page numbers of a memory that has no gaps: the union of all that is recorded of the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING, Any, NamedTuple

from damod.errors import NoData, NotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from damod.access.snapshot import Snapshot
    from damod.records.schema import Series

    Ints = NDArray[np.int64]

# Without intervals in the record (perf_script has none), an aggregation of no length counts as DAMON's default.
_AGGR_NS = 100_000_000
# Unions are made of so many aggregations at once.
_FOLD = 64


@dataclass(frozen=True, slots=True)
class Target:
    """Whose memory: a set of page numbers from 0 on that stand for recorded addresses.

    `low`/`high` are recorded pages [low, high), sorted; `at` is the number of the first page of each. `touched` are
    runs [first, last) of page numbers that are accessed at all.
    """

    index: int
    pid: int | None
    low: Ints
    high: Ints
    touched: tuple[Ints, Ints]

    @property
    def at(self) -> Ints:
        import numpy as np

        sizes = self.high - self.low
        begins: Ints = np.cumsum(sizes) - sizes
        return begins

    @property
    def pages(self) -> int:
        """Pages of the union."""
        return int((self.high - self.low).sum())

    @property
    def touched_pages(self) -> int:
        """Pages that have to be resident."""
        first, last = self.touched
        return int((last - first).sum())


@dataclass(frozen=True, slots=True)
class Step:
    """One aggregation of one target: pages [first, last) are wanted in `passes` of its `slots`.

    Times are nanoseconds from the beginning of the trace. `target` is an index into `Trace.targets`.
    """

    target: int
    start_ns: int
    end_ns: int
    slots: int
    first: Ints
    last: Ints
    passes: Ints

    @property
    def wanted(self) -> int:
        """Page touches."""
        return int(((self.last - self.first) * self.passes).sum())

    def due_ns(self, slot: int) -> int:
        """When a slot begins."""
        return self.start_ns + (self.end_ns - self.start_ns) * slot // self.slots

    def runs(self, slot: int) -> tuple[Ints, Ints]:
        """Pages [first, last) that are wanted in a slot; neighbours are one run."""
        wanted = (slot + 1) * self.passes // self.slots > slot * self.passes // self.slots
        first, last = self.first[wanted], self.last[wanted]
        if len(first) < 2:
            return first, last
        apart = first[1:] != last[:-1]
        import numpy as np

        edge = np.ones(1, bool)
        return first[np.concatenate((edge, apart))], last[np.concatenate((apart, edge))]


class Slot(NamedTuple):
    """A moment at which pages are to be touched: slot `slot` of step number `step`."""

    due_ns: int
    step: int
    slot: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything to be done, in the order of time. `others` are sets of the record that are left out."""

    targets: Sequence[Target]
    steps: Sequence[Step]
    others: Sequence[str] = ()

    @property
    def end_ns(self) -> int:
        return max(step.end_ns for step in self.steps)

    def slots(self) -> Iterator[Slot]:
        """All slots in which something is wanted, of all targets, by time."""

        def of(target: int) -> Iterator[Slot]:
            for number, step in enumerate(self.steps):
                if step.target == target and len(step.first):
                    for slot in range(step.slots):
                        yield Slot(step.due_ns(slot), number, slot)

        return merge(*map(of, range(len(self.targets))))


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of a record. `times_ns` counts from its beginning, `addresses` are as recorded; None: all of it.

    Without `kdamond` and `context` it is the first set of the record: several kdamonds may have watched the same
    memory, and its accesses are not to be done twice.
    """

    kdamond: int | None = None
    context: int | None = None
    target_id: int | None = None
    times_ns: tuple[int, int] | None = None
    addresses: Sequence[tuple[int, int]] = ()


class _Raw(NamedTuple):
    """A step before its addresses are page numbers. `low`, `high`, `seen` have accessed regions only."""

    owner: tuple[int, int | None]
    start_ns: int
    end_ns: int
    sample_us: int
    aggr_us: int
    low: Ints
    high: Ints
    seen: Ints


class _Union:
    """The union of ranges that come in portions."""

    def __init__(self) -> None:
        self._parts: list[tuple[Ints, Ints]] = []

    def add(self, low: Ints, high: Ints) -> None:
        self._parts.append((low, high))
        if len(self._parts) > _FOLD:
            self._parts = [self.get()]

    def get(self) -> tuple[Ints, Ints]:
        import numpy as np

        return union(np.concatenate([low for low, _ in self._parts]), np.concatenate([high for _, high in self._parts]))


def union(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Ranges [low, high) in any order, overlapping or not, as sorted ones that do not touch."""
    import numpy as np

    keep = high > low
    low, high = low[keep], high[keep]
    if not len(low):
        return low, high
    order = np.argsort(low, kind="stable")
    low, reach = low[order], np.maximum.accumulate(high[order])
    apart = low[1:] > reach[:-1]
    edge = np.ones(1, bool)
    return low[np.concatenate((edge, apart))], reach[np.concatenate((apart, edge))]


def compile_trace(
    aggregations: Iterable[tuple[Series, Snapshot]], choice: Choice | None = None, *, page: int = 4096
) -> Trace:
    """The accesses of a record's aggregations, given in the order of time.

    Raises NotFound if the choice matches nothing, NoData if nothing was accessed in what it matches.
    """
    import numpy as np

    choice = choice or Choice()
    raws: list[_Raw] = []
    unions: dict[tuple[int, int | None], _Union] = {}
    ids: dict[tuple[int, int | None], tuple[int, int | None]] = {}
    others: dict[str, None] = {}
    kept: tuple[int, int, int] | None = None
    began: int | None = None
    for series, snapshot in aggregations:
        key = series.key[:3]
        if not _wanted(series, choice) or (kept is not None and key != kept):
            others[_name(key)] = None
            continue
        kept = key
        start_ns, end_ns = snapshot.start_ns, snapshot.end_ns
        if end_ns <= start_ns:
            start_ns = end_ns - (snapshot.aggr_us * 1000 or _AGGR_NS)
        began = start_ns if began is None else began
        start_ns, end_ns = max(start_ns - began, 0), end_ns - began
        if choice.times_ns is not None and not (choice.times_ns[0] <= start_ns and end_ns <= choice.times_ns[1]):
            continue
        low, high, seen = _clipped(snapshot.regions, choice.addresses, page)
        owner = (series.target, snapshot.pid)
        ids.setdefault(owner, (series.target, snapshot.pid if snapshot.pid is not None else series.pid))
        unions.setdefault(owner, _Union()).add(low, high)
        hot = seen > 0
        raws.append(_Raw(owner, start_ns, end_ns, snapshot.sample_us, snapshot.aggr_us, low[hot], high[hot], seen[hot]))
    if not raws:
        had = f"; it has {', '.join(_few(others))}" if others else ""
        raise NotFound(f"the record has nothing of what is to be replayed{had}", hint="damoctl report record_info")
    if not any(len(raw.low) for raw in raws):
        raise NoData("nothing was accessed in what is to be replayed", hint="`damoctl report heatmap` shows a record")
    offset = choice.times_ns[0] if choice.times_ns else 0
    return _numbered(raws, {owner: made.get() for owner, made in unions.items()}, ids, offset, _few(others), np)


def _wanted(series: Series, choice: Choice) -> bool:
    return all(
        want is None or want == has
        for want, has in (
            (choice.kdamond, series.kdamond),
            (choice.context, series.context),
            (choice.target_id, series.target_id),
        )
    )


def _few(names: Iterable[str]) -> list[str]:
    """The first names, and how many there are beyond."""
    found = list(names)
    return found if len(found) <= 8 else [*found[:8], f"{len(found) - 8:,} more"]


def _name(key: tuple[int, int, int]) -> str:
    kdamond, context, scheme = key
    return f"kdamond {kdamond} context {context}" + (f" scheme {scheme}" if scheme >= 0 else "")


def _clipped(regions: Any, addresses: Sequence[tuple[int, int]], page: int) -> tuple[Ints, Ints, Ints]:
    """Whole pages of the regions, inside of the addresses if there are any, and the samples that saw them accessed."""
    import numpy as np

    start, end = (np.asarray(column, dtype=np.uint64) for column in (regions.start, regions.end))
    seen = np.asarray(regions.nr_accesses, dtype=np.int64)
    if addresses:
        parts = [(np.maximum(start, np.uint64(low)), np.minimum(end, np.uint64(high)), seen) for low, high in addresses]
        start, end, seen = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        keep = end > start
        start, end, seen = start[keep], end[keep], seen[keep]
    low = (start // np.uint64(page)).astype(np.int64)
    # Rounded up without an overflow at the end of the address space.
    high = (end // np.uint64(page)).astype(np.int64) + (end % np.uint64(page) != 0)
    return low, high, seen


def _numbered(
    raws: Sequence[_Raw],
    unions: dict[tuple[int, int | None], tuple[Ints, Ints]],
    ids: dict[tuple[int, int | None], tuple[int, int | None]],
    offset: int,
    others: Sequence[str],
    np: Any,
) -> Trace:
    most = max(int(raw.seen.max()) for raw in raws if len(raw.seen))
    numbers = {owner: number for number, owner in enumerate(ids)}
    bases = {owner: np.cumsum(high - low) - (high - low) for owner, (low, high) in unions.items()}
    touched: dict[tuple[int, int | None], _Union] = {owner: _Union() for owner in ids}
    latest = dict.fromkeys(ids, 0)
    steps = []
    for raw in raws:
        low, _ = unions[raw.owner]
        which = np.searchsorted(low, raw.low, "right") - 1
        first = bases[raw.owner][which] + raw.low - low[which]
        last = first + raw.high - raw.low
        touched[raw.owner].add(first, last)
        # A record may say that an aggregation began before the one before it had ended.
        start_ns = max(raw.start_ns - offset, latest[raw.owner])
        end_ns = max(raw.end_ns - offset, start_ns + 1)
        latest[raw.owner] = end_ns
        samples = max(raw.aggr_us // raw.sample_us, 1) if raw.sample_us and raw.aggr_us else most
        sample_ns = raw.sample_us * 1000 or max((end_ns - start_ns) // samples, 1)
        # What a damaged record may say is cut to what still multiplies within 64 bits; nobody touches so often.
        samples = min(samples, 2**31 - 1)
        slots = min(max(round((end_ns - start_ns) / sample_ns), 1), 2**30)
        passes = np.maximum((np.minimum(raw.seen, samples) * slots * 2 + samples) // (2 * samples), 1)
        steps.append(Step(numbers[raw.owner], start_ns, end_ns, slots, first, last, passes))
    targets = [Target(*ids[owner], *unions[owner], touched[owner].get()) for owner in ids]
    return Trace(targets, sorted(steps, key=lambda step: (step.start_ns, step.target)), others)
