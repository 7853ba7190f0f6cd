"""A long time in a short one: ``python -m tests.bench.day [HOURS] [SPEED]``, a day in four minutes.

A damod whose simulated kernel's clock runs faster lives through what a day brings: a policy and a set by hand, a
subscriber of everything, one that does not read, a scrape of the metrics each simulated minute, and each ten minutes
somebody who looks, a subscriber that comes and goes, a set that starts or stops, a reload. Memory and open files are
noted each hour.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from damoctl.local import LocalDaemon
from damod.errors import DamodError
from damod.rpc.client import Client

# LocalDaemon says `-m damod` to its Python; here it is a program that gives the kernel another clock.
FASTER = """
import sys
from damod import cli
from damod.kernel.sim.clock import ScaledClock
from damod.kernel.sim.kernel import SimKernel
cli.open_kernel = lambda settings: SimKernel("7.3", "moving", clock=ScaledClock({speed}), process_events=False)
sys.exit(cli.main(sys.argv[3:]))
"""
POLICY = """\
enabled: true
on_conflict: take_over
kdamonds:
- contexts:
  - ops: paddr
    targets: [{}]
    intervals: {sample_us: 250 ms, aggr_us: 5 s, ops_update_us: 60 s}
    nr_regions: {min: 100, max: 1000}
    schemes:
    - action: pageout
      access_pattern: {nr_accesses: {min: 0%, max: 0%}, age: {min: 10 m, max: max}}
      quotas: {sz_bytes: 16 MiB, reset_interval_ms: 1 s}
"""


class Hour(NamedTuple):
    """What the daemon held at the end of a simulated hour."""

    rss_mib: float
    fds: int
    threads: int


def held(pid: int) -> Hour:
    text = Path(f"/proc/{pid}/status").read_text()
    rss, threads = (int(re.findall(rf"{name}:\s+(\d+)", text)[0]) for name in ("VmRSS", "Threads"))
    return Hour(rss / 1024, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()), threads)


class Day:
    """The life round the daemon. Counts what was done, so that a day in which nothing happened is seen."""

    def __init__(self, path: str, speed: float) -> None:
        self.path = path
        self.speed = speed
        self.events = self.scrapes = self.changes = 0
        self._over = threading.Event()

    def listen(self) -> None:
        with Client(self.path) as client, suppress(DamodError):
            for _ in client.stream(["snapshots", "status", "stats", "policies", "log"]):
                self.events += 1

    def live(self) -> None:
        """Scrapes and changes until it is over."""
        started, minutes = time.monotonic(), 0
        spec = {"contexts": [{"ops": "paddr", "targets": [{}], "schemes": [{"action": "stat"}]}]}
        spec["contexts"][0]["intervals"] = {"sample_us": 500_000, "aggr_us": 10_000_000}  # type: ignore[assignment]
        # At this speed on a busy machine, a kernel command may have to wait for many aggregations.
        with Client(self.path, timeout_s=60) as client:
            while not self._over.wait(max(started + minutes * 60 / self.speed - time.monotonic(), 0)):
                minutes += 1
                client.call("metrics.get")
                self.scrapes += 1
                if minutes % 10:
                    continue
                self.changes += 1
                if self.changes % 2:
                    client.call("kdamonds.start", name="hand", kdamonds=[spec])
                else:
                    client.call("kdamonds.stop", name="hand")
                client.call("kdamonds.show")
                client.call("policy.reload")
                client.call("log.list", last=50)
                with Client(self.path) as other:
                    other.call("stream.subscribe", kinds=["snapshots"], filters={"size": [self.changes, None]})
                    other.call("daemon.status")

    def run(self, pid: int, hours: int) -> list[Hour]:
        with Client(self.path) as stalled:
            stalled.call("stream.subscribe", kinds=["snapshots"])
            threads = [threading.Thread(target=work, daemon=True) for work in (self.listen, self.live)]
            for thread in threads:
                thread.start()
            found = []
            begun = time.monotonic()
            for hour in range(hours):
                time.sleep(max(begun + (hour + 1) * 3600 / self.speed - time.monotonic(), 0))
                # Somebody may be connected just now who will not be in a moment.
                found.append(min((held(pid) for _ in range(20) if not time.sleep(0.02)), key=lambda hour: hour.fds))
            self._over.set()
            threads[1].join(60)
            if threads[1].is_alive():
                raise TimeoutError("what is done all day hangs")
            return found


def a_day(hours: int, speed: float, directory: Path | None = None) -> tuple[list[Hour], Day]:
    """The hours of a daemon that lives so long."""
    faster = (sys.executable, "-c", FASTER.format(speed=speed))
    daemon = LocalDaemon("--kernel", "sim:moving", directory=directory, python=faster)
    daemon.policies.mkdir()
    (daemon.policies / "reclaim.yaml").write_text(POLICY)
    with daemon:
        assert daemon.process is not None
        day = Day(str(daemon.socket), speed)
        return day.run(daemon.process.pid, hours), day


def main(hours: int = 24, speed: float = 360) -> None:
    begun = time.monotonic()
    found, day = a_day(hours, speed)
    print(f"load {os.getloadavg()[0]:.1f}; {hours} simulated hours in {time.monotonic() - begun:.0f} s")
    for number, hour in enumerate(found, start=1):
        print(f"  hour {number}: {hour.rss_mib:.1f} MiB, {hour.fds} files, {hour.threads} threads")
    sizes = [hour.rss_mib for hour in found[1:]]
    print(
        f"after the first hour: {min(sizes):.1f} to {max(sizes):.1f} MiB (within {max(sizes) - min(sizes):.1f}),"
        f" files {sorted({hour.fds for hour in found[1:]})}; {day.events} events, {day.scrapes} scrapes,"
        f" {day.changes} changes"
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
