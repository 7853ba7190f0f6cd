import os
import time
from pathlib import Path

import pytest

from damod.errors import NoDamon, NotAllowed
from damod.kernel.interface import Kernel
from damod.kernel.linux import LinuxKernel


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    kdamonds = tmp_path / "kernel/mm/damon/admin/kdamonds"
    kdamonds.mkdir(parents=True)
    (kdamonds / "nr_kdamonds").write_text("0\n")
    parameters = tmp_path / "module/damon_stat/parameters"
    parameters.mkdir(parents=True)
    (parameters / "enabled").write_text("Y\n")
    return tmp_path


def test_the_parts_are_rooted_where_the_seam_says(sysfs: Path) -> None:
    """damon is .../mm/damon/admin, modules is /sys/module; without tracefs there are just no events."""
    kernel: Kernel = LinuxKernel(str(sysfs))
    assert kernel.damon.read("kdamonds/nr_kdamonds") == "0"
    assert kernel.modules.read("damon_stat/parameters/enabled") == "Y"
    assert kernel.trace.events() == {}
    assert kernel.proc.alive(os.getpid())
    assert kernel.release == os.uname().release
    assert abs(kernel.clock.time_ns() - time.time_ns()) < 60e9
    kernel.close()


def test_no_damon(tmp_path: Path) -> None:
    """A kernel without the interface is told with the options that it lacks."""
    with pytest.raises(NoDamon) as error:
        LinuxKernel(str(tmp_path))
    assert "CONFIG_DAMON_SYSFS" in error.value.hint
    assert str(tmp_path) in error.value.message


def test_no_permission(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not read the files is told so at once, and that root may."""
    real = os.open

    def refuse(path: object, *args: object, **kwargs: object) -> int:
        if str(path).endswith("nr_kdamonds"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NotAllowed) as error:
        LinuxKernel(str(sysfs))
    assert "root" in error.value.hint
    assert error.value.facts["errno"] == 13
