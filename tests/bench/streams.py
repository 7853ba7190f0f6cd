"""Many subscribers of one daemon: ``python -m tests.bench.streams [SECONDS]``.

200 connections get every aggregation (10 a second) of a kdamond with 1,000 regions on the simulated kernel. Ten of
them stop reading half-way. Shown are the daemon's CPU time and memory, with one subscriber (what simulating, the ring
and the decoding cost) and with all; what each subscriber got; and how long a killed one stays.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]

from damoctl.local import LocalDaemon
from damod.rpc.client import Client

SUBSCRIBERS, STOPPED = 200, 10
MARK = b"\x93\x02\xacstream.event"
ASK = msgpack.packb([0, 1, "stream.subscribe", [{"kinds": ["snapshots"]}]])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int, name: str = "VmRSS") -> float:
    return int(re.findall(rf"{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def subscribe(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(ASK)
    return sock


class Reader:
    """One subscriber. `decode`: its events are decoded, else only counted, so that reading does not cost more than
    telling."""

    def __init__(self, path: str, *, decode: bool) -> None:
        self.sock = subscribe(path)
        self.got = self.lost = 0
        self.regions: set[int] = set()
        self.longest_gap_s = 0.0
        self._last = 0.0
        self._tail = b""
        self._frames = msgpack.Unpacker(max_buffer_size=16 << 20) if decode else None

    def read(self) -> None:
        data = self.sock.recv(1 << 18)
        if self._frames is None:
            self.got += (self._tail + data).count(MARK)
            self._tail = data[-len(MARK) + 1 :]
            return
        self._frames.feed(data)
        for event in (frame[2][0] for frame in self._frames if frame[0] == 2):
            self.got += 1
            self.lost += event["lost"]
            self.regions.add(len(event["snapshot"]["regions"]["start"]))
            now = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now - self._last) if self._last else 0.0
            self._last = now


def read_many(path: str, count: int, seconds: float, stopped: int) -> None:
    """In a process of its own: so many subscribers; the last `stopped` read only in the first half and at the end."""
    readers = [Reader(path, decode=number == 0 or number >= count - stopped) for number in range(count)]
    eager, lazy = readers[: count - stopped], readers[count - stopped :]
    poll = select.epoll()
    by_fd = {reader.sock.fileno(): reader for reader in readers}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + seconds:
        if lazy and now > begun + seconds / 2 and lazy[0].sock.fileno() in by_fd:
            for reader in lazy:
                poll.unregister(reader.sock.fileno())
                del by_fd[reader.sock.fileno()]
        for fd, _ in poll.poll(0.2):
            by_fd[fd].read()
    for reader in lazy:
        deadline = time.monotonic() + 5
        while not reader.lost and time.monotonic() < deadline:
            reader.read()
    first = eager[0]
    told = {"got": [reader.got for reader in eager], "lost": first.lost, "regions": sorted(first.regions)}
    told |= {"longest_gap_s": first.longest_gap_s, "stalled": [reader.lost for reader in lazy]}
    print(json.dumps(told))


def measure(daemon: LocalDaemon, count: int, seconds: float, stopped: int = 0) -> dict[str, Any]:
    assert daemon.process is not None
    pid = daemon.process.pid
    argv = [sys.executable, "-m", "tests.bench.streams", "reader", str(daemon.socket), str(count), str(seconds)]
    with subprocess.Popen([*argv, str(stopped)], stdout=subprocess.PIPE, text=True) as reader:
        time.sleep(1.5)
        cpu, began = cpu_s(pid), time.monotonic()
        most, wait_s = 0.0, seconds - 2.5
        while time.monotonic() < began + wait_s:
            time.sleep(0.25)
            most = max(most, rss(pid))
        share = (cpu_s(pid) - cpu) / (time.monotonic() - began)
        told, _ = reader.communicate()
    return {"cpu": share, "rss": most, **json.loads(told)}


def dies(daemon: LocalDaemon) -> float:
    """Seconds until the daemon has forgotten a subscriber that was killed while it did not read."""
    code = "import sys, time; from tests.bench.streams import subscribe; s = subscribe(sys.argv[1]); time.sleep(60)"
    with Client(str(daemon.socket)) as client:
        with subprocess.Popen([sys.executable, "-c", code, str(daemon.socket)]) as peer:
            while not client.call("daemon.status")["daemon"]["subscriptions"]:
                time.sleep(0.02)
            time.sleep(3)
            peer.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        while client.call("daemon.status")["daemon"]["subscriptions"]:
            time.sleep(0.005)
        return time.monotonic() - killed


def main(seconds: float = 20) -> None:
    with LocalDaemon("--kernel", "sim:moving") as daemon:
        assert daemon.process is not None
        with Client(str(daemon.socket)) as client:
            spec = {"contexts": [{"ops": "paddr", "targets": [{}], "nr_regions": {"min": 1000, "max": 1100}}]}
            client.call("kdamonds.start", kdamonds=[spec], take_over=True)
        time.sleep(1)
        idle = rss(daemon.process.pid)
        print(f"load {os.getloadavg()[0]:.1f}; idle, a kdamond running: {idle:.1f} MiB")
        for count, stopped in ((1, 0), (SUBSCRIBERS, STOPPED)):
            found = measure(daemon, count, seconds, stopped)
            got = found["got"]
            print(
                f"{count} subscribers: daemon {found['cpu']:.1%} of a core, {found['rss']:.1f} MiB "
                f"(+{found['rss'] - idle:.1f}); regions {min(found['regions'])} to {max(found['regions'])}; "
                f"snapshots each {min(got)} to {max(got)} in {seconds:g} s, lost {found['lost']}, "
                f"longest gap {found['longest_gap_s']:.3f} s"
            )
            if stopped:
                print(f"  {stopped} that stopped reading were told of losses: {found['stalled']}")
        print(f"killed while not reading: gone after {dies(daemon) * 1000:.0f} ms")
        print(f"load {os.getloadavg()[0]:.1f}; afterwards {rss(daemon.process.pid):.1f} MiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["reader"]:
        read_many(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 20)
