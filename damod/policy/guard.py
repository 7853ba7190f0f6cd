"""Watching what a policy does to the machine: memory pressure, refaults, swap-in, and what it costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from damod import units
from damod.kernel.interface import Kernel
from damod.policy.document import Guard
from damod.spec.kdamond import Kdamond

PAGE = os.sysconf("SC_PAGE_SIZE")
LEAST_S = 0.5
"""Rates over less than this say nothing."""


@dataclass(frozen=True)
class Reading:
    """Counters at one moment; None where the kernel does not tell."""

    pressure_us: int | None
    refaults: int
    swapped_in: int
    cpu_ns: int


def gauge(kernel: Kernel, kdamonds: Sequence[int]) -> Reading:
    """Read the counters; the cost is that of this process and of the kdamonds."""
    counts = kernel.proc.vmstat()
    spent = [kernel.proc.cpu_ns(pid) or 0 for pid in (os.getpid(), *kdamonds)]
    return Reading(
        pressure_us=kernel.proc.memory_pressure_us(),
        refaults=sum(count for name, count in counts.items() if name.startswith("workingset_refault")),
        swapped_in=counts.get("pswpin", 0) * PAGE,
        cpu_ns=sum(spent),
    )


@dataclass(frozen=True)
class Probation:
    """A change that is watched. `earlier` is what to go back to; empty means not to run at all."""

    guard: Guard
    earlier: tuple[Kdamond, ...]
    begun_ns: int
    last: Reading
    last_ns: int

    @classmethod
    def begin(cls, guard: Guard, earlier: tuple[Kdamond, ...], reading: Reading, now_ns: int) -> Probation:
        return cls(guard, earlier, now_ns, reading, now_ns)

    def over(self, now_ns: int) -> bool:
        return now_ns - self.begun_ns >= self.guard.probation * 1000

    def look(self, reading: Reading, now_ns: int) -> tuple[Probation, str]:
        """The probation after one more reading, and the limit that was passed since the last one ("" if none)."""
        passed_s = (now_ns - self.last_ns) / 1e9
        if passed_s < LEAST_S:
            return self, ""
        return replace(self, last=reading, last_ns=now_ns), self._tripped(reading, passed_s)

    def _tripped(self, reading: Reading, passed_s: float) -> str:
        guard, last = self.guard, self.last
        if guard.memory_pressure is not None and reading.pressure_us is not None and last.pressure_us is not None:
            share = (reading.pressure_us - last.pressure_us) / passed_s / 1000
            if share > guard.memory_pressure:
                return (
                    f"guard.memory_pressure: tasks waited for memory {units.percent(round(share, 1) / 10)} of the"
                    f" time (limit {units.share(guard.memory_pressure, 'permil')})"
                )
        refaults = (reading.refaults - last.refaults) / passed_s
        if guard.refaults is not None and refaults > guard.refaults:
            return f"guard.refaults: {refaults:,.0f} pages per second came back (limit {guard.refaults:,})"
        swapped = (reading.swapped_in - last.swapped_in) / passed_s
        if guard.swap_in is not None and swapped > guard.swap_in:
            return (
                f"guard.swap_in: {units.bandwidth(swapped)} came back from swap"
                f" (limit {units.bandwidth(guard.swap_in)})"
            )
        cpu = max(reading.cpu_ns - last.cpu_ns, 0) / passed_s / 1e6
        if guard.cpu is not None and cpu > guard.cpu:
            return (
                f"guard.cpu: damod and its kdamonds took {units.percent(round(cpu, 1) / 10)} of a CPU"
                f" (limit {units.share(guard.cpu, 'permil')})"
            )
        return ""
