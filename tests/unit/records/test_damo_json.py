"""damo's record files: read exactly, whatever their kind; damaged ones end in a sentence."""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damod.access.record import Goal, Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, DamodError
from damod.records import damo_json, damo_plain, json_text
from tests.shared import shared


def record(snapshots: int = 3, *, goal: Goal | None = None, age: int = 5) -> Record:
    """A record with a few regions, passed bytes and stats."""
    made = []
    for index in range(snapshots):
        regions = Regions([4096, 1 << 32], [8192, (1 << 32) + 12288], [0, 20], [age, index], None, [0, 4096])
        made.append(
            Snapshot(
                1, 0, 0, 1_000_000_000 + index * 100_000_000, 1_100_000_000 + index * 100_000_000, 0, 5_000, 100_000,
                regions, source="record", filters=[{"filter_type": "anon", "matching": True, "allow": True}],
                stats={"nr_tried": 7, "sz_tried": 4096},
            )
        )  # fmt: skip
    return Record(
        1, 0, 0, 42, Intervals(5_000, 100_000, 1_000_000, goal or Goal()), made,
        [{"filter_type": "anon", "matching": True, "allow": True}],
    )  # fmt: skip


def text(*records: Record, raw: bool = True) -> bytes:
    return json.dumps([damo_plain.to_plain(item, raw=raw) for item in records], indent=4).encode()


def read(data: bytes, **how: Any) -> list[Record]:
    return damo_json.read_stream(io.BytesIO(data), "x.data", **how)


def columns(item: Record) -> list[list[list[int]]]:
    return [
        [list(column) for column in (s.regions.start, s.regions.end, s.regions.nr_accesses, s.regions.age)]
        for s in item.snapshots
    ]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("pack", [bytes, zlib.compress])
def test_round_trip(raw: bool, pack: Any) -> None:
    """What --json prints, human or raw, packed or not, reads back as the same record."""
    wanted = record(goal=Goal(400, 3, 5_000, 10_000_000))
    (got,) = read(pack(text(wanted, raw=raw)))
    assert columns(got) == columns(wanted)
    assert (got.kdamond, got.context, got.scheme, got.target_id) == (1, 0, 0, 42)
    assert got.intervals == wanted.intervals
    assert list(got.filters) == list(wanted.filters)
    assert [s.start_ns for s in got.snapshots] == [s.start_ns for s in wanted.snapshots]
    assert [s.stats for s in got.snapshots] == [s.stats for s in wanted.snapshots]
    assert [list(s.regions.sz_filter_passed or ()) for s in got.snapshots] == [[0, 4096]] * 3
    assert {(s.sample_us, s.aggr_us) for s in got.snapshots} == {(5_000, 100_000)}


@pytest.mark.parametrize("size", [1, 3, 7, 64])
def test_any_chunk_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that lie across the borders of what is read at once are read right, UTF-8 included."""
    monkeypatch.setattr(damo_json, "_CHUNK", size)
    wanted = record()
    data = text(wanted).decode().replace('"unknown"', '"ünknöwn €"').encode()
    for packed in (data, zlib.compress(data)):
        (got,) = read(packed)
        assert columns(got) == columns(wanted)
        assert got.data_source == "ünknöwn €"


def test_real_files() -> None:
    """damo's own files have the counts that are known of them."""
    (old,) = read(shared("damo", "records", "damon.data").read_bytes())
    assert (len(old.snapshots), old.intervals, old.target_id) == (543, None, 18446623438842320000)
    assert old.snapshots[0].regions.age[0] == -1
    (new,) = read(shared("damo", "records", "damon.data.snapshot.active").read_bytes())
    assert new.intervals is not None and new.intervals.goal == Goal(400, 1, 5_000, 150_000)
    assert len(new.snapshots[0].regions) == 34


def test_tuned_interval() -> None:
    """damo writes nanoseconds as sample_interval_us; they are taken as such, and as damo reads them with compat."""
    plain = damo_plain.to_plain(record(1, goal=Goal(400, 3, 5_000, 10_000_000)), raw=True)
    plain["snapshots"][0]["sample_interval_us"] = "80000000"
    data = json.dumps([plain]).encode()
    assert read(data)[0].snapshots[0].sample_us == 80_000
    assert read(data)[0].snapshots[0].aggr_us == 1_600_000
    assert read(data, compat=True)[0].snapshots[0].sample_us == 80_000_000


def test_tuned_duration() -> None:
    """Without a note of the tuned interval, a snapshot that took a tenth longer than set tells its own."""
    plain = damo_plain.to_plain(record(1, goal=Goal(400, 3, 5_000, 10_000_000)), raw=True)
    plain["snapshots"][0] |= {"sample_interval_us": None, "end_time": "1200000000"}
    (got,) = read(json.dumps([plain]).encode())
    assert (got.snapshots[0].sample_us, got.snapshots[0].aggr_us) == (10_000, 200_000)


