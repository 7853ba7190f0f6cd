"""The bulk path finds what `kernel.ring` finds event by event, on pages of the simulated kernel and on made-up ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from damod.kernel import events
from damod.kernel.aggregations import Aggregations
from damod.kernel.events import INTERVALS, REGIONS, REGIONS_AND_PROBES
from damod.kernel.ring import RingReader
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.recorder.assemble import Assembler, Intervals, Whole
from damod.recorder.bulk import BulkReader, Rows
from tests.unit.kernel.test_ring import FORMATS, HEADER_PAGE, Pages, page, probed, record, region, tuned

PATHS = "kdamonds/{0}/contexts/0"


@dataclass
class Both:
    """Feeds the same pages to both readers and compares what came out."""

    intervals: dict[int, Intervals]
    header: str = HEADER_PAGE
    formats: Sequence[events.Format] = field(default_factory=lambda: FORMATS)

    def __post_init__(self) -> None:
        self.slow, self.fast = Aggregations(), Assembler(self.intervals)
        self._readers: tuple[RingReader, BulkReader] | None = None

    def feed(self, by_cpu: dict[int, list[bytes]], overruns: int = 0) -> list[Whole]:
        """What the bulk path found, after comparing it with the other."""
        pages = [Pages({cpu: list(found) for cpu, found in by_cpu.items()}, overruns=overruns) for _ in range(2)]
        if self._readers is None:
            self._readers = (
                RingReader(pages[0], self.header, self.formats),
                BulkReader(pages[1], self.header, self.formats),
            )
        slow, fast = self._readers
        slow._drain.raw, fast._drain.raw = pages
        batch, read = slow.read(), fast.read()
        wanted = sorted(self.slow.feed(batch), key=lambda item: (item.end_ns, item.pid, item.target_id))
        found = self.fast.feed(read)
        assert (read.lost, list(read.gaps)) == (batch.lost, list(batch.gaps))
        assert self.fast.incomplete == self.slow.incomplete
        assert [_plain(item) for item in found] == [
            (
                item.pid,
                item.target_id,
                item.end_ns,
                list(item.regions.start),
                list(item.regions.end),
                list(item.regions.nr_accesses),
                list(item.regions.age),
                None if item.regions.probe_hits is None else [tuple(hits) for hits in item.regions.probe_hits],
            )
            for item in wanted
        ]
        return found


def _plain(item: Whole) -> tuple[Any, ...]:
    rows = item.rows
    return (
        item.key[0],
        item.key[3],
        item.end_ns,
        rows.start.tolist(),
        rows.end.tolist(),
        rows.nr_accesses.tolist(),
        rows.age.tolist(),
        None if rows.hits is None else [tuple(row) for row in rows.hits.tolist()],
    )


def start(kernel: SimKernel, kdamond: int, ops: str, most: int) -> int:
    """A kdamond of the simulated kernel; its pid."""
    at = f"kdamonds/{kdamond}/contexts/0"
    for path, value in (
        (f"kdamonds/{kdamond}/contexts/nr_contexts", "1"),
        (f"{at}/operations", ops),
        (f"{at}/monitoring_attrs/nr_regions/max", str(most)),
        (f"{at}/targets/nr_targets", "1"),
    ):
        kernel.damon.write(path, value)
    if ops == "vaddr":
        kernel.damon.write(f"{at}/targets/0/pid_target", str(kernel.workload_pid))
    else:
        first, last = kernel.proc.system_ram()[-1]
        kernel.damon.write(f"{at}/targets/0/regions/nr_regions", "1")
        kernel.damon.write(f"{at}/targets/0/regions/0/start", str(first))
        kernel.damon.write(f"{at}/targets/0/regions/0/end", str(last))
    kernel.damon.write(f"kdamonds/{kdamond}/state", "on")
    return int(kernel.damon.read(f"kdamonds/{kdamond}/pid"))


@pytest.mark.parametrize(("buffer_kb", "longest_s", "lossy"), [(1024, 0.5, False), (8, 2.0, True), (1024, 7.0, True)])
def test_two_kdamonds_of_the_simulated_kernel(buffer_kb: int, longest_s: float, lossy: bool) -> None:
    """Both readers agree on every page that two kdamonds fill, read late or early, with and without losses."""
    clock = SimClock()
    kernel = SimKernel(clock=clock)
    kernel.modules.write("damon_stat/parameters/enabled", "N")
    kernel.damon.write("kdamonds/nr_kdamonds", "2")
    pids = [start(kernel, 0, "paddr", 500), start(kernel, 1, "vaddr", 100)]
    formats = [events.parse(text) for name, text in kernel.trace.events().items() if name in (REGIONS, INTERVALS)]
    both = Both(dict.fromkeys(pids, Intervals(5000, 100_000)), kernel.trace.header_page(), formats)
    ring = kernel.trace.open([REGIONS, INTERVALS], buffer_kb=buffer_kb)
    seen = 0
    for pause_s in [0.05, 0.4, 0.1, 0.4, 0.33, 0.33, 0.5, longest_s, 0.1]:
        clock.advance(pause_s)
        pages: dict[int, list[bytes]] = {cpu: [] for cpu in ring.cpus}
        for cpu in ring.cpus:
            while found := ring.read(cpu):
                pages[cpu].append(found)
        seen += len(both.feed(pages, ring.overrun()))
    assert seen > 20
    assert (ring.overrun() > 0) == lossy


def whole(first: int, *, pid: int = 100, target: int = 0, nr: int = 3) -> list[bytes]:
    """The records of an aggregation of `nr` regions from address `first` on."""
    return [record(region(first + 4096 * place, pid=pid, target=target, nr=nr), 10) for place in range(nr)]


def test_an_aggregation_that_moves_to_another_cpu_is_one() -> None:
    """Events of one aggregation on two CPUs are put together by their times."""
    both = Both({100: Intervals(5000, 100_000)})
    records = whole(0x1000)
    found = both.feed({0: [page(1000, records[0])], 1: [page(1015, *records[1:])]})
    assert [item.rows.start.tolist() for item in found] == [[0x1000, 0x2000, 0x3000]]


def test_a_missing_region_costs_one_aggregation() -> None:
    """An aggregation that misses a region is dropped and counted; those around it are whole."""
    both = Both({100: Intervals(5000, 100_000)})
    records = [*whole(0x1000), *whole(0x1000)[:2], *whole(0x1000)]
    found = both.feed({0: [page(1000, *records)]})
    assert len(found) == 2
    assert both.fast.incomplete == 1


def test_rising_addresses_are_told_apart_by_the_number() -> None:
    """A target with one region whose address rises each time gives an aggregation each time."""
    both = Both({100: Intervals(5000, 100_000)})
    records = [one for place in range(4) for one in whole(0x1000 * (place + 1), nr=1)]
    assert len(both.feed({0: [page(1000, *records)]})) == 4


def test_a_gap_breaks_what_lies_around_it() -> None:
    """An aggregation that a loss may have glued together is not written, and the loss is counted."""
    both = Both({100: Intervals(5000, 100_000)})
    first = page(1000, *whole(0x1000), *whole(0x1000)[:1])
    second = page(2000, *whole(0x1000)[1:], *whole(0x1000), lost=5)
    found = both.feed({0: [first, second]})
    assert len(found) == 2
    assert both.fast.incomplete == 1


def test_an_uncounted_loss_is_counted_by_the_ring() -> None:
    """A full page that cannot say how many events were lost lets the ring's own statistics say it."""
    both = Both({100: Intervals(5000, 100_000)})
    both.feed({0: [page(1000, *whole(0x1000), lost=None)]}, overruns=17)


