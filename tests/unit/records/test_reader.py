"""open_record tells what a file is by its content, and what is wrong with it in a sentence."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, DamodError, NotAllowed, NotFound
from damod.records import convert, kinds, open_record
from damod.records.schema import COLUMNS, RecordMeta
from damod.records.writer import RecordWriter
from tests.shared import shared

SEGMENTS = ("2026-01-01-00-00-00", "2026-01-01-01-00-00")


def write(where: Path, first: int, count: int, *, name: str = "damon.data", sealed: bool = True) -> Path:
    """A record of `count` snapshots of 40 regions."""
    where.mkdir(exist_ok=True)
    made = RecordWriter(where, name, RecordMeta(kernel="7.3"), flush_s=0)
    for index in range(first, first + count):
        starts = [4096 * (3 * place + index % 2) for place in range(40)]
        regions = Regions(starts, [start + 8192 for start in starts], [index % 20] * 40, [index] * 40)
        made.append(Snapshot(0, 0, 0, index * 100, index * 100 + 100, 0, 5000, 100_000, regions))
    if sealed:
        made.seal()
    else:
        made.close()
    return where / name


def ends(path: Path | str) -> list[int]:
    with open_record(path) as record:
        return [item.end_ns for _, item in record.aggregations()]


def test_lazy_name() -> None:
    """`from damod.records import open_record` works, loads numpy only to read a record, and there is no other name."""
    code = "import sys, damod.records as r; r.open_record; print({'numpy', 'pyarrow'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
    import damod.records

    with pytest.raises(AttributeError, match="nothing"):
        damod.records.nothing  # noqa: B018


def test_types_by_content(tmp_path: Path) -> None:
    """The name of a file says nothing; its content does."""
    for kind in convert.TYPES:
        path = tmp_path / "x.txt"
        with open_record(shared("damo", "records", "damon.data.snapshot.active")) as record:
            convert.write(record, path, kind)
        with open_record(path) as record:
            assert record.type == kind
            assert len(record.records()) == 1
    with open_record(write(tmp_path, 0, 1, name="y", sealed=False).with_name("y.part")) as record:
        assert record.type == "arrow"


def test_columns_and_batches(tmp_path: Path) -> None:
    """Asked for some columns, a record gives exactly those; unknown ones are named."""
    with open_record(write(tmp_path, 0, 3)) as record:
        parts = list(record.columns("age", "end"))
        assert np.concatenate([part["age"] for part in parts]).tolist() == [0] * 40 + [1] * 40 + [2] * 40
        assert {tuple(part) for part in parts} == {("age", "end")}
        (rows, *_) = record.batches()
        assert rows.schema.names == [column.name for column in COLUMNS]
        assert record.time_range() == (0, 300)
        with pytest.raises(ValueError, match="nr_acceses"):
            next(record.batches(["nr_acceses"]))


def test_no_aggregation_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However rows are grouped in the file, batches end with an aggregation and hold all rows."""
    path = write(tmp_path, 0, 10)
    monkeypatch.setattr(kinds, "ROWS_PER_BATCH", 7)
    with open_record(path) as record:
        sizes = [rows.num_rows for rows in record.batches(["start"])]
    assert sum(sizes) == 400
    assert not [size for size in sizes if size % 40]


@pytest.mark.parametrize("where", ["{}", "{}/damon.data", "{}/damon.data.2026-01-01-01-00-00"])
def test_rotated_segments(where: str, tmp_path: Path) -> None:
    """A directory of segments, or the name they came from, is one record; one segment is itself."""
    for index, stamp in enumerate(SEGMENTS):
        write(tmp_path / f"damon.data.{stamp}", index * 3, 3)
    found = ends(where.format(tmp_path))
    assert found == ([400, 500, 600] if "2026" in where else [100, 200, 300, 400, 500, 600])


def test_a_directory_that_damo_rotated_into(tmp_path: Path) -> None:
    """It is read by the damon.data in it."""
    (tmp_path / "damon.data").write_bytes(shared("damo", "records", "damon.data.snapshot.active").read_bytes())
    with open_record(tmp_path) as record:
        assert record.type == "json_compressed"


def test_the_last_segment_still_runs(tmp_path: Path) -> None:
    """A segment that is not sealed yet is read along, and so is a .part beside."""
    write(tmp_path / f"damon.data.{SEGMENTS[0]}", 0, 2)
    write(tmp_path / f"damon.data.{SEGMENTS[1]}", 2, 2, sealed=False)
    assert ends(tmp_path) == [100, 200, 300, 400]
    write(tmp_path, 4, 1, sealed=False)
    assert ends(tmp_path / "damon.data") == [100, 200, 300, 400, 500]


