"""What a recording lost is shown, however large the record is."""

from __future__ import annotations

import io
import random
from itertools import accumulate
from pathlib import Path

from damoctl.commands import report
from damoctl.context import Context
from damod.access.snapshot import Regions, Snapshot
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter

COUNT = 20_000


def snapshot(number: int, lost: int) -> Snapshot:
    # Irregular, so that the file is large and reports take the way of columns.
    chance = random.Random(number)
    starts = list(accumulate(chance.randrange(1, 1 << 20) * 4096 for _ in range(COUNT)))
    counts = [chance.randrange(20) for _ in range(COUNT)]
    regions = Regions(starts, [start + 4096 for start in starts], counts, [number] * COUNT)
    end = (number + 1) * 100_000_000
    return Snapshot(0, 0, 0, end - 100_000_000, end, 0, 5_000, 100_000, regions, lost=lost)


def test_lost_events_of_a_large_record_are_told(tmp_path: Path) -> None:
    """A record of tens of thousands of regions tells its lost events, as a small one does."""
    writer = RecordWriter(str(tmp_path), "damon.data", RecordMeta(kernel="6.12", wall_offset_ns=0))
    for number, lost in enumerate((0, 7)):
        writer.append(snapshot(number, lost))
    writer.seal()
    out = io.StringIO()
    path = tmp_path / "damon.data"
    assert path.stat().st_size > 1 << 16
    assert report.run(["access", "--input", str(path)], Context(stdout=out)) == 0
    assert "# lost: 7 trace events before this snapshot" in out.getvalue()
    assert out.getvalue().count("\n0   addr ") + out.getvalue().startswith("0   addr ") == 2
