"""How much memory this process may still take, and a count of what has to be held of an input whose size nobody knows.

A file of a few megabytes may inflate to more than any machine has. Whoever has to hold what it says counts it here, so
that the end is a sentence and not the kernel's out-of-memory killer, on a small machine as on a large one.
"""

from __future__ import annotations

import resource
from pathlib import Path

from damod import units
from damod.errors import NoMemory

_LIMITS = ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData"))


def available_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process may still take: the machine's, or less where a cgroup (v2) or ulimit sets a limit."""
    least = _kib(proc / "meminfo", "MemAvailable")
    for limit, used in _LIMITS:
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            least = min(least, max(most - _kib(proc / "self/status", used), 0))
    try:
        own = next(line for line in (proc / "self/cgroup").read_text().splitlines() if line.startswith("0::"))[3:]
    except (OSError, StopIteration):
        return least
    at = cgroups / own.lstrip("/")
    for place in (at, *at.parents):
        if not place.is_relative_to(cgroups):
            break
        try:
            most_text = (place / "memory.max").read_text().strip()
            if most_text != "max":
                least = min(least, max(int(most_text) - int((place / "memory.current").read_text()), 0))
        except (OSError, ValueError):
            continue
    return least


def _kib(file: Path, name: str) -> int:
    """The bytes of a line ``Name:  123 kB``."""
    lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0]) * 1024


class Room:
    """Half of what is available when it is made: the other half is for what will be computed of what is held.

    `what` is held, for the message; `hint` says how to do with less.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self._what, self._hint = what, hint
        self._most = available_bytes() // 2
        self._taken = 0

    def take(self, count: int) -> None:
        """Count so many bytes more; NoMemory if that is too much."""
        self._taken += count
        if self._taken > self._most:
            raise NoMemory(
                f"{self._what} needs more than {units.size(self._most)} of memory, half of what is available",
                hint=self._hint,
            )
