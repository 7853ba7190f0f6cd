"""Reports against the peer's on the same recording, in one guest: `python -m tests.bench beside`.

The peer runs in guests only, where everything takes 20 to 50 times as long, so only ratios mean anything. There it
would take an hour for the whole record of 600,000 regions; it reads two beginnings, and its time and memory for the
whole are what a constant and so much per region, told from these two, come to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.guest import PROGRAMS
from tests.vm.guest import CHECKOUT, Guest, GuestTimeout, compile_for_guest
from tests.vm.peer import ensure_damo
from tests.vm.programs.reports_beside_damo import BEGINNINGS, KINDS, WHOLE
from tests.vm.run_in_guest import project_python

REGIONS = 200
REPORTS = ("heatmap", "wss", "access")
HEAD = """\
| report | record | regions | damo, CPU s | damoctl, CPU s | times faster | damo, MiB | damoctl, MiB | share of memory |
|---|---|---|---|---|---|---|---|---|"""


def make(directory: Path) -> None:
    """The whole recording and its beginnings, as ``<regions>.parquet`` and ``<regions>.json_compressed``."""
    code = "from pathlib import Path; import sys; from tests.bench import recordings"
    for count in (*BEGINNINGS, WHOLE):
        made = directory / f"{count}.parquet"
        subprocess.run(
            [sys.executable, "-c", f"{code}; recordings.write(Path({str(made)!r}), {count // REGIONS}, {REGIONS})"],
            check=True, cwd=CHECKOUT,
        )  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "damoctl", "convert_record_format", "--record_file", str(made),
             "--output_file", str(made.with_suffix(".json_compressed")), "--format", "json_compressed"], check=True,
        )  # fmt: skip


def line(low: tuple[int, float], high: tuple[int, float], at: int) -> float:
    """The value at `at` of the straight line through two points."""
    return low[1] + (high[1] - low[1]) / (high[0] - low[0]) * (at - low[0])


def rows(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of the table in docs/performance.md; the least of what was measured several times."""
    least: dict[tuple[str, str, str, int], dict[str, float]] = {}
    for one in found:
        key = one["who"], one["report"], one["kind"], one["regions"]
        known = least.setdefault(key, {"cpu_s": one["cpu_s"], "mib": one["mib"]})
        for name in known:
            known[name] = min(known[name], one[name])
    low, high = BEGINNINGS
    lines = []
    for report in REPORTS:
        points = [least.get(("damo", report, "json_compressed", count)) for count in BEGINNINGS]
        for kind in KINDS:
            for regions in (high, WHOLE):
                ours = least.get(("damoctl", report, kind, regions))
                if ours is None or points[0] is None or points[1] is None:
                    continue
                theirs = {name: line((low, points[0][name]), (high, points[1][name]), regions) for name in ours}
                about = "" if regions == high else "about "
                lines.append(
                    f"| {report} | {kind} | {regions:,} | {about}{theirs['cpu_s']:.0f} | {ours['cpu_s']:.1f}"
                    f" | {about}{theirs['cpu_s'] / ours['cpu_s']:.0f} | {about}{theirs['mib']:.0f} | {ours['mib']:.0f}"
                    f" | {about}1/{theirs['mib'] / ours['mib']:.1f} |"
                )
    return lines


def main(reports: Sequence[str] = REPORTS) -> None:
    """Boot a guest and print the table, of what was done in time if not all was."""
    python = project_python()
    compile_for_guest(python, *(CHECKOUT / name for name in ("damod", "damoctl", "tests")))
    damo = ensure_damo()
    kernel = os.environ.get("DAMOD_VM_KERNELS", "newest").split(",")[-1].strip()
    with tempfile.TemporaryDirectory(prefix="damod-beside-") as name:
        # The directory that both sides see.
        out = Path(name) / "out"
        out.mkdir()
        make(out)
        load = os.getloadavg()
        guest = Guest(kernel=kernel, memory="3G")
        argv = [python, PROGRAMS / "reports_beside_damo.py", damo, out, *reports]
        try:
            guest.run(argv, timeout_s=1400, outdir=out).check()
        except GuestTimeout as exc:
            print(exc, file=sys.stderr)
        found = [json.loads(row) for row in (out / "stdout").read_text().splitlines() if row.startswith("{")]
    print(
        f"{time.strftime('%Y-%m-%d')}, load average {load[1]:.1f} before, {os.getloadavg()[1]:.1f} after, "
        f"{os.cpu_count()} processors"
    )
    print(json.dumps(found))
    print("\n".join((HEAD, *rows(found))))
