"""What the contract tests do to a kernel's DAMON, said once."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TypeVar

from damod.kernel import ring
from damod.kernel.aggregations import Aggregation, Aggregations
from damod.kernel.interface import Kernel
from damod.kernel.ring import RingReader

U64 = 2**64 - 1
U32 = 2**32 - 1
NR_FILES = frozenset(
    f"nr_{name}"
    for name in ("kdamonds", "contexts", "targets", "regions", "schemes", "filters", "goals", "dests", "probes")
)
# An emulated machine that others keep busy is slow; nothing waits for so long unless something is wrong.
PATIENCE_S = 120
_TICK_S = 0.05

T = TypeVar("T")


class Damon:
    """The DAMON of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.tree = kernel.damon

    def read(self, path: str) -> str:
        """A file's text; waits while the kernel answers EBUSY."""
        return self._patiently(lambda: self.tree.read(path))

    def write(self, path: str, value: object) -> None:
        self.tree.write(path, str(value))

    def refused(self, path: str, value: object) -> str:
        """Name of the errno with which a write is refused; "" if it is not."""
        try:
            self.write(path, value)
        except OSError as exc:
            return errno.errorcode[exc.errno or 0]
        return ""

    def state(self, slot: int) -> str:
        return self.read(f"kdamonds/{slot}/state")

    def pid(self, slot: int) -> int:
        return int(self.read(f"kdamonds/{slot}/pid"))

    def command(self, slot: int, word: str) -> str:
        """Give a command; "" or the name of its errno. EBUSY, another one is under way, is waited for."""

        def once() -> str:
            try:
                self.write(f"kdamonds/{slot}/state", word)
            except OSError as exc:
                if exc.errno == errno.EBUSY and word != "on":
                    raise
                return errno.errorcode[exc.errno or 0]
            return ""

        return self._patiently(once)

    def slots(self, count: int) -> None:
        self.write("kdamonds/nr_kdamonds", count)

    def configure(
        self,
        slot: int,
        *,
        ops: str = "paddr",
        pids: Sequence[int] = (),
        nr_regions: tuple[int, int] = (10, 1000),
        sample_us: int = 5_000,
        aggr_us: int = 100_000,
        ranges: Sequence[tuple[int, int]] = (),
    ) -> str:
        """Stage a context with a scheme that counts everything (action stat); the context's path.

        paddr watches `ranges`, by default the largest piece of RAM; vaddr the processes `pids`.
        """
        at = f"kdamonds/{slot}/contexts/0"
        self.write(f"kdamonds/{slot}/contexts/nr_contexts", 1)
        self.write(f"{at}/operations", ops)
        self.intervals(slot, sample_us, aggr_us)
        self.nr_regions(slot, *nr_regions)
        self.write(f"{at}/targets/nr_targets", len(pids) or 1)
        for number, pid in enumerate(pids):
            self.write(f"{at}/targets/{number}/pid_target", pid)
        if ops == "paddr":
            self.watch(slot, ranges or [self.largest_ram()])
        self.write(f"{at}/schemes/nr_schemes", 1)
        pattern = f"{at}/schemes/0/access_pattern"
        for name, top in (("sz", U64), ("nr_accesses", U32), ("age", U32)):
            self.write(f"{pattern}/{name}/max", top)
        return at

    def intervals(self, slot: int, sample_us: int, aggr_us: int) -> None:
        at = f"kdamonds/{slot}/contexts/0/monitoring_attrs/intervals"
        self.write(f"{at}/sample_us", sample_us)
        self.write(f"{at}/aggr_us", aggr_us)

    def nr_regions(self, slot: int, low: int, high: int) -> None:
        at = f"kdamonds/{slot}/contexts/0/monitoring_attrs/nr_regions"
        self.write(f"{at}/min", low)
        self.write(f"{at}/max", high)

    def watch(self, slot: int, ranges: Sequence[tuple[int, int]]) -> None:
        """Stage the address ranges of target 0."""
        at = f"kdamonds/{slot}/contexts/0/targets/0/regions"
        self.write(f"{at}/nr_regions", len(ranges))
        for number, (start, end) in enumerate(ranges):
            self.write(f"{at}/{number}/start", start)
            self.write(f"{at}/{number}/end", end)

    def largest_ram(self) -> tuple[int, int]:
        return max(self.kernel.proc.system_ram(), key=lambda span: span[1] - span[0])

    def start(self, slot: int) -> int:
        """Switch on; the kdamond's pid."""
        self.write(f"kdamonds/{slot}/state", "on")
        return self.pid(slot)

    def stop(self, slot: int) -> None:
        self.write(f"kdamonds/{slot}/state", "off")

    def reset(self) -> None:
        """No kdamond, no slot, and no DAMON module in the way."""
        for number in range(int(self.read("kdamonds/nr_kdamonds"))):
            if self.state(number) == "on":
                self.command(number, "off")
        self.slots(0)
        switch = "damon_stat/parameters/enabled"
        if self.kernel.modules.exists(switch):
            self.kernel.modules.write(switch, "N")

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Let the kernel's time pass until something holds. Raises TimeoutError that says what did not."""
        deadline = self.kernel.clock.monotonic_ns() + PATIENCE_S * 1_000_000_000
        while not until():
            if self.kernel.clock.monotonic_ns() > deadline:
                raise TimeoutError(f"not within {PATIENCE_S} s: {what}")
            self.kernel.clock.sleep(_TICK_S)

    def look(self, pids: dict[int, int], *, probes: bool = False) -> dict[tuple[int, int], Aggregation]:
        """One whole aggregation of each kdamond (pid -> targets with regions)."""
        with ring.Watch(self.kernel, ring.open_reader(self.kernel, probes=probes)) as watch:
            return dict(watch.look(pids, timeout_s=PATIENCE_S).aggregations)

    def collect(self, reader: RingReader, enough: Callable[[list[Aggregation]], bool]) -> list[Aggregation]:
        """Aggregations from an open ring until they are enough. Raises TimeoutError."""
        found: list[Aggregation] = []
        assembler = Aggregations()
        deadline = self.kernel.clock.monotonic_ns() + PATIENCE_S * 1_000_000_000
        while not enough(found):
            if self.kernel.clock.monotonic_ns() > deadline:
                raise TimeoutError(f"only {len(found)} aggregations within {PATIENCE_S} s")
            if reader.wait(1):
                found += assembler.feed(reader.read())
        return found

    def _patiently(self, once: Callable[[], T]) -> T:
        deadline = self.kernel.clock.monotonic_ns() + PATIENCE_S * 1_000_000_000
        while True:
            try:
                return once()
            except OSError as exc:
                if exc.errno != errno.EBUSY or self.kernel.clock.monotonic_ns() > deadline:
                    raise
            self.kernel.clock.sleep(_TICK_S)
