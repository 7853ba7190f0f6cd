"""Conversion between our format and damo's keeps every value that both have."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damod.access.record import Goal, Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, Conflict
from damod.records import convert, damo_plain, open_record
from tests.shared import shared

RECORDS = ("damon.data", "damon.data.snapshot.active", "damon.data.snapshot.nofilter")
ADDRESS = st.integers(0, 2**63 - 1)


@st.composite
def regions(draw: st.DrawFn, *, rich: bool) -> Regions:
    """Regions in order of address, with all columns that a record may have or, unless `rich`, those of perf."""
    edges = sorted(draw(st.sets(ADDRESS, max_size=8)))
    edges = edges[: len(edges) // 2 * 2]
    count = len(edges) // 2
    counts = st.integers(0, 2**31 - 1)

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=count, max_size=count))

    known = draw(st.booleans())
    return Regions(
        edges[::2],
        edges[1::2],
        column(counts),
        column(counts) if known else [-1] * count,
        column(st.lists(st.integers(0, 255), min_size=2, max_size=2))
        if rich and count and draw(st.booleans())
        else None,
        column(ADDRESS) if rich and count and draw(st.booleans()) else None,
    )


@st.composite
def records(draw: st.DrawFn, *, rich: bool = True) -> list[Record]:
    """Records with different indices, as a file of damo's may have them."""
    made = []
    for index in range(draw(st.integers(1, 3))):
        goal = Goal(400, 3, 5_000, 10_000_000) if rich and draw(st.booleans()) else Goal()
        intervals = Intervals(5_000, 100_000, 1_000_000, goal) if rich and draw(st.booleans()) else None
        at = draw(st.integers(0, 10**18))
        snapshots = []
        for _ in range(draw(st.integers(1, 4))):
            start, at = at + draw(st.sampled_from((0, 7))), at + draw(st.integers(8, 10**10))
            tuned = draw(st.sampled_from((1, 3))) if goal.active else 1
            snapshots.append(
                Snapshot(
                    kdamond=index,
                    context=0,
                    target=0,
                    start_ns=start,
                    end_ns=at,
                    wall_offset_ns=0,
                    sample_us=intervals.sample_us * tuned if intervals else 0,
                    aggr_us=intervals.aggr_us * tuned if intervals else 0,
                    regions=draw(regions(rich=rich).filter(lambda item: rich or len(item) > 0)),
                    source="record",
                    stats=draw(st.none() | st.just({"nr_tried": 7, "sz_tried": 2**40})) if rich else None,
                )
            )
        scheme = draw(st.none() | st.integers(0, 3))
        made.append(Record(index, 0, scheme, draw(st.integers(0, 2**64 - 1)), intervals, snapshots))
    return made


def values(found: list[Record]) -> list[Any]:
    """Everything of records that formats keep, comparable."""
    return [
        (
            item.kdamond, item.context, item.scheme, item.target_id, item.intervals, list(item.filters),
            item.data_source,
            [
                (s.start_ns, s.end_ns, s.sample_us, s.aggr_us, s.stats,
                 [list(getattr(s.regions, name)) for name in ("start", "end", "nr_accesses", "age")],
                 None if s.regions.probe_hits is None else [list(hits) for hits in s.regions.probe_hits],
                 None if s.regions.sz_filter_passed is None else list(s.regions.sz_filter_passed))
                for s in item.snapshots
            ],
        )
        for item in found
    ]  # fmt: skip


def read(path: Path) -> list[Record]:
    with open_record(path) as record:
        found = record.records()
        assert not record.warnings
    return found


def write_json(path: Path, found: list[Record]) -> Path:
    """A file as damo would write it, by other code than the one under test."""
    path.write_text(json.dumps([damo_plain.to_plain(item, raw=False) for item in found], indent=4))
    return path


def through(path: Path, *kinds: str) -> Path:
    """The file converted to each of the formats in turn."""
    for kind in kinds:
        with open_record(path) as record:
            path = path.with_name(f"x.{kind}")
            convert.write(record, path, kind)
    return path


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("kinds", [("parquet",), ("parquet", "json_compressed"), ("json", "parquet", "json")])
def test_real_records(name: str, kinds: tuple[str, ...], tmp_path: Path) -> None:
    """Real records of damo come back from parquet and JSON as they were."""
    source = shared("damo", "records", name)
    work = tmp_path / "in"
    work.write_bytes(source.read_bytes())
    assert values(read(through(work, *kinds))) == values(read(source))


