"""Where records go: names, directories, permissions, retention, and what lies there already."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from damod.errors import Conflict, NotAllowed
from damod.recorder.place import STAMP, Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    handle = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Place(handle, "x.data", 0o640, None)
    os.close(handle)


def segment(folder: Path, when_s: float, size: int) -> Path:
    """A segment cut at that time, of that many bytes."""
    made = folder / f"x.data.{time.strftime(STAMP, time.localtime(when_s))}"
    made.mkdir()
    (made / "x.data").write_bytes(bytes(size))
    return made


def test_files_have_the_mode_whatever_the_umask(place: Place, tmp_path: Path) -> None:
    """--output_permission is what it says."""
    before = os.umask(0o077)
    try:
        os.close(place.make("x.data"))
    finally:
        os.umask(before)
    assert (tmp_path / "x.data").stat().st_mode & 0o777 == 0o640


def test_a_link_is_replaced(place: Place, tmp_path: Path) -> None:
    """What a link points at is never written."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "x.data").symlink_to(victim)
    os.close(place.make("x.data"))
    assert victim.read_text() == "precious"
    assert not (tmp_path / "x.data").is_symlink()


def test_the_second_is_in_the_name(place: Place, tmp_path: Path) -> None:
    """Directories are named by local time; a second one of the same second takes the next free name."""
    now = 1_700_000_000.5
    names = []
    for _ in range(3):
        name, handle = place.rotation(now)
        os.close(handle)
        names.append(name)
    assert names == [f"x.data.{time.strftime(STAMP, time.localtime(now + later))}" for later in range(3)]
    assert [item.name for item in place.segments()] == names


def test_the_order_of_names_is_that_of_time(place: Place, tmp_path: Path) -> None:
    """When the clock goes back, segments still come after those that were cut before."""
    (tmp_path / "x.data.9999-12-31-23-59-59").mkdir()
    (tmp_path / "x.data.2023-99-99-00-00-00").mkdir()
    made = []
    for now in (1_700_000_000, 1_700_000_900, 1_699_996_400, 1_600_000_000, 1_700_001_000):
        name, handle = place.rotation(now)
        os.close(handle)
        made.append(name)
    assert made == sorted(made)
    assert made[-1] == f"x.data.{time.strftime(STAMP, time.localtime(1_700_001_000))}"
    assert [item.name for item in place.segments()] == made


def test_others_reach_a_segment_as_they_reach_its_files(place: Place, tmp_path: Path) -> None:
    """Whom the mode lets read the files it lets into the directory."""
    name, handle = place.rotation(time.time())
    os.close(handle)
    assert (tmp_path / name).stat().st_mode & 0o050 == 0o050
    assert (tmp_path / name).stat().st_mode & 0o007 == 0


@pytest.mark.parametrize(
    ("keep_s", "keep_bytes", "left"), [(None, None, 4), (250, None, 3), (1, None, 1), (None, 250, 2), (None, 1, 1)]
)
def test_retention(place: Place, tmp_path: Path, keep_s: float | None, keep_bytes: int | None, left: int) -> None:
    """The oldest go first, by age or by size, and the last one never goes."""
    now = time.time()
    made = [segment(tmp_path, now - age, 100) for age in (300, 200, 100, 50)]
    gone = place.expire(now, keep_s, keep_bytes)
    assert gone == [item.name for item in made[: 4 - left]]
    assert [item.exists() for item in made] == [False] * (4 - left) + [True] * left


def test_retention_leaves_other_files(place: Place, tmp_path: Path) -> None:
    """A file that is not ours keeps its directory, and directories with other names are none of ours."""
    old = segment(tmp_path, time.time() - 300, 100)
    (old / "notes.txt").write_text("keep")
    segment(tmp_path, time.time(), 100)
    (tmp_path / "x.data.backup").mkdir()
    place.expire(time.time(), 1, None)
    assert [path.name for path in old.iterdir()] == ["notes.txt"]
    assert (tmp_path / "x.data.backup").exists()


def test_old_records_are_kept(place: Place, tmp_path: Path) -> None:
    """A record and its side files get the suffix .old."""
    for name in ("x.data", "x.data.vmas", "x.data.profile"):
        (tmp_path / name).write_text(name)
    place.keep_old()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "x.data.old": "x.data",
        "x.data.vmas.old": "x.data.vmas",
        "x.data.profile.old": "x.data.profile",
    }


def test_an_interrupted_part_makes_way(place: Place, tmp_path: Path) -> None:
    """A part that nobody writes is renamed with its side files; one that is locked is somebody's."""
    assert not place.claim()
    (tmp_path / "x.data.part").write_text("a")
    (tmp_path / "x.data.vmas.part").write_text("b")
    with open(tmp_path / "x.data.part") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict):
            place.claim()
    assert place.claim()
    place.set_aside()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.data.old.part", "x.data.old.vmas.part"]


def test_a_directory_in_the_way(place: Place, tmp_path: Path) -> None:
    """What is no file is not moved aside."""
    (tmp_path / "x.data").mkdir()
    with pytest.raises(Conflict, match="no file"):
        place.check()


def test_a_directory_that_takes_nothing(tmp_path: Path) -> None:
    """Where no file can be made, that is said before anything is recorded."""
    handle = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(NotAllowed, match=r"x\.data"):
        Place(handle, "x.data", 0o600, None).check()
    os.close(handle)
