"""What a machine says about its own fitness for DAMON, by reading only: for `damoctl diagnose`.

Each fact stands for itself and is None where it cannot be known, so that a client without root, or a machine without
DAMON, still has a survey. Judging is not done here (damoctl.diagnose).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from damod.kernel import paths
from damod.kernel.interface import Clock, Kernel, Proc, Trace, Tree

CAPABILITIES = {"CAP_DAC_OVERRIDE": 1, "CAP_SYS_ADMIN": 21, "CAP_SYS_PTRACE": 19, "CAP_NET_ADMIN": 12}
"""What damod uses, with the bit of each (linux/capability.h)."""


def survey(kernel: Kernel) -> dict[str, Any]:
    """Everything of a kernel that damod has open; see `of_parts`."""
    return of_parts(kernel.release, kernel.proc, kernel.clock, kernel.damon, kernel.modules, kernel.trace)


def of_parts(
    release: str,
    proc: Proc,
    clock: Clock,
    damon: Tree | None = None,
    modules: Tree | None = None,
    trace: Trace | None = None,
) -> dict[str, Any]:
    """{"release", "time_ns", "config": {CONFIG_...: "y"|"m"|"n"} or None, "memory": {"total", "free", "swap_total",
    "swap_free"} in bytes or None, "nodes", "pressure": whether there is PSI, "uid", "capabilities": those of
    CAPABILITIES that this process has}, and of what was given: "sysfs": "" or why it cannot be used, "slots",
    "modules", "events": names, "trace": "" or why not.
    """
    facts: dict[str, Any] = {
        "release": release,
        "time_ns": clock.time_ns(),
        "config": proc.kernel_config(),
        "memory": _memory(proc),
        "nodes": proc.numa_nodes(),
        "pressure": proc.memory_pressure_us() is not None,
        "uid": os.geteuid(),
        "capabilities": capabilities(),
        "sysfs": None,
        "slots": None,
        "events": None,
        "trace": None,
        "modules": None,
    }
    if damon is not None:
        facts |= _sysfs(damon)
    if modules is not None:
        facts["modules"] = sorted(name for name in modules.names() if name.startswith("damon_"))
    if trace is not None:
        try:
            facts["events"], facts["trace"] = sorted(trace.events()), ""
        except OSError as exc:
            facts["trace"] = exc.strerror or str(exc)
    return facts


def _sysfs(damon: Tree) -> dict[str, Any]:
    try:
        return {"sysfs": "", "slots": int(damon.read(paths.NR_KDAMONDS))}
    except (OSError, ValueError) as exc:
        return {"sysfs": getattr(exc, "strerror", None) or str(exc)}


def _memory(proc: Proc) -> dict[str, int] | None:
    try:
        info = proc.meminfo()
    except OSError:
        return None
    return {
        "total": info["MemTotal"],
        "free": info["MemFree"],
        "swap_total": info.get("SwapTotal", 0),
        "swap_free": info.get("SwapFree", 0),
    }


def capabilities(status: Path = Path("/proc/self/status")) -> list[str]:
    """Those of CAPABILITIES that are in effect for this process."""
    try:
        lines = status.read_text().splitlines()
        mask = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    except (OSError, StopIteration, ValueError):
        return []
    return sorted(name for name, bit in CAPABILITIES.items() if mask >> bit & 1)
