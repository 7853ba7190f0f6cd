"""The trace ring: what the kernel tells of each aggregation, and what it tells of what was lost."""

from __future__ import annotations

import itertools

import pytest

from damod.kernel import events, ring
from damod.kernel.aggregations import Aggregations
from damod.kernel.interface import Kernel
from damod.kernel.ring import RingReader
from damod.kernel.sim.facts import Facts
from tests.contract.conftest import Spawn
from tests.contract.driver import Damon


def test_events_are_those_of_the_release(kernel: Kernel, facts: Facts) -> None:
    """Every trace event of this release is there, with the fields that are known of it."""
    found = kernel.trace.events()
    assert sorted(found) == sorted(facts.events)
    for name, text in found.items():
        assert events.parse(text).fields == events.parse(facts.events[name]).fields, name


def test_a_snapshot_is_whole(damon: Damon) -> None:
    """All regions of the watched range, without gap or overlap, each at least a page, ages growing with time."""
    damon.slots(1)
    damon.configure(0, nr_regions=(20, 100))
    pid = damon.start(0)
    start, end = damon.largest_ram()
    with ring.open_reader(damon.kernel) as reader:
        found = damon.collect(reader, lambda got: len(got) >= 6)
    for item in found:
        assert (item.pid, item.target_id) == (pid, 0)
        assert item.regions.start[0] == start
        assert 0 <= end - item.regions.end[-1] < 4096
        assert list(item.regions.start[1:]) == list(item.regions.end[:-1])
        assert all(high > low for low, high in zip(item.regions.start, item.regions.end, strict=True))
        # At most aggr / sample samples are taken, and one that was under way may be counted too.
        assert max(item.regions.nr_accesses) <= 21
    for before, after in itertools.pairwise(found):
        assert after.start_ns == before.end_ns
        assert after.end_ns > before.end_ns
    assert max(found[-1].regions.age) > max(found[0].regions.age)
    assert 0 <= damon.kernel.trace.now_ns() - found[-1].end_ns < 60e9


def test_nr_regions_stay_within_their_bounds(damon: Damon) -> None:
    """The number of regions gets beyond the minimum and never above the maximum."""
    damon.slots(1)
    damon.configure(0, nr_regions=(50, 200), sample_us=1000, aggr_us=20_000)
    damon.start(0)
    with ring.open_reader(damon.kernel) as reader:
        found = damon.collect(reader, lambda got: len(got) >= 5 and len(got[-1].regions) >= 50)
    assert max(len(item.regions) for item in found) <= 200


def test_kdamonds_and_targets_are_told_apart(damon: Damon, spawn: Spawn) -> None:
    """Events carry the pid of their kdamond and the index of the target in it; both see their own memory."""
    damon.slots(3)
    start, end = damon.largest_ram()
    middle = (start + end) // 2 // 4096 * 4096
    damon.configure(0, ranges=[(start, middle)])
    damon.configure(1, ranges=[(middle, end)])
    damon.configure(2, ops="vaddr", pids=[spawn().pid, spawn().pid])
    low, high, virtual = (damon.start(slot) for slot in range(3))
    found = damon.look({low: 1, high: 1, virtual: 2})
    assert set(found) == {(low, 0), (high, 0), (virtual, 0), (virtual, 1)}
    assert found[low, 0].regions.end[-1] <= middle
    assert found[high, 0].regions.start[0] >= middle
    for target in (0, 1):
        assert len(found[virtual, target].regions) >= 3


def test_a_look_at_what_does_not_run(damon: Damon) -> None:
    """Of a kdamond that is not there nothing comes, and the look ends before its time."""
    damon.slots(1)
    damon.configure(0)
    pid = damon.start(0)
    begin = damon.kernel.clock.monotonic_ns()
    with ring.Watch(damon.kernel, ring.open_reader(damon.kernel)) as watch:
        assert watch.look({pid + 3_000_000: 1}, timeout_s=600).aggregations == {}
    assert damon.kernel.clock.monotonic_ns() - begin < 600e9


def test_wait_without_events(kernel: Kernel) -> None:
    """While nothing happens waiting takes its time and says no."""
    with ring.open_reader(kernel) as reader:
        begin = kernel.clock.monotonic_ns()
        assert not reader.wait(0.2)
        assert kernel.clock.monotonic_ns() - begin >= 0.2e9
        assert not reader.read().runs


