"""Reports against the peer's on the same recording, in one guest: `python -m tests.bench beside`.

The peer runs in guests only, where everything takes 20 to 50 times as long, so only ratios of CPU time mean anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.guest import PROGRAMS, ensure_damo
from tests.vm.guest import CHECKOUT, Guest, compile_for_guest
from tests.vm.programs.reports_beside_damo import BEGINNINGS, WHOLE
from tests.vm.run_in_guest import project_python

REGIONS = 200


def make(directory: Path) -> None:
    """The whole recording as ``whole.data`` and ``whole.json``, its beginnings as ``<regions>.json``."""
    from tests.bench import recordings

    for name, regions in (("whole", WHOLE), *((str(count), count) for count in BEGINNINGS)):
        made = recordings.write(directory / f"{name}.data", regions // REGIONS, REGIONS)
        subprocess.run(
            [sys.executable, "-m", "damoctl", "convert_record_format", "--record_file", str(made),
             "--output_file", str(directory / f"{name}.json"), "--format", "json_compressed"], check=True,
        )  # fmt: skip


def main() -> None:
    """Boot a guest and print the rows."""
    python = project_python()
    compile_for_guest(python, *(CHECKOUT / name for name in ("damod", "damoctl", "tests")))
    kernel = os.environ.get("DAMOD_VM_KERNELS", "newest").split(",")[-1].strip()
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        program = PROGRAMS / "reports_beside_damo.py"
        ran = Guest(kernel=kernel).run([python, program, ensure_damo(), name], timeout_s=3000, cwd=CHECKOUT).check()
    print(f"load average {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors")
    for line in ran.stdout.splitlines():
        row = json.loads(line)
        for kind, title in (("data", "Parquet"), ("json", "json_compressed")):
            ours = row[kind]
            print(
                f"| {row['report']} | {title} | {row['damo_s']['600000']:.0f} | {ours['damoctl_s']:.1f}"
                f" | {ours['times_faster']:.0f} |"
            )
