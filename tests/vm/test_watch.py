"""How a guest is watched, whichever kind it is. A shell script stands for the machine; needs no guest."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.vm.guest import CannotBoot, GuestDied, GuestResult, GuestTimeout, outcome, watch


def attended(out: Path, script: str, *, boot_s: float = 20, timeout_s: float = 20) -> GuestResult:
    """What came of a machine that does `script` in its `guest` directory."""
    (out / "guest").mkdir()
    started = time.time()
    with subprocess.Popen(["sh", "-c", script], cwd=out / "guest", start_new_session=True) as vm:
        booted = watch(vm, out, "booted", "7.3", boot_s, timeout_s)
    assert vm.poll() is not None
    return outcome(out, "7.3.4", started, booted)


def test_a_machine_that_boots_and_ends(tmp_path: Path) -> None:
    """Its status, and how long it took to boot, also if all of that is over at the first look."""
    result = attended(tmp_path, "sleep 0.3; touch booted; echo 3 >returncode")
    assert result.returncode == 3 and 0.2 <= result.boot_s <= result.total_s


def test_a_second_boot_is_not_the_first(tmp_path: Path) -> None:
    """The time counts from the first one."""
    result = attended(tmp_path, "touch booted; sleep 2.5; touch booted; echo 0 >returncode")
    assert result.boot_s < 1.5


def test_a_machine_that_does_not_boot(tmp_path: Path) -> None:
    """Neither one that ends before nor one that hangs; none is left."""
    with pytest.raises(CannotBoot, match="QEMU ended"):
        attended(tmp_path, "true")
    (tmp_path / "guest").rmdir()
    with pytest.raises(CannotBoot, match="within 1 s"):
        attended(tmp_path, "exec sleep 60", boot_s=1)


def test_a_machine_that_goes_away_or_is_too_slow(tmp_path: Path) -> None:
    """A panic is the end of it, at once; a command that is done but for the power-off is done."""
    with pytest.raises(GuestDied):
        attended(tmp_path, "touch booted; echo 'Kernel panic - not syncing: x' >console.log; exec sleep 60")
    (tmp_path / "again").mkdir()
    with pytest.raises(GuestTimeout):
        attended(tmp_path / "again", "touch booted; exec sleep 60", timeout_s=1)
    (tmp_path / "done").mkdir()
    assert attended(tmp_path / "done", "touch booted; echo 0 >returncode; exec sleep 60", timeout_s=1).returncode == 0
