"""What reports cost: `python -m tests.bench reports` prints the tables of docs/performance.md.

The record of 600,000 regions (3,000 snapshots of 200) is read as Parquet and as damo's json_compressed, one of 36
million (36,000 of 1,000, an hour) as Parquet, and ten such hours as rotated segments (the same file ten times).
Commands are whole processes with their start-up. The peer may not run on the host, so beside our numbers stand those
that were measured of it elsewhere, for any report on 600,000 regions: 20 to 26 s and 1.2 GB; the ratios are of 20 s.
`tests.bench beside` has both in one guest.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PEER_S, PEER_MB = 20.0, 1200
REPORTS = ("heatmap", "wss", "access")
ROUNDS = 5
# What else there is, each on 600,000 regions in Parquet.
KINDS = (
    "access --json", "access --raw_form", "access --raw_number", "access --compat damo", "access --style simple-boxes",
    "access --style cold", "access --style hot", "access --style temperature-sz-hist",
    "access --style recency-sz-hist", "access --style temperature-percentiles", "access --style recency-percentiles",
    "access --style recency-percentiles --json", "access --region_box", "access --total_sz_only",
    "access --sort_regions_by temperature", "access --sort_regions_by age access_rate size",
    "access --access_rate 5% 100%", "access --sz_region 4K 100M", "access --age 1s 5s", "access --address 4G 8G",
    "access --sz_snapshot 1G max", "access --snapshot_idx 0 100", "heatmap --output raw", "heatmap --output heat.png",
    "heatmap --draw_range all", "heatmap --sort_temperature", "heatmap --resol 500 500", "heatmap --guide",
    "heatmap --compat damo", "wss --range 0 101 1", "wss --sortby time", "wss --work_time 1s", "wss --compat damo",
    "nr_regions --range 0 101 1", "times --access_rate 50% 100%", "holistic", "record_info",
)  # fmt: skip


def measure(words: Sequence[str], rounds: int = ROUNDS) -> dict[str, float]:
    """Wall and CPU seconds of the median of some runs, the CPU seconds of the best, and the peak memory in MiB."""
    runs: list[tuple[float, float, float]] = []
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(rounds):
        begin = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "damoctl", "report", *words], stdout=subprocess.DEVNULL, env=environ
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"report {' '.join(words)} ended with {child.returncode}")
        runs.append((time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
    wall, cpu, peak = zip(*runs, strict=True)
    return {
        "wall_s": round(statistics.median(wall), 2),
        "cpu_s": round(statistics.median(cpu), 2),
        "best_cpu_s": round(min(cpu), 2),
        "mib": round(max(peak)),
    }


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
    """Print two tables, and the same as one line of JSON."""
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
        paths += [("36,000,000 regions, Parquet", hour), ("360,000,000 regions, ten segments", _ten(hour))]
        print(f"{time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors\n")
        print("| record | report | wall s | CPU s (best) | peak MiB | times faster (CPU, best) | share of memory |")
        print("|---|---|---|---|---|---|---|")
        for title, path in paths:
            for report in REPORTS if "600,000" in title else REPORTS[:2]:
                one = measure([report, "--input", str(path)], ROUNDS if "36" not in title else 1)
                found.append({"record": title, "report": report, **one})
                ratios = " | "
                if "600,000" in title:
                    ratios = (
                        f"{PEER_S / one['cpu_s']:.0f} ({PEER_S / one['best_cpu_s']:.0f}) | 1/{PEER_MB / one['mib']:.0f}"
                    )
                print(
                    f"| {title} | {report} | {one['wall_s']:.2f} | {one['cpu_s']:.2f} ({one['best_cpu_s']:.2f})"
                    f" | {one['mib']:.0f} | {ratios} |",
                    flush=True,
                )
        print(f"\nload average {os.getloadavg()[1]:.1f}\n\n| 600,000 regions, Parquet | CPU s (best of 3) | peak MiB |")
        print("|---|---|---|")
        for kind in KINDS:
            one = measure([*kind.replace("heat.png", str(directory / "heat.png")).split(), "--input", str(small)], 3)
            found.append({"record": "600,000 regions, Parquet", "report": kind, **one})
            print(f"| `{kind}` | {one['best_cpu_s']:.2f} | {one['mib']:.0f} |", flush=True)
    print(json.dumps(found))
