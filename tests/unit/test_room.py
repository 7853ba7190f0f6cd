"""How much memory there is, and counting what is held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from damod import room
from damod.errors import NoMemory


def test_limits_of_cgroups_count(tmp_path: Path) -> None:
    """The least of the machine, our cgroup and those above it; "max" is no limit."""
    proc, tree = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (tree / "a/b").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (proc / "self/cgroup").write_text("0::/a/b\n")
    assert room.available_bytes(proc, tree) == 8000 * 1024
    (tree / "a/b/memory.max").write_text("max\n")
    (tree / "a/memory.max").write_text("500000\n")
    (tree / "a/memory.current").write_text("100000\n")
    assert room.available_bytes(proc, tree) == 400_000


def test_limits_of_the_process_count() -> None:
    """What `ulimit -d` still leaves is less than what the machine has."""
    code = (
        "import resource; from damod.room import available_bytes\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 28, 1 << 28)); print(available_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 << 26 < int(done.stdout) < 1 << 28


def test_what_is_held_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what is available may be held; beyond that the error says what, how much there is, and the way out."""
    monkeypatch.setattr(room, "available_bytes", lambda: 4096)
    held = room.Room("reading x.data", "convert it")
    held.take(2000)
    held.take(48)
    with pytest.raises(NoMemory, match=r"reading x\.data needs more than 2\.000 KiB of memory, half of") as caught:
        held.take(1)
    assert caught.value.hint == "convert it"
