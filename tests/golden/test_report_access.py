"""`report access --compat damo` prints what damo prints, to the character, colours and the final newline apart."""

from __future__ import annotations

import io
import re

import pytest

from damoctl.commands import report
from damoctl.context import Context
from tests.shared import shared

STYLES = ("detailed", "recency-percentiles", "recency-sz-hist", "temperature-percentiles", "temperature-sz-hist")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def shown(*words: str, color: bool = False) -> str:
    out = io.StringIO()
    assert report.run(["access", *words], Context(stdout=out, color="always" if color else "auto")) == 0
    return out.getvalue()


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("record", ["active", "nofilter"])
def test_style(record: str, style: str, color: bool) -> None:
    """Each style of each snapshot is damo's."""
    source = shared("damo", "records", f"damon.data.snapshot.{record}")
    wanted = shared("damo", "expected", f"report-{style}-{record}").read_text()
    got = shown("--input", str(source), "--style", style, "--compat", "damo", color=color)
    assert plain(got).removesuffix("\n") == plain(wanted).removesuffix("\n")
    assert ("\x1b[" in got) == (color and style == "detailed")


def test_raw_form() -> None:
    """The raw listing of a whole record is damo's; damo's pager eats the last newline."""
    wanted = shared("damo", "expected", "report-raw").read_text()
    got = shown("--input", str(shared("damo", "records", "damon.data")), "--raw_form", "--compat", "damo")
    assert got.removesuffix("\n") == wanted


def test_raw_form_needs_no_compat() -> None:
    """Nothing in the raw listing is computed, so it is the same without --compat."""
    source = str(shared("damo", "records", "damon.data"))
    assert shown("--input", source, "--raw_form") == shown("--input", source, "--raw_form", "--compat", "damo")


NOFILTER = ("damo", "records", "damon.data.snapshot.nofilter")
ACTIVE = ("damo", "records", "damon.data.snapshot.active")


@pytest.mark.parametrize(
    ("record", "words", "lines"),
    [
        (
            NOFILTER,
            ["--style", "recency-sz-hist", "--hist_ranges", "0", "1s", "1s", "1h", "1h", "max"],
            [
                "[0 ns, 1 s) 3.767 GiB  |                    |",
                "[1 s, 1 h)  14.250 GiB |******              |",
                "[1 h, max)  41.851 GiB |********************|",
            ],
        ),
        (
            NOFILTER,
            ["--style", "recency-sz-hist", "--hist_logscale", "--hist_cumulate"],
            ["[0 ns, 6.492 s) ", "[0 ns, 19.477 s) ", "[0 ns, 3 h 56 m 38.839 s) 59.868 GiB"],
        ),
        (
            NOFILTER,
            ["--style", "recency-sz-hist", "--raw_number"],
            ["[0, 664820001)           7869087744  |******              |"],
        ),
        (NOFILTER, ["--total_sz_only"], ["59.868 GiB\nrecord DAMON intervals: sample 5 ms, aggr 100 ms"]),
        (
            NOFILTER,
            ["--region_box"],
            [
                "|00000000000000000000|\n" * 4 + "0   addr 4.000 GiB    size 1.366 GiB   access 0 hz   age 3.400 s",
                "record DAMON intervals: <intervals>\n# length: age",
            ],
        ),
        (
            ACTIVE,
            ["--format", "append", "record_tail", "<intervals goal>"],
            ["target 4 % accesses per 1 aggrs, [5 ms, 150 ms] sampling interval"],
        ),
        (
            ACTIVE,
            ["--raw_number", "--format", "set", "record_tail", "<intervals>; <intervals goal>; <abs start time>"],
            [
                "sample 150000, aggr 3000000; target 400.000000 accesses per 1 aggrs, [5000, 150000] sampling interval;"
                " 1748191609649802240"
            ],
        ),
        (
            ACTIVE,
            ["--format", "set", "snapshot_tail", "<intervals tuning status>\\n<positive access samples ratio>"],
            ["0.0227156 % (278.516 MiB / 1.169 TiB) 150 ms 3 s\n2.0588235 %"],
        ),
        (
            ACTIVE,
            ["--format", "set", "snapshot_tail", "<damos stats>"],
            [
                "tried 0 times (0 B)\napplied 0 times (0 B)\n0 B passed filters\nquota exceeded 0 times\n0 B\n"
                "tried 0 snapshots (max 0)\n"
            ],
        ),
        (
            ACTIVE,
            ["--format", "set", "snapshot_tail", "<region box description>"],
            [
                "# length: age (represents [0 ns, 3 m 21 s]  with [1, 30] columns in logscale)\n"
                "# color: access_rate (represents [0 %, 10 %] with [0, 9] number and color (0123456789)"
                " in linearscale)\n"
                "# height: size (represents [4.000 KiB, 29.327 GiB] with [1, 5] rows in logscale)"
            ],
        ),
        (
            NOFILTER,
            ["--raw_form"],
            [
                "monitoring_start:                0 ns\nmonitoring_end:                100 ms\n"
                "monitoring_duration:           100 ms\ntarget_id: None\nnr_regions: 132\n",
                "000100000000-00015765a000 (   1.366 GiB)           0    34",
            ],
        ),
        (
            ACTIVE,
            ["--format", "set", "region", "<start address>|<size>|<access rate>|<access hz>|<age>|<temperature>",
             "--sz_region", "8K", "8K"],
            ["5.885 GiB   |8.000 KiB  |5 %  |0.333 hz|0 ns         |500"],
        ),
    ],
)  # fmt: skip
def test_documented(record: tuple[str, ...], words: list[str], lines: list[str]) -> None:
    """What formats.md shows of damo's output is what --compat damo prints."""
    got = shown("--input", str(shared(*record)), "--compat", "damo", *words)
    for line in lines:
        assert line in got


def test_several_records() -> None:
    """Several records have heads, and optional parts are decided once for all of them."""
    got = shown("--input", str(shared(*NOFILTER)), "--input", str(shared(*ACTIVE)), "--compat", "damo")
    assert "\n\n" not in got
    assert got.count("# damos filters (df): n/a       \n") == 1
    assert got.count("df-pass: n/a (no region)\n") == 1
    assert "# target 0 % accesses per 0 aggrs, [0 ns, 0 ns] sampling interval\n" in got
    assert got.startswith(
        "kdamond 0 / context 0 / scheme 0 / target id None / recorded for 100 ms from 484747 h 46 m 25.773 s\n"
    )
