"""Pages are built here as the kernel's ring buffer does it, from the format texts of Linux 7.3."""

import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from damod.errors import NoData
from damod.kernel import events, ring
from damod.kernel.aggregations import Aggregation, Aggregations
from damod.kernel.pages import PageDecoder, Run
from damod.kernel.ring import Batch, RingReader

HEADER_PAGE = """	field: u64 timestamp;	offset:0;	size:8;	signed:0;
	field: local_t commit;	offset:8;	size:8;	signed:1;
	field: int overwrite;	offset:8;	size:1;	signed:1;
	field: char data;	offset:16;	size:4080;	signed:0;
"""
COMMON = """	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

"""
AGGREGATED = (
    "name: damon_aggregated\nID: 744\nformat:\n"
    + COMMON
    + """	field:unsigned long target_id;	offset:8;	size:8;	signed:0;
	field:unsigned int nr_regions;	offset:16;	size:4;	signed:0;
	field:unsigned long start;	offset:24;	size:8;	signed:0;
	field:unsigned long end;	offset:32;	size:8;	signed:0;
	field:unsigned int nr_accesses;	offset:40;	size:4;	signed:0;
	field:unsigned int age;	offset:44;	size:4;	signed:0;
"""
)
PROBED = (
    "name: damon_region_aggregated\nID: 745\nformat:\n"
    + COMMON
    + """	field:unsigned long target_id;	offset:8;	size:8;	signed:0;
	field:unsigned long start;	offset:16;	size:8;	signed:0;
	field:unsigned long end;	offset:24;	size:8;	signed:0;
	field:unsigned int nr_regions;	offset:32;	size:4;	signed:0;
	field:unsigned int nr_accesses;	offset:36;	size:4;	signed:0;
	field:unsigned int age;	offset:40;	size:4;	signed:0;
	field:__data_loc unsigned char[] probe_hits;	offset:44;	size:4;	signed:0;
"""
)
TUNE = (
    "name: damon_monitor_intervals_tune\nID: 746\nformat:\n"
    + COMMON
    + "	field:unsigned long sample_us;	offset:8;	size:8;	signed:0;\n"
)
FORMATS = [events.parse(text) for text in (AGGREGATED, PROBED, TUNE)]


def region(start: int, *, pid: int = 100, target: int = 0, nr: int = 1, accesses: int = 0, age: int = 0) -> bytes:
    """The payload of a damon_aggregated event for the 4 KiB at `start`."""
    return struct.pack("=HBBiQI4xQQII", 744, 0, 0, pid, target, nr, start, start + 4096, accesses, age)