def test_segments_of_several_recordings(tmp_path: Path) -> None:
    """A directory with segments of two recordings does not mix them."""
    write(tmp_path / f"a.{SEGMENTS[0]}", 0, 1, name="a")
    write(tmp_path / f"b.{SEGMENTS[0]}", 0, 1, name="b")
    with pytest.raises(BadRecord, match="several"):
        open_record(tmp_path)
    assert ends(tmp_path / "b") == [100]


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads a record of any type from a pipe."""
    data = write(tmp_path, 0, 2).read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert ends("-") == [100, 200]


def test_a_pipe_as_file(tmp_path: Path) -> None:
    """A named pipe (or process substitution) is read to its end."""
    data = write(tmp_path, 0, 2).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())", tmp_path / "pipe"],
        stdin=subprocess.PIPE,
    )
    assert child.stdin
    child.stdin.write(data)
    child.stdin.close()
    assert ends(tmp_path / "pipe") == [100, 200]
    assert child.wait() == 0


FOREIGN = {
    "empty": b"",
    "text": b"hello, world\n",
    "zeros": bytes(10_000),
    "elf": b"\x7fELF" + bytes(range(256)),
    "json": b'{"a": 1}',
    "list": b"[1, 2]",
    "kdamonds": json.dumps([{"state": "on", "contexts": []}]).encode(),
    "zlib of nothing": zlib.compress(b""),
    "zlib of text": zlib.compress(b"hello"),
    "broken zlib": zlib.compress(b"[" + b" " * 10**5)[:40],
    "parquet magic": b"PAR1",
    "parquet magic twice": b"PAR1\x00\x00\x00\x00PAR1",
    "huge footer": b"PAR1" + b"\xff\xff\xff\x7fPAR1",
    "arrow magic": b"\xff\xff\xff\xff",
    "huge message": b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(100),
    "end of stream": b"\xff\xff\xff\xff\x00\x00\x00\x00",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(name: str, tmp_path: Path) -> None:
    """What is no record is a BadRecord that names the file."""
    path = tmp_path / "some.file"
    path.write_bytes(FOREIGN[name])
    with pytest.raises(BadRecord, match=r"some\.file"):
        open_record(path)


def test_foreign_tables(tmp_path: Path) -> None:
    """Parquet and Arrow files of others are told from records."""
    table = pa.table({"a": [1, 2]})
    pq.write_table(table, tmp_path / "p")
    with pa.ipc.new_stream(tmp_path / "a", table.schema) as stream:
        stream.write_table(table)
    for name in "pa":
        with pytest.raises(BadRecord, match=str(tmp_path / name)):
            open_record(tmp_path / name)


def test_missing_and_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, or not for us, is an error of its own."""
    with pytest.raises(NotFound):
        open_record(tmp_path / "none")
    with pytest.raises(BadRecord, match="without a record"):
        open_record(tmp_path)
    path = write(tmp_path, 0, 1)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NotAllowed):
        open_record(path)


def test_damaged_parquet(tmp_path: Path) -> None:
    """A sealed record cut short or with flipped bits never shows wrong values nor anything but a DamodError."""
    path = write(tmp_path, 0, 4)
    data = path.read_bytes()
    with open_record(path) as record:
        wanted = [tuple(row.values()) for rows in record.batches() for row in rows.to_pylist()]
    for size in range(len(data) - 1, 0, -211):
        path.write_bytes(data[:size])
        with pytest.raises(BadRecord):
            open_record(path)
    for place in range(0, len(data), 13):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            with open_record(path) as record:
                got = [tuple(row.values()) for rows in record.batches() for row in rows.to_pylist()]
                assert got == wanted or record.warnings
        except DamodError:
            continue


def test_a_damaged_part_of_a_parquet_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one row group damaged the others are read, and a warning says so."""
    from damod.records import parquet

    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 80)
    path = write(tmp_path, 0, 6)
    column = pq.ParquetFile(path).metadata.row_group(1).column(12)
    with path.open("r+b") as file:
        file.seek(column.data_page_offset + column.total_compressed_size - 5)
        file.write(b"\x00\xff\x00")
    with open_record(path) as record:
        assert [item.end_ns for _, item in record.aggregations()] == [100, 200, 500, 600]
        assert "part 1 of 3 is damaged" in record.warnings[0]


def fake_perf(where: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where.mkdir()
    (where / "perf").write_text(f"#!/bin/sh\n{script}\n")
    (where / "perf").chmod(0o755)
    monkeypatch.setenv("PATH", f"{where}:/usr/bin:/bin")


def test_perf_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw data of perf go through `perf script`; what perf says about trouble is passed on; no perf is an error."""
    path = tmp_path / "perf.data"
    path.write_bytes(b"PERFILE2" + bytes(100))
    line = "kdamond.0 1 [000] 1.000000: damon:damon_aggregated: target_id=0 nr_regions=1 0-4096: 3 4"
    fake_perf(tmp_path / "good", f'test -r "$5" && echo "{line}"', monkeypatch)
    with open_record(path) as record:
        assert record.type == "perf_data"
        (found,) = record.records()
    assert found.snapshots[0].regions.nr_accesses == [3]
    fake_perf(tmp_path / "bad", "echo incompatible file format >&2; exit 1", monkeypatch)
    with pytest.raises(BadRecord, match="incompatible file format"):
        open_record(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadRecord, match="no perf"):
        open_record(path)


def test_a_newer_version_says_so(tmp_path: Path) -> None:
    """A record of a later format is not misread."""
    RecordWriter(tmp_path, "x", RecordMeta(version=99)).close()
    path = tmp_path / "x.part"
    with pytest.raises(BadRecord, match="version 99"):
        open_record(path)


def test_a_zip_bomb_of_blanks_stays_small(tmp_path: Path) -> None:
    """A compressed file that inflates to endless blanks ends in an error, in bounded memory."""
    import resource

    path = tmp_path / "bomb"
    pack = zlib.compressobj()
    with path.open("wb") as file:
        for _ in range(60):
            file.write(pack.compress(b" " * 10_000_000))
        file.write(pack.flush())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadRecord):
        open_record(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
