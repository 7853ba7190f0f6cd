"""The trace ring: pages exactly as trace_pipe_raw delivers them, so that a reader cannot tell the difference.

A page is 4096 bytes: u64 time stamp of its start, u64 commit (bytes of events after these 16, with flags in bits 30
and 31), then records. A record starts with 32 bits, `type_len:5 time_delta:27`; type_len 1 to 28 is data of that many
words, 0 data whose length in bytes is the next word, 29 padding, 30 a time extend whose next word is delta >> 27.
A full page ends in a padding record that lies behind its commit, as Linux leaves it. The ring overwrites: when its
pages are used up the oldest goes, and the next page that is read has MISSED_EVENTS set and, where there is room, the
number of lost events behind its last record (MISSED_STORED).

Sources: Documentation/trace/ring-buffer-design.rst, kernel/trace/ring_buffer.c.
"""

from __future__ import annotations

import errno
import re
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from damod.kernel.sim.clock import WaitableClock
from damod.kernel.sim.tree import refuse

PAGE = 4096
HEAD = 16
ROOM = PAGE - HEAD
MISSED_EVENTS = 1 << 31
MISSED_STORED = 1 << 30
PADDING = 29
TIME_EXTEND = 30

_DELTA_MAX = (1 << 27) - 1
_SMALL = 28 * 4
_WORD = struct.Struct("<I")
_PAIR = struct.Struct("<II")

HEADER_PAGE = (
    "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
    "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
    "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
    f"\tfield: char data;\toffset:16;\tsize:{ROOM};\tsigned:1;\n"
)

_FIELD = re.compile(r"\tfield:(.+?) ?(\w+);\toffset:(\d+);\tsize:(\d+);\tsigned:([01]);")
_CODES = {(1, "0"): "B", (1, "1"): "b", (2, "0"): "H", (2, "1"): "h", (4, "0"): "I", (4, "1"): "i", (8, "0"): "Q"}


class Event:
    """One trace event, packed by its own format text. `fields` are its fields in order, common ones included."""

    def __init__(self, name: str, format_text: str) -> None:
        self.name = name
        found = re.search(r"^ID: (\d+)$", format_text, re.M)
        if not found:
            raise ValueError(f"the format of {name} has no ID")
        self.id = int(found[1])
        code, at, fields = "<", 0, []
        for _, field, offset, size, signed in _FIELD.findall(format_text):
            code += "x" * (int(offset) - at) + _CODES[int(size), signed]
            at = int(offset) + int(size)
            fields.append(field)
        self.fields = tuple(fields)
        # A record's fixed part is a C struct and padded to whole long words.
        self._struct = struct.Struct(code + "x" * (-at % 8))
        self.size = self._struct.size

    def pack(self, pid: int, *values: int) -> bytes:
        """The payload of a record; `values` are those of the fields after the common ones."""
        return self._struct.pack(self.id, 0, 0, pid, *values)


class _Page:
    __slots__ = ("data", "entries", "full", "stamp")

    def __init__(self, stamp: int) -> None:
        self.stamp = stamp
        self.data = bytearray()
        self.entries = 0
        self.full = False


class _CpuBuffer:
    """Pages of one CPU, newest last."""

    def __init__(self, pages: int) -> None:
        self.most = pages
        self.pages: deque[_Page] = deque()
        self.last = 0
        self.overrun = 0
        self.missed = 0

    def _new_page(self, stamp: int) -> _Page:
        if len(self.pages) == self.most:
            self.lose(self.pages.popleft().entries)
        page = _Page(stamp)
        self.pages.append(page)
        return page

    def lose(self, events: int) -> None:
        self.overrun += events
        self.missed += events

    def add(self, stamps: Iterable[int], payloads: Iterable[bytes]) -> None:
        """Append records; a stamp before the last one's counts as that, since a CPU's ring never goes back in time."""
        last = self.last
        # A page begun because its forerunner was read half full counts from the last event, as Linux' does.
        page = self.pages[-1] if self.pages else None
        for stamp, payload in zip(stamps, payloads, strict=False):
            if stamp < last:
                stamp = last
            if page is None:
                page = self._new_page(last or stamp)
            data = page.data
            size = len(payload)
            words = (size + 3) // 4
            need = 4 + 4 * words + (4 if size > _SMALL else 0)
            delta = stamp - (last if data else page.stamp)
            if len(data) + need + (8 if delta > _DELTA_MAX else 0) > ROOM:
                page.full = True
                page = self._new_page(stamp)
                data = page.data
                delta = 0
            if delta > _DELTA_MAX:
                data += _PAIR.pack(TIME_EXTEND | (delta & _DELTA_MAX) << 5, delta >> 27)
                delta = 0
            if size > _SMALL:
                data += _PAIR.pack(delta << 5, 4 * words + 4)
            else:
                data += _WORD.pack(words | delta << 5)
            data += payload
            if size & 3:
                data += bytes(4 * words - size)
            page.entries += 1
            last = stamp
        self.last = last

    def take(self) -> bytes:
        if not self.pages:
            return b""
        page = self.pages.popleft()
        data = bytearray(page.data)
        commit = len(data)
        if page.full and commit + 4 <= ROOM:
            left = ROOM - commit - 4
            data += _PAIR.pack(PADDING | 1 << 5, left) if left >= 4 else _WORD.pack(PADDING)
        data += bytes(ROOM - len(data))
        flags = 0
        if self.missed:
            flags = MISSED_EVENTS
            if commit + 8 <= ROOM:
                data[commit : commit + 8] = struct.pack("<Q", self.missed)
                flags |= MISSED_STORED
            self.missed = 0
        return struct.pack("<QQ", page.stamp, commit | flags) + bytes(data)


