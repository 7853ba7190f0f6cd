"""The writer loses nothing that it was given a second ago, whatever happens to it."""

from __future__ import annotations

import errno
import os
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, Conflict, DamodError, DiskFull, NotAllowed, NotFound
from damod.records import open_record, writer
from damod.records.recover import recover
from damod.records.schema import RecordMeta, Series
from damod.records.writer import RecordWriter, seal

META = RecordMeta(kernel="7.3", wall_offset_ns=10**18, kdamonds=[{"state": "on"}], host={"name": "here"})


def snapshot(index: int, *, kdamond: int = 0, count: int = 3, **more: Any) -> Snapshot:
    """The `index`th snapshot, 100 ms after the one before."""
    starts = [4096 * (2 * place + index) for place in range(count)]
    regions = Regions(starts, [start + 4096 for start in starts], list(range(count)), [index] * count)
    facts = {"start_ns": index * 10**8, "end_ns": (index + 1) * 10**8, "sample_us": 5000, "aggr_us": 100_000, **more}
    return Snapshot(kdamond, 0, 0, wall_offset_ns=10**18, regions=regions, **facts)


class Clock:
    """Time that moves when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def times(path: Path) -> list[int]:
    """Ends of the aggregations in a record, in its order."""
    with open_record(path) as record:
        return [item.end_ns for _, item in record.aggregations()]


def test_sealed_record(tmp_path: Path) -> None:
    """What was appended is in the sealed file, with metadata, private, and no other file is left."""
    with RecordWriter(tmp_path, "damon.data", META) as made:
        for index in range(5):
            made.append(snapshot(index, lost=index, stats={"nr_tried": index}, pid=7), scheme=1)
        sealed = made.seal()
    assert sealed.name == "damon.data" and sealed.rows == 15 and not sealed.warnings
    path = tmp_path / "damon.data"
    assert sealed.bytes == path.stat().st_size and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["damon.data"]
    with open_record(path) as record:
        assert record.type == "parquet"
        assert (record.meta.kernel, record.meta.wall_offset_ns) == ("7.3", 10**18)
        assert record.meta.kdamonds == [{"state": "on"}] and record.meta.host == {"name": "here"}
        (series,) = record.series
        assert (series.scheme, series.target_id, series.pid) == (1, 7, 7)
        found = [item for _, item in record.aggregations()]
    assert [item.lost for item in found] == [0, 1, 2, 3, 4]
    assert [item.stats for item in found] == [{"nr_tried": index} for index in range(5)]
    assert found[4].regions.start.tolist() == [16384, 24576, 32768]  # type: ignore[attr-defined]
    assert {item.wall_offset_ns for item in found} == {10**18}


def test_a_second_behind(tmp_path: Path) -> None:
    """A snapshot is readable in the part one second after it was appended, at the latest."""
    clock = Clock()
    with RecordWriter(tmp_path, "x", META, clock=clock) as made:
        made.append(snapshot(0))
        clock.now = 0.9
        assert not made.flush_if_due() and times(tmp_path / "x.part") == []
        clock.now = 1.0
        assert made.flush_if_due() and times(tmp_path / "x.part") == [10**8]
        made.append(snapshot(1))
        clock.now = 2.0
        made.append(snapshot(2))
        assert times(tmp_path / "x.part") == [10**8, 2 * 10**8, 3 * 10**8]


def part_of(tmp_path: Path, batches: int, first: int = 0) -> Path:
    """A part as a crash leaves it: `batches` batches of one snapshot, no end."""
    made = RecordWriter(tmp_path, "x", META, flush_s=0)
    for index in range(first, first + batches):
        made.append(snapshot(index))
    data = (tmp_path / "x.part").read_bytes()
    made.close()
    (tmp_path / "x.part").write_bytes(data)
    return tmp_path / "x.part"


def test_torn_at_any_byte(tmp_path: Path) -> None:
    """Cut anywhere, a part gives all whole batches before the cut with a warning, or says that it has no beginning."""
    path = part_of(tmp_path, 3)
    data = path.read_bytes()
    seen = set()
    for size in range(len(data), 0, -23):
        path.write_bytes(data[:size])
        try:
            with open_record(path) as record:
                count = sum(1 for _ in record.aggregations())
                assert record.warnings
        except BadRecord:
            count = -1
        seen.add(count)
    assert seen == {3, 2, 1, 0, -1}


def test_flipped_bits(tmp_path: Path) -> None:
    """A flipped bit anywhere never shows wrong addresses or accesses, and never anything but a DamodError."""
    path = part_of(tmp_path, 3)
    data = path.read_bytes()
    wanted = {index: [4096 * index, 4096 * (index + 2), 4096 * (index + 4)] for index in range(3)}
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            with open_record(path) as record:
                for _, item in record.aggregations():
                    assert list(item.regions.start) == wanted[item.end_ns // 10**8 - 1]
                    assert list(item.regions.nr_accesses) == [0, 1, 2]
        except DamodError:
            pass


def test_recover(tmp_path: Path) -> None:
    """A part that a crash left is sealed with what is whole in it; the record that was there is kept as .old."""
    path = part_of(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:-10])
    (tmp_path / "x").write_text("before")
    (sealed,) = recover(tmp_path / "x")
    assert sealed.rows == 6 and "damaged batch" in sealed.warnings[0]
    assert times(tmp_path / "x") == [10**8, 2 * 10**8]
    assert (tmp_path / "x.old").read_text() == "before"
    assert not path.exists()
    with pytest.raises(NotFound):
        recover(tmp_path / "x")


def test_recover_after_a_crash_while_sealing(tmp_path: Path) -> None:
    """Where the sealed file was in place but the part not yet gone, recovering leaves one record and no .old."""
    path = part_of(tmp_path, 2)
    data = path.read_bytes()
    seal(tmp_path, "x")
    path.write_bytes(data)
    (tmp_path / ".x.sealing").write_text("half")
    recover(path)
    assert [item.name for item in tmp_path.iterdir()] == ["x"]


def test_a_directory_of_segments_is_recovered(tmp_path: Path) -> None:
    """Every part in the segments of a rotated recording is sealed."""
    for index, stamp in enumerate(("2026-01-01-00-00-00", "2026-01-01-01-00-00")):
        (tmp_path / f"x.{stamp}").mkdir()
        part_of(tmp_path / f"x.{stamp}", 1, index)
        (tmp_path / f"x.{stamp}" / "x.vmas.part").write_text("{}\n")
    assert len(recover(tmp_path)) == 2
    assert times(tmp_path / "x") == [10**8, 2 * 10**8]


def test_a_running_recording_is_left_alone(tmp_path: Path) -> None:
    """Neither a second writer nor recover touch a part that a writer has."""
    with RecordWriter(tmp_path, "x", META) as made:
        with pytest.raises(Conflict):
            recover(tmp_path / "x")
        with pytest.raises(Conflict, match="interrupted"):
            RecordWriter(tmp_path, "x", META)
        made.append(snapshot(0))
        made.seal()
    assert times(tmp_path / "x") == [10**8]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """A disk with `room` bytes left, on which a write that does not fit is written in part first, as ext4 does."""
    state = {"room": 10**9}
    real = os.write

    def write(handle: int, data: Any) -> int:
        if not state["room"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(handle, bytes(data)[: state["room"]])
        state["room"] -= done
        return done

    monkeypatch.setattr(writer.os, "write", write)
    yield state


def test_disk_full(tmp_path: Path, full: dict[str, int]) -> None:
    """A full disk is an error that leaves all before it whole; with room again, nothing is lost."""
    made = RecordWriter(tmp_path, "x", META, flush_s=0)
    made.append(snapshot(0))
    size = (tmp_path / "x.part").stat().st_size
    full["room"] = 100
    with pytest.raises(DiskFull, match="no space left"):
        made.append(snapshot(1))
    assert (tmp_path / "x.part").stat().st_size == size == made.bytes
    assert times(tmp_path / "x.part") == [10**8]
    full["room"] = 10**9
    made.append(snapshot(2))
    made.seal()
    assert times(tmp_path / "x") == [10**8, 2 * 10**8, 3 * 10**8]


def test_what_does_not_fit_can_be_forgotten(tmp_path: Path, full: dict[str, int]) -> None:
    """After DiskFull the writer can drop what it holds, so that it stays small, and says how much that was."""
    made = RecordWriter(tmp_path, "x", META, flush_s=0)
    full["room"] = 0
    for index in range(2):
        with pytest.raises(DiskFull):
            made.append(snapshot(index))
    assert made.discard() == 2
    full["room"] = 10**9
    made.append(snapshot(2))
    made.seal()
    assert times(tmp_path / "x") == [3 * 10**8]


def test_no_room_to_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the Parquet file does not fit, the part stays as it was and no half file is left."""
    path = part_of(tmp_path, 3)

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "write_parquet", fail)
    with pytest.raises(DiskFull):
        seal(tmp_path, "x")
    assert [item.name for item in tmp_path.iterdir()] == ["x.part"]
    assert len(times(path)) == 3


