"""How fast memory can be touched: native, with one and two threads, and in a guest beside `damo replay --test_perf`.

`python -m tests.bench replay` prints rows for docs/performance.md; DAMOD_BENCH_GUEST=0 leaves the guest out.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from damoctl.commands.replay import to_plain
from damoctl.replay import engine
from damoctl.replay.trace import Choice, compile_trace
from damod.records.reader import open_record
from damod.units import parse_size
from tests.bench import recordings
from tests.bench.guest import ensure_damo
from tests.vm.guest import CHECKOUT, Guest, compile_for_guest
from tests.vm.run_in_guest import project_python

MIB, GIB = 1 << 20, 1 << 30
SECONDS = 5.0
# The peer first, in the same guest, on the same memory.
PEER = """
"$DAMO" replay --test_perf --test_perf_sz_mem 100M --test_perf_runtime 10s >"$DAMOD_GUEST_OUT/damo" 2>&1
"$PYTHON" -m damoctl replay --test_perf --test_perf_sz_mem 100M --test_perf_runtime 10s --threads 1 --json \
    >"$DAMOD_GUEST_OUT/damoctl" || exit
uname -r >"$DAMOD_GUEST_OUT/release"
"""


def speed(size: int, threads: int) -> float:
    """Bytes of memory whose pages were touched, per second: the median of some seconds."""
    rates = engine.measure(size, SECONDS, threads, write=False, max_bytes=None)
    return engine.PAGE * statistics.median(rates)


def whole(path: Path, size: int) -> dict[str, Any]:
    """A record of 1,000 regions, of which so much memory is replayed, as it was."""
    with open_record(path) as record:
        trace = compile_trace(
            record.aggregations(), Choice(addresses=[(recordings.BASE, recordings.BASE + size)]), page=engine.PAGE
        )
    with engine.Player(trace, threads=engine.default_threads()) as player:
        return to_plain(player, player.play())


def beside_damo() -> dict[str, Any]:
    """Bytes per second in a guest: ours with one thread, and damo's."""
    python = project_python()
    compile_for_guest(python, *(CHECKOUT / name for name in ("damod", "damoctl")))
    ran = Guest(env={"PYTHON": str(python), "DAMO": str(ensure_damo())}).run(["bash", "-c", PEER], timeout_s=300)
    ran.check()
    told = re.findall(r"can access (.*?) memory per second", (ran.outdir / "damo").read_text())
    return {
        "release": (ran.outdir / "release").read_text().strip(),
        "damo": statistics.median(map(parse_size, told)),
        "damoctl": json.loads((ran.outdir / "damoctl").read_text())["mean_bytes_per_second"],
    }


def main() -> None:
    """Print the rows."""
    where = f"| {time.strftime('%Y-%m-%d')} | {os.getloadavg()[0]:.1f}"
    for size in (20 * MIB, GIB):
        one, two = speed(size, 1), speed(size, 2)
        print(f"{where} | {size // MIB:,} MiB | {one / GIB:.0f} GiB/s | {two / GIB:.0f} GiB/s |")
    with tempfile.TemporaryDirectory() as directory:
        path = recordings.write(Path(directory) / "stairs.data", 100, 1000)
        for size in (GIB, 4 * GIB):
            done = whole(path, size)
            print(
                f"{where} | {size // MIB:,} MiB | {done['wanted']:,} | {100 * done['touched'] / done['wanted']:.1f} % |"
                f" {done['late_ns'] / 1e6:.0f} ms | {done['seconds']:.1f} s |"
            )
    if os.environ.get("DAMOD_BENCH_GUEST") != "0":
        found = beside_damo()
        print(
            f"{where} | {found['release']} | {found['damoctl'] / GIB:.2f} GiB/s | {found['damo'] / GIB:.3f} GiB/s |"
            f" {found['damoctl'] / found['damo']:.0f} |"
        )


if __name__ == "__main__":
    main()
