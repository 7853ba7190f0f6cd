"""Ring pages to columns in bulk: what `kernel.ring` does event by event, here for hundreds of thousands a second.

DAMON's events of one aggregation have all the same size and follow each other in a page, so a run of them is a strided
table: its bytes are cut out of the page and decoded later, many runs at once, by numpy. Only the page's frame (time
stamps, padding) is walked in Python, a few steps per page. `kernel.ring` explains the format and its surprises; a test
holds that both find the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from damod.kernel.events import Format
from damod.kernel.interface import RawRing
from damod.kernel.ring import (
    DELTA_BITS,
    INTERVALS,
    PADDING,
    REGIONS,
    REGIONS_AND_PROBES,
    STAMP_BITS,
    TIME_EXTEND,
    TIME_STAMP,
    PageDecoder,
    alike,
)

Ints = npt.NDArray[np.int64]
Hits = npt.NDArray[np.uint8]

TRIED = "damos_before_apply"
_EVENTS = (REGIONS, REGIONS_AND_PROBES, TRIED)
# Rounds over all CPUs in one read, at most; see kernel.ring.
_MAX_ROUNDS = 32
# Pages taken in one read, of all CPUs together; a page becomes some 20 KiB on its way to the file.
_PAGES = 1024
_LEAST_PAGES = 32

_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")


class Tuned(NamedTuple):
    """A kdamond's new sampling interval, in force from `time_ns` on."""

    time_ns: int
    pid: int
    sample_us: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Region events in time order, one array per field. `scheme` is -1 where the event has none, `hits` is
    (rows, probes) or None."""

    time_ns: Ints
    pid: Ints
    context: Ints
    scheme: Ints
    target: Ints
    nr_regions: Ints
    start: Ints
    end: Ints
    nr_accesses: Ints
    age: Ints
    hits: Hits | None

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, which: Any) -> Rows:
        """The rows that a numpy index or mask chooses."""
        chosen = {name: getattr(self, name)[which] for name in _NAMES}
        return Rows(**chosen, hits=None if self.hits is None else self.hits[which])


_NAMES = ("time_ns", "pid", "context", "scheme", "target", "nr_regions", "start", "end", "nr_accesses", "age")
_NO_ROWS = Rows(**{name: np.empty(0, np.int64) for name in _NAMES}, hits=None)


def concat(parts: Sequence[Rows]) -> Rows:
    """The rows of several parts, one after the other. Where they have different numbers of probes, zeros fill up."""
    filled = [part for part in parts if len(part)]
    if len(filled) <= 1:
        return filled[0] if filled else _NO_ROWS
    columns = {name: np.concatenate([getattr(part, name) for part in filled]) for name in _NAMES}
    widest = max((part.hits.shape[1] for part in filled if part.hits is not None), default=0)
    if not widest:
        return Rows(**columns, hits=None)
    hits = np.zeros((len(columns["time_ns"]), widest), np.uint8)
    at = 0
    for part in filled:
        if part.hits is not None:
            hits[at : at + len(part), : part.hits.shape[1]] = part.hits
        at += len(part)
    return Rows(**columns, hits=hits)


class _Span(NamedTuple):
    """Records of one event and size that follow each other: their bytes, and what the first one's delta adds to."""

    base_ns: int
    form: Format
    size: int
    data: bytes


@dataclass(slots=True)
class Found:
    """What some pages of one CPU held."""

    spans: list[_Span] = field(default_factory=list)
    tuned: list[Tuned] = field(default_factory=list)
    first_ns: int | None = None
    last_ns: int | None = None


