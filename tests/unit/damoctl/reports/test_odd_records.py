"""Records empty, cut, without intervals or ages, unsorted, overlapping: a report or a sentence, never a traceback."""

from __future__ import annotations

import io
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damod.errors import BadRecord, DamodError, Internal, NoData, UsageError
from damod.records import convert, open_record

Row = tuple[int, int, int, int | None]
USUAL: list[Row] = [(4096, 8192, 3, 1), (8192, 1 << 30, 0, 7)]


def snap(at: int, rows: list[Row]) -> dict[str, Any]:
    return {
        "start_time": str(at * 100_000_000),
        "end_time": str((at + 1) * 100_000_000),
        "regions": [
            {
                "start": str(start), "end": str(end), "nr_accesses": {"samples": samples, "percent": None},
                "age": {"usec": None, "aggr_intervals": None if age is None else str(age)},
            }
            for start, end, samples, age in rows
        ],
        "total_bytes": None,
    }  # fmt: skip


def record(*snapshots: dict[str, Any], intervals: bool = True) -> dict[str, Any]:
    known = {"sample_us": "5000", "aggr_us": "100000", "ops_update_us": "1000000"}
    return {
        "kdamond_idx": 0, "context_idx": 0, "intervals": known if intervals else None, "scheme_idx": None,
        "target_id": 0, "snapshots": list(snapshots),
    }  # fmt: skip


ODD: dict[str, Any] = {
    "no_record": [],
    "no_snapshot": [record()],
    "no_intervals": [record(snap(1, USUAL), intervals=False)],
    "no_ages": [record(snap(1, [(0, 4096, 1, None)]), snap(2, [(0, 4096, 1, None)]))],
    "one": [record(snap(1, USUAL))],
    "no_regions": [record(snap(1, []), snap(2, []))],
    "overlapping": [record(snap(1, [(0, 100, 1, 1), (50, 200, 2, 2)]))],
    "unsorted": [record(snap(1, [(8192, 16384, 1, 1), (0, 4096, 2, 2)]))],
    "empty_region": [record(snap(1, [(4096, 4096, 1, 1)]))],
    "never_accessed": [record(snap(1, [(0, 4096, 0, 0)]), snap(2, [(0, 4096, 0, 0)]))],
    "whole_space": [record(snap(1, [(0, 2**64 - 1, 0, 0)]))],
    "backwards": [record(snap(5, USUAL), snap(1, USUAL))],
}
COMMANDS = (
    "heatmap --resol 2 5", "heatmap --guide", "heatmap --output raw --resol 1 2", "heatmap --resol 2 5 --compat damo",
    "heatmap --sort_temperature --resol 1 3", "heatmap --df_passed", "heatmap --json --resol 2 2", "wss", "wss --json",
    "wss --work_time 1s", "nr_regions", "nr_regions --compat damo", "times --access_rate 5% 50%", "access",
    "access --style hot", "access --style simple-boxes", "access --style recency-sz-hist --hist_logscale",
    "access --style temperature-percentiles", "access --raw_form", "access --json", "access --compat damo --region_box",
    "access --sz_region 1T max", "access --address 1T 2T --style temperature-sz-hist", "access --total_sz_only",
    "access --style recency-percentiles --temperature 7 8", "record_info", "trace", "trace --json", "attrs", "holistic",
    "times --snapshot_idx 90 99", "nr_regions -r 0 101 50 --sortby time", "wss --all_wss", "wss --per_target",
    "heatmap --time_range 0 1s", "heatmap --time_range 0 1h guided_end", "heatmap --address_range 0 1G guided",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_record(name: str, tmp_path: Path) -> None:
    """Every report either shows it without negative or undefined heat, or says why it cannot."""
    path = tmp_path / "damon.data"
    path.write_text(json.dumps(ODD[name]))
    for command in COMMANDS:
        out = io.StringIO()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                report.run([*command.split(), "--input", str(path)], Context(stdout=out, stderr=io.StringIO()))
            except DamodError as exc:
                assert not isinstance(exc, Internal), command
                assert exc.message, command
                continue
        text = out.getvalue()
        assert text.endswith("\n") or not text, command
        assert "nan" not in text, command
        if command.startswith("heatmap --output raw"):
            assert not re.search(r"\t-", text), command


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ("heatmap --time_range 100s 200s", NoData, "nothing was recorded"),
        ("heatmap --time_range 5 5", UsageError, "not after"),
        ("heatmap --address_range 1T 2T", NoData, "nothing was watched from 1024.000 GiB to 2.000 TiB"),
        ("heatmap --address_range 9 9", UsageError, "not above"),
        ("heatmap --address_range 0 5 guided --address_range 0 5 guided", UsageError, "the guide has 1 ranges"),
        ("heatmap --resol 0 5", UsageError, "--resol"),
        ("heatmap --tid 77", NoData, "target 77"),
        ("heatmap --output x.bmp", UsageError, "an image is one of"),
        ("heatmap --df_passed", NoData, "bytes that passed"),
        ("wss -r 5 5 1", UsageError, "no percentile"),
        ("wss -r 0 10 0", UsageError, "never ends"),
        ("footprints swap", UsageError, "no footprint 'swap'"),
        ("times --access_rate 50% 5%", UsageError, "nothing can match"),
        ("wss extra", UsageError, "takes no 'extra'"),
        ("heatmap --resol 20001 1", UsageError, "'20001' is more than 20,000"),
        ("heatmap --resol 20000 20000", UsageError, "a map of 20,000 by 20,000 would be 400,000,000 pixels"),
        ("wss -r 0 99999999999999999999 1", UsageError, "more than 10,000 percentiles"),
        ("wss --nr_cols_bar 10001", UsageError, "'10001' is more than 10,000"),
        ("access --percentiles_range 0 20000", UsageError, "more than 10,000 percentiles"),
        ("access --snapshot_heatmap_width max", UsageError, "'max' is more than 10,000"),
        ("access --region_box_min_max_length 1 1001", UsageError, "'1001' is more than 1,000"),
        ("access --region_box_min_max_height 1 101", UsageError, "'101' is more than 100"),
        ("access --min_chars_for size 1G", UsageError, "'1G' is not a whole number"),
        ("access --min_chars_for size 1,001", UsageError, "'1,001' is more than 1,000"),
    ],
)
def test_wrong_words(words: str, error: type[DamodError], said: str, tmp_path: Path) -> None:
    """Ranges outside of the record and words that make no sense are told, in a sentence that names them."""
    path = tmp_path / "damon.data"
    path.write_text(json.dumps(ODD["one"]))
    with pytest.raises(error) as raised:
        report.run([*words.split(), "--input", str(path)], Context(stdout=io.StringIO(), stderr=io.StringIO()))
    assert said in raised.value.message


