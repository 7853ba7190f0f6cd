"""What reports cost: `python -m tests.bench reports` measures wall, CPU and peak memory of whole commands.

The record of 600,000 regions (3,000 snapshots of 200) is read as Parquet and as damo's json_compressed, one
of 36 million (36,000 of 1,000, an hour) as Parquet, and ten such hours as rotated segments (the same file ten times).
The peer may not run on the host, so beside our numbers stand those
that issue 5 states of it for any report on 600,000 regions: 20 to 26 s and 1.2 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PEER_S, PEER_MB = 20.0, 1200
REPORTS = ("heatmap", "wss", "access")
ROUNDS = 2


def measure(words: Sequence[str]) -> dict[str, float]:
    """The fastest of some runs: wall and CPU seconds, and the peak memory of all in MB."""
    wall, cpu, peak = float("inf"), float("inf"), 0.0
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(ROUNDS):
        begin = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "damoctl", "report", *words], stdout=subprocess.DEVNULL, env=environ
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"report {' '.join(words)} ended with {child.returncode}")
        wall = min(wall, time.monotonic() - begin)
        cpu = min(cpu, usage.ru_utime + usage.ru_stime)
        peak = max(peak, usage.ru_maxrss / 1024)
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "rss_mb": round(peak)}


def _made(path: Path, snapshots: int, regions: int) -> Path:
    """A record, made by another process: a child's peak memory counts from what its parent had when it began."""
    code = f"from pathlib import Path; from tests.bench import recordings; recordings.write(Path({str(path)!r}), "
    subprocess.run([sys.executable, "-c", f"{code}{snapshots}, {regions})"], check=True)
    return path


def _ten(hour: Path) -> Path:
    """Ten segments of an hour each, all of them the same file."""
    for number in range(10):
        segment = hour.parent / "ten" / f"damon.data.2026-01-01-{number:02}-00-00"
        segment.mkdir(parents=True)
        (segment / "damon.data").hardlink_to(hour)
    return hour.parent / "ten"


def main() -> None:
    """Print a table, and the same as one line of JSON."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        small = _made(directory / "small.data", 3000, 200)
        subprocess.run(
            [sys.executable, "-m", "damoctl", "convert_record_format", "--record_file", str(small),
             "--output_file", str(directory / "small.json"), "--format", "json_compressed"], check=True,
        )  # fmt: skip
        paths = [("600,000 regions, Parquet", small), ("600,000 regions, json_compressed", directory / "small.json")]
        hour = _made(directory / "big.data", 36_000, 1000)
        paths += [("36,000,000 regions, Parquet", hour), ("360,000,000 regions, segments", _ten(hour))]
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(
            f"| {'record':<33} | report  | wall s | CPU s | MB   | times faster than {PEER_S:g} s | share of memory |"
        )
        print(f"|{'-' * 35}|---------|--------|-------|------|------------------------|-----------------|")
        for title, path in paths:
            for report in REPORTS if "600" in title else REPORTS[:2]:
                one = measure([report, "--input", str(path)])
                found.append({"record": title, "report": report, **one})
                beside = ("", "")
                if "600,000" in title:
                    beside = (f"{PEER_S / one['wall_s']:.0f}", f"1/{PEER_MB / one['rss_mb']:.0f}")
                print(
                    f"| {title:<33} | {report:<7} | {one['wall_s']:6.2f} | {one['cpu_s']:5.2f} | {one['rss_mb']:4.0f} |"
                    f" {beside[0]:>22} | {beside[1]:>15} |",
                    flush=True,
                )
    print(json.dumps(found))
