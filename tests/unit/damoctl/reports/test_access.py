"""`report access` on values: every keyword, every style, and records that are strange."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damoctl.flags import access as flags
from damoctl.flags import words
from damoctl.reports import access, columns, listing, options, styles
from damoctl.term.term import Term
from damod.access.record import Goal, Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import NoData
from damod.records import damo_plain

ANON = {"filter_type": "anon", "matching": True, "allow": True}


def snapshot(regions: Regions, index: int = 0, **changes: Any) -> Snapshot:
    plain: dict[str, Any] = {
        "kdamond": 0, "context": 0, "target": 0, "start_ns": 5 * 10**9 + index * 10**8,
        "end_ns": 5 * 10**9 + (index + 1) * 10**8, "wall_offset_ns": 0, "sample_us": 5_000, "aggr_us": 100_000,
        "regions": regions, "source": "record",
    }  # fmt: skip
    return Snapshot(**{**plain, **changes})


def record(*snapshots: Snapshot, **changes: Any) -> Record:
    plain: dict[str, Any] = {
        "kdamond": 2, "context": 0, "scheme": 1, "target_id": 42, "intervals": Intervals(5_000, 100_000),
        "snapshots": snapshots,
    }  # fmt: skip
    return Record(**{**plain, **changes})


THREE = Regions(
    [1 << 20, 2 << 20, 8 << 20], [2 << 20, 4 << 20, 9 << 20], [20, 1, 0], [10, 0, 600], None, [1 << 20, 4096, 0]
)
FILTERED = record(snapshot(THREE, stats={"nr_tried": 3, "sz_tried": 1 << 30}), filters=[ANON])


def lines(given_records: list[Record], *said: str, compat: bool = False) -> list[str]:
    line = words.parse(said, (*flags.FILTERS, *flags.FORMATS))
    shown = options.from_words(flags.values(line.uses), compat=compat)
    out = io.StringIO()
    Term(out).write(access.render(access.compute(given_records, shown), Term(out)))
    return out.getvalue().splitlines()


def only(level: str, template: str, *said: str, of: Record = FILTERED) -> list[str]:
    """What one template at one position prints, all others being empty."""
    empty = [word for position in flags.POSITIONS for word in ("--format", "set", position, "")]
    return lines([of], *empty, "--format", "set", level, template, *said)


RECORD_KEYWORDS = {
    "<kdamond index>": ("2", "2"),
    "<context index>": ("0", "0"),
    "<scheme index>": ("1", "1"),
    "<target id>": ("42", "42"),
    "<abs start time>": ("5 s", "5000000000"),
    "<duration>": ("100 ms", "100000000"),
    "<intervals>": ("sample 5 ms, aggr 100 ms", "sample 5000, aggr 100000"),
    "<intervals goal>": (
        "target 0 % accesses per 0 aggrs, [0 ns, 0 ns] sampling interval",
        "target 0.000000 accesses per 0 aggrs, [0, 0] sampling interval",
    ),
    "<data source>": ("unknown", "unknown"),
    "<format strings>": (
        'record head: "<format strings>"|snapshot head: ""|region: ""|snapshot tail: ""|record tail: ""',
    )
    * 2,
}
SNAPSHOT_KEYWORDS = {
    "<total bytes>": ("4.000 MiB", "4194304"),
    "<duration>": ("100 ms", "100000000"),
    "<start time>": ("0 ns", "0"),
    "<end time>": ("100 ms", "100000000"),
    "<abs start time>": ("5 s", "5000000000"),
    "<abs end time>": ("5.100 s", "5100000000"),
    "<number of regions>": ("3", "3"),
    "<region box colors>": ("0123456789", "0123456789"),
    "<region box description>": (
        "# length: age (represents [0 ns, 1 m]  with [1, 30] columns in logscale)"
        "|# color: access_rate (represents [0 %, 100 %] with [0, 9] number and color (0123456789) in linearscale)"
        "|# height: size (represents [1024.000 KiB, 2.000 MiB] with [1, 5] rows in logscale)",
        "# length: age (represents [0, 60000000]  with [1, 30] columns in logscale)"
        "|# color: access_rate (represents [0.000000, 100.000000] with [0, 9] number and color (0123456789)"
        " in linearscale)|# height: size (represents [1048576, 2097152] with [1, 5] rows in logscale)",
    ),
    "<heatmap>": (
        "|# min/max temperatures: -6,000,000,000, 100,010,000, column size: 51.200 KiB",
        "|# min/max temperatures: -6000000000, 100010000, column size: 52428",
    ),
    "<filters passed heatmap>": (
        "|# min/max temperatures: 500, 100,010,000, column size: 38.400 KiB",
        "|# min/max temperatures: 500, 100010000, column size: 39321",
    ),
    "<filters passed type>": ("allow anon", "allow anon"),
    "<filters passed bytes>": ("1.004 MiB", "1052672"),
    "<positive access samples ratio>": ("35 %", "35.000000"),
    "<estimated memory bandwidth>": ("220.000 MiB per second", "230686720 per second"),
    "<filters passed estimated memory bandwidth>": ("200.039 MiB per second", "209756160 per second"),
    "<intervals tuning status>": (
        "27.5 % (22.000 MiB / 80.000 MiB) 5 ms 100 ms", "27.500000 (23068672 / 83886080) 5000 100000",
    ),
    "<damos stats>": (
        "tried 3 times (1024.000 MiB)|applied 0 times (0 B)|0 B passed filters|quota exceeded 0 times"
        "|tried 0 snapshots (max 0)",
        "tried 3 times (1073741824)|applied 0 times (0)|0 passed filters|quota exceeded 0 times"
        "|tried 0 snapshots (max 0)",
    ),
    "<snapshot intervals>": (
        "sample 5 ms aggr 100 ms (max access hz 200)", "sample 5000 aggr 100000 (max access hz 200.000000)",
    ),
    "<lost events>": ("0", "0"),
    "<probes>": ("n/a", "n/a"),
}  # fmt: skip
REGION_KEYWORDS = {
    "<index>": ("0  |1  |2  ", "0  |1  |2  "),
    "<start address>": ("1024.000 KiB|2.000 MiB   |8.000 MiB   ", "1048576     |2097152     |8388608     "),
    "<end address>": ("2.000 MiB  |4.000 MiB  |9.000 MiB  ", "2097152    |4194304    |9437184    "),
    "<size>": ("1024.000 KiB|2.000 MiB  |1024.000 KiB", "1048576    |2097152    |1048576    "),
    "<access rate>": ("100 %|5 %  |0 %  ", "100.000000|5.000000|0.000000"),
    "<access hz>": ("200 hz|10 hz |0 hz  ", "200.000000|10.000000|0.000000"),
    "<age>": ("1 s          |0 ns         |1 m          ", "1000000      |0            |60000000     "),
    "<temperature>": ("100,010,000|500|-6,000,000,000", "100010000|500|-6000000000"),
    "<probe hits>": ("||", "||"),
    "<filters passed bytes>": ("1024.000 KiB|4.000 KiB|0 B", "1048576|4096|0"),
    "<vma>": ("-|-|-", "-|-|-"),
}  # fmt: skip
BLOCKS = ("histogram>", "percentiles>")


@pytest.mark.parametrize("keyword", list(columns.RECORD))
@pytest.mark.parametrize("raw", [0, 1])
def test_record_keywords(keyword: str, raw: int) -> None:
    """Each record keyword shows its value, human and raw."""
    shown = only("record_head", keyword, *["--raw_number"][:raw])
    assert "|".join(shown) == RECORD_KEYWORDS[keyword][raw]


@pytest.mark.parametrize("keyword", [name for name in columns.SNAPSHOT if not name.endswith(BLOCKS)])
@pytest.mark.parametrize("raw", [0, 1])
def test_snapshot_keywords(keyword: str, raw: int) -> None:
    """Each snapshot keyword shows its value, human and raw."""
    shown = only("snapshot_tail", keyword, *["--raw_number"][:raw])
    if keyword.endswith("heatmap>"):
        shown[0] = ""
    assert "|".join(shown) == SNAPSHOT_KEYWORDS[keyword][raw]


@pytest.mark.parametrize("keyword", [name for name in columns.REGION if name != "<box>"])
@pytest.mark.parametrize("raw", [0, 1])
def test_region_keywords(keyword: str, raw: int) -> None:
    """Each region keyword shows its value, human and raw, padded to its least width."""
    assert "|".join(only("region", keyword, *["--raw_number"][:raw])) == REGION_KEYWORDS[keyword][raw]


def test_keywords_only_at_their_level() -> None:
    """A keyword of another position, or of none, stays as it is."""
    assert only("record_head", "<size> <nonsense> <target id> < <") == ["<size> <nonsense> 42 < <"]
    assert only("region", "100%s <target id> <size>")[1] == "100%s <target id> 2.000 MiB  "


def test_newline_and_append() -> None:
    """Backslash n is a newline, append adds a line."""
    assert only("record_tail", "a\\nb", "--format", "append", "record_tail", "c") == ["a", "b", "c"]
    assert only("region", "x", "--format", "append", "region", "<index>")[:2] == ["x", "0  "]


def test_box() -> None:
    """Longer is older, higher is larger, the digit is the access rate; each bounds are those of all regions."""
    assert only("region", "<box>") == [
        "|" + "9" * 23 + "|", "", "|0|", "|0|", "|0|", "|0|", "|0|", "", "|" + "0" * 30 + "|", "",
    ]  # fmt: skip
    assert only("region", "<box>", "--region_box_min_max_height", "1", "1", "--region_box_align", "right",
                "--region_box_scales", "linear", "linear", "log", "--region_box_values", "size", "age", "none") == [
        " " * 29 + "|0|", "|" + "0" * 30 + "|", " " * 29 + "|9|",
    ]  # fmt: skip


def test_min_chars_for() -> None:
    """Widths can be changed, also of keywords that have one; damo's first-match rule made that impossible."""
    assert only("region", "<size>|", "--min_chars_for", "<size>", "3")[1] == "2.000 MiB|"
    assert only("region", "<size>|", "--min_chars_for", "size", "14")[1] == "2.000 MiB     |"


