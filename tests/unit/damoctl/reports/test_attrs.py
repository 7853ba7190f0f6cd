"""`report attrs`: regions by the hits of data attribute probes, in a record of damo's with its `.kdamonds`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damoctl.reports import attrs
from damod.errors import NoData, UsageError

MIB = 1 << 20
PROBES = [
    {"preps": [], "filters": [{"filter_type": "anon", "matching": True, "allow": True}], "weight": 2},
    {
        "preps": [{"prep_action": "set_pgidle"}],
        "filters": [{"filter_type": "memcg", "matching": True, "allow": False, "path": "/a"}],
        "weight": 1,
    },
]
# start, size, age in aggregations, hits
REGIONS = [
    (0, 10 * MIB, 100, [0, 0]),
    (10 * MIB, 2 * MIB, 5, [20, 3]),
    (1024 * MIB, 1024 * MIB, 500, [0, 0]),
]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "damon.data"
    regions = [
        {
            "start": str(start), "end": str(start + size), "nr_accesses": {"samples": 1, "percent": None},
            "age": {"usec": None, "aggr_intervals": str(age)}, "probe_hits": hits, "sz_filter_passed": str(size // 2),
        }
        for start, size, age, hits in REGIONS
    ]  # fmt: skip
    intervals = {
        "sample_us": "5000", "aggr_us": "100000", "ops_update_us": "1000000",
        "intervals_goal": {"access_bp": "0", "aggrs": "0", "min_sample_us": "0", "max_sample_us": "0"},
    }  # fmt: skip
    snapshot = {"start_time": "0", "end_time": "100000000", "regions": regions, "total_bytes": None}
    plain = {"kdamond_idx": 0, "context_idx": 0, "intervals": intervals, "scheme_idx": 0, "target_id": 0}
    path.write_text(json.dumps([{**plain, "snapshots": [snapshot]}]))
    Path(f"{path}.kdamonds").write_text(json.dumps([{"contexts": [{"ops": "paddr", "probes": PROBES}]}]))
    return path


def shown(path: Path, *words: str) -> list[str]:
    out = io.StringIO()
    assert report.run(["attrs", "--input", str(path), *words], Context(stdout=out, stderr=io.StringIO())) == 0
    return out.getvalue().splitlines()


def regions(path: Path, *words: str) -> list[list[str]]:
    """Size and hits of the regions as they are shown."""
    made = shown(path, "--format", "set", "region", "<size>|<probe hits>|", "--format", "set", "snapshot_head", "",
                 "--format", "set", "snapshot_tail", "", "--format", "set", "record_tail", "", *words)  # fmt: skip
    return [[part.strip() for part in line.split("|")[:2]] for line in made]


def test_layout(record: Path) -> None:
    """The layout is the one that damo's users know, coldest first."""
    lines = shown(record)
    assert lines[0].startswith("heatmap: ") and "# min/max temperatures: -5,000,000,000, " in lines[1]
    assert lines[2:] == [
        "probes",
        "- allow anon (weight: 2)",
        "- prep: set_pgidle, filter: reject memcg /a (weight: 1)",
        "intervals: sample 5 ms aggr 100 ms (max probe hits 20)",
        "#   size         address       age           probe_hits",
        "0   1024.000 MiB  1024.000 MiB  50 s          0 0",
        "1   10.000 MiB   0 B           10 s          0 0",
        "2   2.000 MiB    10.000 MiB    500 ms        20 3",
        "memory bw estimate: 10.117 GiB per second",
        "total size: 1.012 GiB",
        "record DAMON intervals: sample 5 ms, aggr 100 ms",
    ]


def test_temperature_is_of_weighted_hits(record: Path) -> None:
    """Hits by weight times 100 and age (us) times 100, below zero without hits; sizes count if they have a weight."""
    made = shown(record, "--format", "set", "region", "<temperature>", "--style", "temperature-percentiles")
    assert made[-6:-3] == ["-5,000,000,000", "-1,000,000,000", "50,004,300"]
    made = shown(record, "--format", "set", "region", "<temperature>", "--temperature_weights", "1", "0", "1")
    assert made[-6:-3] == [f"-{1 << 30:,}", f"-{10 * MIB:,}", f"{2 * MIB + 43:,}"]