def test_pattern_without_intervals(tmp_path: Path) -> None:
    """A filter that needs the intervals is never silently ignored."""
    path = tmp_path / "damon.data"
    path.write_text(json.dumps(ODD["no_intervals"]))
    with pytest.raises(NoData, match="lacks the intervals"):
        report.run(["times", "--access_rate", "5%", "max", "--input", str(path)], Context(stdout=io.StringIO()))


@pytest.mark.parametrize("content", [b"", b"\x00\x01garbage", b"x\x9c\x01\x02", b'[{"target_id": 0, "snapshots": [{"'])
def test_damaged(content: bytes, tmp_path: Path) -> None:
    """A file that is no record, or a part of one, is told."""
    path = tmp_path / "damon.data"
    path.write_bytes(content)
    for command in ("heatmap", "wss", "times", "access"):
        with pytest.raises(BadRecord):
            report.run([command, "--input", str(path)], Context(stdout=io.StringIO()))


def test_all_selectors(tmp_path: Path) -> None:
    """All of the selectors and ranges together choose what they say (damo takes them for text and fails)."""
    path, out = tmp_path / "damon.data", io.StringIO()
    path.write_text(json.dumps(ODD["one"]))
    words = "heatmap --kdamond_idx 0 --context_idx 0 --tid 0 --time_range 100ms 200ms --address_range 4K 12K"
    report.run([*words.split(), "--resol", "1", "4", "--input", str(path)], Context(stdout=out))
    assert out.getvalue().splitlines()[0] == "9900"


def test_images(tmp_path: Path) -> None:
    """Images are files of the kind that their suffix says; several maps make several files."""
    path = tmp_path / "damon.data"
    path.write_text(json.dumps([record(snap(1, [(0, 4096, 1, 1), (8192, 9000, 2, 0)]))]))
    for name, magic in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a.jpeg", b"\xff\xd8")):
        words = ["heatmap", "--output", str(tmp_path / name), "--draw_range", "all", "--resol", "4", "4"]
        report.run([*words, "--input", str(path)], Context(stdout=io.StringIO(), stderr=io.StringIO()))
        assert (tmp_path / name).read_bytes().startswith(magic)
        assert (tmp_path / name.replace(".", ".1.")).read_bytes().startswith(magic)
    report.run(["wss", "--plot", str(tmp_path / "w.png"), "--input", str(path)], Context(stdout=io.StringIO()))
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")


def test_many_ranges_make_no_endless_page(tmp_path: Path) -> None:
    """A page has room for the hottest ranges and says how many more there are; a heatmap of them all is refused."""
    rows: list[Row] = [(at << 20, (at << 20) + 4096, at % 20, 1) for at in range(3000)]
    path, out = tmp_path / "damon.data", io.StringIO()
    path.write_text(json.dumps([record(snap(1, rows))]))
    report.run(["holistic", "--input", str(path)], Context(stdout=out, stderr=io.StringIO()))
    assert out.getvalue().count("# target 0, address range") == 200
    assert "# 2,800 more ranges, less hot than these, are left out\n" in out.getvalue()
    with pytest.raises(UsageError, match="3,000 maps of 40 by 80 would be 9,600,000 pixels"):
        report.run(["heatmap", "--draw_range", "all", "--input", str(path)], Context(stdout=out))


def test_addresses_with_the_64th_bit(tmp_path: Path) -> None:
    """In a parquet record, where they have a sign, they are what they are in damo's: the top of the address space."""
    path = tmp_path / "damon.data"
    path.write_text(json.dumps(ODD["whole_space"]))
    with open_record(path) as source:
        convert.write(source, tmp_path / "parquet", "parquet")
    for command in ("heatmap --resol 2 5", "wss --json", "record_info", "nr_regions", "access"):
        texts = []
        for name in ("damon.data", "parquet"):
            out = io.StringIO()
            report.run([*command.split(), "--input", str(tmp_path / name)], Context(stdout=out, stderr=io.StringIO()))
            texts.append(out.getvalue().replace("parquet", "json"))
        assert texts[0] == texts[1], command


def test_temperatures_beyond_64_bits_are_told(tmp_path: Path) -> None:
    """Weights that make numbers wrap round are refused, not sorted by nonsense."""
    path = tmp_path / "damon.data"
    rows: list[Row] = [(at << 20, (at << 20) + 4096, at % 20, 1) for at in range(3000)]
    path.write_text(json.dumps([record(snap(1, rows))]))
    with pytest.raises(UsageError, match="beyond 64 bits"):
        report.run(
            [
                "access",
                "--temperature_weights",
                str(10**19),
                "0",
                "0",
                "--sort_regions_by",
                "temperature",
                "--input",
                str(path),
            ],
            Context(stdout=io.StringIO()),
        )