def test_probe_hits_come_along() -> None:
    """Arrays at the end of records are read, also when their number changes between kdamonds."""
    both = Both({100: Intervals(5000, 100_000), 101: Intervals(5000, 100_000)})
    records = [record(probed(4096 * place, bytes([place, 7]), nr=4)) for place in range(1, 5)]
    (found,) = both.feed({0: [page(1000, *records)]})
    assert found.rows.hits is not None
    assert found.rows.hits.tolist() == [[1, 7], [2, 7], [3, 7], [4, 7]]


def test_tuned_intervals_hold_from_their_aggregation_on() -> None:
    """The interval event comes before the regions of the aggregation that it is about, and keeps the ratio."""
    both = Both({100: Intervals(5000, 100_000)})
    pages = [page(1000, *whole(0x1000), record(tuned(8000), 10), *whole(0x1000))]
    first, second = both.feed({0: pages})
    assert (first.sample_us, first.aggr_us) == (5000, 100_000)
    assert (second.sample_us, second.aggr_us) == (8000, 160_000)
    (third,) = both.feed({0: [page(3000, *whole(0x1000))]})
    assert third.sample_us == 8000
    assert third.start_ns == second.end_ns


def test_a_change_does_not_reach_back_into_the_ring() -> None:
    """An aggregation that had ended when the intervals were changed keeps its own; its length tells it."""
    fast = Assembler({100: Intervals(5000, 100_000)})

    def seen(*ends_ms: int) -> list[int]:
        pages = Pages({0: [page(end * 1_000_000, *whole(0x1000)) for end in ends_ms]})
        return [item.aggr_us for item in fast.feed(BulkReader(pages, HEADER_PAGE, FORMATS).read())]

    assert seen(100, 200) == [100_000, 100_000]
    fast.given(100, Intervals(20_000, 400_000))
    assert seen(300, 400, 800) == [100_000, 100_000, 400_000]
    # Late by much, as on a busy machine: the change has come, so it is one of the new ones all the same.
    assert seen(900) == [400_000]
    fast.given(100, Intervals(5000, 100_000))
    assert seen(1300, 1400) == [400_000, 100_000]


