"""One damod for each runtime directory, and none in a directory that is not ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from damod.daemon.lock import RuntimeLock, own_directory
from damod.errors import AlreadyRunning, NotAllowed, UsageError


def test_a_lock_is_held_once_and_given_back(tmp_path: Path) -> None:
    """The second is told the pid of the first; when that is closed, the next one has it."""
    with RuntimeLock(str(tmp_path)), pytest.raises(AlreadyRunning) as caught:
        RuntimeLock(str(tmp_path))
    assert caught.value.facts["pid"] == os.getpid()
    RuntimeLock(str(tmp_path)).close()


def test_a_lock_is_not_opened_through_a_link(tmp_path: Path) -> None:
    """Nobody can make root's daemon truncate another file."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "damod.lock").symlink_to(victim)
    with pytest.raises(NotAllowed, match="cannot open its lock"):
        RuntimeLock(str(tmp_path))
    assert victim.read_text() == "precious"


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    """With its parents, and writable by nobody else."""
    own_directory(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o022 == 0


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """A prepared directory in /tmp is no place for what damod owns."""
    tmp_path.chmod(0o777)
    with pytest.raises(NotAllowed, match="others can write it"):
        own_directory(str(tmp_path))


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """A file in the way is a sentence."""
    (tmp_path / "f").touch()
    with pytest.raises(UsageError, match="cannot use the directory"):
        own_directory(str(tmp_path / "f"))