class BulkDecoder:
    """Walks pages, then decodes what the walks found. Raises ValueError on bytes that cannot be a page."""

    def __init__(self, header_page: str, formats: Iterable[Format]) -> None:
        known = list(formats)
        self.layout = PageDecoder(header_page, ()).layout
        self._formats = {form.id: form for form in known if form.name in _EVENTS}
        self._tuning = {form.id: form for form in known if form.name == INTERVALS}
        self._types: dict[tuple[int, int], np.dtype[Any]] = {}

    def walk(self, page: bytes, found: Found) -> int | None:
        """Add the events of one page to `found`; events lost before it, None for an unknown number of them."""
        try:
            return self._walk(page, found)
        except (struct.error, IndexError) as exc:
            raise ValueError(f"a ring page of {len(page)} bytes ends inside a record: {exc}") from exc

    def _walk(self, page: bytes, found: Found) -> int | None:
        page_stamp, end, missed = self.layout.head(page)
        stamp, at = page_stamp, self.layout.data
        first: int | None = None
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
                number = _U16.unpack_from(page, at + header)[0]
                form = self._formats.get(number)
                if first is None:
                    first = stamp + delta
                if form is None:
                    stamp += delta
                    if number in self._tuning:
                        found.tuned.append(self._tuned(page, at + header, stamp, self._tuning[number]))
                    at += size
                    continue
                count = alike(page, at, (end - at) // size, size, header) if kind else 1
                data = page[at : at + count * size]
                found.spans.append(_Span(stamp, form, size if kind else -size, data))
                words = np.ndarray((count,), "<u4", data, 0, (size,))
                stamp += int((words >> np.uint32(5)).sum(dtype=np.int64))
                at += count * size
        if first is not None:
            if found.first_ns is None:
                found.first_ns = first
            found.last_ns = stamp
        return missed

    def _tuned(self, page: bytes, payload: int, stamp: int, form: Format) -> Tuned:
        pid, sample = form.field("common_pid"), form.field("sample_us")
        return Tuned(
            stamp,
            struct.unpack_from("=" + pid.code, page, payload + pid.offset)[0],
            struct.unpack_from("=" + sample.code, page, payload + sample.offset)[0],
        )

    def rows(self, spans: Sequence[_Span]) -> Rows:
        """The rows of spans, not yet in order."""
        groups: dict[tuple[int, int], list[_Span]] = {}
        for span in spans:
            groups.setdefault((span.form.id, span.size), []).append(span)
        return concat([self._decode(group) for group in groups.values()])

    def _decode(self, group: Sequence[_Span]) -> Rows:
        form, size = group[0].form, group[0].size
        table = np.frombuffer(b"".join([span.data for span in group]), self._type(form, size))
        sums = np.cumsum(table["word"] >> np.uint32(5), dtype=np.int64)
        counts = np.array([len(span.data) for span in group]) // abs(size)
        lasts = np.cumsum(counts) - 1
        # The running sum at the end of the span before is what each span's own base stands for.
        before = np.concatenate(([0], sums[lasts[:-1]]))
        bases = np.array([span.base_ns for span in group], np.int64) - before
        names = table.dtype.names or ()

        def column(name: str, missing: int) -> Ints:
            if name not in names:
                return np.full(len(table), missing, np.int64)
            return table[name].astype(np.int64)

        return Rows(
            time_ns=np.repeat(bases, counts) + sums,
            pid=column("common_pid", 0),
            context=column("context_idx", 0),
            scheme=column("scheme_idx", -1),
            target=column("target_idx" if "target_idx" in names else "target_id", 0),
            nr_regions=column("nr_regions", 0),
            start=column("start", 0),
            end=column("end", 0),
            nr_accesses=column("nr_accesses", 0),
            age=column("age", -1),
            hits=self._hits(table, form, size) if form.name == REGIONS_AND_PROBES else None,
        )

    def _hits(self, table: npt.NDArray[Any], form: Format, size: int) -> Hits:
        """The bytes that each row's `__data_loc` word (length << 16 | offset in the payload) points at."""
        where = table["probe_hits"].astype(np.int64)
        header = 4 if size > 0 else 8
        raw = np.ndarray((len(table), abs(size)), np.uint8, table.tobytes())
        hits = np.zeros((len(table), int((where >> 16).max(initial=0))), np.uint8)
        for word in np.unique(where):
            rows = where == word
            begin, wide = header + int(word & 0xFFFF), int(word >> 16)
            hits[rows, :wide] = raw[rows, begin : begin + wide]
        return hits

    def _type(self, form: Format, size: int) -> np.dtype[Any]:
        """The numpy type of a record of `size` bytes; a negative size has its length in a second word."""
        key = form.id, size
        if key not in self._types:
            header = 4 if size > 0 else 8
            fields = [item for item in form.fields if not item.name.startswith("common_") or item.name == "common_pid"]
            self._types[key] = np.dtype(
                {
                    "names": ["word", *(item.name for item in fields)],
                    "formats": ["<u4", *(f"<{'i' if item.code.islower() else 'u'}{item.size}" for item in fields)],
                    "offsets": [0, *(header + item.offset for item in fields)],
                    "itemsize": abs(size),
                }
            )
        return self._types[key]


class Read(NamedTuple):
    """What was in the ring: rows in time order, tuned intervals, and `lost` events, all of them within `gaps`."""

    rows: Rows
    tuned: Sequence[Tuned] = ()
    lost: int = 0
    gaps: Sequence[tuple[int, int]] = ()


class BulkReader:
    """Reads a ring, without waiting; the bulk twin of `kernel.ring.RingReader`.

    A read is bounded, so that a ring that fills faster than we write does not fill our memory instead: `behind` says
    that there is more. What comes out is in time order also then: rows that a CPU with unread pages could still have
    older ones for are held back.
    """

    def __init__(self, raw: RawRing, header_page: str, formats: Iterable[Format]) -> None:
        self.raw = raw
        self._decoder = BulkDecoder(header_page, formats)
        self._lost = 0
        self._seen_ns = 0
        self._held = _NO_ROWS
        self._tuned: list[Tuned] = []
        self._behind: list[int] = []

    @property
    def behind(self) -> bool:
        """Whether the last read left pages behind."""
        return bool(self._behind)

    def read(self) -> Read:
        """What is there, up to a few MiB; see `RingReader.read` for why the CPUs are read in rounds."""
        most = max(_LEAST_PAGES, _PAGES // max(len(self.raw.cpus), 1))
        by_cpu: dict[int, Found] = {}
        taken: dict[int, int] = {}
        gaps: list[tuple[int, int]] = []
        lost, uncounted = 0, False
        for number in range(_MAX_ROUNDS):
            empty = True
            # Who was left behind comes first: until then nobody else's rows could be let out anyway.
            cpus = self._behind if number == 0 and self._behind else self.raw.cpus
            for cpu in cpus:
                found = by_cpu.setdefault(cpu, Found())
                while taken.setdefault(cpu, 0) < most and (page := self.raw.read(cpu)):
                    empty = False
                    taken[cpu] += 1
                    last_ns = found.last_ns
                    here = Found()
                    missed = self._decoder.walk(page, here)
                    if missed != 0:
                        lost += missed or 0
                        uncounted |= missed is None
                        until = here.first_ns or int(_U64.unpack_from(page, self._decoder.layout.stamp)[0])
                        gaps.append((self._seen_ns if last_ns is None else last_ns, until))
                    found.spans += here.spans
                    found.tuned += here.tuned
                    found.last_ns = last_ns if here.last_ns is None else here.last_ns
            self._behind = [cpu for cpu, pages in taken.items() if pages >= most]
            if empty or self._behind:
                break
        if uncounted:
            # A full page has no room for the number, but the ring's own statistics know the sum.
            lost = max(lost + 1, self.raw.overrun() - self._lost)
        self._lost += lost
        self._seen_ns = max([self._seen_ns, *(found.last_ns or 0 for found in by_cpu.values())])
        rows = self._decoder.rows([span for found in by_cpu.values() for span in found.spans])
        tuned = sorted([*self._tuned, *(item for found in by_cpu.values() for item in found.tuned)])
        horizon_ns = min((by_cpu[cpu].last_ns or 0 for cpu in self._behind), default=None)
        rows, self._held = _cut(in_order(concat([self._held, rows])), horizon_ns)
        self._tuned = [] if horizon_ns is None else [item for item in tuned if item.time_ns > horizon_ns]
        return Read(rows, tuned[: len(tuned) - len(self._tuned)], lost, gaps)


def in_order(rows: Rows) -> Rows:
    """The rows by time; those of equal time stay in their order."""
    times = rows.time_ns
    if len(times) > 1 and bool((times[1:] < times[:-1]).any()):
        return rows.take(np.argsort(times, kind="stable"))
    return rows


def _cut(rows: Rows, horizon_ns: int | None) -> tuple[Rows, Rows]:
    """The rows up to the horizon, and a copy of those after it (so that they do not hold the others)."""
    if horizon_ns is None or not len(rows):
        return rows, _NO_ROWS
    at = int(np.searchsorted(rows.time_ns, horizon_ns, side="right"))
    return rows.take(slice(0, at)), rows.take(np.arange(at, len(rows)))