def test_region_box_keeps_the_tail() -> None:
    """--region_box describes the boxes below the usual tail; damo loses that tail."""
    shown = lines([FILTERED], "--region_box")
    assert "total size: 4.000 MiB  df-passed 1.004 MiB" in shown
    assert any(line.startswith("# length: age") for line in shown)
    broken = lines([FILTERED], "--region_box", compat=True)
    assert "total size: 4.000 MiB  df-passed 1.004 MiB" not in broken
    assert "record DAMON intervals: <intervals>" in broken


@pytest.mark.parametrize(
    ("by", "descending", "order"),
    [
        ([], [], "012"),
        (["size"], [], "021"),
        (["size"], ["size"], "102"),
        (["temperature"], [], "210"),
        (["address", "size"], ["all"], "120"),
        (["access_rate"], [], "210"),
        (["age"], ["all"], "201"),
    ],
)
def test_sort(by: list[str], descending: list[str], order: str) -> None:
    """Stable sorts one after the other: the last key dominates; numbers are given after sorting."""
    said = ["--sort_regions_by", *by] if by else []
    said += ["--sort_regions_dsc", *descending] if descending else []
    starts = only("region", "<start address>", "--raw_number", *said)
    wanted = [f"{THREE.start[int(index)]:<12}" for index in order]
    assert starts == wanted
    assert only("region", "<index>", *said) == ["0  ", "1  ", "2  "]


