"""In a systemd guest: processes with known memory, where the kernel says it is, and damoctl as an operator uses it.

Only what a server with damod's package has: the standard library, and this checkout for the workloads. Numbers go as
lines of JSON to effects.jsonl in $DAMOD_GUEST_OUT; the host judges them (tests/vm/test_effects.py).
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from damod import units

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
PROGRAMS = Path(__file__).parents[1] / "workloads"
OUT = Path(os.environ.get("DAMOD_GUEST_OUT", "/host"))
_PRESENT, _SWAPPED = 1 << 63, 1 << 62

T = TypeVar("T")


def note(what: str, **numbers: Any) -> None:
    """Keep numbers, with the seconds since the boot."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    with (OUT / "effects.jsonl").open("a") as file:
        file.write(json.dumps({"what": what, "at": round(uptime, 1), **numbers}) + "\n")


def wait(until: Callable[[], T | None], what: str, patience_s: float, pause_s: float = 0.2) -> T | None:
    """The first answer that is not None; None after that long, which is noted."""
    deadline = time.monotonic() + patience_s
    while (answer := until()) is None:
        if time.monotonic() > deadline:
            note("gave-up", waited_for=what, patience_s=patience_s)
            return None
        time.sleep(pause_s)
    return answer


def sh(*argv: str) -> str:
    """A command that must work; its output."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def sysctl(name: str, value: str) -> None:
    Path("/proc/sys", name).write_text(value)


# --- workloads -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process of tests/vm/workloads/hot.py, and where its memory lies in its address space."""

    pid: int
    start: int
    end: int
    hot_start: int
    hot_end: int

    def on_nodes(self) -> dict[int, int]:
        """node -> bytes of its mapping there, from /proc/PID/numa_maps."""
        found: dict[int, int] = {}
        for line in Path(f"/proc/{self.pid}/numa_maps").read_text().splitlines():
            if self.start <= int(line.split()[0], 16) < self.end:
                for node, pages in re.findall(r"\bN(\d+)=(\d+)", line):
                    found[int(node)] = found.get(int(node), 0) + int(pages) * PAGE
        return found

    def hot(self) -> tuple[int, int]:
        """(bytes in RAM, bytes in swap) of what it touches all the time, from /proc/PID/pagemap."""
        return self._in_ram(self.hot_start, self.hot_end)

    def idle(self) -> tuple[int, int]:
        """The same of what it has touched once, which lies behind the hot part."""
        return self._in_ram(self.hot_end, self.end)

    def swapped(self) -> int:
        """All of the process that is in swap, from /proc/PID/status."""
        found = re.search(r"VmSwap:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0

    def _in_ram(self, start: int, end: int) -> tuple[int, int]:
        with open(f"/proc/{self.pid}/pagemap", "rb", buffering=0) as pagemap:
            pagemap.seek(start // PAGE * 8)
            raw = pagemap.read((end - start) // PAGE * 8)
        entries = struct.unpack(f"{len(raw) // 8}Q", raw)
        present = sum(1 for entry in entries if entry & _PRESENT)
        swapped = sum(1 for entry in entries if entry & _SWAPPED)
        return present * PAGE, swapped * PAGE


@contextmanager
def workload(
    unit: str, total_mib: int, hot_mib: int, *, node: int | None = None, name: str = "", populate: bool = False
) -> Iterator[Process]:
    """A transient unit of systemd whose process has touched its memory once; the hot part it touches for ever.

    A hot one shares CPU 1 with a busy competitor (docs/kernels.md). `node` is where its memory is to begin.
    """
    out = Path(f"/run/{unit}.out")
    out.unlink(missing_ok=True)
    words = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", "-p", f"StandardOutput=file:{out}"]
    words += ["-p", "NUMAPolicy=preferred", "-p", f"NUMAMask={node}"] if node is not None else []
    words += ["/usr/bin/python3", str(PROGRAMS / "pinned.py"), "1"] if hot_mib else []
    words += ["/usr/bin/python3", str(PROGRAMS / "hot.py")]
    words += ["--total-mib", str(total_mib), "--hot-mib", str(hot_mib), *(("--name", name) if name else ())]
    words += ["--populate"] if populate else []
    sh(*words)
    try:
        told = wait(lambda: text if out.exists() and (text := out.read_text()).endswith("\n") else None, unit, 120)
        yield Process(**json.loads(told or "{}"))
    finally:
        sh("systemctl", "stop", unit)


# --- the machine -----------------------------------------------------------------------------------------------------


def node_free(node: int) -> int:
    """A node's free bytes."""
    text = Path(f"/sys/devices/system/node/node{node}/meminfo").read_text()
    found = re.search(r"MemFree:\s+(\d+)", text)
    return int(found[1]) * 1024 if found else 0


def meminfo() -> dict[str, int]:
    """The machine's meminfo in bytes."""
    rows = re.findall(r"(\S+?):\s+(\d+)", Path("/proc/meminfo").read_text())
    return {name: int(value) * 1024 for name, value in rows}


def vmstat(*names: str) -> dict[str, int]:
    """Some of the machine's counters; without names those of swapping, refaults and the LRU lists."""
    wanted = names or ("pswpin", "pswpout", "workingset_refault_anon", "workingset_refault_file", "pgmigrate_success")
    rows = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return {name: int(value) for name, value in rows if name in wanted}


@contextmanager
def swap(size: str = "512M") -> Iterator[None]:
    """Swap in compressed memory. Not for those who wait for the kernel to be short of memory: it would help itself."""
    sh("modprobe", "zram", "num_devices=1")
    Path("/sys/block/zram0/disksize").write_text(size)
    sh("mkswap", "/dev/zram0")
    sh("swapon", "/dev/zram0")
    try:
        yield
    finally:
        sh("swapoff", "/dev/zram0")
        Path("/sys/block/zram0/reset").write_text("1")


def unit_cpu_ns(unit: str) -> int:
    """What all processes of a unit have run for."""
    return int(sh("systemctl", "show", "-P", "CPUUsageNSec", unit))


# --- damoctl ---------------------------------------------------------------------------------------------------------


def damoctl(*words: str) -> str:
    """The output of a damoctl that must work."""
    return sh("damoctl", *words)


def policy(name: str, text: str) -> None:
    """Write a policy file, or a drop-in of one."""
    path = Path("/etc/damo.d", f"{name}.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def show(name: str) -> dict[str, Any]:
    """`damoctl policy show NAME --json`."""
    found: dict[str, Any] = json.loads(damoctl("policy", "show", name, "--json"))
    return found


def schemes(shown: dict[str, Any]) -> list[dict[str, int]]:
    """Of what `show` gave the statistics of each scheme, kdamond by kdamond; sizes in bytes."""
    return [
        {key: _number(value) for key, value in (scheme["stats"] or {}).items()}
        for kdamond in shown["kdamonds"]
        for context in kdamond["spec"]["contexts"]
        for scheme in context["schemes"]
    ]


def _number(text: str) -> int:
    return units.parse_size(text) if "B" in text else units.parse_count(text)
