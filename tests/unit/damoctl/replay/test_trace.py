"""Records become page numbers, slots and passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from damoctl.replay.trace import Choice, Step, compile_trace, union
from damod.access.snapshot import Regions, Snapshot
from damod.errors import NoData, NotFound
from damod.records.schema import Series

MS = 1_000_000
P = 4096


def looks(
    *rows: Sequence[tuple[int, int, int]], kdamond: int = 0, target: int = 0, pid: int | None = 7, at_ms: int = 1000,
    sample_us: int = 5000, aggr_us: int = 100_000, length_ms: int = 100,
) -> list[tuple[Series, Snapshot]]:  # fmt: skip
    """Aggregations one after the other; each row is (first page, page after the last, nr_accesses)."""
    series = Series(kdamond, 0, None, target, pid, pid)
    found = []
    for number, regions in enumerate(rows):
        start = (at_ms + number * length_ms) * MS
        columns = [
            list(column) for column in zip(*[(low * P, high * P, seen, 0) for low, high, seen in regions], strict=True)
        ]
        snapshot = Snapshot(
            kdamond, 0, target, start, start + length_ms * MS, 0, sample_us, aggr_us, Regions(*columns), "vaddr", pid
        )
        found.append((series, snapshot))
    return found


def step(*spans: tuple[int, int, int], slots: int = 20) -> Step:
    first, last, passes = (np.array(column, np.int64) for column in zip(*spans, strict=True))
    return Step(0, 0, slots * 5 * MS, slots, first, last, passes)


def test_gaps_are_left_out() -> None:
    """Pages are numbered through the union of everything recorded of the target, accessed or not."""
    trace = compile_trace(looks([(100, 110, 20), (1000, 1010, 0)], [(105, 115, 0), (5000, 5010, 10)]))
    (target,) = trace.targets
    assert (target.low.tolist(), target.high.tolist()) == ([100, 1000, 5000], [115, 1010, 5010])
    assert target.at.tolist() == [0, 15, 25]
    assert (target.pages, target.touched_pages) == (35, 20)
    first, second = trace.steps
    assert (first.first.tolist(), first.last.tolist(), first.passes.tolist()) == ([0], [10], [20])
    assert (second.first.tolist(), second.last.tolist(), second.passes.tolist()) == ([25], [35], [10])
    assert (first.start_ns, second.start_ns, trace.end_ns) == (0, 100 * MS, 200 * MS)


def test_an_access_rate_is_a_share_of_the_slots() -> None:
    """nr_accesses of 20 samples are so many passes in 20 slots; each pass is a slot, evenly spread."""
    for seen in (1, 3, 10, 20):
        (one,) = compile_trace(looks([(0, 4, seen)])).steps
        assert (one.slots, one.passes.tolist(), one.wanted) == (20, [seen], 4 * seen)
        hit = [slot for slot in range(one.slots) if len(one.runs(slot)[0])]
        assert len(hit) == seen
        assert max(np.diff([-1, *hit, 20])) <= -(-20 // seen) + 1


def test_a_step_that_took_longer_has_more_slots() -> None:
    """A kdamond that could not keep up: the share of the samples counts, at the sampling interval asked for."""
    (one,) = compile_trace(looks([(0, 1, 5)], length_ms=400)).steps
    assert (one.slots, one.passes.tolist()) == (80, [20])


def test_without_intervals_the_most_accesses_are_all() -> None:
    """perf_script records have none: the highest number of accesses counts as every sample."""
    first, second = compile_trace(looks([(0, 1, 10)], [(0, 1, 5)], sample_us=0, aggr_us=0)).steps
    assert (first.slots, first.passes.tolist(), second.passes.tolist()) == (10, [10], [5])


def test_neighbours_are_one_run() -> None:
    """Regions that touch and are wanted in the same slot are walked at once."""
    one = step((0, 4, 20), (4, 9, 20), (9, 12, 10), (20, 21, 20))
    spans = [list(zip(*(side.tolist() for side in one.runs(slot)), strict=True)) for slot in (0, 1)]
    assert spans == [[(0, 9), (20, 21)], [(0, 12), (20, 21)]]
    assert one.wanted == 20 * 9 + 10 * 3 + 20


def test_targets_have_memories_of_their_own() -> None:
    """Two targets at the same addresses do not share pages, and their slots come in the order of time."""
    mixed = sorted(
        looks([(0, 4, 20)], [(0, 4, 20)], target=0, pid=7) + looks([(2, 6, 20)], target=1, pid=8, at_ms=1050),
        key=lambda item: item[1].end_ns,
    )
    trace = compile_trace(mixed)
    assert [(target.index, target.pid, target.pages) for target in trace.targets] == [(0, 7, 4), (1, 8, 4)]
    due = [slot.due_ns for slot in trace.slots()]
    assert due == sorted(due) and len(due) == 60


def test_a_target_index_used_again_is_another_memory() -> None:
    """A process that took the index of one that ended has its own."""
    trace = compile_trace(looks([(0, 4, 20)], pid=7) + looks([(0, 4, 20)], pid=8, at_ms=1100))
    assert [target.pid for target in trace.targets] == [7, 8]


def test_only_one_kdamond_is_replayed() -> None:
    """Two may have watched the same memory; the first counts, unless another is named."""
    both = looks([(0, 4, 20)]) + looks([(0, 8, 20)], kdamond=1, at_ms=1001)
    assert compile_trace(both).targets[0].pages == 4
    assert compile_trace(both).others == ["kdamond 1 context 0"]
    assert compile_trace(both, Choice(kdamond=1)).targets[0].pages == 8
    with pytest.raises(NotFound, match="it has kdamond 0 context 0, kdamond 1 context 0"):
        compile_trace(both, Choice(kdamond=2))


def test_a_part_in_time_and_addresses() -> None:
    """Times count from the beginning and the part begins at once; addresses cut regions."""
    found = looks([(0, 4, 20)], [(0, 8, 20)], [(0, 16, 20)])
    trace = compile_trace(found, Choice(times_ns=(100 * MS, 300 * MS), addresses=[(2 * P, 10 * P)]))
    assert [(one.start_ns, one.wanted) for one in trace.steps] == [(0, 6 * 20), (100 * MS, 8 * 20)]
    assert (trace.targets[0].low.tolist(), trace.targets[0].high.tolist()) == ([2], [10])


def test_nothing_accessed_is_said() -> None:
    """A record of cold memory has nothing to replay."""
    with pytest.raises(NoData, match="nothing was accessed"):
        compile_trace(looks([(0, 4, 0)]))


def test_the_last_pages_of_the_address_space() -> None:
    """Addresses are unsigned, and a region that is no whole number of pages is rounded outwards."""
    series, look = looks([(0, 1, 20)])[0]
    regions = Regions([100, (1 << 64) - P], [P + 1, (1 << 64) - 1], [20, 20], [0, 0])
    (target,) = compile_trace(
        [(series, Snapshot(0, 0, 0, look.start_ns, look.end_ns, 0, 5000, 100_000, regions))]
    ).targets
    assert (target.low.tolist(), target.high.tolist()) == ([0, (1 << 52) - 1], [2, 1 << 52])


def test_union() -> None:
    """In any order, overlapping, nested, touching, empty."""
    low, high = union(np.array([5, 0, 7, 2, 20, 30]), np.array([6, 3, 7, 5, 25, 24]))
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == [(0, 6), (20, 25)]
