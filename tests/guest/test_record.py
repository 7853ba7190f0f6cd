"""Recordings of real DAMON, run inside a guest: `python3 -m tests.vm.run_in_guest --pytest tests/guest`."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from damoctl.local import LocalDaemon
from damod.records.stream import StreamReader
from damod.rpc.client import Client

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif("DAMOD_GUEST_OUT" not in os.environ, reason="writes to DAMON: only inside a guest"),
]

ROOT = Path(__file__).parents[2]
ROUNDS = {"recorder": 2, "daemon": 3}
# Seldom sampled: an emulated processor takes milliseconds to look at 1,000 pages, and DAMON is late by that each time.
FULL = ("--monitoring_nr_regions_range", "1000", "2000", "--monitoring_intervals", "50ms", "100ms", "1s")
NEAR_NS = 50_000_000
"""How far apart two rings may say that the same event was: half an aggregation."""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LocalDaemon]:
    """A damod on the guest's own DAMON."""
    with LocalDaemon("--kernel", "linux", directory=tmp_path, timeout_s=120) as local:
        yield local
        with Client(str(local.socket)) as client, contextlib.suppress(Exception):
            client.call("kdamonds.stop")


@pytest.fixture
def damoctl(daemon: LocalDaemon, tmp_path: Path) -> Run:
    """Run damoctl against that daemon."""

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "damoctl", "--socket", str(daemon.socket), *argv],
            capture_output=True, text=True, cwd=tmp_path, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    return run


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix != ".part":
        return list(pq.read_table(path, columns=["start_ns", "end_ns", "lost", "kdamond", "pid"]).to_pylist())
    with open(path, "rb") as file:
        return [row for batch in StreamReader(file.fileno(), path.name).batches() for row in batch.to_pylist()]


