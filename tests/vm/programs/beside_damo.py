"""Runs inside a guest: wall time of `damoctl report access` and of `damo report access` on one kdamond, as JSON.

Both look at the same running kdamond, in turn, each as a new process; the medians of three turns after one that does
not count. First with the usual bounds of the number of regions, then with 1,000 regions, where a damo that has no
answer within LIMIT_S is killed and not asked again.

The kdamond is nobody's, made by hand and alone in the tree, because damo's looking commits every kdamond directory and
fails on the idle ones of damod's pool. damo (its path is the argument) keeps what it found out about the kernel in its
home, so it is asked for that before anything runs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from damoctl.local import LocalDaemon
from damod.access.snapshot import Snapshot
from damod.kernel.linux import LinuxKernel
from damod.rpc.client import Client
from tests.contract.driver import PATIENCE_S, Damon

TURNS = 3
LIMIT_S = 120


def run(*argv: str) -> float | None:
    """Run to the end; seconds of wall time, None if it had to be killed. Exits with the program's words if it fails."""
    began = time.monotonic()
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    took_s = time.monotonic() - began
    if done.returncode != 0 or (argv[-1] == "access" and "total size" not in done.stdout):
        sys.exit(f"{argv} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took_s


def regions(client: Client) -> int:
    (seen,) = client.call("kdamonds.snapshot")["snapshots"]
    return len(Snapshot.from_wire(seen).regions)


def median(times: Sequence[float | None]) -> float | None:
    """Of all but the first; None if one of them never ended."""
    counted = [value for value in times[1:] if value is not None]
    return round(statistics.median(counted), 2) if counted and None not in times else None


def compare(damon: Damon, damo: str, least: int, most: int, aggr_us: int) -> dict[str, Any]:
    """Both on one kdamond with that many regions and twenty samples in an aggregation."""
    damon.reset()
    damon.slots(1)
    damon.configure(0, nr_regions=(least, most), sample_us=aggr_us // 20, aggr_us=aggr_us)
    damon.start(0)
    ours: list[float | None] = []
    theirs: list[float | None] = []
    with (
        LocalDaemon("--kernel", "linux", timeout_s=PATIENCE_S) as local,
        Client(str(local.socket), PATIENCE_S) as client,
    ):
        damon.wait(lambda: regions(client) >= least, "regions are split")
        for _ in range(1 + TURNS):
            if None not in theirs:
                theirs.append(run(damo, "report", "access"))
            ours.append(run(sys.executable, "-m", "damoctl", "--socket", str(local.socket), "report", "access"))
        counted = regions(client)
    damon.reset()
    return {
        "regions": counted,
        "damoctl_s": median(ours),
        "damo_s": median(theirs),
        "damoctl_all_s": ours,
        "damo_all_s": theirs,
        "limit_s": LIMIT_S,
    }


def main(damo: str) -> None:
    if "virtme" not in Path("/proc/cmdline").read_text():
        sys.exit("this writes below /sys: for guests only")
    damon = Damon(LinuxKernel())
    damon.reset()
    run(damo, "report", "sysinfo")
    print(json.dumps([compare(damon, damo, 10, 1000, 100_000), compare(damon, damo, 1000, 3000, 500_000)]))


main(sys.argv[1])