def test_sorting(record: Path) -> None:
    """By any key; `reverse` turns the key before it."""
    assert [row[0] for row in regions(record, "--sort_regions_by", "size", "reverse")] == [
        "1024.000 MiB", "10.000 MiB", "2.000 MiB",
    ]  # fmt: skip
    assert [row[1] for row in regions(record, "--sort_regions_by", "address", "probe_hits_wsum", "reverse")] == [
        "20 3", "0 0", "0 0",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="reverse what"):
        shown(record, "--sort_regions_by", "reverse")


def test_filters_know_temperatures_of_hits(record: Path) -> None:
    """--temperature keeps by this report's temperatures, and the total is of what is kept."""
    assert regions(record, "--temperature", "0", "100000000") == [["2.000 MiB", "20 3"]]
    assert shown(record, "--temperature", "0", "100000000")[-2] == "total size: 2.000 MiB"


def test_idle_is_what_no_probe_hit(record: Path) -> None:
    """Recency counts from the last hit, not from the last access."""
    made = shown(record, "--style", "recency-percentiles", "--percentiles_range", "0", "101", "100")
    assert [line.split("|")[0].split(maxsplit=1) for line in made[2:4]] == [["0", "0 ns  "], ["100", "50.100 s  "]]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["size", "df_passed"], [["512.000 MiB", "0 0"], ["5.000 MiB", "0 0"], ["1024.000 KiB", "20 3"]]),
        (["size", "probe_hits_rate", "1"], [["307.199 KiB", "20 3"]]),
        (["probe_hits", "0", "df_passed"], [["1024.000 MiB", "0 0"], ["10.000 MiB", "0 0"], ["2.000 MiB", "10 3"]]),
        (
            ["probe_hits", "probe_hits_rate", "1"],
            [["1024.000 MiB", "0 0"], ["10.000 MiB", "0 0"], ["2.000 MiB", "3 0"]],
        ),
    ],
)
def test_adjusted_regions(record: Path, words: list[str], wanted: list[list[str]]) -> None:
    """Sizes, or hits of one probe or all, are scaled by the share that passed the filters, or that hit a probe."""
    assert regions(record, "--adjust_region", *words) == wanted


@pytest.mark.parametrize(
    "words", [["size"], ["pages", "df_passed"], ["size", "1", "df_passed"], ["size", "probe_hits_rate"]]
)
def test_wrong_adjustments(words: list[str]) -> None:
    """What cannot be meant is told with the way to say it."""
    with pytest.raises(UsageError, match="--adjust_region"):
        attrs.adjustment(words)


def test_a_probe_that_is_not_there(record: Path) -> None:
    """An index beyond the probes is told, not a traceback."""
    with pytest.raises(NoData, match="no probe 7"):
        shown(record, "--adjust_region", "size", "probe_hits_rate", "7")


def test_without_the_side_file_all_probes_weigh_the_same(record: Path) -> None:
    """Where no weight is known, hits just add up; the probes are not known."""
    Path(f"{record}.kdamonds").unlink()
    lines = shown(record, "--format", "append", "region", "<temperature>")
    assert "- not known" in lines and "50,002,300" in lines


def test_records_without_hits(tmp_path: Path, record: Path) -> None:
    """A record without probes says so, and which report is for it."""
    plain: Any = json.loads(record.read_text())
    for region in plain[0]["snapshots"][0]["regions"]:
        region["probe_hits"] = []
    record.write_text(json.dumps(plain))
    with pytest.raises(NoData, match="no probe hits"):
        shown(record)


def test_other_forms(record: Path) -> None:
    """The raw listing has hits in place of samples; JSON is damo's."""
    assert "# start_addr     end_addr        length    age probe_hits" in shown(record, "--raw_form")
    assert json.loads("\n".join(shown(record, "--json")))[0]["snapshots"][0]["regions"][1]["probe_hits"] == [20, 3]
