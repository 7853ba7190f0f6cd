"""Totals that only grow, and how fast: what schemes did, CPU time, memory pressure.

Fed with the daemon's `stats` (docs/protocol.md); a rate is that of the last seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

WINDOW_NS = 5_000_000_000


class Rates:
    """Rates of totals by name. A total that shrinks (a restart) begins anew."""

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._seen: dict[str, deque[tuple[int, int]]] = {}

    def add(self, name: str, time_ns: int, total: int) -> None:
        points = self._seen.setdefault(name, deque())
        if points and (total < points[-1][1] or time_ns <= points[-1][0]):
            points.clear()
        points.append((time_ns, total))
        while len(points) > 2 and points[1][0] <= time_ns - self._window_ns:
            points.popleft()

    def per_second(self, name: str) -> float | None:
        """None until there are two totals."""
        points = self._seen.get(name)
        if not points or len(points) < 2:
            return None
        (begin, low), (end, high) = points[0], points[-1]
        return (high - low) * 1e9 / (end - begin)

    def keep(self, names: set[str]) -> None:
        """Forget all others."""
        self._seen = {name: points for name, points in self._seen.items() if name in names}


class Scheme(NamedTuple):
    """What a scheme has done, and per second (None: not known yet). Sizes in bytes."""

    number: int
    action: str
    tried: int
    applied: int
    exceeded: int
    quota_bytes: int | None
    tried_per_s: float | None = None
    applied_per_s: float | None = None

    @property
    def only_counts(self) -> bool:
        """Whether it does nothing to memory."""
        return self.action == "stat"


class Kdamond(NamedTuple):
    """A kdamond's own cost (`cpu`: share of a core) and its schemes."""

    number: int
    name: str | None
    pid: int | None
    cpu: float | None
    schemes: tuple[Scheme, ...]


class Machine(NamedTuple):
    """`pressure`: share of time in which some task waited for memory; None where not known."""

    pressure: float | None = None
    daemon_cpu: float | None = None
    daemon_rss: int | None = None


class Counters:
    """The newest stats, with rates."""

    def __init__(self) -> None:
        self.kdamonds: dict[int, Kdamond] = {}
        self.machine = Machine()
        self._rates = Rates()

    def feed(self, stats: Mapping[str, Any]) -> None:
        """Take one `stats` event."""
        now, rates, names = int(stats["time_ns"]), self._rates, {"pressure", "daemon"}

        def rate(name: str, total: int | None) -> float | None:
            if total is None:
                return None
            names.add(name)
            rates.add(name, now, total)
            return rates.per_second(name)

        pressure = rate("pressure", stats.get("memory_pressure_us"))
        daemon = stats["daemon"]
        cpu = rate("daemon", daemon.get("cpu_ns"))
        self.machine = Machine(
            None if pressure is None else pressure / 1e6, None if cpu is None else cpu / 1e9, daemon.get("rss_bytes")
        )
        self.kdamonds = {}
        for row in stats["kdamonds"]:
            place = f"{row['kdamond']}/{row['pid']}"
            schemes = []
            for index, scheme in enumerate(row["schemes"]):
                done = scheme["stats"]
                schemes.append(
                    Scheme(
                        index,
                        scheme["action"],
                        done["sz_tried"],
                        done["sz_applied"],
                        done["qt_exceeds"],
                        scheme.get("effective_quota_bytes") or None,
                        rate(f"{place}/{index}/tried", done["sz_tried"]),
                        rate(f"{place}/{index}/applied", done["sz_applied"]),
                    )
                )
            cpu = rate(place, row.get("cpu_ns"))
            self.kdamonds[row["kdamond"]] = Kdamond(
                row["kdamond"], row["name"], row["pid"], None if cpu is None else cpu / 1e9, tuple(schemes)
            )
        rates.keep(names)
