"""Health of records: each trouble in a record that has it, and none in a good one."""

from __future__ import annotations

from typing import Any

import pytest

from damoctl.diagnose import record
from damod.access.snapshot import Regions, Snapshot
from damod.records.reader import open_record
from damod.records.schema import RecordMeta, Series
from damod.records.writer import RecordWriter
from tests.shared import shared
from tests.unit.damoctl.diagnose.conftest import codes

META = RecordMeta(
    kernel="7.3", wall_offset_ns=10**18, series=(Series(0, 0, -1, 0),),
    kdamonds=[{"contexts": [{"ops": "paddr", "targets": [{}], "nr_regions": {"min": "3", "max": "10"}}]}],
)  # fmt: skip


def snapshot(at: int, *, count: int = 3, accesses: int = 2, **more: Any) -> Snapshot:
    starts = [4096 * place for place in range(count)]
    regions = Regions(starts, [start + 4096 for start in starts], [accesses] * count, [at] * count)
    facts = {"start_ns": at * 10**8, "end_ns": (at + 1) * 10**8, "sample_us": 5000, "aggr_us": 100_000, **more}
    return Snapshot(0, 0, 0, wall_offset_ns=10**18, regions=regions, **facts)


def found(tmp_path: Any, shots: list[Snapshot]) -> list[str]:
    """Codes of what is wrong with a record of these snapshots."""
    writer = RecordWriter(tmp_path, "rec", META)
    for shot in shots:
        writer.append(shot)
    writer.seal()
    with open_record(tmp_path / "rec") as opened:
        return codes(record.judge(record.look(opened)))


@pytest.mark.parametrize(
    ("shots", "expected"),
    [
        ([snapshot(at) for at in range(30)], []),
        ([snapshot(at) for at in range(5)], ["record-short"]),
        ([snapshot(at, lost=at == 9) for at in range(30)], ["record-lost"]),
        ([snapshot(at) for at in range(60) if not 20 < at < 40], ["record-gaps"]),
        ([snapshot(at * 10) for at in range(30)], []),
        ([snapshot(at, count=10) for at in range(30)], ["regions-full"]),
        ([snapshot(at, accesses=0) for at in range(30)], ["no-accesses"]),
        ([snapshot(at, aggr_us=0, sample_us=0) for at in range(30)], ["record-intervals"]),
    ],
    ids=["good", "short", "lost", "gaps", "evenly spaced snapshots", "full", "no accesses", "no intervals"],
)
def test_health(tmp_path, shots, expected):
    """What is told of which record; snapshots taken now and then are no gaps."""
    assert found(tmp_path, shots) == expected


def test_a_part_is_unfinished(tmp_path):
    """What a crash left behind is readable, and told."""
    writer = RecordWriter(tmp_path, "rec", META)
    for at in range(30):
        writer.append(snapshot(at))
    writer.flush()
    with open_record(tmp_path / "rec.part") as opened:
        assert "record-unfinished" in codes(record.judge(record.look(opened)))
    writer.seal()


def test_records_of_damo_are_looked_at_too():
    """Its own formats, as it wrote them."""
    seen = 0
    for path in sorted(shared("damo", "records").iterdir()):
        if path.suffix in (".data", ".json") or path.name.endswith("damon.data"):
            try:
                with open_record(path) as opened:
                    list(record.judge(record.look(opened)))
            except Exception as exc:
                assert type(exc).__name__ == "BadRecord", path
            else:
                seen += 1
    assert seen
