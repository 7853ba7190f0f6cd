"""What the daemon pays for a recording: `python -m tests.bench.record_daemon [SECONDS]`, native, at the real rate.

On Linux the recorder reads the kernel's ring itself; the daemon hears its progress and looks after the kdamonds. On the
simulated kernel the daemon holds the kernel too, whose cost is none of recording. So here this program is the kernel's
ring: it sends 1,000 regions each 100 ms through a socket to a daemon whose simulated kdamond has nothing to do (its
aggregation lasts an hour), and the daemon carries the pages to the recorder. That carrying, which real recordings do
not have, is a thread of its own; the numbers are with it and without. The last line is JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path

from damoctl.local import LocalDaemon
from damod.kernel.sim.kernel import SimKernel
from damod.recorder.channel import PipedRing, pack_page
from damod.rpc.client import Client
from tests.bench.record import EVENT, aggregations, stamped

FED = "DAMOD_BENCH_RING"
HOUR_US = 3_600_000_000


def threads_ns(pid: int) -> dict[int, int]:
    """CPU time of each thread of a process, in ns."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        found[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return found


def serve(words: list[str]) -> None:
    """A damod whose rings come out of the socket that was passed to it."""
    from damod.daemon import methods, policy_methods, record_methods
    from damod.daemon.service import Service
    from damod.rpc.registry import Registry
    from damod.settings import Settings

    class FedKernel(SimKernel):
        def __init__(self) -> None:
            super().__init__(process_events=False)
            self.trace.open = self._open  # type: ignore[method-assign,assignment]

        def _open(self, events: Iterable[str], *, buffer_kb: int = 0) -> PipedRing:
            ring = socket.socket(socket.AF_UNIX)
            ring.connect(os.environ[FED])
            return PipedRing(ring, (0,))

    options = dict(zip(words[::2], words[1::2], strict=True))
    places = {name.removeprefix("--").replace("-", "_"): value for name, value in options.items()}
    settings = Settings(**{**places, "policy_dir": (places["policy_dir"],), "kernel": "sim"})
    asyncio.run(Service(settings, FedKernel(), Registry.of(methods, policy_methods, record_methods)).run())


def main(seconds: float = 30.0) -> None:
    event_id = next(
        int(line.split()[1]) for line in SimKernel().trace.events()[EVENT].splitlines() if line.startswith("ID:")
    )
    intervals = {"sample_us": HOUR_US, "aggr_us": HOUR_US, "ops_update_us": HOUR_US}
    spec = {"contexts": [{"ops": "paddr", "intervals": intervals, "targets": [{}]}]}
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        os.environ[FED] = f"{folder}/ring"
        listener.bind(os.environ[FED])
        listener.listen()
        daemon = LocalDaemon(directory=Path(folder), python=(sys.executable, "-m", "tests.bench.record_daemon", "--"))
        with daemon, Client(str(daemon.socket)) as client:
            (kdamond,) = client.call("kdamonds.start", kdamonds=[spec], take_over=True)["kdamonds"]
            made = aggregations(100, event_id, kdamond["pid"])
            started = client.call("record.start", name="bench", detach=True, kinds=["access", "proc_stats"])
            feed, _ = listener.accept()
            assert daemon.process is not None
            pids = daemon.process.pid, started["pid"]
            time.sleep(2)
            before, begin = [threads_ns(pid) for pid in pids], time.monotonic()
            for number, pages in enumerate(islice(cycle(made), int(seconds * 10))):
                time.sleep(max(begin + number * 0.1 - time.monotonic(), 0))
                feed.sendall(b"".join(pack_page(0, page, 0) for page in stamped(pages, time.monotonic_ns())))
            time.sleep(1)
            took = time.monotonic() - begin
            after = [threads_ns(pid) for pid in pids]
            shown = client.call("record.show", name="bench")["recording"]
            feed.close()
    used = [{tid: ns - was.get(tid, 0) for tid, ns in now.items()} for was, now in zip(before, after, strict=True)]
    whole, recorder = (sum(item.values()) for item in used)
    # All threads but the event loop's and the kernel's, which were there before the recording.
    loop = used[0][pids[0]]

    def percent(ns: int) -> float:
        return round(ns / took / 1e7, 2)

    print(
        json.dumps(
            {
                "regions_per_s": round(shown["regions"] / took),
                "snapshots": shown["snapshots"],
                "lost": shown["lost"],
                "daemon_core_percent": percent(whole),
                "of_which_event_loop": percent(loop),
                "daemon_threads": sorted((percent(ns) for ns in used[0].values()), reverse=True),
                "recorder_core_percent": percent(recorder),
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--"]:
        serve(sys.argv[sys.argv.index("damod") + 1 :])
    else:
        main(*map(float, sys.argv[1:]))
