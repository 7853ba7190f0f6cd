"""`report holistic` puts heatmaps, distributions and perf's functions on one page."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damod.errors import UsageError
from tests.shared import shared

ENTRY = [
    {"pid": 1, "footprint": {"size": 1000, "resident": 505}},
    {"pid": None, "footprint": {"total": 2000, "free": 1000}},
]


def test_page(tmp_path: Path) -> None:
    """The short form has the documented parts in their layout."""
    (tmp_path / "footprints").write_text(json.dumps([{"time": 1.0, "footprints": ENTRY}]))
    perf = tmp_path / "perf"
    perf.write_text('#!/bin/sh\nfor i in $(seq 40); do echo "line $i"; echo; done\n')
    perf.chmod(perf.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "profile").touch()
    out = io.StringIO()
    record = str(shared("damo", "records", "damon.data"))
    words = ["holistic", "--access_pattern", record, "--footprints", str(tmp_path / "footprints")]
    report.run([*words, "--profile", str(tmp_path / "profile"), "--perf_path", str(perf), "--compat", "damo"],
               Context(stdout=out))  # fmt: skip
    lines = out.getvalue().splitlines()
    assert lines[:2] == [
        "# Heatmap", "# target 18446623438842320000, address range 94827419009024-94827452162048",
    ]  # fmt: skip
    assert [len(line) for line in lines[2:7]] == [80] * 5
    assert lines[7].startswith("# x-axis: space [86.245035 TiB")
    at = lines.index("# Memory Footprints Distribution")
    assert lines[at + 1].split() == ["percentile", "0", "25", "50", "75", "100"]
    assert lines[at + 2] == (
        "       wss      95.160 MiB      95.391 MiB      95.391 MiB      95.395 MiB     196.871 MiB "
    )
    assert lines[at + 3].split()[:3] == ["rss", "1.973", "MiB"]
    assert [line.split()[0] for line in lines[at + 4 : at + 6]] == ["vsz", "sys_used"]
    assert lines[at + 6 : at + 8] == ["", "# Hotspot functions"]
    assert lines[at + 8 :] == [f"line {number}" for number in range(1, 17)]


def test_the_end_of_a_recording() -> None:
    """The heatmaps may be of the last seconds; of more than there are they are of all."""
    record = str(shared("damo", "records", "damon.data"))
    found = {}
    for seconds in ("1", "100000"):
        out = io.StringIO()
        words = ["holistic", "--input", record, "--heatmap_time_last_n_sec", seconds, "--json"]
        report.run(words, Context(stdout=out, stderr=io.StringIO()))
        found[seconds] = [item["time_range_ns"] for item in json.loads(out.getvalue())["maps"]]
    (low, high), (start, end) = found["1"][0], found["100000"][0]
    assert high - low == 10**9 and high == end and start < low
    with pytest.raises(UsageError, match="more than nothing"):
        report.run([*words[:-2], "0"], Context())


def test_what_is_missing_is_a_note() -> None:
    """Without footprints and profile there is still a page, and a word about each."""
    out, err = io.StringIO(), io.StringIO()
    record = str(shared("damo", "records", "damon.data.snapshot.active"))
    assert report.run(["holistic", "--input", record, "--long"], Context(stdout=out, stderr=err)) == 0
    assert "Sorted by time" in out.getvalue()
    assert err.getvalue().count("damoctl: no ") == 2


def test_footprints_without_a_process(tmp_path: Path) -> None:
    """Where physical memory was monitored vsz and rss are no findings, and that is said; sys_used is one."""
    (tmp_path / "x.mem_footprint").write_text(json.dumps([{"time": 1.0, "footprints": ENTRY[1:]}]))
    for metric, notes in (("vsz", 1), ("sys_used", 0)):
        out, err = io.StringIO(), io.StringIO()
        words = ["footprints", metric, "--input", str(tmp_path / "x.mem_footprint")]
        report.run(words, Context(stdout=out, stderr=err))
        assert f"<{metric}>" in out.getvalue() and err.getvalue().count("no process is in") == notes