def test_the_first_start_is_an_aggregation_before_its_end() -> None:
    """Nothing was seen before the first aggregation, so its start is worked out."""
    both = Both({100: Intervals(5000, 100_000)})
    (found,) = both.feed({0: [page(500_000_000, *whole(0x1000))]})
    assert found.end_ns - found.start_ns == 100_000_000


def test_who_is_not_recorded_is_left_out() -> None:
    """Events of other kdamonds in the same ring are not of this record."""
    fast = Assembler({100: Intervals(5000, 100_000)})
    pages = Pages({0: [page(1000, *whole(0x1000), *whole(0x1000, pid=999))]})
    found = fast.feed(BulkReader(pages, HEADER_PAGE, FORMATS).read())
    assert [item.key[0] for item in found] == [100]


@pytest.mark.parametrize("cut", [10, 18, 40])
def test_bytes_that_are_no_page_are_refused(cut: int) -> None:
    """A page that ends in the middle of what it announces is a ValueError, as for the slow reader."""
    torn = page(1000, *whole(0x1000))[:cut]
    with pytest.raises(ValueError, match="page"):
        BulkReader(Pages({0: [torn]}), HEADER_PAGE, FORMATS).read()


def test_a_pause_ends_what_a_scheme_tried() -> None:
    """Regions of a scheme are one snapshot until addresses fall or nothing comes for a sampling interval."""
    fast = Assembler({100: Intervals(5000, 100_000)})

    def rows(starts: list[int], times: list[int]) -> Rows:
        count = len(starts)
        fill = {name: np.zeros(count, np.int64) for name in ("context", "scheme", "target", "nr_accesses", "age")}
        start = np.array(starts, np.int64)
        return Rows(
            time_ns=np.array(times, np.int64),
            pid=np.full(count, 100),
            nr_regions=np.full(count, 50),
            start=start,
            end=start + 1,
            hits=None,
            **fill,
        )

    from damod.recorder.bulk import Read

    found = fast.feed(Read(rows([1, 2, 1, 5, 9], [10, 20, 30, 40, 90_000_000])))
    assert [item.rows.start.tolist() for item in found] == [[1, 2], [1, 5]]
    assert not fast.flush(91_000_000)
    assert [item.rows.start.tolist() for item in fast.flush(96_000_000)] == [[9]]


def test_both_kinds_of_region_events_are_known() -> None:
    """The formats of this test include what the newest kernels emit."""
    assert {form.name for form in FORMATS} == {REGIONS, REGIONS_AND_PROBES, INTERVALS}