def test_styles_sort() -> None:
    """hot begins with the hottest, cold with the coldest, unless sort keys are given."""

    def first(*said: str) -> str:
        return next(line for line in lines([record(snapshot(THREE))], *said) if "|" in line).rsplit("|", 1)[1].strip()

    assert first("--style", "hot") == "1024.000 KiB access 200 hz 1 s"
    assert first("--style", "cold") == "1024.000 KiB access 0 hz   1 m"
    assert (
        first("--style", "cold", "--sort_regions_by", "size", "--sort_regions_dsc", "all")
        == "2.000 MiB   access 10 hz  0 ns"
    )


def test_uniform_memory() -> None:
    """Memory of one temperature is a line of equal digits; damo's float steps add a hotter column of nothing."""
    one = record(snapshot(Regions([29975199744], [29975199744 + 695517184], [0], [5])))
    right, wrong = lines([one]), lines([one], compat=True)
    assert right[:2] == [
        "heatmap: " + "0" * 80,
        "# min/max temperatures: -50,000,000, -50,000,000, column size: 8.291 MiB",
    ]
    assert wrong[0] == "heatmap: " + "0" * 80 + "9"
    assert ", -0, column size: 8.291 MiB" in wrong[1]


def test_total_sz_only() -> None:
    """Only totals, one below the other, and the line of the record."""
    assert lines([record(snapshot(THREE), snapshot(THREE, 1))], "--total_sz_only") == [
        "4.000 MiB", "4.000 MiB", "record DAMON intervals: sample 5 ms, aggr 100 ms",
    ]  # fmt: skip


