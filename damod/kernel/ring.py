"""The kernel's trace ring, from raw pages to snapshots: what DAMON saw, without perf and without asking DAMON.

At the end of each aggregation a kdamond emits one event per region, `damon_aggregated` (7.2+: also
`damon_region_aggregated`, with probe hits). They come out of `trace_pipe_raw` as pages:

    page      u64 time stamp | commit: bytes used, flags (1<<31 events lost before, 1<<30 their number follows) | data
    record    u32: type_len (low 5 bits), time_delta (27 bits) | payload

type_len 1..28 is the payload's length in words, 0 says that the length is in the next word; 29 is padding, 30 adds
to the time, 31 sets it. (The bits lie so on little-endian machines.) Page bytes are the seam: `PageDecoder` is one
way to find the events in them, for the daemon and (with numpy behind it) for the recorder.

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
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
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


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one event and size that follow each other in one page; nothing is unpacked until it is asked for.

    The first of `count` records begins at byte `at` of `page`, each has `size` bytes, the first `header` of which are
    the ring's own. `base_ns` is what the first one's time delta adds to.
    """

    base_ns: int
    form: Format
    page: bytes
    at: int
    size: int
    header: int
    count: int

    def time_ns(self, place: int) -> int:
        """The time stamp of the event at `place` (negative ones count from the end)."""
        many = place % self.count + 1
        words = memoryview(self.page)[self.at : self.at + many * self.size].cast("I")[:: self.size // 4]
        # Each word is type_len + 32 * delta, and type_len is the same in all.
        return self.base_ns + ((sum(words) - many * (words[0] & 31)) >> 5)

    def times(self) -> list[int]:
        """The time stamps of all its events."""
        words = memoryview(self.page)[self.at : self.at + self.count * self.size].cast("I")[:: self.size // 4]
        return list(accumulate((word >> 5 for word in words), initial=self.base_ns))[1:]

    def columns(self, names: tuple[str, ...], first: int = 0, count: int | None = None) -> list[tuple[Any, ...]]:
        """The values of fields as one tuple each, of `count` events from `first` on. KeyError for an unknown field."""
        many = self.count - first if count is None else count
        at = self.at + first * self.size
        flat = _unpacker(self.form, names, self.size, self.header, many).unpack_from(self.page, at)
        width = len(names)
        found: list[tuple[Any, ...]] = [flat[place::width] for place in range(width)]
        for place, name in enumerate(names):
            element = self.form.field(name).element
            if element:
                found[place] = tuple(
                    _array(self.page, at + number * self.size + self.header, word, element)
                    for number, word in enumerate(found[place])
                )
        return found

    def agree(self, words: Iterable[int], first: int, count: int) -> bool:
        """Whether `count` events from `first` on are the same in some 32-bit words of their payload."""
        at = self.at + first * self.size
        view = memoryview(self.page)[at : at + count * self.size].cast("I")
        step, skip = self.size // 4, self.header // 4
        columns = (view[skip + word :: step].tobytes() for word in words)
        return all(column == column[:4] * count for column in columns)

    def split(self) -> list[Run]:
        """The same events as a run each."""
        return [
            replace(self, base_ns=base, at=self.at + place * self.size, count=1)
            for place, base in enumerate([self.base_ns, *map(self.time_ns, range(self.count - 1))])
        ]


@lru_cache(maxsize=1024)
def _unpacker(form: Format, names: tuple[str, ...], size: int, header: int, count: int) -> struct.Struct:
    """Unpacks fields of `count` records at once. The fields must be named in the order in which they lie."""
    text, at = "", 0
    for name in names:
        item = form.field(name)
        pad = header + item.offset - at
        if pad < 0:
            raise ValueError(f"{name} of {form.name} lies before the field that is named before it")
        text += f"{pad}x{item.code}"
        at = header + item.offset + item.size
    return struct.Struct("=" + f"{text}{size - at}x" * count)


def _array(page: bytes, payload: int, word: int, element: str) -> tuple[int, ...]:
    """What a `__data_loc` word (length << 16 | offset in the payload) points at."""
    count = (word >> 16) // struct.calcsize("=" + element)
    return struct.unpack_from(f"={count}{element}", page, payload + (word & 0xFFFF))


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

    def head(self, page: bytes) -> tuple[int, int, int | None]:
        """A page's time stamp in ns, where its events end, and how many were lost before it (None: it does not say).

        Raises ValueError or struct.error on bytes that cannot be a page.
        """
        if len(page) < self.data:
            raise ValueError(f"a ring page of {len(page)} bytes is shorter than its header")
        commit = _U32.unpack_from(page, self.commit)[0]
        end = self.data + (commit & COMMIT_MASK)
        if end > len(page):
            raise ValueError(f"a ring page of {len(page)} bytes says that {end} are used")
        missed: int | None = 0
        if commit & MISSED:
            missed = int(_U64.unpack_from(page, end)[0]) if commit & MISSED_STORED else None
        return int(_U64.unpack_from(page, self.stamp)[0]), end, missed


class Page(NamedTuple):
    """What a page held. `missed`: events lost before it; None if some were lost and the page does not say how many.
    `end_ns` is the time of its last event, of whatever kind; that of the page itself if it has none."""

    runs: list[Run]
    missed: int | None
    end_ns: int


class PageDecoder:
    """Finds the events in raw pages, by the kernel's own description of both. Unknown events are skipped."""

    def __init__(self, header_page: str, formats: Iterable[Format]) -> None:
        self.layout = PageLayout.parse(header_page)
        self._formats = {form.id: form for form in formats}

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
        page_stamp, end, missed = self.layout.head(page)
        stamp, at = page_stamp, self.layout.data

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
                if at + size > end or size % 4:
                    raise ValueError(f"a ring page's record at {at} has {size} bytes, but only {end - at} are used")
                form = self._formats.get(_U16.unpack_from(page, at + header)[0])
                if form is None:
                    stamp += delta
                    at += size
                else:
                    # A record that holds its own length may be followed by one of another length: one at a time.
                    count = alike(page, at, (end - at) // size, size, header) if kind else 1
                    run = Run(stamp, form, page, at, size, header, count)
                    found.append(run)
                    stamp = run.time_ns(-1)
                    at += size * count
        return Page(found, missed, stamp)


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
                    more, missed, _ = self._decoder.decode(page)
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
    """An aggregation of one target of which not all regions have come yet, as a list per field."""

    nr_regions: int
    first_ns: int
    sample_us: int | None
    columns: list[list[Any]]


# Fields that all regions of an aggregation share.
_SHARED = ("common_pid", "target_id", "nr_regions")


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
        self._orders: dict[Format, _Order] = {}

    def feed(self, batch: Batch) -> list[Aggregation]:
        """The aggregations that became whole with these events, in order."""
        whole: list[Aggregation] = []
        for run in batch.runs:
            if run.form.name == INTERVALS:
                for pid, sample_us in zip(*run.columns(("common_pid", "sample_us")), strict=True):
                    self._sample_us[pid] = sample_us
            elif run.form.name in (REGIONS, REGIONS_AND_PROBES):
                at = 0
                while at < run.count:
                    at += self._add(run, at, batch.gaps, whole)
        if batch.gaps:
            until = max(last for _, last in batch.gaps)
            for key in [key for key, part in self._parts.items() if part.first_ns <= until]:
                self._drop(key)
        return whole

    def _add(self, run: Run, at: int, gaps: Sequence[tuple[int, int]], whole: list[Aggregation]) -> int:
        """Add events of a run from `at` on to the part that the first one belongs to; how many they were."""
        order = self._orders.get(run.form)
        if order is None:
            order = self._orders[run.form] = _Order.of(run.form)
        first = {name: column[0] for name, column in zip(order.head, run.columns(order.head, at, 1), strict=True)}
        key, nr_regions = (first["common_pid"], first["target_id"]), first["nr_regions"]
        part = self._parts.get(key)
        if part and (first["start"] <= part.columns[order.start][-1] or nr_regions != part.nr_regions):
            self._drop(key)
            part = None
        if part is None:
            part = _Part(nr_regions, run.time_ns(at), self._sample_us.get(key[0]), [[] for _ in order.columns])
            self._parts[key] = part

        count: int = min(nr_regions - len(part.columns[0]), run.count - at)
        columns = run.columns(order.columns, at, count)
        # Other kdamonds' regions in between, or addresses that fall, since another aggregation begins.
        if not run.agree(order.shared, at, count) or not _rises(columns[order.start]):
            count = 1
            columns = run.columns(order.columns, at, count)
        for column, more in zip(part.columns, columns, strict=True):
            column += more
        if len(part.columns[0]) >= nr_regions:
            last_ns = run.time_ns(at + count - 1) if gaps else 0
            if any(gap_from <= last_ns and part.first_ns <= gap_to for gap_from, gap_to in gaps):
                self._drop(key)
            else:
                whole.append(self._whole(key, part, order))
        return count

    def _drop(self, key: tuple[int, int]) -> None:
        del self._parts[key]
        if key in self._ended_ns:
            self.incomplete += 1
        self._ended_ns[key] = None

    def _whole(self, key: tuple[int, int], part: _Part, order: _Order) -> Aggregation:
        del self._parts[key]
        regions = Regions(**dict(zip(order.columns, part.columns, strict=True)))
        before = self._ended_ns.get(key)
        self._ended_ns[key] = part.first_ns
        return Aggregation(before, part.first_ns, regions, *key, part.sample_us)


class _Order(NamedTuple):
    """Names of fields in the order in which an event has them: those that say whose it is, and a region's own.

    `shared` are the words of the payload in which the fields lie that all regions of an aggregation share.
    """

    head: tuple[str, ...]
    columns: tuple[str, ...]
    start: int
    shared: tuple[int, ...]

    @classmethod
    def of(cls, form: Format) -> _Order:
        names = [item.name for item in form.fields]
        own = tuple(name for name in names if name in ("start", "end", "nr_accesses", "age", "probe_hits"))
        head = tuple(name for name in names if name in (*_SHARED, "start"))
        fields = [form.field(name) for name in _SHARED]
        shared = {byte // 4 for item in fields for byte in range(item.offset, item.offset + item.size)}
        return cls(head, own, own.index("start"), tuple(sorted(shared)))


def _rises(values: tuple[int, ...]) -> bool:
    return sorted(values) == list(values)


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


class Watch:
    """The newest whole aggregation of each target, for who looks now and then. One thread's; close it at the end.

    The ring is read only when somebody looks, so a look costs nothing in between, and who looks twice within an
    aggregation gets the same answer at once instead of waiting for the next one.
    """

    # A kdamond that ends says nothing any more, so waiting is cut into slices that ask whether it lives.
    _SLICE_S = 0.5

    def __init__(self, kernel: Kernel, reader: RingReader) -> None:
        self._kernel = kernel
        self._reader = reader
        self._assembler = Aggregations()
        self._newest: dict[tuple[int, int], Aggregation] = {}

    def look(self, pids: Mapping[int, int], *, timeout_s: float) -> Look:
        """The newest aggregation of each target of the kdamonds `pids` (pid -> number of targets).

        Waits for targets of which none has been seen, at most `timeout_s` of the kernel's time, so missing keys are
        possible. A target without regions says nothing: a kdamond that reports another one twice has no more to say.
        """
        clock = self._kernel.clock
        deadline = clock.monotonic_ns() + int(timeout_s * 1e9)
        self._newest = {key: item for key, item in self._newest.items() if key[0] in pids}
        missing = {(pid, target) for pid, count in pids.items() for target in range(count)}
        seen: set[tuple[int, int]] = set()
        lost = 0
        while True:
            batch = self._reader.read()
            lost += batch.lost
            for item in self._assembler.feed(batch):
                key = item.pid, item.target_id
                if item.pid not in pids:
                    continue
                if key in seen:
                    missing = {other for other in missing if other[0] != item.pid}
                seen.add(key)
                self._newest[key] = item
            missing = {key for key in missing - self._newest.keys() if self._kernel.proc.alive(key[0])}
            left_s = (deadline - clock.monotonic_ns()) / 1e9
            if not missing or left_s <= 0:
                return Look(dict(self._newest), lost)
            self._reader.wait(min(left_s, self._SLICE_S))

    def close(self) -> None:
        """Take the ring out of the kernel."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