def spans(found: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return sorted({(row["start_ns"], row["end_ns"]) for row in found})


class Witness:
    """What the kernel itself says: a trace instance of our own, which keeps one event of each aggregation.

    It is no part of damod: a filter keeps the event of the region that begins at `start`, the first of all.
    """

    def __init__(self, start: int) -> None:
        self._instance = Path("/sys/kernel/tracing/instances/witness")
        self._instance.mkdir()
        event = self._instance / "events/damon/damon_aggregated"
        (self._instance / "trace_clock").write_text("mono")
        (event / "filter").write_text(f"start == {start}")
        (event / "enable").write_text("1")

    def ends_ns(self) -> list[int]:
        """When the aggregations ended, to a microsecond; the instance is gone afterwards."""
        (self._instance / "events/damon/damon_aggregated/enable").write_text("0")
        lines = [line for line in (self._instance / "trace").read_text().splitlines() if " damon_aggregated: " in line]
        self._instance.rmdir()
        return [round(float(line.partition(": damon_aggregated")[0].split()[-1]) * 1e9) for line in lines]


@pytest.fixture
def witness() -> Iterator[Callable[[int], Witness]]:
    yield Witness
    with contextlib.suppress(OSError):
        Path("/sys/kernel/tracing/instances/witness").rmdir()


def test_half_a_minute_in_three_segments(
    damoctl: Run, daemon: LocalDaemon, tmp_path: Path, witness: Callable[[int], Witness]
) -> None:
    """1,000 regions, 100 ms, 30 s, cut each 10 s: no aggregation that the kernel made is missing or lost, and side
    files lie in each segment."""
    out = tmp_path / "far" / "damon.data"
    out.parent.mkdir()
    damoctl("start", "paddr", *FULL, "--take_over", "--name", "full")
    with Client(str(daemon.socket)) as client:
        (kdamond,) = client.call("kdamonds.specs", name="full")["kdamonds"]
    seen = witness(kdamond["contexts"][0]["targets"][0]["regions"][0]["start"])
    damoctl("record", "--timeout", "30", "--output_flush_sec", "10", "--out", str(out))
    kernels = seen.ends_ns()
    segments = sorted(out.parent.glob("damon.data.2*"))
    assert len(segments) == 3
    sides = {f"damon.data{suffix}" for suffix in ("", ".kdamonds", ".mem_footprint", ".vmas", ".proc_stats")}
    assert all({file.name for file in item.iterdir()} == sides for item in segments)
    found = [row for item in segments for row in rows(item / "damon.data")]
    assert not any(row["lost"] for row in found)
    times = spans(found)
    told = {
        "kernel": len(kernels), "recorded": len(times), "regions": len(found) / len(times),
        "spaces_ms": [round((right - left) / 1e6, 1) for left, right in pairwise(kernels)],
    }  # fmt: skip
    Path(os.environ["DAMOD_GUEST_OUT"], "spacing.json").write_text(json.dumps(told))
    assert told["regions"] > 900
    # Each aggregation of the kernel's that ended within the recording is in it, and nothing else. So they are spaced as
    # evenly as the kernel made them, which on an emulated processor is every 105 ms, and at times 180.
    ends = [end for _, end in times]
    within = [at for at in kernels if ends[0] - NEAR_NS < at < ends[-1] + NEAR_NS]
    assert len(within) == len(ends)
    assert max(abs(at - end) for at, end in zip(within, ends, strict=True)) < NEAR_NS
    assert ends[-1] - ends[0] > 28e9
    assert len(ends) > 100
    assert all(left[1] == right[0] for left, right in pairwise(times))
    (state,) = json.loads((segments[0] / "damon.data.kdamonds").read_text())
    assert state["state"] == "on"


def test_a_command_and_its_child(damoctl: Run, tmp_path: Path) -> None:
    """A real process is recorded until it ends; its kdamond is gone then, and its footprint and mappings are there."""
    workload = tmp_path / "workload.py"
    workload.write_text(
        "import time\nheld = bytearray(64 << 20)\nend = time.time() + 8\n"
        "while time.time() < end: held[::4096] = bytes(len(held) // 4096)\n"
    )
    damoctl("record", f"{sys.executable} {workload}", "--take_over", "--out", "w.data")
    found = rows(tmp_path / "w.data")
    assert len(spans(found)) >= 5
    footprints = json.loads((tmp_path / "w.data.mem_footprint").read_text())
    assert max(item["footprints"][0]["footprint"].get("resident", 0) for item in footprints) > (64 << 20) // 4096
    assert json.loads((tmp_path / "w.data.vmas").read_text())[0]["procvmas"][0]["vmas"]
    assert json.loads(damoctl("status", "--json").stdout)["kdamonds"] == []


@pytest.mark.parametrize("victim", ["recorder", "daemon"])
def test_crashes_on_real_damon(tmp_path: Path, victim: str) -> None:
    """After SIGKILL all but the last second is there, no kdamond stays, no tracefs instance either, and all starts."""
    chance = random.Random(victim)
    with LocalDaemon("--kernel", "linux", directory=tmp_path, timeout_s=120) as daemon:
        for number in range(ROUNDS[victim]):
            with Client(str(daemon.socket), timeout_s=120) as client:
                started = client.call(
                    "record.start", name=f"round{number}", detach=True, take_over=True,
                    kdamonds=[{"contexts": [{"ops": "paddr", "targets": [{}]}]}],
                )  # fmt: skip
            time.sleep(chance.uniform(2.5, 5))
            killed_ns = time.monotonic_ns()
            if victim == "recorder":
                os.kill(started["pid"], signal.SIGKILL)
            else:
                daemon.kill()
                daemon.start()
            deadline = time.monotonic() + 120
            with Client(str(daemon.socket)) as client:
                while client.call("record.show", name=f"round{number}")["recording"]["running"]:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                assert client.call("daemon.status")["kdamonds"] == []
            files = [path for path in Path(started["directory"]).iterdir() if path.name.startswith("damon.data")]
            found = [row for path in files if path.name in ("damon.data", "damon.data.part") for row in rows(path)]
            assert killed_ns - max(row["end_ns"] for row in found) < 1_200_000_000
    instances = Path("/sys/kernel/tracing/instances")
    left = [item.name for item in instances.iterdir() if item.name.startswith("damod-")] if instances.exists() else []
    assert len(left) <= 1, "a dead recorder's instance goes when the next one opens"