class SimRing:
    """The `RawRing` of the kernel seam."""

    page_size = PAGE

    def __init__(self, trace: SimTrace, events: Iterable[str], cpus: Sequence[int], pages: int) -> None:
        self.cpus = cpus
        self.events = frozenset(events)
        self._trace = trace
        self._buffers = {cpu: _CpuBuffer(pages) for cpu in cpus}
        self._open = True

    def add(self, cpu: int, stamps: Iterable[int], payloads: Iterable[bytes]) -> None:
        """Events happened on a CPU."""
        self._buffers[cpu].add(stamps, payloads)

    def lose(self, cpu: int, events: int) -> None:
        """Events happened of which nothing is left."""
        self._buffers[cpu].lose(events)

    def _has_data(self) -> bool:
        return any(buffer.pages for buffer in self._buffers.values())

    def read(self, cpu: int) -> bytes:
        with self._trace.lock:
            self._trace.enter()
            return self._buffers[cpu].take()

    def wait(self, timeout_s: float) -> bool:
        trace = self._trace
        with trace.changed:
            deadline = trace.clock.monotonic_ns() + int(timeout_s * 1e9)
            while self._open:
                trace.enter()
                now = trace.clock.monotonic_ns()
                if self._has_data() or now >= deadline:
                    break
                due = trace.next_event_ns()
                until = deadline if due is None else min(deadline, due)
                # Not in zero: a clock that rounds must not spin.
                trace.clock.wait(trace.changed, max(until - now, 1000) / 1e9)
            return self._has_data()

    def overrun(self) -> int:
        with self._trace.lock:
            self._trace.enter()
            return sum(buffer.overrun for buffer in self._buffers.values())

    def close(self) -> None:
        with self._trace.changed:
            self._open = False
            if self in self._trace.rings:
                self._trace.rings.remove(self)
            self._trace.changed.notify_all()


class SimTrace:
    """The `Trace` of the kernel seam.

    `enter` lets the kernel catch up with its clock, `next_event_ns` says when there will be news (None: not before
    somebody changes something); `changed` is notified then and is built on the kernel's lock.
    """

    def __init__(
        self,
        formats: Mapping[str, str],
        clock: WaitableClock,
        changed: threading.Condition,
        *,
        enter: Callable[[], None],
        next_event_ns: Callable[[], int | None],
        cpus: Sequence[int] = (0, 1),
    ) -> None:
        self.clock = clock
        self.changed = changed
        self.lock = changed
        self.enter = enter
        self.next_event_ns = next_event_ns
        self.cpus = cpus
        self.rings: list[SimRing] = []
        self.known = {name: Event(name, text) for name, text in formats.items()}
        self._formats = dict(formats)

    def events(self) -> Mapping[str, str]:
        return dict(self._formats)

    def header_page(self) -> str:
        return HEADER_PAGE

    def open(self, events: Iterable[str], *, buffer_kb: int = 1024) -> SimRing:
        wanted = list(events)
        for name in wanted:
            if name not in self.known:
                raise refuse(errno.ENOENT, f"events/damon/{name}/enable")
        with self.lock:
            self.enter()
            ring = SimRing(self, wanted, self.cpus, max(2, -(-buffer_kb * 1024 // PAGE)))
            self.rings.append(ring)
            return ring

    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    def wanted(self, name: str) -> Event | None:
        """The event if it exists and some ring listens to it; packing for nobody would be a waste."""
        if any(name in ring.events for ring in self.rings):
            return self.known.get(name)
        return None

    def emit(self, event: Event, cpu: int, stamps: Sequence[int], payloads: Sequence[bytes]) -> None:
        """Events of one kind that happened on a CPU."""
        for ring in self.rings:
            if event.name in ring.events:
                ring.add(cpu, stamps, payloads)

    def lose(self, name: str, cpu: int, events: int) -> None:
        """Events that nobody simulated, for want of time: lost like overwritten ones."""
        for ring in self.rings:
            if name in ring.events:
                ring.lose(cpu, events)