@pytest.mark.parametrize("name", ["x.part", ".x.sealing", "x"])
def test_links_are_not_followed(name: str, tmp_path: Path) -> None:
    """A link planted where the recorder writes never makes it write to, nor read, what the link points at."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    where = tmp_path / "out"
    where.mkdir()
    (where / name).symlink_to(victim)
    try:
        made = RecordWriter(where, "x", META)
        made.append(snapshot(0))
        made.seal()
    except DamodError:
        assert name == "x.part"
    assert victim.read_text() == "precious"
    if name == "x.part":
        with pytest.raises(NotAllowed):
            seal(where, "x")
    else:
        assert not (where / "x").is_symlink() and times(where / "x") == [10**8]


def test_a_pipe_for_a_part_does_not_hang(tmp_path: Path) -> None:
    """A named pipe in place of a part is refused at once."""
    os.mkfifo(tmp_path / "x.part")
    with pytest.raises(DamodError, match="not a regular file"):
        seal(tmp_path, "x")


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc/x"])
def test_names_stay_in_the_directory(name: str, tmp_path: Path) -> None:
    """A name with directories in it is refused."""
    with pytest.raises(DamodError, match="no file name"):
        RecordWriter(tmp_path, name, META)


def test_mode_and_refusal(tmp_path: Path) -> None:
    """The permission is exactly the one asked for, and an existing record may be refused to be replaced."""
    made = RecordWriter(tmp_path, "x", META, mode=0o644)
    made.append(snapshot(0))
    made.close()
    (tmp_path / "x").write_text("before")
    with pytest.raises(Conflict):
        seal(tmp_path, "x", existing="refuse")
    seal(tmp_path, "x", existing="replace")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
    assert sorted(item.name for item in tmp_path.iterdir()) == ["x"]


def test_by_directory_handle(tmp_path: Path) -> None:
    """A handle that the caller opened is used and not closed, even when the directory's name is gone."""
    where = tmp_path / "a"
    where.mkdir()
    handle = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    where.rename(tmp_path / "b")
    made = RecordWriter(handle, "x", META)
    made.append(snapshot(0))
    made.seal()
    os.close(handle)
    assert times(tmp_path / "b" / "x") == [10**8]


