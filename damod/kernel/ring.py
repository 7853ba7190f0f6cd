"""The kernel's trace ring, from raw pages to snapshots: what DAMON saw, without perf and without asking DAMON.

At the end of each aggregation a kdamond emits one event per region, `damon_aggregated` (7.2+: also
`damon_region_aggregated`, with probe hits). They come out of `trace_pipe_raw` as pages:

    page      u64 time stamp | commit: bytes used, flags (1<<31 events lost before, 1<<30 their number follows) | data
    record    u32: type_len (low 5 bits), time_delta (27 bits) | payload

type_len 1..28 is the payload's length in words, 0 says that the length is in the next word; 29 is padding, 30 adds
to the time, 31 sets it. (The bits lie so on little-endian machines.) Page bytes are the seam: `PageDecoder` is one
way to read them, a recorder may have a faster one.

Surprises that the code answers:
- One kdamond's events lie in several CPUs' rings as the scheduler moves it; they are merged by time stamp.
- `target_id` is the target's index in its context, not an address (since 5.16; seen with two targets on 6.12 and 7.3).
- Regions of a target come in address order, so a start address that does not rise begins the next aggregation.
- A target without regions emits nothing at all.
- `damon_monitor_intervals_tune` comes before the regions of the same aggregation, and those are already rescaled to it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import lt
from typing import Any, NamedTuple, Self

from damod.access.snapshot import Regions
from damod.errors import NoData
from damod.kernel import events as event_formats
from damod.kernel.events import Format
from damod.kernel.interface import Kernel, RawRing

REGIONS = "damon_aggregated"
REGIONS_AND_PROBES = "damon_region_aggregated"
INTERVALS = "damon_monitor_intervals_tune"

PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
DELTA_BITS = 27
MISSED, MISSED_STORED = 1 << 31, 1 << 30
COMMIT_MASK = MISSED_STORED - 1
# An absolute time stamp has 59 bits; the upper ones are those of the page's.
STAMP_BITS = 59
_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
# The low five bits of each byte.
_TYPE_LEN = bytes(byte & 31 for byte in range(256))
# Rounds over all CPUs in one read, at most. Two are usual; the bound is for events that come faster than we read.
_MAX_ROUNDS = 32

Row = tuple[Any, ...]
"""The values of one event; which value is which says `columns(format)`."""


class Run(NamedTuple):
    """Events of one format that follow each other in one page.

    Times of single events are seldom asked for, so they are worked out only then; `base_ns` is what the first one's
    delta adds to.
    """

    base_ns: int
    form: Format
    rows: Sequence[Row]

    def time_ns(self, place: int) -> int:
        """The time stamp of the event at `place` (negative ones count from the end)."""
        deltas: Iterable[int] = (row[0] >> 5 for row in self.rows[: place % len(self.rows) + 1])
        return self.base_ns + sum(deltas)

    def split(self) -> list[Run]:
        """The same events as a run each."""
        runs, base = [], self.base_ns
        for row in self.rows:
            runs.append(Run(base, self.form, (row,)))
            base += row[0] >> 5
        return runs


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Where things are in a page, from the text of `events/header_page`."""

    stamp: int
    commit: int
    data: int
    size: int

    @classmethod
    def parse(cls, text: str) -> PageLayout:
        """Raises ValueError if the text lacks a field."""
        fields = {item.name: item for item in event_formats.parse_fields(text)}
        try:
            data = fields["data"]
            return cls(fields["timestamp"].offset, fields["commit"].offset, data.offset, data.offset + data.size)
        except KeyError as exc:
            raise ValueError(f"the ring's page header has no {exc.args[0]}: {text[:80]!r}") from None


class Page(NamedTuple):
    """What a page held. `missed`: events lost before it; None if some were lost and the page does not say how many."""

    runs: list[Run]
    missed: int | None


def columns(form: Format) -> dict[str, int]:
    """Field name -> position in an event's values. Position 0 is the record's header word; common fields but
    `common_type` and `common_pid` are left out."""
    return {item.name: place for place, item in enumerate(_kept(form), start=1)}


