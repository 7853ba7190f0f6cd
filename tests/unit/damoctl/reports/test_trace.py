"""Trace events from text, as compact lines, and back."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damoctl.reports import trace
from damod.errors import BadRecord, UsageError

PERF = "kdamond.0  4452 [001] 10877.201334: damon:damon_aggregated: target_id=0 nr_regions=2 {}-{}: {} {}"
LINES = [PERF.format(4096, 8192, 0, 34), PERF.format(8192, 1 << 30, 3, 2), PERF.format(4096, 8192, 1, 35)]


def shown(*words: str) -> str:
    out = io.StringIO()
    assert report.run(["trace", *words], Context(stdout=out, stderr=io.StringIO())) == 0
    return out.getvalue()


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.txt"
    path.write_text("\n".join([*LINES, "bash 1 [000] 1.5: sched:sched_switch: prev=1", ""]))
    return path


@pytest.mark.parametrize(
    ("line", "task", "pid", "seconds"),
    [
        (LINES[0], "kdamond.0/4452", 4452, "10877.201334"),
        (LINES[0].replace("  4452", "  4452/4452"), "kdamond.0/4452", 4452, "10877.201334"),
        (LINES[0].replace("  4452", "-4452").replace("damon:damon", "damon"), "kdamond.0-4452", 4452, "10877.201334"),
        (LINES[0].replace("[001]", "[001] d..2."), "kdamond.0/4452", 4452, "10877.201334"),
        (LINES[0].replace("4452 [001]", "xxxx xxxx"), "kdamond.0/xxxx", None, "10877.201334"),
    ],
)
def test_lines_of_tracers(line: str, task: str, pid: int | None, seconds: str) -> None:
    """perf's, trace-cmd's and a converted record's lines are read alike; the task is written as its tracer does."""
    event = trace.parse(line)
    assert event is not None
    assert (event.task, event.pid, event.seconds, event.name) == (task, pid, seconds, "damon_aggregated")
    assert event.fields() == {
        "target_id": 0, "nr_regions": 2, "start": 4096, "end": 8192, "nr_accesses": 0, "age": 34,
    }  # fmt: skip


def test_compact_lines(events: Path) -> None:
    """Each region says which of its aggregation it is; an aggregation that lost regions does not shift the next."""
    assert shown("--input", str(events)).splitlines() == [
        "10877.201334 kdamond.0/4452 damon:damon_aggregated 0 0/2 4.000000 KiB (4.000000 KiB) 0 34",
        "10877.201334 kdamond.0/4452 damon:damon_aggregated 0 1/2 8.000000 KiB (1023.992188 MiB) 3 2",
        "10877.201334 kdamond.0/4452 damon:damon_aggregated 0 0/2 4.000000 KiB (4.000000 KiB) 1 35",
    ]
    compact = trace.Compact()
    found = [compact(event) for line in (LINES[0], LINES[2]) if (event := trace.parse(line))]
    assert [" 0/2 " in line for line in found] == [True, True]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "damos_before_apply: ctx_idx=0 scheme_idx=1 target_idx=2 nr_regions=9 4096-8192: 3 7",
            "0 1 2 9 4.000000 KiB (4.000000 KiB) 3 7",
        ),
        (
            "damos_stat_after_apply_interval: ctx_idx=0 scheme_idx=1 nr_tried=5 sz_tried=8192 nr_applied=4"
            " sz_applied=4097 sz_ops_filter_passed=0 qt_exceeds=1 nr_snapshots=7",
            "0 1 5 8.000000 KiB 4 4.000977 KiB 0 B 1 7",
        ),
        ("damon_monitor_intervals_tune: sample_us=7000", "sample_us=7000"),
        ("damos_esz: ctx_idx=0 scheme_idx=0 esz=12", "ctx_idx=0 scheme_idx=0 esz=12"),
        (
            "damon_region_aggregated: target_id=0 nr_regions=4 4096-8192: 3 7 probe_hits=14 03",
            "0 0/4 4.000000 KiB (4.000000 KiB) 3 7 20 3",
        ),
        ("damon_aggregated: target_id=0 nr_regions=4 4096-8192: 3 None", "0 0/4 4.000000 KiB (4.000000 KiB) 3 -1"),
        ("damon_aggregated: another=1 kernel=2", "another=1 kernel=2"),
    ],
)
def test_each_event(text: str, wanted: str) -> None:
    """Every event has its compact form; what is not known, or has other fields, is shown as it is."""
    event = trace.parse(f"kdamond.0 1 [000] 1.000000: damon:{text}")
    assert event is not None
    assert trace.Compact()(event) == f"1.000000 kdamond.0/1 damon:{event.name} {wanted}"


def test_long_lines_are_wrapped_at_blanks(events: Path) -> None:
    """No line is longer than the columns, as far as there is a blank; the rest is indented by three."""
    lines = shown("--input", str(events), "--max_cols", "60").splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].startswith("   ") and not lines[1].startswith("    ")
    assert shown("--input", str(events), "--max_cols", "0").count("\n") == 3


def test_what_is_saved_reads_the_same(events: Path, tmp_path: Path) -> None:
    """--output has three lines of header and the raw lines; --input shows it as before, and convert makes a record."""
    saved = tmp_path / "saved"
    first = shown("--input", str(events), "--output", str(saved))
    head = saved.read_text().splitlines()[:3]
    assert head[0] == "damo_report_trace_output_format_version: 0"
    assert head[1].startswith("damo_report_trace_output_time: ") and head[2].endswith("_tracer: perf")
    assert shown("--input", str(saved)) == first
    assert shown("--input", str(saved), "--raw").splitlines() == LINES
    assert json.loads(shown("--input", str(saved), "--json").splitlines()[0])["ns"] == 10877201334000


def test_events_are_chosen(events: Path) -> None:
    """By name, with or without the prefix; --no_event wins; --count ends early."""
    path = str(events)
    assert shown("--input", path, "--event", "damon:damon_aggregated").count("\n") == 3
    assert shown("--input", path, "--event", "damos_esz") == ""
    assert shown("--input", path, "--no_event", "damon_aggregated") == ""
    assert shown("--input", path, "--count", "1").count("\n") == 1
    with pytest.raises(UsageError, match="not a DAMON event"):
        shown("--input", path, "--event", "sched_switch")


def test_files_without_events(tmp_path: Path) -> None:
    """Text without an event is told; so is an --output that would overwrite what is read."""
    path = tmp_path / "text"
    path.write_text("hello\n")
    with pytest.raises(BadRecord, match="no trace event"):
        shown("--input", str(path))
    with pytest.raises(UsageError, match="is the file that is read"):
        shown("--input", str(path), "--output", str(path))


def test_the_rings_events_become_perfs_lines() -> None:
    """The kernel's own print format makes the text; without one, names and values do."""
    answer = {
        "tasks": {"7": "kdamond.3"},
        "runs": [
            {"event": "damon_x", "fields": ["pid", "a", "hits"], "ns": [1_500_000_000],
             "columns": [[7], [5], [[20, 3]]]},
        ],
    }  # fmt: skip
    formats = {"damon_x": ("a=%d hits=%s", ["a", "hex:hits"])}
    assert list(trace.lines_of_ring(answer, formats)) == ["kdamond.3 7 xxxx 1.500000000: damon:damon_x: a=5 hits=14 03"]
    assert list(trace.lines_of_ring(answer, {})) == ["kdamond.3 7 xxxx 1.500000000: damon:damon_x: a=5 hits=[20, 3]"]