def test_only_the_wanted_events_arrive(damon: Damon) -> None:
    """A ring without events stays silent, however much happens."""
    damon.slots(1)
    damon.configure(0)
    damon.start(0)
    silent = damon.kernel.trace.open([])
    damon.collect(ring.open_reader(damon.kernel), lambda got: len(got) >= 2)
    assert not silent.wait(0)
    assert all(silent.read(cpu) == b"" for cpu in silent.cpus)
    silent.close()


def test_rings_do_not_take_from_each_other(damon: Damon) -> None:
    """Two readers both get everything."""
    damon.slots(1)
    damon.configure(0)
    damon.start(0)
    with ring.open_reader(damon.kernel) as one, ring.open_reader(damon.kernel) as two:
        for reader in (one, two):
            damon.collect(reader, lambda got: len(got) >= 2)


def test_losses_are_counted(damon: Damon) -> None:
    """A ring that is not read overwrites; the reader is told how many events it lost, and no torn snapshot."""
    damon.slots(1)
    damon.configure(0, nr_regions=(50, 60), sample_us=1000, aggr_us=20_000)
    damon.start(0)
    form = events.parse(damon.kernel.trace.events()[events.REGIONS])
    raw = damon.kernel.trace.open([events.REGIONS], buffer_kb=8)
    with RingReader(raw, damon.kernel.trace.header_page(), [form]) as reader:
        damon.wait(lambda: raw.overrun() > 200, "the ring overflows")
        damon.stop(0)
        overrun = raw.overrun()
        lost, assembler = 0, Aggregations()
        while batch := reader.read():
            lost += batch.lost
            for item in assembler.feed(batch):
                assert list(item.regions.start[1:]) == list(item.regions.end[:-1])
            if not batch.runs:
                break
        assert lost == overrun


def test_closed_rings_are_gone(damon: Damon) -> None:
    """Rings can be opened and closed again and again, also while events arrive."""
    damon.slots(1)
    damon.configure(0, sample_us=1000, aggr_us=10_000)
    pid = damon.start(0)
    for _ in range(3):
        assert (pid, 0) in damon.look({pid: 1})


def test_tuned_intervals_are_told(damon: Damon) -> None:
    """With an intervals goal the kernel changes the sampling interval; where it has an event for it (not 6.16), each
    snapshot says which one holds."""
    damon.slots(1)
    at = damon.configure(0)
    goal = f"{at}/monitoring_attrs/intervals/intervals_goal"
    if events.INTERVALS not in damon.kernel.trace.events():
        return
    for name, value in (("access_bp", 400), ("aggrs", 3), ("min_sample_us", 1000), ("max_sample_us", 400_000)):
        damon.write(f"{goal}/{name}", value)
    pid = damon.start(0)
    with ring.open_reader(damon.kernel) as reader:
        found = damon.collect(reader, lambda got: bool(got) and got[-1].sample_us not in (None, 5000))
    tuned = found[-1].sample_us
    assert tuned is not None
    assert 1000 <= tuned <= 400_000
    assert damon.command(0, "update_tuned_intervals") == ""
    assert damon.read(f"{at}/monitoring_attrs/intervals/sample_us") != "5000"
    assert damon.pid(0) == pid


@pytest.mark.parametrize("count", [1, 2])
def test_probe_hits(damon: Damon, count: int) -> None:
    """Where the kernel has probes, each region carries one number of hits per probe."""
    damon.slots(1)
    at = damon.configure(0)
    probes = f"{at}/monitoring_attrs/probes"
    if not damon.tree.exists(probes):
        assert events.REGIONS_AND_PROBES not in damon.kernel.trace.events()
        return
    damon.write(f"{probes}/nr_probes", count)
    for number in range(count):
        damon.write(f"{probes}/{number}/filters/nr_filters", 1)
        for name, value in (("type", "anon"), ("matching", "Y"), ("allow", "Y")):
            damon.write(f"{probes}/{number}/filters/0/{name}", value)
    pid = damon.start(0)
    regions = damon.look({pid: 1}, probes=True)[pid, 0].regions
    assert regions.probe_hits is not None
    assert {len(hits) for hits in regions.probe_hits} == {count}
