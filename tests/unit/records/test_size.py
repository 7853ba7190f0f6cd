"""Records are small: what they take per region on workloads like DAMON's is part of the interface."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from damod.records import convert, open_record
from tests.bench import record_size


@pytest.mark.parametrize(("workload", "most"), [("resting", 1.5), ("stairs", 3.0), ("restless", 6.5)])
def test_bytes_per_region(workload: str, most: float, tmp_path: Path) -> None:
    """On stairs of about 1,000 regions a region takes well below 5 bytes, and a quarter of json_compressed."""
    rows = list(record_size.WORKLOADS[workload](100))
    regions = sum(len(row.regions) for row in rows)
    assert 900 <= regions / len(rows) <= 1100
    path, part = record_size.record(tmp_path, rows)
    size = path.stat().st_size
    assert size / regions < most
    assert part / regions < 2 * most
    with open_record(path) as record:
        packed = convert.write(record, tmp_path / "packed", "json_compressed")
    assert size * (4 if workload == "stairs" else 2) < packed


def test_boundaries_of_stairs_move(tmp_path: Path) -> None:
    """The workload that sizes are measured on has new boundaries in every snapshot, as DAMON's regions have."""
    rows = list(record_size.WORKLOADS["stairs"](30))
    for before, after in pairwise(rows):
        moved = set(after.regions.start) - set(before.regions.start)
        assert len(moved) > len(after.regions) / 20
