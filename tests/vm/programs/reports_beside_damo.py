"""Runs inside a guest: CPU time of damoctl's reports and of damo's on the same recording, as JSON.

    reports_beside_damo.py DAMO DIRECTORY

`DIRECTORY` has what `tests.bench.beside.make` made there: the whole record as Parquet and as json_compressed, and two
beginnings of it, for damo. An emulated machine would take damo many minutes for the whole, so
it reads the beginnings; its time is a constant and so much per region, and is told for the whole from these two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPORTS = (("heatmap",), ("wss",), ("access",))
WHOLE, BEGINNINGS = 600_000, (8_000, 40_000)


def cpu_s(argv: Sequence[str], times: int) -> float:
    """User and system seconds of the best run. Exits with the program's words if it fails."""
    best = float("inf")
    for _ in range(times):
        # damo tells its errors on standard output.
        with Path("/tmp/said").open("w+", errors="replace") as said:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            _, status, usage = os.wait4(child.pid, 0)
            if os.waitstatus_to_exitcode(status):
                said.seek(0)
                sys.exit(f"{argv} ended with {status}\n{said.read()[-2000:]}")
        best = min(best, usage.ru_utime + usage.ru_stime)
    return best


def main(damo: str, directory: Path) -> None:
    for report in REPORTS:
        small, large = (
            cpu_s([damo, "report", *report, "--input", str(directory / f"{regions}.json")], 1) for regions in BEGINNINGS
        )
        per_region = (large - small) / (BEGINNINGS[1] - BEGINNINGS[0])
        peer = small + per_region * (WHOLE - BEGINNINGS[0])
        row = {"report": report[0], "damo_s": {str(BEGINNINGS[0]): small, str(BEGINNINGS[1]): large, "600000": peer}}
        for kind in ("data", "json"):
            ours = cpu_s(
                [sys.executable, "-m", "damoctl", "report", *report, "--input", f"{directory}/whole.{kind}"], 2
            )
            row[kind] = {"damoctl_s": ours, "times_faster": peer / ours}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