def probed(start: int, hits: bytes, *, pid: int = 100, nr: int = 1) -> bytes:
    """The payload of a damon_region_aggregated event, its array at the end."""
    fixed = struct.pack("=HBBiQQQIIII", 745, 0, 0, pid, 0, start, start + 4096, nr, 1, 2, len(hits) << 16 | 48)
    return (fixed + hits).ljust(-(-(48 + len(hits)) // 4) * 4, b"\0")


def tuned(sample_us: int, *, pid: int = 100) -> bytes:
    return struct.pack("=HBBiQ", 746, 0, 0, pid, sample_us)


def record(payload: bytes, delta: int = 1) -> bytes:
    """A record as the ring holds it: short ones by type_len, long ones by a length word."""
    if len(payload) <= 28 * 4:
        return struct.pack("=I", len(payload) // 4 | delta << 5) + payload
    return struct.pack("=II", delta << 5, len(payload) + 4) + payload


def page(stamp: int, *records: bytes, lost: int | None = 0) -> bytes:
    """A whole page; `lost` events before it, None for some without a number."""
    data = b"".join(records)
    commit = len(data)
    if lost != 0:
        commit |= 1 << 31
    if lost:
        commit |= 1 << 30
        data += struct.pack("=Q", lost)
    return struct.pack("=QQ", stamp, commit) + data.ljust(4080, b"\0")


def starts(found: Sequence[Run]) -> list[tuple[int, int]]:
    """(time stamp, start address) of region events."""
    return [(run.time_ns(at), start) for run in found for at, start in enumerate(run.columns(("start",))[0])]


def all_hits(found: Sequence[Run]) -> list[tuple[int, ...]]:
    """The probe hits of each region event."""
    return [hits for run in found for hits in run.columns(("probe_hits",))[0]]


@dataclass
class Pages:
    """A RawRing that holds prepared pages per CPU; `late` arrive, once, after a CPU was found empty."""

    by_cpu: dict[int, list[bytes]]
    late: dict[int, dict[int, list[bytes]]] = field(default_factory=dict)
    overruns: int = 0
    closed: bool = False
    page_size: int = 4096

    @property
    def cpus(self) -> list[int]:
        return list(self.by_cpu)

    def read(self, cpu: int) -> bytes:
        if self.by_cpu[cpu]:
            return self.by_cpu[cpu].pop(0)
        for where, pages in self.late.pop(cpu, {}).items():
            self.by_cpu[where] += pages
        return b""

    def wait(self, timeout_s: float) -> bool:
        return any(self.by_cpu.values())

    def overrun(self) -> int:
        return self.overruns

    def close(self) -> None:
        self.closed = True


def reader(by_cpu: dict[int, list[bytes]], **more: Any) -> RingReader:
    return RingReader(Pages(by_cpu, **more), HEADER_PAGE, FORMATS)


class TestPageDecoder:
    decoder = PageDecoder(HEADER_PAGE, FORMATS)

    def test_times_add_up_from_the_page_stamp(self) -> None:
        """Each record is its delta after the one before it, the first after the page's stamp."""
        found = self.decoder.decode(page(1000, record(region(0), 5), record(region(4096), 7)))
        assert starts(found.runs) == [(1005, 0), (1012, 4096)]
        assert found.missed == 0

    def test_all_values_of_a_region(self) -> None:
        """Every field of the payload is found under its name; pids are signed, addresses are not."""
        payload = region(2**64 - 4096 * 2, pid=-7, target=3, nr=9, accesses=2**32 - 1, age=4)
        (run,) = self.decoder.decode(page(0, record(payload))).runs
        names = tuple(item.name for item in run.form.fields)
        values = {name: column[0] for name, column in zip(names, run.columns(names), strict=True)}
        assert values == {
            "common_type": 744,
            "common_flags": 0,
            "common_preempt_count": 0,
            "common_pid": -7,
            "target_id": 3,
            "nr_regions": 9,
            "start": 2**64 - 8192,
            "end": 2**64 - 4096,
            "nr_accesses": 2**32 - 1,
            "age": 4,
        }

    def test_time_extend_and_time_stamp(self) -> None:
        """A long pause comes as an extension, an absolute time keeps the upper bits of the page's stamp."""
        base = 5 << 59
        extend = struct.pack("=II", 30 | 3 << 5, 2)
        absolute = struct.pack("=II", 31 | 9 << 5, 4)
        found = self.decoder.decode(
            page(base, extend, record(region(0), 0), absolute, record(region(4096), 1), record(region(8192), 1))
        )
        at = base + (4 << 27) + 9
        assert starts(found.runs) == [(base + (2 << 27) + 3, 0), (at + 1, 4096), (at + 2, 8192)]

    def test_padding_ends_the_page_or_skips_a_discarded_record(self) -> None:
        """Padding without a delta ends the page, with one it stands for a record that was taken back."""
        discarded = struct.pack("=II", 29 | 2 << 5, 12) + b"\xff" * 8
        end = struct.pack("=I", 29)
        found = self.decoder.decode(
            page(0, record(region(0)), discarded, record(region(4096)), end, record(region(8192)))
        )
        assert starts(found.runs) == [(1, 0), (4, 4096)]

    def test_fields_are_asked_for_in_their_order(self) -> None:
        """Columns come in the order of the names, which is that of the record; an unknown one is a KeyError."""
        (run,) = self.decoder.decode(page(0, record(region(0)), record(region(4096)), record(region(8192)))).runs
        assert run.columns(("start", "end"), 1, 2) == [(4096, 8192), (8192, 12288)]
        with pytest.raises(ValueError, match="start of damon_aggregated lies before"):
            run.columns(("end", "start"))
        with pytest.raises(KeyError):
            run.columns(("begin",))

    def test_unknown_events_are_skipped_but_their_time_counts(self) -> None:
        """An event that we have no format of moves the clock and nothing else, long or short."""
        other = struct.pack("=HBBi", 9, 0, 0, 1)
        found = self.decoder.decode(page(0, record(other, 4), record(other * 20, 4), record(region(0), 1)))
        assert starts(found.runs) == [(9, 0)]

    def test_arrays_are_found_where_their_word_says(self) -> None:
        """A dynamic array has the length of its word, whatever the padding; records of several lengths may follow."""
        found = self.decoder.decode(
            page(0, record(probed(0, b"\1\2\3")), record(probed(4096, b"\4\5\6\7")), record(probed(8192, b"")))
        )
        assert all_hits(found.runs) == [(1, 2, 3), (4, 5, 6, 7), ()]

    def test_long_records_have_a_length_word(self) -> None:
        """A payload of more than 112 bytes is decoded just the same, also several in a row."""
        hits = bytes(range(100))
        found = self.decoder.decode(page(0, record(probed(0, hits)), record(probed(4096, hits[:80]))))
        assert all_hits(found.runs) == [tuple(hits), tuple(hits[:80])]

    def test_runs_end_where_something_else_begins(self) -> None:
        """Records of two events in one page, with a long pause between, are each what they are."""
        extend = struct.pack("=II", 30, 1)
        found = self.decoder.decode(
            page(0, record(region(0)), record(region(1)), record(tuned(7)), extend, record(region(2)), record(tuned(8)))
        )
        assert [(run.form.name, run.count, run.time_ns(0)) for run in found.runs] == [
            ("damon_aggregated", 2, 1),
            ("damon_monitor_intervals_tune", 1, 3),
            ("damon_aggregated", 1, 4 + (1 << 27)),
            ("damon_monitor_intervals_tune", 1, 5 + (1 << 27)),
        ]
        assert found.runs[0].time_ns(-1) == 2

    @pytest.mark.parametrize(("lost", "missed"), [(0, 0), (17, 17), (None, None)])
    def test_lost_events(self, lost: int | None, missed: int | None) -> None:
        """The page tells how many were lost before it, or only that some were."""
        found = self.decoder.decode(page(0, record(region(0)), lost=lost))
        assert len(found.runs) == 1
        assert found.missed == missed

    @pytest.mark.parametrize(
        "bad",
        [
            b"short",
            struct.pack("=QQ", 0, 5000) + bytes(4080),
            page(0, struct.pack("=I", 12 | 1 << 5)),
            page(0, record(region(0))[:-8]),
            page(0, struct.pack("=II", 0, 4000)),
        ],
        ids=["short", "commit beyond the page", "header only", "cut", "length beyond the page"],
    )
    def test_damaged_pages_are_refused(self, bad: bytes) -> None:
        """Bytes that are no page end in a ValueError, never in a wrong event or an endless loop."""
        with pytest.raises(ValueError, match="page"):
            self.decoder.decode(bad)

    def test_header_page_without_a_field(self) -> None:
        """A layout that lacks what we need is refused."""
        with pytest.raises(ValueError, match="has no commit"):
            PageDecoder(HEADER_PAGE.replace("commit", "kommit"), FORMATS)


class TestRingReader:
    def test_cpus_are_merged_by_time(self) -> None:
        """Events of one kdamond that moved between CPUs come in the order in which they happened."""
        source = reader(
            {
                0: [page(10, record(region(0))), page(30, record(region(8192)))],
                1: [page(20, record(region(4096)))],
            }
        )
        assert starts(source.read().runs) == [(11, 0), (21, 4096), (31, 8192)]
        assert source.read() == Batch([], 0, [])

    def test_pages_that_overlap_in_time_are_interleaved(self) -> None:
        """Two events of one CPU with one of another between them come one by one."""
        source = reader(
            {
                0: [page(10, record(region(0)), record(region(8192), 20))],
                1: [page(20, record(region(4096)))],
            }
        )
        assert starts(source.read().runs) == [(11, 0), (21, 4096), (31, 8192)]

    def test_nothing_older_stays_behind(self) -> None:
        """What arrives at a CPU that was already found empty is read too, when a later CPU had something younger."""
        source = reader({0: [], 1: []}, late={0: {0: [page(10, record(region(0)))], 1: [page(20, record(region(1)))]}})
        assert starts(source.read().runs) == [(11, 0), (21, 1)]

    def test_lost_events_are_summed_and_located(self) -> None:
        """The number lost is that of all pages, each between the last event read of that CPU and the page's first."""
        source = reader({0: [page(10, record(region(0))), page(30, record(region(1)), lost=5), page(50, lost=2)]})
        batch = source.read()
        assert batch.lost == 7
        assert batch.gaps == [(11, 31), (31, 50)]

    def test_loss_without_a_number_is_asked_of_the_ring(self) -> None:
        """A full page cannot hold the number; then the ring's statistics, minus what was counted before, tell it."""
        source = reader({0: [page(10, record(region(0)), lost=5)]}, overruns=25)
        assert source.read().lost == 5
        source.raw.by_cpu[0].append(page(30, record(region(0)), lost=None))  # type: ignore[attr-defined]
        assert source.read().lost == 20

    def test_loss_is_at_least_one(self) -> None:
        """A page that says that something was lost counts, even if the statistics know nothing."""
        assert reader({0: [page(10, record(region(0)), lost=None)]}).read().lost == 1

    def test_close_gives_the_ring_back(self) -> None:
        """Leaving the with block removes the ring."""
        with reader({0: []}) as source:
            pass
        assert source.raw.closed  # type: ignore[attr-defined]


def aggregate(stamp: int, count: int, *, pid: int = 100, target: int = 0, age: int = 0) -> list[bytes]:
    """The records of a whole aggregation, as pages of one event each."""
    return [
        page(stamp + at, record(region(at * 4096, pid=pid, target=target, nr=count, accesses=at, age=age), 0))
        for at in range(count)
    ]


def fed(*pages: bytes, into: Aggregations | None = None) -> tuple[list[Aggregation], Aggregations]:
    assembler = into or Aggregations()
    return assembler.feed(reader({0: list(pages)}).read()), assembler


class TestAggregations:
    def test_a_whole_aggregation_becomes_columns(self) -> None:
        """All regions that nr_regions promises, as columns in address order, with the time of the first."""
        (whole,), assembler = fed(*aggregate(50, 3, age=7))
        assert whole.regions.start == [0, 4096, 8192]
        assert whole.regions.end == [4096, 8192, 12288]
        assert whole.regions.nr_accesses == [0, 1, 2]
        assert whole.regions.age == [7, 7, 7]
        assert whole.regions.probe_hits is None
        assert (whole.pid, whole.target_id, whole.start_ns, whole.end_ns) == (100, 0, None, 50)
        assert assembler.incomplete == 0

    def test_one_ends_where_the_next_starts(self) -> None:
        """An aggregation's start is the end of the one before, if that was seen."""
        found, _ = fed(*aggregate(50, 2), *aggregate(150, 3))
        assert [(item.start_ns, item.end_ns, len(item.regions)) for item in found] == [(None, 50, 2), (50, 150, 3)]

    def test_parts_of_two_reads_are_joined(self) -> None:
        """A read in the middle of an aggregation cuts nothing."""
        pages = aggregate(50, 4)
        first, assembler = fed(*pages[:3])
        assert first == []
        second, _ = fed(*pages[3:], into=assembler)
        assert [len(item.regions) for item in second] == [4]

    def test_one_page_with_several_aggregations(self) -> None:
        """Aggregations of one page, of several kdamonds in turn and each for itself, are taken apart."""
        whole = [record(region(at * 4096, pid=pid, nr=3), 1) for pid in (1, 2) for at in range(3)]
        mixed = [record(region(at * 4096, pid=pid, nr=3), 1) for at in range(3) for pid in (1, 2)]
        found, assembler = fed(page(0, *whole), page(100, *mixed))
        assert [(item.pid, item.end_ns, item.regions.start) for item in found] == [
            (1, 1, [0, 4096, 8192]),
            (2, 4, [0, 4096, 8192]),
            (1, 101, [0, 4096, 8192]),
            (2, 102, [0, 4096, 8192]),
        ]
        assert assembler.incomplete == 0

    def test_kdamonds_and_targets_are_kept_apart(self) -> None:
        """Events that interleave belong to the pid and the target that they name."""
        a, b, c = aggregate(10, 2, pid=1), aggregate(10, 2, pid=2), aggregate(12, 2, pid=1, target=1)
        found, _ = fed(a[0], b[0], a[1], b[1], *c)
        assert [(item.pid, item.target_id) for item in found] == [(1, 0), (2, 0), (1, 1)]

    def test_opened_in_the_middle(self) -> None:
        """The rest of an aggregation that began before we looked is neither handed out nor counted as a loss."""
        found, assembler = fed(*aggregate(10, 4)[2:], *aggregate(50, 4))
        assert [(item.start_ns, item.end_ns) for item in found] == [(None, 50)]
        assert assembler.incomplete == 0

    def test_two_halves_around_a_gap_make_no_whole(self) -> None:
        """The head of one and the tail of the next aggregation fit together, but events were lost in between."""
        before, one, two = aggregate(10, 4), aggregate(50, 4), aggregate(90, 4)
        tail = page(92, record(region(2 * 4096, nr=4), 0), lost=4)
        found, assembler = fed(*before, *one[:2], tail, two[3], *aggregate(130, 4))
        assert [(item.start_ns, item.end_ns) for item in found] == [(None, 10), (None, 130)]
        assert assembler.incomplete >= 1

    def test_the_gap_may_come_with_a_later_read(self) -> None:
        """A part that waits for its rest is dropped when the rest comes after a loss."""
        first, assembler = fed(*aggregate(10, 4), *aggregate(50, 4)[:2])
        assert len(first) == 1
        two = aggregate(90, 4)
        found, _ = fed(page(92, record(region(2 * 4096, nr=4), 0), lost=4), two[3], into=assembler)
        assert found == []
        assert assembler.incomplete >= 1

    def test_a_changed_count_is_another_aggregation(self) -> None:
        """nr_regions is one number for all regions of an aggregation."""
        found, assembler = fed(*aggregate(10, 2), aggregate(50, 4)[0], *aggregate(90, 3)[1:], *aggregate(130, 3))
        assert [item.end_ns for item in found] == [10, 130]
        assert assembler.incomplete == 2

    def test_probe_hits(self) -> None:
        """The event with probe hits gives one list of hits per region."""
        (whole,), _ = fed(page(0, record(probed(0, b"\1\2", nr=2)), record(probed(4096, b"\3\4", nr=2))))
        assert whole.regions.probe_hits == [(1, 2), (3, 4)]
        assert whole.regions.start == [0, 4096]

    def test_tuned_interval(self) -> None:
        """The kernel says a new sampling interval before the regions that it already holds for."""
        found, _ = fed(*aggregate(10, 1), page(20, record(tuned(777))), *aggregate(50, 1), *aggregate(60, 1, pid=5))
        assert [item.sample_us for item in found] == [None, 777, None]


@dataclass
class FakeTrace:
    raw: Pages
    texts: Mapping[str, str]
    opened: list[str] = field(default_factory=list)

    def events(self) -> Mapping[str, str]:
        return self.texts

    def header_page(self) -> str:
        return HEADER_PAGE

    def open(self, names: list[str], *, buffer_kb: int) -> Pages:
        self.opened = list(names)
        return self.raw


class StepClock:
    """Every look at the clock is a second later."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        self.now_ns += 1_000_000_000
        return self.now_ns


def kernel(*pages: bytes, texts: Mapping[str, str] | None = None, alive: bool = True) -> Any:
    known = {form.name: text for form, text in zip(FORMATS, (AGGREGATED, PROBED, TUNE), strict=True)}
    trace = FakeTrace(Pages({0: list(pages)}), known if texts is None else texts)
    return SimpleNamespace(trace=trace, clock=StepClock(), proc=SimpleNamespace(alive=lambda pid: alive))


def look(fake: Any, pids: Mapping[int, int], timeout_s: float) -> ring.Look:
    with ring.Watch(fake, ring.open_reader(fake)) as watch:
        return watch.look(pids, timeout_s=timeout_s)


class TestWatch:
    def test_the_newest_of_each_target(self) -> None:
        """The newest whole aggregation of each wanted target, others ignored; the ring is removed at the end."""
        fake = kernel(*aggregate(10, 2, pid=9), *aggregate(20, 2), *aggregate(23, 1, target=1), *aggregate(90, 2))
        answer = look(fake, {100: 2}, 9)
        assert {key: item.end_ns for key, item in answer.aggregations.items()} == {(100, 0): 90, (100, 1): 23}
        assert answer.lost == 0
        assert fake.trace.raw.closed
        assert fake.trace.opened == ["damon_aggregated", "damon_monitor_intervals_tune"]

    def test_a_target_without_regions_is_not_waited_for(self) -> None:
        """A kdamond that reports a target twice has nothing to report of the other."""
        fake = kernel(*aggregate(20, 2), *aggregate(90, 2))
        assert set(look(fake, {100: 2}, 1e6).aggregations) == {(100, 0)}

    def test_the_deadline_ends_it(self) -> None:
        """Without events the answer is empty when the kernel's time is over."""
        assert look(kernel(), {100: 1}, 5).aggregations == {}

    def test_a_kdamond_that_has_ended_is_not_waited_for(self) -> None:
        """When the kdamond is gone the look ends at once."""
        fake = kernel(alive=False)
        assert look(fake, {100: 1}, 1e9).aggregations == {}

    def test_a_second_look_need_not_wait(self) -> None:
        """What was seen last is still the newest until the kernel says more."""
        fake = kernel(*aggregate(20, 2))
        with ring.Watch(fake, ring.open_reader(fake)) as watch:
            first = watch.look({100: 1}, timeout_s=5)
            assert watch.look({100: 1}, timeout_s=5).aggregations == first.aggregations

    def test_probes_need_the_other_event(self) -> None:
        """With probes the event that has their hits is opened, where the kernel has it."""
        fake = kernel()
        ring.open_reader(fake, probes=True)
        assert fake.trace.opened == ["damon_region_aggregated", "damon_monitor_intervals_tune"]
        old = kernel(texts={"damon_aggregated": AGGREGATED})
        ring.open_reader(old, probes=True)
        assert old.trace.opened == ["damon_aggregated"]

    def test_without_tracefs(self) -> None:
        """Without the event the error says how to get it."""
        with pytest.raises(NoData) as error:
            ring.open_reader(kernel(texts={}))
        assert "mount" in error.value.hint


def test_a_thousand_regions_are_decoded_in_milliseconds() -> None:
    """From pages to columns, 1,000 regions cost less than 2 ms natively; five times that is tolerated here."""
    records = [record(region(at * 4096, nr=1000)) for at in range(1000)]
    pages = [page(at, *records[at : at + 78]) for at in range(0, 1000, 78)]
    best = float("inf")
    for _ in range(5):
        source, assembler = reader({0: list(pages)}), Aggregations()
        begin = time.process_time()
        found = assembler.feed(source.read())
        best = min(best, time.process_time() - begin)
        assert [len(item.regions) for item in found] == [1000]
    assert best < 0.010