def _kept(form: Format) -> list[event_formats.Field]:
    return [
        item
        for item in form.fields
        if not item.name.startswith("common_") or item.name in ("common_type", "common_pid")
    ]


def _record_struct(form: Format, header: int, size: int) -> struct.Struct:
    """Unpacks a record of `size` bytes whose payload begins at `header`: the header word, then the kept fields."""
    text, at = f"=I{header - 4}x", header
    for item in _kept(form):
        text += f"{header + item.offset - at}x{item.code}"
        at = header + item.offset + item.size
    return struct.Struct(f"{text}{size - at}x")


class PageDecoder:
    """Turns raw pages into events, by the kernel's own description of both. Unknown events are skipped.

    Runs of records of one event and length, which is what DAMON's are, are unpacked in one go.
    """

    def __init__(self, header_page: str, formats: Iterable[Format]) -> None:
        self.layout = PageLayout.parse(header_page)
        self._formats = {form.id: form for form in formats}
        self._structs: dict[tuple[int, int], struct.Struct] = {}
        self._dynamic = {
            form.id: [(columns(form)[item.name], item.element) for item in form.fields if item.element]
            for form in self._formats.values()
        }

    def decode(self, page: bytes) -> Page:
        """All known events of one page, in order. Raises ValueError on bytes that cannot be a page."""
        try:
            return self._decode(page)
        except struct.error as exc:
            raise ValueError(f"a ring page of {len(page)} bytes ends inside a record: {exc}") from exc

    def stamp(self, page: bytes) -> int:
        """The time stamp of a page itself, in ns."""
        return int(_U64.unpack_from(page, self.layout.stamp)[0])

    def _decode(self, page: bytes) -> Page:
        layout = self.layout
        if len(page) < layout.data:
            raise ValueError(f"a ring page of {len(page)} bytes is shorter than its header")
        stamp = page_stamp = self.stamp(page)
        commit = _U32.unpack_from(page, layout.commit)[0]
        at, end = layout.data, layout.data + (commit & COMMIT_MASK)
        if end > len(page):
            raise ValueError(f"a ring page of {len(page)} bytes says that {end} are used")
        missed: int | None = 0
        if commit & MISSED:
            missed = int(_U64.unpack_from(page, end)[0]) if commit & MISSED_STORED else None

        found: list[Run] = []
        while at + 4 <= end:
            word = _U32.unpack_from(page, at)[0]
            kind, delta = word & 31, word >> 5
            if kind == TIME_EXTEND:
                stamp += delta + (_U32.unpack_from(page, at + 4)[0] << DELTA_BITS)
                at += 8
            elif kind == TIME_STAMP:
                low = delta + (_U32.unpack_from(page, at + 4)[0] << DELTA_BITS)
                stamp = (page_stamp >> STAMP_BITS << STAMP_BITS) | low
                at += 8
            elif kind == PADDING:
                if not delta:
                    break
                stamp += delta
                at += 4 + _U32.unpack_from(page, at + 4)[0]
            else:
                header = 4 if kind else 8
                size = 4 + (kind * 4 if kind else _U32.unpack_from(page, at + 4)[0])
                if at + size > end:
                    raise ValueError(f"a ring page's record at {at} has {size} bytes, but only {end - at} are used")
                form = self._formats.get(_U16.unpack_from(page, at + header)[0])
                if form is None:
                    stamp += delta
                    at += size
                else:
                    run = self._run(page, at, end, stamp, form, kind, size)
                    found.append(run)
                    stamp = run.time_ns(-1)
                    at += size * len(run.rows)
        return Page(found, missed)

    def _run(self, page: bytes, at: int, end: int, base: int, form: Format, kind: int, size: int) -> Run:
        """The records of one event and size from `at` on, as long as they follow each other."""
        header = 4 if kind else 8
        unpack = self._structs.get((form.id, size))
        if unpack is None:
            unpack = self._structs[form.id, size] = _record_struct(form, header, size)
        # A record that holds its own length may be followed by one of another length: one at a time.
        count = alike(page, at, (end - at) // size, size, header) if kind else 1
        rows: list[Row] = list(unpack.iter_unpack(memoryview(page)[at : at + count * size]))
        dynamic = self._dynamic[form.id]
        if dynamic:
            rows = [_with_arrays(row, dynamic, page, at + place * size + header) for place, row in enumerate(rows)]
        return Run(base, form, rows)


def alike(page: bytes, at: int, most: int, size: int, header: int) -> int:
    """How many of the up to `most` records of `size` bytes at `at` have the first one's type_len and event.

    Looks at one byte of all records at a time, in slices.
    """
    end = at + most * size
    kinds = page[at:end:size].translate(_TYPE_LEN)
    count = most
    for column in (kinds, page[at + header : end : size], page[at + header + 1 : end : size]):
        if column.count(column[0]) != most:
            count = min(count, next(place for place, value in enumerate(column) if value != column[0]))
    return count


def _with_arrays(row: Row, dynamic: Sequence[tuple[int, str]], page: bytes, payload: int) -> Row:
    """`row` with its `__data_loc` words (length << 16 | offset in the payload) replaced by the arrays they point at."""
    values = list(row)
    for place, element in dynamic:
        where = payload + (values[place] & 0xFFFF)
        length = values[place] >> 16
        values[place] = struct.unpack_from(f"={length // struct.calcsize('=' + element)}{element}", page, where)
    return tuple(values)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of all CPUs in time order. `lost` events are missing, all of them within the `gaps` (from, to) in ns."""

    runs: Sequence[Run] = ()
    lost: int = 0
    gaps: Sequence[tuple[int, int]] = ()


def merge(by_cpu: Sequence[Sequence[Run]]) -> list[Run]:
    """The runs of several CPUs, each in order, as one in order; runs that overlap in time are taken apart."""
    filled = [runs for runs in by_cpu if runs]
    if len(filled) == 1:
        return list(filled[0])
    runs = sorted((run for runs in filled for run in runs), key=_first_ns)
    if all(left.time_ns(-1) <= right.time_ns(0) for left, right in pairwise(runs)):
        return runs
    return sorted((single for run in runs for single in run.split()), key=_first_ns)


def _first_ns(run: Run) -> int:
    return run.time_ns(0)


class RingReader:
    """Reads a ring to its end each time, without waiting; one per ring, not thread-safe."""

    def __init__(self, raw: RawRing, header_page: str, formats: Iterable[Format]) -> None:
        self.raw = raw
        self._decoder = PageDecoder(header_page, formats)
        self._lost = 0
        self._seen_ns = 0

    def read(self) -> Batch:
        """Everything that is there.

        The CPUs are read in turn until one round finds them all empty. So no event is returned while an older one of
        the same kdamond, which moved to another CPU in between, stays behind.
        """
        found: dict[int, list[Run]] = {cpu: [] for cpu in self.raw.cpus}
        gaps: list[tuple[int, int]] = []
        lost, uncounted = 0, False
        for _ in range(_MAX_ROUNDS):
            empty = True
            for cpu, runs in found.items():
                while page := self.raw.read(cpu):
                    empty = False
                    more, missed = self._decoder.decode(page)
                    if missed != 0:
                        lost += missed or 0
                        uncounted |= missed is None
                        until = more[0].time_ns(0) if more else self._decoder.stamp(page)
                        gaps.append((runs[-1].time_ns(-1) if runs else self._seen_ns, until))
                    runs += more
            if empty:
                break
        if uncounted:
            # A full page has no room for the number, but the ring's own statistics know the sum.
            lost = max(lost + 1, self.raw.overrun() - self._lost)
        self._lost += lost
        merged = merge(list(found.values()))
        if merged:
            self._seen_ns = max(self._seen_ns, merged[-1].time_ns(-1))
        return Batch(merged, lost, gaps)

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is something to read or the time is over; whether there is."""
        return self.raw.wait(timeout_s)

    def close(self) -> None:
        """Remove the ring from the kernel."""
        self.raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Aggregation(NamedTuple):
    """All regions of one target at the end of one aggregation.

    `start_ns` is the end of the aggregation before, None if that was not seen whole. `sample_us` is the sampling
    interval in force if the kernel tunes it and has said so, else None.
    """

    start_ns: int | None
    end_ns: int
    regions: Regions
    pid: int
    target_id: int
    sample_us: int | None = None


@dataclass(slots=True)
class _Part:
    """An aggregation of one target of which not all regions have come yet, as one list per value of its events."""

    nr_regions: int
    first_ns: int
    sample_us: int | None
    values: list[list[Any]]
    have: int = 0


class _Places(NamedTuple):
    pid: int
    target: int
    nr_regions: int
    start: int
    end: int
    nr_accesses: int
    age: int
    probe_hits: int | None

    @classmethod
    def of(cls, form: Format) -> _Places:
        at = columns(form)
        return cls(
            pid=at["common_pid"],
            target=at["target_id"],
            nr_regions=at["nr_regions"],
            start=at["start"],
            end=at["end"],
            nr_accesses=at["nr_accesses"],
            age=at["age"],
            probe_hits=at.get("probe_hits"),
        )


class Aggregations:
    """Puts region events together to whole aggregations, per (kdamond's pid, target).

    One that misses a region, or that a gap in the ring could have glued together from two, is never handed out;
    `incomplete` counts them. What was under way when the ring was opened is not counted.
    """

    def __init__(self) -> None:
        self.incomplete = 0
        self._parts: dict[tuple[int, int], _Part] = {}
        self._ended_ns: dict[tuple[int, int], int | None] = {}
        self._sample_us: dict[int, int] = {}
        self._places: dict[Format, _Places | None] = {}

    def feed(self, batch: Batch) -> list[Aggregation]:
        """The aggregations that became whole with these events, in order."""
        whole: list[Aggregation] = []
        for run in batch.runs:
            places = self._places_of(run.form)
            if places is None:
                self._tuned(run)
                continue
            at = 0
            while at < len(run.rows):
                at += self._add(run, at, places, batch.gaps, whole)
        if batch.gaps:
            until = max(last for _, last in batch.gaps)
            for key in [key for key, part in self._parts.items() if part.first_ns <= until]:
                self._drop(key)
        return whole

    def _add(
        self, run: Run, at: int, places: _Places, gaps: Sequence[tuple[int, int]], whole: list[Aggregation]
    ) -> int:
        """Add rows of a run from `at` on to the part that the first one belongs to; how many they were."""
        row = run.rows[at]
        key, nr_regions = (row[places.pid], row[places.target]), row[places.nr_regions]
        part = self._parts.get(key)
        if part and (row[places.start] <= part.values[places.start][-1] or nr_regions != part.nr_regions):
            self._drop(key)
            part = None
        if part is None:
            part = _Part(nr_regions, run.time_ns(at), self._sample_us.get(key[0]), [[] for _ in row])
            self._parts[key] = part

        count: int = min(nr_regions - part.have, len(run.rows) - at)
        values = list(zip(*run.rows[at : at + count], strict=True))
        if count > 1 and not _belong_together(values, places):
            count = 1
            values = [(value,) for value in row]
        for column, more in zip(part.values, values, strict=True):
            column += more
        part.have += count
        if part.have >= nr_regions:
            last_ns = run.time_ns(at + count - 1) if gaps else 0
            if any(first <= last_ns and part.first_ns <= last for first, last in gaps):
                self._drop(key)
            else:
                whole.append(self._whole(key, part, places))
        return count

    def _places_of(self, form: Format) -> _Places | None:
        if form not in self._places:
            self._places[form] = _Places.of(form) if form.name in (REGIONS, REGIONS_AND_PROBES) else None
        return self._places[form]

    def _tuned(self, run: Run) -> None:
        if run.form.name == INTERVALS:
            at = columns(run.form)
            for row in run.rows:
                self._sample_us[row[at["common_pid"]]] = row[at["sample_us"]]

    def _drop(self, key: tuple[int, int]) -> None:
        del self._parts[key]
        if key in self._ended_ns:
            self.incomplete += 1
        self._ended_ns[key] = None

    def _whole(self, key: tuple[int, int], part: _Part, places: _Places) -> Aggregation:
        del self._parts[key]
        regions = Regions(
            start=part.values[places.start],
            end=part.values[places.end],
            nr_accesses=part.values[places.nr_accesses],
            age=part.values[places.age],
            probe_hits=None if places.probe_hits is None else part.values[places.probe_hits],
        )
        before = self._ended_ns.get(key)
        self._ended_ns[key] = part.first_ns
        return Aggregation(before, part.first_ns, regions, *key, part.sample_us)


def _belong_together(values: Sequence[Sequence[Any]], places: _Places) -> bool:
    """Whether columns are all of one target's regions of one aggregation: who and how many agree, addresses rise."""
    count = len(values[0])
    return all(
        values[place].count(values[place][0]) == count for place in (places.pid, places.target, places.nr_regions)
    ) and all(map(lt, values[places.start], values[places.start][1:]))


def open_reader(kernel: Kernel, *, probes: bool = False, buffer_kb: int = 1024) -> RingReader:
    """A ring of region and interval-tuning events. `probes` asks for the event that has probe hits, if there is one.

    Raises NoData where the kernel has no tracefs mounted, OSError where it may not be used.
    """
    formats = {name: event_formats.parse(text) for name, text in kernel.trace.events().items()}
    regions = REGIONS_AND_PROBES if probes and REGIONS_AND_PROBES in formats else REGIONS
    if regions not in formats:
        raise NoData(
            "cannot read DAMON's snapshots from the trace ring: there is no damon_aggregated event",
            hint="mount tracefs (mount -t tracefs nodev /sys/kernel/tracing), or use the tried_regions source",
        )
    wanted = [name for name in (regions, INTERVALS) if name in formats]
    raw = kernel.trace.open(wanted, buffer_kb=buffer_kb)
    return RingReader(raw, kernel.trace.header_page(), [formats[name] for name in wanted])


class Look(NamedTuple):
    """What one look at the ring gave: an aggregation per (pid, target), and the events lost meanwhile."""

    aggregations: Mapping[tuple[int, int], Aggregation]
    lost: int


def look(
    kernel: Kernel,
    *,
    pids: Mapping[int, int],
    timeout_s: float,
    reader: RingReader | None = None,
    probes: bool = False,
) -> Look:
    """One whole aggregation of each target of the kdamonds `pids` (pid -> number of targets).

    Waits until all are there or `timeout_s` of the kernel's time is over; what has come by then is the answer, so
    missing keys are possible. A kdamond that reports one target a second time has no more to say about the others
    (targets without regions say nothing). Without `reader` a ring is opened, and removed again.
    """
    ours = reader is None
    source = reader or open_reader(kernel, probes=probes)
    try:
        return _look(kernel, source, pids, timeout_s)
    finally:
        if ours:
            source.close()


def _look(kernel: Kernel, reader: RingReader, pids: Mapping[int, int], timeout_s: float) -> Look:
    found: dict[tuple[int, int], Aggregation] = {}
    missing = {pid: count for pid, count in pids.items() if count > 0}
    assembler, lost = Aggregations(), 0
    deadline = kernel.clock.monotonic_ns() + int(timeout_s * 1e9)
    while missing:
        left_s = (deadline - kernel.clock.monotonic_ns()) / 1e9
        if left_s <= 0:
            break
        if not reader.wait(left_s):
            continue
        batch = reader.read()
        lost += batch.lost
        for item in assembler.feed(batch):
            key = item.pid, item.target_id
            if item.pid not in missing:
                continue
            missing[item.pid] = 0 if key in found else missing[item.pid] - 1
            found.setdefault(key, item)
            if not missing[item.pid]:
                del missing[item.pid]
    return Look(found, lost)
