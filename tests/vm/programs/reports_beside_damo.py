"""Runs inside a guest: CPU time and memory of damoctl's reports and of damo's on the same recording, a JSON line each.

    reports_beside_damo.py DAMO DIRECTORY REPORT...

`DIRECTORY` has what `tests.bench.beside.make` made there: the whole record and two beginnings of it, by their numbers
of regions. An emulated machine would take damo a quarter of an hour for each report on the whole, so it reads the
beginnings only. damoctl runs before and after damo, since the machine below is not equally fast all the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

WHOLE, BEGINNINGS = 600_000, (20_000, 100_000)
KINDS = ("parquet", "json_compressed")


def measure(argv: Sequence[str]) -> dict[str, float]:
    """User and system seconds, wall seconds and greatest memory in MiB. Exits with the program's words if it fails."""
    # damo tells its errors on standard output.
    with Path("/tmp/said").open("w+", errors="replace") as said:
        began = time.monotonic()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        took_s = time.monotonic() - began
        written = said.tell()
        if os.waitstatus_to_exitcode(status) or not written:
            said.seek(0)
            sys.exit(f"{argv} ended with {status}\n{said.read()[-2000:]}")
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": took_s, "mib": usage.ru_maxrss / 1024}


def tell(who: str, report: str, kind: str, regions: int, argv: Sequence[str]) -> None:
    row = {"who": who, "report": report, "kind": kind, "regions": regions, **measure(argv)}
    print(json.dumps(row), flush=True)


def ours(report: str, directory: Path) -> None:
    for regions in (BEGINNINGS[-1], WHOLE):
        for kind in KINDS:
            record = str(directory / f"{regions}.{kind}")
            command = [sys.executable, "-m", "damoctl", "report", report, "--input", record]
            tell("damoctl", report, kind, regions, command)


def main(damo: str, directory: Path, reports: Sequence[str]) -> None:
    for report in reports:
        ours(report, directory)
        # The first run of all also reads damo itself from the disk.
        for regions in (*BEGINNINGS, BEGINNINGS[0]):
            record = str(directory / f"{regions}.json_compressed")
            tell("damo", report, "json_compressed", regions, [damo, "report", report, "--input", record])
        ours(report, directory)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
