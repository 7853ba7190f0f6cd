"""Accesses done again on real memory: one anonymous mapping for each target, one byte of a page touched at a time.

numpy walks a run of pages in C and without the interpreter's lock, so that threads add up; and threads, unlike
processes, share one address space: who monitors this process sees everything. Each thread keeps the whole timetable for
its share of every run. Nobody waits for anybody: what is due has an absolute time, and what cannot be done within its
slot is left out and counted, so that a machine that is too slow does less and not later.

Pages are written once before the start. A page that was only ever read is the kernel's shared zero page, of which
DAMON sees no access; and huge pages are refused, for one access would mark two megabytes.
"""

from __future__ import annotations

import gc
import mmap
import os
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from damoctl.replay.trace import Step, Target, Trace
from damod import units
from damod.errors import NoMemory
from damod.room import available_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGE = mmap.PAGESIZE
# Pages between two looks at the clock: half a millisecond.
_CHUNK = 32768
# Runs shorter than this go to one thread as a whole.
_SHORT = 2048
# A thread with the interpreter's lock gives it up so often to one that is due (s).
_SWITCH_S = 0.0005
# Without mmap.MAP_NORESERVE (Python before 3.13): its value on these.
_NORESERVE = getattr(
    mmap, "MAP_NORESERVE", 0x4000 if os.uname().machine in ("x86_64", "aarch64", "riscv64", "s390x") else 0
)
# Linux 5.14; the mmap module has no name for it. One call instead of a fault for each page.
_POPULATE_WRITE = 23
_POPULATE_PAGES = 32768
# Of what is available, so much stays for others.
_SPARE = 5


def check_room(needed: int, allowed: int | None = None) -> None:
    """Raises NoMemory if so many bytes are more than `allowed`, by default what is available less a twentieth."""
    if allowed is not None:
        if needed > allowed:
            raise NoMemory(
                f"the replay needs {units.size(needed)} of memory; --max_memory allows {units.size(allowed)}",
                hint="choose a part with --address_range or --time_range, or allow more",
                needed=needed,
                allowed=allowed,
            )
        return
    free = available_bytes()
    if needed > free - free // (100 // _SPARE):
        raise NoMemory(
            f"the replay needs {units.size(needed)} of memory, and {units.size(free)} are available",
            hint="choose a part with --address_range or --time_range; --max_memory SIZE overrides this check",
            needed=needed,
            available=free,
        )


class Memory:
    """`pages` pages of address space. Only those that are populated or touched are resident."""

    def __init__(self, pages: int) -> None:
        try:
            self._map = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
        except (OSError, ValueError, OverflowError) as exc:
            raise NoMemory(
                f"reserving {units.size(pages * PAGE)} of address space failed: {exc}",
                hint="choose a part with --address_range; vm.overcommit_memory=2 refuses what ulimit -v would allow",
            ) from exc
        self._map.madvise(mmap.MADV_NOHUGEPAGE)
        whole: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self.start = int(whole.ctypes.data)
        self.end = self.start + pages * PAGE
        self.pages: NDArray[np.uint8] | None = whole[::PAGE]

    def populate(self, first: int, last: int) -> None:
        """Make pages [first, last) resident."""
        try:
            self._map.madvise(_POPULATE_WRITE, first * PAGE, (last - first) * PAGE)
        except OSError:
            # An older kernel: a page after the other.
            if self.pages is None:
                raise
            self.pages[first:last] = 1

    def close(self) -> None:
        self.pages = None
        self._map.close()


