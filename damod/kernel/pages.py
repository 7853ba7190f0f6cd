"""Pages of the kernel's trace ring: what they look like, the events in them, and reading those of all CPUs.

    page      u64 time stamp | commit: bytes used, flags (1<<31 events lost before, 1<<30 their number follows) | data
    record    u32: type_len (low 5 bits), time_delta (27 bits) | payload

type_len 1..28 is the payload's length in words, 0 says that the length is in the next word; 29 is padding, 30 adds
to the time, 31 sets it. (The bits lie so on little-endian machines.) Page bytes are the seam between the kernels and
us: both readers, the daemon's (`ring`) and the recorder's with numpy behind it (`recorder.bulk`), are made of `Drain`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from damod.kernel import events as event_formats
from damod.kernel.events import Format
from damod.kernel.interface import RawRing

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


@dataclass(slots=True)
class Drained:
    """What was read of one CPU: its runs in order, how many pages, and the time of the last event of whatever kind."""

    runs: list[Run] = field(default_factory=list)
    pages: int = 0
    last_ns: int | None = None


class Drain:
    """Reads the pages of all CPUs, without waiting, and counts what the kernel lost. Not thread-safe."""

    def __init__(self, raw: RawRing, header_page: str, formats: Iterable[Format]) -> None:
        self.raw = raw
        self._decoder = PageDecoder(header_page, formats)
        self._lost = 0
        self._seen_ns = 0
        self.behind: list[int] = []

    def read(self, most: int | None = None) -> tuple[dict[int, Drained], int, list[tuple[int, int]]]:
        """What is there by CPU (of each up to `most` pages), events lost, and the gaps (from, to) in ns they lie in.

        The CPUs are read in turn until one round finds them all empty. So no event is returned while an older one of
        the same kdamond, which moved to another CPU in between, stays behind; `behind` are the CPUs that had more.
        Raises ValueError on bytes that cannot be a page.
        """
        by_cpu: dict[int, Drained] = {}
        gaps: list[tuple[int, int]] = []
        lost, uncounted = 0, False
        for number in range(_MAX_ROUNDS):
            empty = True
            # Who was left behind comes first: until then nobody else's events could be let out anyway.
            for cpu in self.behind if number == 0 and self.behind else self.raw.cpus:
                found = by_cpu.setdefault(cpu, Drained())
                while (most is None or found.pages < most) and (data := self.raw.read(cpu)):
                    empty = False
                    found.pages += 1
                    page = self._decoder.decode(data)
                    if page.missed != 0:
                        lost += page.missed or 0
                        uncounted |= page.missed is None
                        until = page.runs[0].time_ns(0) if page.runs else self._decoder.stamp(data)
                        gaps.append((self._seen_ns if found.last_ns is None else found.last_ns, until))
                    if page.runs:
                        found.runs += page.runs
                        found.last_ns = page.end_ns
            self.behind = [] if most is None else [cpu for cpu, found in by_cpu.items() if found.pages >= most]
            if empty or self.behind:
                break
        if uncounted:
            # A full page has no room for the number, but the ring's own statistics know the sum.
            lost = max(lost + 1, self.raw.overrun() - self._lost)
        self._lost += lost
        self._seen_ns = max([self._seen_ns, *(found.last_ns or 0 for found in by_cpu.values())])
        return by_cpu, lost, gaps
