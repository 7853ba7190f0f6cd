"""convert_record_format, validate, adjust and report record_info, as they are typed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from damoctl import main
from damoctl.commands import adjust, convert_record_format, report, validate
from damoctl.context import Context
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, DamodError, NotFound, UsageError
from damod.records import open_record
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter
from tests.shared import shared


def run(module: Any, *words: object) -> str:
    out = io.StringIO()
    assert module.run([str(word) for word in words], Context(stdout=out, stderr=out)) == 0
    return out.getvalue()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """60 snapshots of two targets, 100 ms each, three regions."""
    made = RecordWriter(tmp_path, "in.data", RecordMeta())
    for index in range(60):
        for target in (0, 1):
            low = 4096 * (1 + 100 * target)
            made.append(
                Snapshot(
                    0, 0, target, index * 10**8, (index + 1) * 10**8, 0, 5_000, 100_000,
                    Regions([low, low + 4096, low + 81920], [low + 4096, low + 12288, low + 90112], [0, 10, 20],
                            [3, 0, index]),
                )
            )  # fmt: skip
    made.seal()
    return tmp_path / "in.data"


def kind(path: Path) -> str:
    with open_record(path) as found:
        return str(found.type)


def test_the_commands_are_in_the_table(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """damoctl finds each of them by name."""
    assert main.main(["convert_record_format", "--record_file", str(record), "--format", "json"]) == 0
    assert main.main(["validate", "--input", str(record)]) == 0
    assert main.main(["adjust", "--input", str(record), "--output", str(record)]) == 0
    assert main.main(["report", "record_info", "--input", str(record)]) == 0
    assert "region" in capsys.readouterr().out


def test_convert(record: Path) -> None:
    """A record becomes another type in place or elsewhere."""
    other = record.with_name("out")
    run(convert_record_format, "--record_file", record, "--output_file", other, "--format", "perf_script")
    assert (kind(record), kind(other)) == ("parquet", "perf_script")
    run(convert_record_format, "--record_file", record)
    assert kind(record) == "json_compressed"


def test_convert_needs_one_file_to_replace(tmp_path: Path, record: Path) -> None:
    """Rotated segments are converted into one file, never in place; a missing record is told."""
    segment = tmp_path / "in.data.2026-01-01-00-00-00"
    segment.mkdir()
    record.rename(segment / "in.data")
    with pytest.raises(UsageError, match="in place"):
        run(convert_record_format, "--record_file", record)
    run(convert_record_format, "--record_file", record, "--output_file", tmp_path / "out")
    assert kind(tmp_path / "out") == "json_compressed"
    with pytest.raises(NotFound):
        run(convert_record_format, "--record_file", tmp_path / "none")


def test_valid(record: Path) -> None:
    """A valid record is passed over in silence."""
    assert run(validate, "--input", record) == ""
    assert run(validate, "-i", record, "--regions_boundary", "4096-94208", "400K-1M", "--allow_error", "5") == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--nr_accesses", 0, 19), "invalid: expect 0<=nr_accesses<=19 but 20 (120 of 120 snapshots)"),
        (("--nr_regions", 4, 9), "invalid: expect 4<=number of regions<=9 but 3 (60 of 60 snapshots)"),
        (("--aggr", 1, 2), "invalid: expect 1<=aggregate interval (us)<=2 but 100000 (60 of 60 snapshots)"),
        (("--regions_boundary", "0-94208"), "invalid: expect regions inside 0-94208 but 413696-417792"),
    ],
)
def test_invalid(record: Path, words: tuple[object, ...], said: str) -> None:
    """What is outside of its limits is told with the limits, exit status 1."""
    with pytest.raises(DamodError) as found:
        run(validate, "--input", record, *words)
    assert said in found.value.message
    assert found.value.exit_status == 1


def test_some_errors_are_allowed(tmp_path: Path) -> None:
    """Up to the allowed percent of snapshots may have another duration."""
    made = RecordWriter(tmp_path, "x", RecordMeta())
    end = 0
    for index in range(100):
        start, end = end, end + (10**8 if index >= 3 else 10**9)
        made.append(Snapshot(0, 0, 0, start, end, 0, 0, 0, Regions([0, 2, 4], [1, 3, 5], [0] * 3, [0] * 3)))
    made.seal()
    run(validate, "-i", tmp_path / "x", "--allow_error", 3)
    with pytest.raises(DamodError, match="3 of 100"):
        run(validate, "-i", tmp_path / "x")


def test_validate_refuses_nonsense(tmp_path: Path, record: Path) -> None:
    """Limits that nothing can meet and files that are no record are errors of their own."""
    with pytest.raises(UsageError, match="--aggr"):
        run(validate, "--input", record, "--aggr", 9, 1)
    with pytest.raises(UsageError, match="5-5"):
        run(validate, "--input", record, "--regions_boundary", "5-5")
    (tmp_path / "x").write_text("hello")
    with pytest.raises(BadRecord):
        run(validate, "--input", tmp_path / "x")


def adjusted(record: Path, *words: object) -> list[Any]:
    out = record.with_name("out")
    run(adjust, "--input", record, "--output", out, *words)
    with open_record(out) as found:
        return list(found.records())


def test_adjust_the_interval(record: Path) -> None:
    """Ten snapshots become one; the first 20 are left out unless told otherwise."""
    one, two = adjusted(record, "--aggregate_interval", "1s")
    assert [(item.start_ns, item.end_ns) for item in one.snapshots] == [
        (at * 10**9, (at + 1) * 10**9) for at in (2, 3, 4, 5)
    ]
    assert one.snapshots[0].regions.nr_accesses == [0, 100, 200]
    assert two.intervals.aggr_us == one.snapshots[0].aggr_us == 1_000_000
    assert len(adjusted(record, "--aggregate_interval", "1s", "--skip", "0")[0].snapshots) == 6
    assert len(adjusted(record, "--skip", "50")[1].snapshots) == 10


def test_adjust_filters(record: Path) -> None:
    """Filters are those of the reports; type and permission of the output are as asked."""
    one, _ = adjusted(record, "--access_rate", "100%", "max", "--age", "5s", "max", "--snapshot_idx", "40", "59")
    assert [len(item.regions) for item in one.snapshots] == [0] * 10 + [1] * 10
    out = record.with_name("out")
    run(adjust, "-i", record, "-o", out, "--output_type", "parquet", "--output_permission", "640")
    assert kind(out) == "parquet"
    assert out.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "words", [("--output_permission", "9"), ("--aggregate_interval", "0"), ("stray",), ("--output_type", "x")]
)
def test_adjust_refuses_nonsense(record: Path, words: tuple[str, ...]) -> None:
    """Words that make no sense are refused before anything is written."""
    with pytest.raises(UsageError):
        adjusted(record, *words)
    assert not record.with_name("out").exists()


def test_adjust_by_rate_needs_intervals(tmp_path: Path) -> None:
    """A record that does not say its intervals cannot be filtered by rate, and that is said."""
    with pytest.raises(UsageError, match="does not say its intervals"):
        run(adjust, "-i", shared("damo", "records", "damon.data"), "-o", tmp_path / "o", "--access_rate", "1", "50")


def test_help(record: Path) -> None:
    """--help shows the options with their defaults."""
    text = run(adjust, "--help")
    assert "--aggregate_interval" in text and "--sz_region" in text and "damon.adjusted.data" in text


def test_record_info_is_damos_guide() -> None:
    """The guide of a real record is that of damo, whose older release leaves out the indices."""
    wanted = shared("damo", "expected", "report-heats_guide").read_text()
    got = run(report, "record_info", "--input", shared("damo", "records", "damon.data"), "--raw_numbers")
    assert got.splitlines() == ["kdamond_idx: 0", "context_idx: 0", *wanted.splitlines()]


def test_record_info(record: Path) -> None:
    """Gaps that are in all snapshots split a target's space; ages reach back before the first snapshot."""
    lines = run(report, "record_info", "--input", record).splitlines()
    assert lines[:3] == ["kdamond_idx: 0", "context_idx: 0", "target_id: 0"]
    assert lines[3] == "time: [-300 ms, 6 s) (6.300 s)"
    assert lines[4] == "region\t 0: [4.000000 KiB, 16.000000 KiB) (12.000 KiB)"
    assert len(lines) == 12
    plain = json.loads(run(report, "record_info", "--input", record, "--json"))
    assert [item["target_id"] for item in plain] == [0, 1]
    assert plain[1]["regions"][0] == {"start": 413696, "end": 425984}
    assert plain[1]["time"] == {"start_ns": -300_000_000, "end_ns": 6_000_000_000}


def test_guides_of_several_records(record: Path) -> None:
    """Guides of all inputs are shown, the one with the most space first."""
    big = str(shared("damo", "records", "damon.data"))
    lines = run(report, "record_info", "--input", record, big).splitlines()
    assert [line for line in lines if "target_id" in line] == [
        "target_id: 18446623438842320000", "target_id: 0", "target_id: 1",
    ]  # fmt: skip