def test_a_real_record_as_perf_script(tmp_path: Path) -> None:
    """A real record without intervals has the same regions and times after a way through perf_script."""
    source = shared("damo", "records", "damon.data")
    work = tmp_path / "in"
    work.write_bytes(source.read_bytes())
    assert values(read(through(work, "perf_script", "parquet"))) == values(read(source))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=records())
def test_parquet_and_json_keep_every_value(found: list[Record], tmp_path: Path) -> None:
    """JSON -> parquet -> json_compressed -> parquet -> json is what it was, with every column a record may have."""
    path = write_json(tmp_path / "in", found)
    expected = values(read(path))
    assert values(read(through(path, "parquet", "json_compressed", "parquet", "json"))) == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=records(rich=False))
def test_perf_script_keeps_what_it_can_hold(found: list[Record], tmp_path: Path) -> None:
    """parquet -> perf_script -> parquet keeps regions, accesses, ages (known or not), times to the ns and indices."""
    path = write_json(tmp_path / "in", found)
    expected = values(read(path))
    got = values(read(through(path, "parquet", "perf_script", "parquet")))
    assert sorted(map(repr, got)) == sorted(map(repr, expected))


def test_json_is_laid_out_as_damo_does(tmp_path: Path) -> None:
    """The text is what json.dumps with an indent of 4 makes of damo's keys, with text for numbers."""
    regions = Regions([4096, 1 << 32], [8192, 1 << 33], [0, 20], [5, -1], [[1, 2], [0, 3]], [0, 4096])
    snapshot = Snapshot(0, 0, 0, 10**9, 2 * 10**9, 0, 5_000, 100_000, regions, stats={"nr_tried": 7})
    record = Record(0, 0, None, 42, Intervals(5_000, 100_000, 1_000_000, Goal(400, 3, 5_000, 10_000)), [snapshot])
    path = through(write_json(tmp_path / "in", [record]), "parquet", "json")
    text = path.read_text()
    plain = json.loads(text)
    assert text == json.dumps(plain, indent=4)
    (region, _) = plain[0]["snapshots"][0]["regions"]
    assert region == {
        "start": "4,096",
        "end": "8,192",
        "nr_accesses": {"samples": 0, "percent": None},
        "age": {"usec": None, "aggr_intervals": "5"},
        "probe_hits": [1, 2],
        "sz_filter_passed": "0 B",
    }
    assert list(plain[0]) == [
        "kdamond_idx", "context_idx", "intervals", "scheme_idx", "target_id", "scheme_filters", "snapshots",
        "data_source",
    ]  # fmt: skip
    assert plain[0]["intervals"]["sample_us"] == "5000"
    assert plain[0]["snapshots"][0]["start_time"] == "1000000000"


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    """damo 3.4.3 reads no record in which the passed bytes are null, and any in which they are missing."""
    snapshot = Snapshot(0, 0, 0, 0, 10**9, 0, 5_000, 100_000, Regions([0], [4096], [1], [0]))
    path = through(write_json(tmp_path / "in", [Record(0, 0, None, 0, None, [snapshot])]), "parquet", "json")
    assert "sz_filter_passed" not in json.loads(path.read_text())[0]["snapshots"][0]["regions"][0]


def test_a_tuned_sampling_interval_has_its_unit(tmp_path: Path) -> None:
    """80 ms is written so that damo, which reads plain numbers there as microseconds, gets 80 ms too."""
    snapshot = Snapshot(0, 0, 0, 0, 1_600_000_000, 0, 80_000, 1_600_000, Regions([0], [4096], [1], [0]))
    intervals = Intervals(5_000, 100_000, 0, Goal(400, 3, 5_000, 10_000_000))
    path = through(write_json(tmp_path / "in", [Record(0, 0, None, 0, intervals, [snapshot])]), "parquet", "json")
    assert json.loads(path.read_text())[0]["snapshots"][0]["sample_interval_us"] == "80 ms"
    for compat in (False, True):
        (back,) = open_record(path, compat=compat).records()
        assert (back.snapshots[0].sample_us, back.snapshots[0].aggr_us) == (80_000, 1_600_000)


def test_tuned_intervals_in_perf_script(tmp_path: Path) -> None:
    """Tuning events that perf recorded set the sampling interval of the snapshots after them."""
    line = "kdamond.0 12 [000] {}: damon:{}\n"
    path = tmp_path / "x"
    path.write_text(
        line.format("1.0", "damon_aggregated: target_id=0 nr_regions=1 0-4096: 1 2")
        + line.format("1.1", "damon_monitor_intervals_tune: sample_us=80000")
        + line.format("2.6", "damon_aggregated: target_id=0 nr_regions=1 0-4096: 1 2")
    )
    (found,) = read(path)
    assert [(s.sample_us, s.aggr_us) for s in found.snapshots] == [(0, 0), (80_000, 1_600_000)]