def test_missing_keys() -> None:
    """Keys that damo tolerates to miss may miss."""
    plain = damo_plain.to_plain(record(1), raw=True)
    for key in ("kdamond_idx", "context_idx", "intervals", "scheme_idx", "scheme_filters", "data_source"):
        del plain[key]
    snapshot = plain["snapshots"][0]
    for key in ("total_bytes", "damos_stats", "sample_interval_us"):
        del snapshot[key]
    for region in snapshot["regions"]:
        del region["probe_hits"], region["sz_filter_passed"]
    (got,) = read(json.dumps([plain]).encode())
    assert (got.kdamond, got.intervals, got.snapshots[0].regions.sz_filter_passed) == (0, None, None)


LINE = "kdamond.0  123 [001] {time}: damon:damon_aggregated: target_id={target} nr_regions={n} {region}: {rest}\n"


def test_perf_script() -> None:
    """Text of events groups by target, starts each snapshot where the last ended, and drops damo's filler."""
    lines = []
    for time, regions in (("10.000000", 2), ("10.100000", 1), ("10.200000", 2)):
        for target in (0, 1):
            lines += [
                LINE.format(time=time, target=target, n=regions, region=f"{at * 4096}-{(at + 1) * 4096}", rest="3 7")
                for at in range(regions)
            ]
    lines.append(LINE.format(time="10.300000", target=0, n=1, region="0-0", rest="-1 -1"))
    first, second = read("".join(lines).encode())
    assert (first.target_id, second.target_id) == (0, 1)
    assert [(s.start_ns, s.end_ns, len(s.regions)) for s in first.snapshots] == [
        (9_900_000_000, 10_000_000_000, 2),
        (10_000_000_000, 10_100_000_000, 1),
        (10_100_000_000, 10_200_000_000, 2),
    ]
    assert first.snapshots[0].regions.age[0] == 7


def test_perf_script_without_age() -> None:
    """damo writes None for unknown ages and cannot read it back; here it is an unknown age."""
    data = LINE.format(time="1.5", target=0, n=1, region="0-4096", rest="0 None").encode()
    assert list(read(data)[0].snapshots[0].regions.age) == [-1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\x7fELF\x02\x01\x01", "not a record"),
        (b"PERFILE2" + b"\0" * 100, "raw data of perf"),
        (b"hello world\n", "not a record"),
        (b"damon damon\n", "no DAMON events"),
        (b"[]", "no records"),
        (b"[1, 2]", "no record"),
        (b"[{}]", "no list of records"),
        (b'{"kdamonds": []}', "no list of records"),
        (b'[{"target_id": null, "snapshots": []}] x', "more text"),
        (b'[{"target_id": null, "snapshots": [{}]}]', "'start_time'"),
        (b'[{"target_id": null, "snapshots": {}}]', "where [ was due"),
        (b'[{"target_id": nul', "truncated"),
        (b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "no JSON"),
        (b'[{"a": ' + b"1" * 10_000 + b"}]", "too long"),
        (zlib.compress(text(record()))[:-10], "truncated"),
        (zlib.compress(text(record()))[:-4] + b"xxxx", "decompression failed"),
        (text(record())[:-30], "truncated"),
        (text(record()).replace(b'"4,096"', b'"-4,096"', 1), "snapshot 0"),
        (text(record()).replace(b'"8,192"', b'"1"', 1), "ends (1) below its start (4,096)"),
        (text(record()).replace(b'"sample_us": "5000"', b'"sample_us": "0"', 1), "not above zero"),
    ],
)
def test_bad_files(data: bytes, said: str) -> None:
    """Each kind of damage is one sentence that names the file."""
    with pytest.raises(BadRecord) as caught:
        read(data)
    assert said in caught.value.message
    assert "x.data" in caught.value.message


@given(st.data())
def test_flipped_bits(data: st.DataObject) -> None:
    """A flipped bit or a cut end gives records or an error object, never anything else."""
    good = text(record(2)) if data.draw(st.booleans()) else zlib.compress(text(record(2)))
    bad = bytearray(good[: data.draw(st.integers(1, len(good)))])
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read(bytes(bad))
    except DamodError as exc:
        assert exc.message


def test_zip_bomb_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that never ends is refused at the limit, not read into memory as a whole."""
    monkeypatch.setattr(json_text, "MAX_VALUE", 1 << 20)
    with pytest.raises(BadRecord, match="of more than 1,048,576 characters"):
        read(zlib.compress(b'[{"a": [' + b"1," * (8 << 20)))
