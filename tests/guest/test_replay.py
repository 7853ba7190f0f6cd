"""A recorded pattern, done again and recorded again by real DAMON, looks like the original."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from damoctl.local import LocalDaemon
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter
from tests.bench import stairs
from tests.guest.driver import MIB, Damoctl, ok

WORKLOADS = Path(__file__).parents[1] / "vm/workloads"
# Ten parts of 10 MiB, of which five are hot one after the other, each for five seconds.
SIZE, SNAPSHOTS = 100 * MIB, 250
# 10 ms and 200 ms are easier on an emulated processor than the usual half.
SAMPLE_US, AGGR_US = 10_000, 200_000
# A pixel is a second and 2.5 MiB. Finer ones compare DAMON's random walk of region boundaries with another one.
ROWS, COLUMNS = 25, 40
ATTRS = (
    *("--monitoring_intervals", f"{SAMPLE_US}us", f"{AGGR_US}us", "1s"),
    # A Python with its libraries has a GiB of address space. With few regions none would be smaller than what is hot.
    *("--monitoring_nr_regions_range", "200", "1000"),
    # The competitor is a child, and not to be recorded.
    "--exclude_child_tasks",
)
ATTEMPTS = 3
ALIKE = 0.9


def original(path: Path) -> int:
    """A recording of the stairs workload; when it begins."""
    writer = RecordWriter(path.parent, path.name, RecordMeta(wall_offset_ns=stairs.WALL_OFFSET_NS, tool="test"))
    found = list(stairs.snapshots(SNAPSHOTS, regions=60, size=SIZE))
    for before, snapshot in zip(found[::2], found[1::2], strict=True):
        writer.append(replace(snapshot, start_ns=before.start_ns, sample_us=SAMPLE_US, aggr_us=AGGR_US))
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
    return "\n".join("".join(str(int(9 * value / top)) for value in row) for row in heat)


@dataclass(frozen=True)
class Attempt:
    """One replay. `slowness` is how many times longer than asked for the kdamond's median aggregation took."""

    r: float
    share: float
    slowness: float
    told: str

    @property
    def starved(self) -> bool:
        """Whether the emulated machine did not get the time to do, or to see, what was asked."""
        return self.share < 0.8 or self.slowness > 2


def attempt(damoctl: Damoctl, record: Path, first_ns: int, number: int) -> Attempt:
    """Replay the record beside a busy competitor, since emulation hides accesses otherwise (docs/kernels.md)."""
    again, told, command = (record.parent / f"{name}{number}" for name in ("again", "told", "replay"))
    words = [sys.executable, WORKLOADS / "pinned.py", "1", sys.executable, "-m", "damoctl", "replay", record, "--json"]
    # A script of its own, so that what the replay says is not mixed with what the recording says.
    command.write_text(f"#!/bin/sh\nexec {shlex.join(map(str, words))} >{told}\n")
    command.chmod(0o755)
    began = time.monotonic()
    ok(damoctl("record", str(command), "--take_over", "--out", str(again), *ATTRS, timeout_s=400))
    took = time.monotonic() - began
    shutil.copy(again, os.environ["DAMOD_GUEST_OUT"])
    shutil.copy(told, os.environ["DAMOD_GUEST_OUT"])
    replayed = json.loads(told.read_text())
    (target,) = replayed["targets"]
    (at,) = (item["recorded_start"] for item in target["ranges"])
    length = replayed["steps"][-1]["end_ns"]
    before = heatmap(damoctl, record, (first_ns, first_ns + length), (at, at + SIZE))
    start = replayed["began_ns"]
    after = heatmap(damoctl, again, (start, start + length), (target["start"], target["start"] + SIZE))
    r = float(np.corrcoef(before.ravel(), after.ravel())[0, 1])
    share = replayed["touched"] / replayed["wanted"]
    times = pq.read_table(again, columns=["start_ns", "end_ns"]).to_pydict()
    lasted = [end - begin for begin, end in set(zip(times["start_ns"], times["end_ns"], strict=True))]
    slowness = float(np.median(lasted)) / 1000 / AGGR_US
    text = (
        f"r {r:.3f}, {100 * share:.1f} % of {replayed['wanted']:,} accesses, at most"
        f" {replayed['late_ns'] / 1e6:.1f} ms late; aggregations took {slowness:.2f} of their time;"
        f" {took:.0f} s in all\n{picture(before)}\n\n{picture(after)}\n"
    )
    with (Path(os.environ["DAMOD_GUEST_OUT"]) / "replay.txt").open("a") as log:
        log.write(text)
    return Attempt(r, share, slowness, text)


def test_a_replay_looks_like_the_record(daemon: LocalDaemon, damoctl: Damoctl, tmp_path: Path) -> None:
    """The heatmap of a replayed stairs record correlates with the original's at 0.9 or better.

    Where the host gives the emulated machine too little time, which the replay's own account and the kdamond's
    aggregations tell, it is tried again.
    """
    record = tmp_path / "stairs.data"
    first_ns = original(record)
    for number in range(ATTEMPTS):
        found = attempt(damoctl, record, first_ns, number)
        if found.r >= ALIKE or not found.starved:
            break
    assert found.r >= ALIKE, found.told