def test_kdamonds_are_told_apart_in_perf_script(tmp_path: Path) -> None:
    """Two kdamonds with the same target id make two records."""
    path = tmp_path / "x"
    path.write_text(
        "".join(
            f"kdamond.{k} 1{k} [000] {t}.{k}: damon:damon_aggregated: target_id=0 nr_regions=1 0-4096: {k} 2\n"
            for t in (1, 2)
            for k in (0, 1)
        )
    )
    assert [(item.kdamond, [s.regions.nr_accesses for s in item.snapshots]) for item in read(path)] == [
        (0, [[0], [0]]),
        (1, [[1], [1]]),
    ]


def test_perf_script_refuses_what_it_would_merge(tmp_path: Path) -> None:
    """Two records that the text could not tell apart are an error, not one record."""
    snapshot = Snapshot(0, 0, 0, 0, 10**9, 0, 0, 0, Regions([0], [4096], [1], [0]))
    path = write_json(tmp_path / "in", [Record(0, 0, None, 5, None, [snapshot])] * 2)
    with open_record(path) as record, pytest.raises(BadRecord, match="cannot tell apart"):
        convert.write(record, tmp_path / "out", "perf_script")
    assert [item.name for item in tmp_path.iterdir()] == ["in"]


def test_wall_time_in_json(tmp_path: Path) -> None:
    """A record that knows both clocks is written to JSON with wall time, as the side files have it."""
    from damod.records.schema import RecordMeta
    from damod.records.writer import RecordWriter

    with_writer = RecordWriter(tmp_path, "x", RecordMeta())
    with_writer.append(Snapshot(0, 0, 0, 5, 10, 1000, 5, 10, Regions([0], [4096], [1], [0])))
    with_writer.seal()
    (found,) = read(through(tmp_path / "x", "json_compressed"))
    assert (found.snapshots[0].start_ns, found.snapshots[0].end_ns) == (1005, 1010)


def test_converting_in_place_keeps_mode_and_never_half_a_file(tmp_path: Path) -> None:
    """The output replaces the input with one rename and has its permission; no temporary file stays."""
    path = tmp_path / "damon.data"
    path.write_bytes(shared("damo", "records", "damon.data").read_bytes())
    path.chmod(0o640)
    with open_record(path) as record:
        convert.write(record, path, "parquet")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes()[:4] == b"PAR1"
    assert [item.name for item in tmp_path.iterdir()] == ["damon.data"]


def test_existing_files(tmp_path: Path) -> None:
    """An existing target is refused or kept as .old when asked so; a new one is private."""
    source, path = shared("damo", "records", RECORDS[1]), tmp_path / "x"
    with open_record(source) as record:
        convert.write(record, path, "json")
        assert path.stat().st_mode & 0o777 == 0o600
        before = path.read_bytes()
        with pytest.raises(Conflict):
            convert.write(record, path, "parquet", existing="refuse")
        assert path.read_bytes() == before
        convert.write(record, path, "parquet", existing="old")
    assert (tmp_path / "x.old").read_bytes() == before


def test_the_fast_and_the_slow_way_agree(tmp_path: Path) -> None:
    """Text laid out otherwise (no indent) gives the same records as damo's layout."""
    source = shared("damo", "records", "damon.data")
    plain = json.loads(zlib.decompress(source.read_bytes()))
    path = tmp_path / "x"
    path.write_text(json.dumps(plain))
    assert values(read(path)) == values(read(source))


def test_records_of_several_targets_are_in_order_of_time(tmp_path: Path) -> None:
    """Rows of a parquet made of damo's one-after-the-other records are sorted by the end of the aggregation."""
    snapshots = [
        Snapshot(0, 0, 0, t * 100, t * 100 + 100, 0, 0, 0, Regions([0, 4096], [4096, 9000], [1, 2], [0, 0]))
        for t in range(3)
    ]
    later = [replace(item, start_ns=item.start_ns + 50, end_ns=item.end_ns + 50) for item in snapshots]
    found = [Record(0, 0, None, 1, None, snapshots), Record(0, 0, None, 2, None, later)]
    with open_record(through(write_json(tmp_path / "in", found), "parquet")) as record:
        parts = list(record.columns("end_ns", "target", "start"))
    part = {name: [int(value) for item in parts for value in item[name]] for name in parts[0]}
    assert part["end_ns"] == [100, 100, 150, 150, 200, 200, 250, 250, 300, 300, 350, 350]
    assert part["target"] == [0, 0, 1, 1] * 3
    assert part["start"] == [0, 4096] * 6