@dataclass(slots=True)
class Done:
    """What became of one step: page touches, and by how much the latest of its slots began too late (ns)."""

    wanted: int
    touched: int = 0
    late_ns: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replay went. `steps` are parallel to those of the trace; fewer if it was `stopped` before its end."""

    steps: Sequence[Done]
    seconds: float
    threads: int
    stopped: bool

    @property
    def wanted(self) -> int:
        return sum(step.wanted for step in self.steps)

    @property
    def touched(self) -> int:
        return sum(step.touched for step in self.steps)

    @property
    def late_ns(self) -> int:
        return max((step.late_ns for step in self.steps), default=0)


def default_threads() -> int:
    """One for each processor that we may run on, and no more than memory of one socket has use for."""
    return min(len(os.sched_getaffinity(0)), 4)


class _Worker(threading.Thread):
    """One thread's share of everything. `error` is what ended it early."""

    def __init__(self, player: Player, number: int) -> None:
        super().__init__(name=f"replay-{number}", daemon=True)
        self._player = player
        self._number = number
        self._scratch = np.empty(_CHUNK, np.uint8)
        # Where a pass of each target was broken off: the next one goes on from there, so that no page is always last.
        self._resume = [0] * len(player.trace.targets)
        steps = player.trace.steps
        self.touched = [0] * len(steps)
        self.late_ns = [0] * len(steps)
        self.at = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._run()
        except BaseException as exc:
            self.error = exc
            self._player.stop.set()

    def _run(self) -> None:
        player, steps = self._player, self._player.trace.steps
        for due_ns, number, slot in player.trace.slots():
            step = steps[number]
            due = player.began_ns + due_ns
            following = player.began_ns + step.due_ns(slot + 1)
            now = time.monotonic_ns()
            if now >= following:
                # Its time is over. What it wanted shows as not done, and the lateness where it was too much.
                self.late_ns[number] = max(self.late_ns[number], now - due)
                if player.stop.is_set():
                    return
                continue
            if now < due and not player.wait(due):
                return
            self.at = number
            self.late_ns[number] = max(self.late_ns[number], time.monotonic_ns() - due)
            self.touched[number] += self._pass(step, slot, player.began_ns + step.end_ns)
        self.at = len(steps)

    def _share(self, step: Step, slot: int) -> tuple[list[int], list[int]]:
        """This thread's part of the runs that a slot wants."""
        first, last = step.runs(slot)
        if (threads := self._player.threads) > 1:
            length = last - first
            short = length < _SHORT
            mine = np.arange(len(first)) % threads == self._number
            first, last = (
                np.where(short, first, first + length * self._number // threads),
                np.where(short, last, first + length * (self._number + 1) // threads),
            )
            keep = ~short | mine
            first, last = first[keep], last[keep]
        return rotated(first.tolist(), last.tolist(), self._resume[step.target])

    def _pass(self, step: Step, slot: int, until_ns: int) -> int:
        """Touch every page once, in time; how many that were."""
        pages = self._player.memories[step.target].pages
        assert pages is not None
        count = 0
        for first, last in zip(*self._share(step, slot), strict=True):
            for at in range(first, last, _CHUNK):
                if count and time.monotonic_ns() >= until_ns:
                    self._resume[step.target] = at
                    return count
                upto = min(at + _CHUNK, last)
                self._player.touch(pages[at:upto], self._scratch[: upto - at])
                count += upto - at
        self._resume[step.target] = 0
        return count


def rotated(first: list[int], last: list[int], begin: int) -> tuple[list[int], list[int]]:
    """The same pages of sorted runs [first, last), but from page `begin` on, and those before it at the end."""
    at = bisect_right(last, begin)
    if not begin or at == len(first):
        return first, last
    cut = first[at] < begin
    return (
        [max(first[at], begin), *first[at + 1 :], *first[:at], *([first[at]] if cut else [])],
        [*last[at:], *last[:at], *([begin] if cut else [])],
    )


def _read(pages: NDArray[np.uint8], scratch: NDArray[np.uint8]) -> None:
    np.copyto(scratch, pages)


def _write(pages: NDArray[np.uint8], _: NDArray[np.uint8]) -> None:
    pages[:] = 1


class Player:
    """A trace and the memory it plays on. Use as a context manager; `play` may be called once.

    `whole` makes also the memory resident that is never accessed; `tell` hears how many bytes of how many are. Raises
    NoMemory before anything is allocated.
    """

    def __init__(
        self,
        trace: Trace,
        *,
        threads: int = 1,
        write: bool = False,
        whole: bool = False,
        max_bytes: int | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> None:
        self.trace = trace
        self.threads = threads
        self.touch = _write if write else _read
        self.stop = threading.Event()
        self.began_ns = 0
        self.resident_bytes = PAGE * sum(item.pages if whole else item.touched_pages for item in trace.targets)
        check_room(self.resident_bytes, max_bytes)
        self.memories: list[Memory] = []
        ready = 0
        try:
            for target in trace.targets:
                self.memories.append(Memory(target.pages))
                for first, last in [(0, target.pages)] if whole else _runs(target):
                    for at in range(first, last, _POPULATE_PAGES):
                        upto = min(at + _POPULATE_PAGES, last)
                        self.memories[-1].populate(at, upto)
                        ready += (upto - at) * PAGE
                        if tell is not None:
                            tell(ready, self.resident_bytes)
        except BaseException:
            self.close()
            raise

    def wait(self, due_ns: int) -> bool:
        """Until an absolute time; False if the replay was stopped meanwhile."""
        left = (due_ns - time.monotonic_ns()) / 1e9
        # An event can be waited for, but wakes late; so the last bit is slept, to an absolute time by the kernel.
        if left > 0.05 and self.stop.wait(left - 0.02):
            return False
        if (left := (due_ns - time.monotonic_ns()) / 1e9) > 0:
            time.sleep(left)
        return not self.stop.is_set()

    def play(self, tell: Callable[[int, float], None] | None = None, beat_s: float = 0.2) -> Outcome:
        """Do it all; `tell` hears every `beat_s` how many steps are over and the seconds since the start.

        On KeyboardInterrupt it stops within a slot and returns what was done until then.
        """
        workers = [_Worker(self, number) for number in range(self.threads)]
        stopped = False
        with _undisturbed():
            # A little ahead, so that every thread is there for the first slot.
            self.began_ns = time.monotonic_ns() + 10_000_000
            for worker in workers:
                worker.start()
            try:
                while any(worker.is_alive() for worker in workers):
                    next(worker for worker in workers if worker.is_alive()).join(beat_s)
                    if tell is not None:
                        tell(min(worker.at for worker in workers), self._seconds())
                self._idle_end(tell)
            except KeyboardInterrupt:
                stopped = True
                self.stop.set()
                for worker in workers:
                    worker.join()
        for worker in workers:
            if worker.error is not None:
                raise worker.error
        steps = [
            Done(step.wanted, sum(w.touched[at] for w in workers), max(w.late_ns[at] for w in workers))
            for at, step in enumerate(self.trace.steps)
        ]
        if stopped:
            # What was still to come is no shortfall.
            steps = steps[: min(worker.at for worker in workers) + 1]
        return Outcome(steps, self._seconds(), self.threads, stopped)

    def _idle_end(self, tell: Callable[[int, float], None] | None) -> None:
        """The end of the record may be a time without accesses; it is replayed too."""
        while not self.stop.is_set() and (left := self.trace.end_ns / 1e9 - self._seconds()) > 0:
            time.sleep(min(left, 0.2))
            if tell is not None:
                tell(len(self.trace.steps), self._seconds())

    def _seconds(self) -> float:
        return max(time.monotonic_ns() - self.began_ns, 0) / 1e9

    def close(self) -> None:
        """Give back the memory."""
        for memory in self.memories:
            memory.close()
        self.memories.clear()

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _runs(target: Target) -> Iterator[tuple[int, int]]:
    first, last = target.touched
    yield from zip(first.tolist(), last.tolist(), strict=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection, and no thread that keeps the interpreter from one that is due."""
    interval, collecting = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(_SWITCH_S)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if collecting:
            gc.enable()


def measure(size: int, seconds: float, threads: int, *, write: bool, max_bytes: int | None) -> Iterator[float]:
    """Page touches per second that this machine is capable of, one number about each second, on `size` bytes."""
    check_room(size, max_bytes)
    memory = Memory(max(size // PAGE, 1))
    counts = [0] * threads
    stop = threading.Event()
    touch = _write if write else _read

    def work(number: int) -> None:
        scratch = np.empty(_CHUNK, np.uint8)
        pages: Any = memory.pages
        first, last = len(pages) * number // threads, len(pages) * (number + 1) // threads
        while not stop.is_set() and last > first:
            for at in range(first, last, _CHUNK):
                upto = min(at + _CHUNK, last)
                touch(pages[at:upto], scratch[: upto - at])
                counts[number] += upto - at

    memory.populate(0, max(size // PAGE, 1))
    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    try:
        with _undisturbed():
            for worker in workers:
                worker.start()
            began = last = time.monotonic()
            before = 0
            while last - began < seconds:
                time.sleep(min(1.0, max(began + seconds - last, 0.001)))
                now, total = time.monotonic(), sum(counts)
                yield (total - before) / (now - last)
                before, last = total, now
    finally:
        stop.set()
        for worker in workers:
            worker.join()
        memory.close()
