import errno
import os
from pathlib import Path

import pytest

from damod.kernel.tree import SysfsTree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(3):
        row = tmp_path / "regions" / str(number)
        row.mkdir(parents=True)
        (row / "start").write_text(f"{number * 10}\n")
        (row / "end").write_text(f"{number * 10 + 10}\n")
    (tmp_path / "regions/total_bytes").write_text("30\n")
    (tmp_path / "state").write_text("on the way\n")
    return tmp_path


def test_read_takes_off_one_newline(root: Path) -> None:
    """A value is the text without its final newline, and nothing else is taken off."""
    tree = SysfsTree(root)
    (root / "path").write_text(" a \n\n")
    assert tree.read("state") == "on the way"
    assert tree.read("path") == " a \n"


def test_write_replaces_the_value(root: Path) -> None:
    """A shorter value leaves nothing of the longer one."""
    SysfsTree(root).write("state", "off")
    assert (root / "state").read_text() == "off"


def test_write_makes_no_files(root: Path) -> None:
    """An attribute that the kernel lacks is ENOENT, not a new file."""
    with pytest.raises(FileNotFoundError):
        SysfsTree(root).write("stat", "on")
    assert not (root / "stat").exists()


@pytest.mark.parametrize(
    "do", [lambda t: t.read("a/b"), lambda t: t.write("a/b", "1"), lambda t: t.names("a/b"), lambda t: t.at("a/b")]
)
def test_errors_name_the_whole_path(root: Path, do) -> None:  # type: ignore[no-untyped-def]
    """The errno is the kernel's and the path is the one that a person can look at."""
    with pytest.raises(OSError, match="a/b") as error:
        do(SysfsTree(root))
    assert error.value.errno == errno.ENOENT
    assert error.value.filename == f"{root}/a/b"


def test_names_and_exists(root: Path) -> None:
    """Directories list their names; what is not there does not exist, also below a file."""
    tree = SysfsTree(root)
    assert sorted(tree.names()) == ["regions", "state"]
    assert sorted(tree.names("regions")) == ["0", "1", "2", "total_bytes"]
    assert tree.exists("regions/1/start")
    assert not tree.exists("regions/3")
    assert not tree.exists("state/below")


def test_at_keeps_its_directory(root: Path) -> None:
    """A part of the tree is held by its handle, so renaming its parent changes nothing."""
    part = SysfsTree(root).at("regions")
    (root / "regions").rename(root / "moved")
    assert part.read("1/start") == "10"
    assert part.at("2").read("end") == "30"


def test_rows_in_numeric_order(root: Path) -> None:
    """Rows are those of the numbered directories, holes or not, with the files in the order asked for."""
    tree = SysfsTree(root)
    assert tree.read_rows("regions", ["end", "start"]) == [["10", "0"], ["20", "10"], ["30", "20"]]
    (root / "regions/0").rename(root / "regions/11")
    assert tree.read_rows("regions", ["start"]) == [["10"], ["20"], ["0"]]


def test_a_file_missing_in_a_row_is_an_error(root: Path) -> None:
    """Rows end where a directory is gone, but a file that this kernel lacks is ENOENT with its path."""
    with pytest.raises(FileNotFoundError, match="regions/0/sz_filter_passed"):
        SysfsTree(root).read_rows("regions", ["start", "sz_filter_passed"])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        SysfsTree(root).read_rows("nowhere", ["start"])


def test_handles_are_given_back(root: Path) -> None:
    """However many reads, writes, parts and failures: after close no handle is left open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    tree = SysfsTree(root)
    for _ in range(3):
        tree.read("state")
        tree.write("state", "x")
        tree.names()
        tree.read_rows("regions", ["start"])
        tree.at("regions").close()
        with pytest.raises(OSError, match="nope"):
            tree.read("nope")
    tree.close()
    tree.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