def test_two_kdamonds_are_put_in_order(tmp_path: Path) -> None:
    """Aggregations that come a little out of order, even across batches, are sorted in part and sealed file."""
    made = RecordWriter(tmp_path, "x", META, flush_s=0)
    for end in (100, 300, 200, 400, 350, 500):
        made.append(snapshot(0, kdamond=end // 50 % 2, start_ns=0, end_ns=end))
    made.flush()
    wanted = [100, 200, 300, 350, 400, 500]
    assert times(tmp_path / "x.part") == wanted
    made.seal()
    assert times(tmp_path / "x") == wanted


def test_series_that_appear_later(tmp_path: Path) -> None:
    """What is said of a series in the middle of a recording is in the part and in the sealed file."""
    made = RecordWriter(tmp_path, "x", META)
    made.append(snapshot(0))
    made.flush()
    made.add_series(Series(1, 0, None, 0, target_id=99, ops="vaddr", filters=({"filter_type": "anon"},)))
    made.append(snapshot(1, kdamond=1))
    made.flush()
    for done in (False, True):
        if done:
            made.seal()
        with open_record(tmp_path / ("x" if done else "x.part")) as record:
            found = record.records()
        assert [item.target_id for item in found] == [0, 99]
        assert list(found[1].filters) == [{"filter_type": "anon"}]


@pytest.mark.parametrize(
    "regions",
    [
        Regions([0], [4096], [2**31], [0]),
        Regions([0], [4096], [0], [2**31]),
        Regions([0], [4096], [0.5], [0]),  # type: ignore[list-item]
        Regions([0], [2**64], [0], [0]),
        Regions([0], [4096, 8192], [0], [0]),
    ],
)
def test_values_that_do_not_fit(regions: Regions, tmp_path: Path) -> None:
    """A value beyond its column is refused when it is appended, and the record goes on."""
    made = RecordWriter(tmp_path, "x", META)
    with pytest.raises(BadRecord):
        made.append(Snapshot(0, 0, 0, 0, 1, 0, 0, 0, regions))
    made.append(snapshot(0))
    made.seal()
    assert times(tmp_path / "x") == [10**8]


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """What the writer holds does not depend on how much it has written."""
    made = RecordWriter(tmp_path, "x", META, flush_s=0.001)
    one = snapshot(0, count=1000)
    for _ in range(20):
        made.append(one)
    tracemalloc.start()
    for _ in range(300):
        made.append(one)
    made.flush()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    made.close()
    assert held < 300_000
