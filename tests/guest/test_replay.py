"""A recorded pattern, done again and recorded again by real DAMON, looks like the original."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from damoctl.local import LocalDaemon
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter
from tests.bench import stairs
from tests.guest.driver import MIB, Damoctl, ok

WORKLOADS = Path(__file__).parents[1] / "vm/workloads"
# Ten parts of 10 MiB, each hot for five seconds. On 4 GiB of it a replay would take more memory than the guest has.
SIZE, SNAPSHOTS = 100 * MIB, 500
# A pixel is a second and 2.5 MiB. Finer ones compare DAMON's random walk of region boundaries with another one.
ROWS, COLUMNS = 50, 40
# More regions than DAMON's least ten: of a process of 200 MiB these would be larger than what is hot.
ATTRS = ("--monitoring_nr_regions_range", "100", "1000")


def original(path: Path) -> int:
    """A recording of the stairs workload; when it begins."""
    writer = RecordWriter(path.parent, path.name, RecordMeta(wall_offset_ns=stairs.WALL_OFFSET_NS, tool="test"))
    found = list(stairs.snapshots(SNAPSHOTS, regions=60, size=SIZE))
    for snapshot in found:
        writer.append(snapshot)
    writer.seal()
    return found[0].start_ns


def heatmap(damoctl: Damoctl, path: Path, times: Sequence[int], addresses: Sequence[int]) -> Any:
    """The heat that `report heatmap` tells, as an array of times and addresses."""
    told = ok(damoctl(
        *("report", "heatmap", "--input", str(path), "--output", "raw", "--resol", str(ROWS), str(COLUMNS)),
        *("--time_range", *map(str, times), "--address_range", *map(str, addresses)),
    ))  # fmt: skip
    heat = [float(line.split("\t")[2]) for line in told.splitlines()]
    return np.nan_to_num(np.array(heat).reshape(ROWS, COLUMNS))


def picture(heat: Any) -> str:
    """For whoever reads the test's output."""
    top = heat.max() or 1
    return "\n".join("".join(str(int(9 * value / top)) for value in row) for row in heat[::2])


def test_a_replay_looks_like_the_record(daemon: LocalDaemon, damoctl: Damoctl, tmp_path: Path) -> None:
    """The heatmap of a replayed stairs record correlates with the original's at 0.9 or better.

    The replay runs beside a busy competitor, for emulation hides accesses otherwise (docs/kernels.md).
    """
    record, again, told = tmp_path / "stairs.data", tmp_path / "again.data", tmp_path / "told"
    first_ns = original(record)
    words = [sys.executable, WORKLOADS / "pinned.py", "1", sys.executable, "-m", "damoctl", "replay", record, "--json"]
    # A script of its own, so that what the replay says is not mixed with what the recording says.
    command = tmp_path / "replay"
    command.write_text(f"#!/bin/sh\nexec {shlex.join(map(str, words))} >{told}\n")
    command.chmod(0o755)
    ok(damoctl("record", str(command), "--take_over", "--out", str(again), *ATTRS))
    shutil.copy(again, os.environ["DAMOD_GUEST_OUT"])
    replayed = json.loads(told.read_text())
    (target,) = replayed["targets"]

    length = replayed["steps"][-1]["end_ns"]
    (before_low,) = (item["recorded_start"] for item in target["ranges"])
    before = heatmap(damoctl, record, (first_ns, first_ns + length), (before_low, before_low + SIZE))
    began = replayed["began_ns"]
    after = heatmap(damoctl, again, (began, began + length), (target["start"], target["start"] + SIZE))
    r = float(np.corrcoef(before.ravel(), after.ravel())[0, 1])
    share = replayed["touched"] / replayed["wanted"]
    report = (
        f"r {r:.3f}, {100 * share:.1f} % of {replayed['wanted']:,} accesses,"
        f" at most {replayed['late_ns'] / 1e6:.1f} ms late\n{picture(before)}\n\n{picture(after)}\n"
    )
    (Path(os.environ["DAMOD_GUEST_OUT"]) / "replay.txt").write_text(report)
    assert r >= 0.9, report
