"""The real kernel: the seam's protocols on sysfs, tracefs and procfs, with their roots as arguments."""

from __future__ import annotations

import os
import time
from pathlib import Path

from damod.errors import NoDamon, NotAllowed
from damod.kernel.procfs import LinuxProc
from damod.kernel.tracefs import TraceFs
from damod.kernel.tree import SysfsTree


class LinuxClock:
    """`interface.Clock` of this machine."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class LinuxKernel:
    """`interface.Kernel` of this machine. Building it writes nothing.

    Raises NoDamon if the kernel has no DAMON sysfs interface, NotAllowed if we may not read it.
    """

    name = "linux"

    def __init__(self, sysfs_root: str = "/sys", tracefs_root: str | None = None, proc_root: str = "/proc") -> None:
        sysfs, proc = Path(sysfs_root), Path(proc_root)
        admin = sysfs / "kernel/mm/damon/admin"
        self.release = os.uname().release
        try:
            self.damon = SysfsTree(admin)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise NoDamon(
                f"cannot use DAMON of Linux {self.release}: it has no {admin}",
                hint="use a kernel built with CONFIG_DAMON, CONFIG_DAMON_SYSFS, CONFIG_DAMON_VADDR and"
                " CONFIG_DAMON_PADDR (`damod --kernel sim` needs no DAMON at all)",
                path=str(admin),
            ) from exc
        except PermissionError as exc:
            raise _not_allowed(admin, exc) from exc
        try:
            # Directories are open to all, the files are root's alone.
            self.damon.read("kdamonds/nr_kdamonds")
        except PermissionError as exc:
            self.damon.close()
            raise _not_allowed(admin, exc) from exc
        self.modules = SysfsTree(sysfs / "module")
        self.trace = TraceFs(sysfs, proc, Path(tracefs_root) if tracefs_root else None)
        self.proc = LinuxProc(proc, sysfs)
        self.clock = LinuxClock()

    def close(self) -> None:
        self.damon.close()
        self.modules.close()


def _not_allowed(path: Path, exc: OSError) -> NotAllowed:
    return NotAllowed(
        f"cannot read {path}: {exc.strerror}",
        hint="damod needs root (or CAP_DAC_OVERRIDE); without it, `damod --kernel sim` shows the simulated kernel",
        path=str(path),
        errno=exc.errno,
    )
