"""A real recording of a workload that walks through memory in ten steps: what the reports say of it.

Inside a guest: `python3 -m tests.vm.run_in_guest --pytest tests/guest/test_stairs.py`. The record and the pictures are
left in $DAMOD_GUEST_OUT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from damoctl.local import LocalDaemon
from damod.rpc.client import Client

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif("DAMOD_GUEST_OUT" not in os.environ, reason="writes to DAMON: only inside a guest"),
]

ROOT = Path(__file__).parents[2]
WORKLOADS = ROOT / "tests/vm/workloads"
PARTS = 10
AGGR_NS = 1_000_000_000
# Slow, since an emulated processor shows an access only after the next switch of processes (docs/kernels.md).
INTERVALS = ("--monitoring_intervals", "50ms", "1s", "2s", "--monitoring_nr_regions_range", "200", "1000")


class Walk(NamedTuple):
    """Where the record is, and what the workload did: `steps_ns` are begins and the last end, on the trace clock."""

    record: Path
    start: int
    part: int
    steps_ns: list[int]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Record the workload from before its first step until its end."""
    out = Path(os.environ["DAMOD_GUEST_OUT"])
    python = sys.executable
    # An emulated machine reads these libraries for a minute, more than damod gives a recorder to begin.
    subprocess.run([python, "-c", "import pyarrow.parquet, damod.recorder.session, damod.records.writer"], check=True)
    workload = subprocess.Popen(
        [python, "-S", str(WORKLOADS / "pinned.py"), "1", python, "-S", str(WORKLOADS / "stairs.py"),
         "--seconds", "8"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert workload.stdin is not None and workload.stdout is not None
    facts = json.loads(workload.stdout.readline())
    with LocalDaemon("--kernel", "linux", directory=tmp_path_factory.mktemp("damod"), timeout_s=120) as daemon:
        recording = subprocess.Popen(
            [python, "-m", "damoctl", "--socket", str(daemon.socket), "record", str(facts["pid"]), *INTERVALS,
             "--exclude_child_tasks", "--take_over", "--out", str(out / "damon.data")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        deadline = time.monotonic() + 120
        with Client(str(daemon.socket), timeout_s=120) as client:
            # The recorder takes its time to begin, and the regions theirs to settle.
            while sum(item["snapshots"] for item in client.call("record.list")["recordings"]) < 10:
                assert time.monotonic() < deadline and recording.poll() is None
                time.sleep(0.5)
        workload.stdin.write("\n")
        workload.stdin.flush()
        steps = json.loads(workload.stdout.readline())["steps_ns"]
        workload.wait(60)
        assert recording.wait(120) == 0
    return Walk(out / "damon.data", facts["start"], facts["part"], steps)


def report(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "damoctl", "report", *words],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def drawn(walk: Walk) -> list[str]:
    """The options that draw the walk and nothing else."""
    steps, end = walk.steps_ns, walk.start + PARTS * walk.part
    return [
        "--input", str(walk.record), "--time_range", str(steps[0]), str(steps[-1]),
        "--address_range", str(walk.start), str(end),
    ]  # fmt: skip


def test_the_heatmap_shows_the_stairs(walk: Walk) -> None:
    """In each step's row of the terminal's map the hottest column is that of the part that was touched."""
    text = report("heatmap", *drawn(walk), "--resol", "10", "40")
    (walk.record.parent / "heatmap.txt").write_text(text)
    rows = text.splitlines()[:PARTS]
    for step, row in enumerate(rows):
        digits = [int(digit) if digit.isdigit() else 0 for digit in row]
        means = [sum(digits[part * 4 : part * 4 + 4]) / 4 for part in range(PARTS)]
        assert means.index(max(means)) == step, text
        others = [mean for part, mean in enumerate(means) if part != step]
        assert max(means) >= 2 * max(others), text


def test_the_picture_is_one(walk: Walk) -> None:
    """The same map is written as a png."""
    report("heatmap", *drawn(walk), "--output", str(walk.record.parent / "heatmap.png"))
    assert (walk.record.parent / "heatmap.png").read_bytes().startswith(b"\x89PNG")


def test_times_finds_the_steps(walk: Walk) -> None:
    """Each part was accessed from its step's begin to its end, within one aggregation, and at no other time."""
    told: list[Any] = []
    for part, (begin, end) in enumerate(pairwise(walk.steps_ns)):
        low = walk.start + part * walk.part
        # A region on the border of two parts belongs to both: what lies within 2 MiB of it is left out.
        inner = (low + (2 << 20), low + walk.part - (2 << 20))
        words = ["--access_rate", "50%", "100%", "--address", str(inner[0]), str(inner[1])]
        spans = json.loads(report("times", "--input", str(walk.record), *words, "--json"))
        told.append({"part": part, "begin": begin, "end": end, "found": spans})
    (walk.record.parent / "times.json").write_text(json.dumps(told, indent=1))
    for step in told:
        found = [(span["start_ns"], span["end_ns"]) for span in step["found"]]
        assert len(found) == 1, step
        assert abs(found[0][0] - step["begin"]) <= AGGR_NS, step
        assert abs(found[0][1] - step["end"]) <= AGGR_NS, step
