"""Side files: what is in them, and that a crash or a full disk costs a line at most."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from damod.recorder.place import Place
from damod.recorder.sides import Proc, SideFile, Sides, seal_side, vmas, write_kdamonds

MAPS = (
    "00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus daemon\n"
    "7f00aa000000-7f00aa021000 rw-p 00000000 00:00 0\n"
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    handle = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Place(handle, "x.data", 0o600, None)
    os.close(handle)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with one process, whose name is awkward."""
    root = tmp_path / "proc"
    (root / "12").mkdir(parents=True)
    (root / "meminfo").write_text(
        "MemTotal: 1000 kB\nMemFree: 600 kB\nMemAvailable: 700 kB\nBuffers: 1 kB\nCached: 2 kB\n"
    )
    (root / "12/statm").write_text("10 9 8 7 6 5 4\n")
    (root / "12/stat").write_text("12 (a) b) S 1 2 3\n")
    (root / "12/maps").write_text(MAPS)
    return root


def test_entries_are_damos(place: Place, proc: Path, tmp_path: Path) -> None:
    """Sealed side files are JSON lists in damo's form; who is gone is left out, or null where there is a place."""
    sides = Sides(place, ("mem_footprint", "vmas", "proc_stats"), Proc(proc))
    for second in range(2):
        sides.take(1_700_000_000_000_000_000 + second, 5 + second, [12, 99], [77])
    sides.close()
    for kind in ("mem_footprint", "vmas", "proc_stats"):
        seal_side(place.directory, f"x.data.{kind}", 0o600)
    footprints = json.loads((tmp_path / "x.data.mem_footprint").read_text())
    assert len(footprints) == 2
    assert footprints[1]["mono_ns"] == 6
    assert footprints[0]["footprints"] == [
        {"pid": 12, "footprint": {"size": 10, "resident": 9, "shared": 8, "trs": 7, "lrs": 6, "drs": 5, "dt": 4}},
        {"pid": None, "footprint": {"total": 1000, "free": 600, "available": 700, "buffers": 1, "cached": 2}},
    ]
    stats = json.loads((tmp_path / "x.data.proc_stats").read_text())
    assert stats[0]["proc_stats"] == [
        {"fields": None},
        {"fields": ["12", "(a) b)", "S", "1", "2", "3"]},
        {"fields": None},
    ]
    maps = json.loads((tmp_path / "x.data.vmas").read_text())
    assert len(maps) == 1, "what has not changed is not written again"
    assert maps[0]["procvmas"][0]["vmas"][0] == {"start": 0x400000, "end": 0x452000, "name": "daemon"}


def test_a_torn_line_is_left_out(place: Place, tmp_path: Path) -> None:
    """What a crash cut in the middle does not spoil what is before it."""
    (tmp_path / "x.part").write_text('{"time":1}\n{"time":2}\n{"ti')
    seal_side(place.directory, "x", 0o640)
    assert json.loads((tmp_path / "x").read_text()) == [{"time": 1}, {"time": 2}]
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "x.part").exists()


def test_nothing_recorded_is_an_empty_list(place: Place, tmp_path: Path) -> None:
    """A side file without an entry is JSON as well; without a part nothing is made."""
    (tmp_path / "x.part").touch()
    seal_side(place.directory, "x", 0o600)
    assert json.loads((tmp_path / "x").read_text()) == []
    seal_side(place.directory, "y", 0o600)
    assert not (tmp_path / "y").exists()


def test_no_room_costs_lines_only(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that does not fit is counted and leaves no half of itself."""
    side = SideFile(place, "x")
    side.append({"time": 1})
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
    side.append({"time": 2})
    monkeypatch.undo()
    side.append({"time": 3})
    side.close()
    assert side.lost == 1
    assert [json.loads(line) for line in (tmp_path / "x.part").read_text().splitlines()] == [{"time": 1}, {"time": 3}]


def test_mappings_of_damo() -> None:
    """The last word of a line is the name, an anonymous one has the inode."""
    assert vmas(MAPS)[1] == {"start": 0x7F00AA000000, "end": 0x7F00AA021000, "name": "0"}


def test_kdamonds_are_written_whole(place: Place, tmp_path: Path) -> None:
    """The state of the kdamonds is one JSON list, replaced at once."""
    write_kdamonds(place, [{"state": "on"}])
    write_kdamonds(place, [{"state": "off"}])
    assert json.loads((tmp_path / "x.data.kdamonds").read_text()) == [{"state": "off"}]
    assert [path.name for path in tmp_path.iterdir()] == ["x.data.kdamonds"]
