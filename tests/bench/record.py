"""What recording costs: `python -m tests.bench.record [MILLION_REGIONS]`, native, on ring pages made beforehand.

The whole recorder runs as damod starts it; this program stands in for the daemon and writes pages of 1,000 regions
(whose boundaries move, as of tests.bench.stairs) into its socket as fast as they are taken, then at the real rate of an
aggregation each 100 ms. Printed are regions per second of wall time and of the recorder's CPU time, its RSS on the way,
its share of a core at the real rate, and the size of the sealed file. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from damod.daemon.recorder import recorder_environ
from damod.kernel.sim.kernel import SimKernel
from damod.recorder.channel import pack, pack_page, page_sockets, unpacker
from damod.recorder.job import Events, Job, Watch
from tests.bench.stairs import snapshots

PID = 4242
AGGR_NS = 100_000_000
EVENT = "damon_aggregated"
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE_KB = os.sysconf("SC_PAGESIZE") // 1024


def aggregations(count: int, event_id: int, pid: int = PID) -> list[list[bytearray]]:
    """The pages of each of `count` aggregations, times counted from 0; `stamp` moves them."""
    row = struct.Struct("<IHBBiQI4xQQII")
    found = []
    for shot in snapshots(count):
        regions = shot.regions
        packed = [
            row.pack(12 | 400 << 5, event_id, 0, 0, pid, 0, len(regions), *values)
            for values in zip(regions.start, regions.end, regions.nr_accesses, regions.age, strict=True)
        ]
        pages = []
        for at in range(0, len(packed), 78):
            data = b"".join(packed[at : at + 78])
            pages.append(bytearray(struct.pack("<QQ", at * 400, len(data)) + data.ljust(4080, b"\0")))
        found.append(pages)
    return found


def stamped(pages: list[bytearray], begin_ns: int) -> Iterator[bytes]:
    """The pages of an aggregation as they look when it ends at `begin_ns`."""
    for number, page in enumerate(pages):
        struct.pack_into("<Q", page, 0, begin_ns + number * 78 * 400)
        yield bytes(page)


class Recorder:
    """A recorder of one kdamond, as the daemon has it."""

    def __init__(self, folder: Path) -> None:
        trace = SimKernel().trace
        formats = {EVENT: trace.events()[EVENT]}
        events = Events((EVENT,), 4096, piped=True, header_page=trace.header_page(), formats=formats, cpus=(0,))
        watch = Watch(0, PID, "paddr", 5000, 100_000)
        job = Job("bench", "damon.data", "sim", "bench", (watch,), events=events, kinds=("access", "proc_stats"))
        control, theirs = socket.socketpair()
        self.pages, pages = page_sockets()
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        words = ["--control", str(theirs.fileno()), "--directory", str(directory), "--pages", str(pages.fileno())]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "damod.recorder", *words],
            pass_fds=(theirs.fileno(), directory, pages.fileno()),
            env=recorder_environ(),
        )
        for done in (theirs, pages):
            done.close()
        os.close(directory)
        self.control, self._messages = control, unpacker()
        control.sendall(pack({"kind": "job", "job": job.to_wire()}))
        self.until("ready")

    def until(self, kind: str) -> dict[str, object]:
        """The next message of a kind."""
        while data := self.control.recv(1 << 16):
            self._messages.feed(data)
            for message in self._messages:
                if message["kind"] == kind:
                    return dict(message)
        raise EOFError(kind)

    def send(self, pages: list[bytearray], begin_ns: int) -> None:
        self.pages.sendall(b"".join(pack_page(0, page, 0) for page in stamped(pages, begin_ns)))

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def rss_mib(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE_KB / 1024

    def end(self) -> dict[str, object]:
        self.pages.close()
        done = self.until("done")
        self.process.wait()
        return done


def main(millions: float = 4.0) -> None:
    event_id = next(
        int(line.split()[1]) for line in SimKernel().trace.events()[EVENT].splitlines() if line.startswith("ID:")
    )
    made = aggregations(200, event_id)
    regions = [sum(int.from_bytes(page[8:12], "little") // 52 for page in pages) for pages in made]
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        sent, now_ns, sizes = 0, time.monotonic_ns(), []
        begin, report = time.monotonic(), 0
        for pages, count in cycle(zip(made, regions, strict=True)):
            if sent >= millions * 1e6:
                break
            recorder.send(pages, now_ns)
            now_ns += AGGR_NS
            sent += count
            if sent > report:
                sizes.append(round(recorder.rss_mib()))
                report += int(millions * 1e6 / 12)
        sizes.append(round(recorder.rss_mib()))
        cpu_s = recorder.cpu_s()
        recorder.pages.close()
        recorder.until("done")
        took = time.monotonic() - begin
        size = (Path(folder) / "damon.data").stat().st_size
        fast = {
            "regions": sent,
            "regions_per_s": round(sent / took),
            "regions_per_cpu_s": round(sent / cpu_s),
            "rss_mib": sizes,
            "bytes_per_region": round(size / sent, 2),
        }
        recorder.process.wait()
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        cpu_s, begin = recorder.cpu_s(), time.monotonic()
        for number, pages in enumerate(islice(cycle(made), 200)):
            time.sleep(max(begin + number * 0.1 - time.monotonic(), 0))
            recorder.send(pages, time.monotonic_ns())
        used, took = recorder.cpu_s() - cpu_s, time.monotonic() - begin
        recorder.end()
    steady = {"regions_per_s": round(sum(regions) / took), "core_percent": round(used / took * 100, 2)}
    print(json.dumps({"full_speed": fast, "real_rate": steady}, indent=1))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