def test_several_snapshots() -> None:
    """Several snapshots show their time, with a blank line between them and none after the last."""
    shown = lines([record(snapshot(THREE), snapshot(THREE, 1))])
    assert shown[0] == "snapshot time: [0 ns, 100 ms] (100 ms)"
    assert shown.count("") == 1
    assert shown[shown.index("") + 1] == "snapshot time: [100 ms, 200 ms] (100 ms)"


def test_total_follows_filters() -> None:
    """The total is that of the regions shown; damo's still counts what the pattern took away."""
    said = ("--access_rate", "50%", "100%")
    assert "total size: 1024.000 KiB" in lines([record(snapshot(THREE))], *said)
    assert "total size: 4.000 MiB" in lines([record(snapshot(THREE))], *said, compat=True)


def test_tuned_and_probed() -> None:
    """Auto-tuned records show their goal, and probed regions their hits."""
    tuned = record(snapshot(THREE), intervals=Intervals(5_000, 100_000, 0, Goal(400, 3, 5_000, 10_000_000)))
    assert lines([tuned])[-1] == "# target 4 % accesses per 3 aggrs, [5 ms, 10 s] sampling interval"
    probed = Regions(THREE.start, THREE.end, THREE.nr_accesses, THREE.age, [(3, 0, 12)] * 3)
    assert "0   1024.000 KiB 1024.000 KiB  200 hz 1 s           3 0 12 " in lines([record(snapshot(probed))])


def test_percentiles_range() -> None:
    """Up to three numbers make a range, more are the percentiles, in order."""

    def points(*said: str) -> list[str]:
        shown = lines([record(snapshot(THREE))], "--style", "recency-percentiles", "--percentiles_range", *said)
        return [line.split()[0] for line in shown if line.endswith("|")]

    assert points("0", "101", "50") == ["0", "50", "100"]
    assert points("90", "10", "50", "99") == ["10", "50", "90", "99"]
    assert points("3") == ["0", "1", "2"]


EMPTY = Regions()
STRANGE = [
    record(snapshot(EMPTY)),
    record(snapshot(EMPTY), filters=[ANON]),
    record(),
    record(snapshot(Regions([0], [0], [0], [0], None, [0])), filters=[ANON]),
    record(snapshot(Regions([5, 0, 3], [9, 7, 4], [1, 1, 1], [1, 2, 3]))),
    record(snapshot(Regions([0], [2**64 - 1], [20], [10**15], None, [2**64 - 1])), filters=[ANON]),
    record(snapshot(Regions([0, 100], [10, 2**63], [300, 5], [-1, -1]))),
]


@pytest.mark.parametrize("style", flags.STYLES)
@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("strange", range(len(STRANGE)))
def test_strange_records(strange: int, style: str, compat: bool) -> None:
    """No regions, no snapshots, empty, overlapping, unsorted, huge: each style shows what there is."""
    for said in ((), ("--region_box",), ("--raw_number",), ("--snapshot_heatmap_static",)):
        lines([STRANGE[strange]], "--style", style, *said, compat=compat)


