"""The time of a simulated kernel: moved by hand in tests, or real time at a chosen speed for the daemon.

Both clocks wait on a condition rather than for a time alone, so that a reader of the trace ring sleeps until the next
aggregation is due and is woken when somebody switches a kdamond on meanwhile.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class WaitableClock(Protocol):
    """A `Clock` of the kernel seam that can also wait for an event in its own time."""

    def monotonic_ns(self) -> int: ...

    def time_ns(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, event: threading.Condition, seconds: float) -> None:
        """Return when the (held) condition is notified or that much of this clock's time has passed."""
        ...


class SimClock:
    """Time that stands still unless `advance` is called; sleeping and waiting advance it."""

    def __init__(self, monotonic_s: float = 1000.0, epoch_s: float = 1_700_000_000.0) -> None:
        self._now = int(monotonic_s * 1e9)
        self._offset = int(epoch_s * 1e9) - self._now

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        if seconds > 0:
            self._now += round(seconds * 1e9)

    def monotonic_ns(self) -> int:
        return self._now

    def time_ns(self) -> int:
        return self._now + self._offset

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def wait(self, event: threading.Condition, seconds: float) -> None:
        self.advance(seconds)


class ScaledClock:
    """Real time, `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"a clock cannot run at speed {speed}")
        self.speed = speed
        self._start = time.monotonic_ns()
        self._epoch = time.time_ns()

    def _passed(self) -> int:
        return int((time.monotonic_ns() - self._start) * self.speed)

    def monotonic_ns(self) -> int:
        return self._start + self._passed()

    def time_ns(self) -> int:
        return self._epoch + self._passed()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds / self.speed)

    def wait(self, event: threading.Condition, seconds: float) -> None:
        if seconds > 0:
            event.wait(seconds / self.speed)