@pytest.mark.parametrize("raw", [False, True])
def test_json_is_dumps(raw: bool) -> None:
    """JSON is written snapshot by snapshot, as the same text that json.dumps makes of the whole."""
    for some in ([], [FILTERED], [FILTERED, record(), record(snapshot(THREE), snapshot(EMPTY, 1))]):
        whole = json.dumps([damo_plain.to_plain(item, raw=raw) for item in some], indent=4)
        shown = [(item, item.snapshots) for item in some]
        assert "\n".join(listing.json_lines(shown, raw=raw)) == whole


@pytest.mark.parametrize("said", [("--json",), ("--raw_form",)])
@pytest.mark.parametrize("strange", range(len(STRANGE)))
def test_strange_listings(strange: int, said: tuple[str, ...]) -> None:
    """The listings take strange records as well, and those without intervals."""
    lines([STRANGE[strange]], *said)
    lines([record(snapshot(THREE, sample_us=0, aggr_us=0), intervals=None)], *said)


def test_no_intervals() -> None:
    """Without intervals there are no rates: a sentence, and no filter is silently ignored."""
    bare = record(snapshot(THREE, sample_us=0, aggr_us=0), intervals=None)
    with pytest.raises(NoData, match="lacks the intervals"):
        lines([bare])
    with pytest.raises(NoData, match="lacks the intervals"):
        lines([bare], "--raw_form", "--access_rate", "1", "5")
    assert "nr_regions: 1" in lines([bare], "--raw_form", "--sz_region", "2M", "max")


def test_filters_leave_nothing() -> None:
    """Filters that leave no snapshot end in a sentence; ones that leave no region in an empty picture."""
    with pytest.raises(NoData, match="no snapshot"):
        lines([record(snapshot(THREE))], "--snapshot_idx", "5", "9")
    assert lines([record(snapshot(THREE))], "--sz_region", "1G", "2G")[0] == "heatmap: n/a (no region)"


@given(st.lists(st.tuples(st.integers(1, 1 << 40), st.integers(0, 20), st.integers(0, 10**5)), min_size=1, max_size=40))
def test_region_lines(rows: list[tuple[int, int, int]]) -> None:
    """Lines made column by column are those made region by region."""
    from damod import units

    start, starts, ends = 0, [], []
    for size, _, _ in rows:
        starts.append(start)
        start += size
        ends.append(start)
    regions = Regions(starts, ends, [row[1] for row in rows], [row[2] for row in rows])
    shown = [line for line in lines([record(snapshot(regions))]) if " addr " in line]
    assert shown == [
        f"{index:<3} addr {units.size(low):<12} size {units.size(size):<11} access {units.hz(samples * 10):<6}"
        f" age {units.time(age * 10**8):<13}"
        for index, (low, (size, samples, age)) in enumerate(zip(starts, rows, strict=True))
    ]


def test_facts() -> None:
    """Optional parts are decided by what any of the records has; filters on whole regions do not count."""
    assert styles.facts([record(snapshot(THREE), filters=[{"filter_type": "addr"}]), FILTERED]).filtered
    assert not styles.facts([record(snapshot(THREE), filters=[{"filter_type": "addr"}])]).filtered


def test_json_of_distributions() -> None:
    """Histograms and percentiles have a twin of plain numbers; with --compat damo there are regions, as damo does."""
    (found,) = json.loads("\n".join(lines([FILTERED], "--style", "recency-sz-hist", "--json")))
    (only_one,) = found["snapshots"]
    assert (found["style"], only_one["unit"], only_one["total_bytes"]) == ("recency-sz-hist", "us", 4 << 20)
    for name, amount in (("total", 4 << 20), ("df_passed", (1 << 20) + 4096)):
        assert sum(item["bytes"] for item in only_one[name]) == amount
        assert only_one[name][0]["start"] == 0 and only_one[name][-1]["end"] > 600 * 100_000
    (found,) = json.loads("\n".join(lines([FILTERED], "--style", "temperature-percentiles", "--json")))
    shown = {item["percentile"]: item["value"] for item in found["snapshots"][0]["total"]}
    assert shown[0] == -(600 * 100_000 * 100) and shown[100] == 100 * 100 + 10 * 100_000 * 100
    assert lines([FILTERED], "--style", "recency-sz-hist", "--json", compat=True) == lines(
        [FILTERED], "--json", compat=True
    )
