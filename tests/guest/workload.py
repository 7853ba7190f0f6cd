"""Processes with known memory, and where the kernel says that memory is: on which node, in RAM or in swap."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.guest.driver import Hot, end, wait

PROGRAMS = Path(__file__).parents[1] / "vm/workloads"
PAGE = os.sysconf("SC_PAGE_SIZE")
_PRESENT, _SWAPPED = 1 << 63, 1 << 62


@contextmanager
def workload(total_mib: int, hot_mib: int, *, node: int | None = None, name: str = "") -> Iterator[Hot]:
    """A process of tests/vm/workloads/hot.py that has touched its memory once; its hot part it touches for ever.

    A hot one shares CPU 1 with a busy competitor (docs/kernels.md). `node` is where its memory is to begin.
    """
    words: list[str | Path] = ["numactl", f"--preferred={node}"] if node is not None else []
    words += [sys.executable, PROGRAMS / "pinned.py", "1"] if hot_mib else []
    words += [sys.executable, PROGRAMS / "hot.py", "--total-mib", str(total_mib), "--hot-mib", str(hot_mib)]
    words += ["--name", name] if name else []
    with TemporaryDirectory(dir="/run") as directory:
        out = Path(directory) / "out"
        with out.open("w") as stdout:
            process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=stdout)
        try:
            yield wait(lambda: Hot.told(out.read_text()), "the workload has its memory")
        finally:
            end(process.pid)
            process.wait()


def on_nodes(hot: Hot) -> dict[int, int]:
    """node -> bytes of the workload's mapping there, from /proc/PID/numa_maps."""
    found: dict[int, int] = {}
    for line in Path(f"/proc/{hot.pid}/numa_maps").read_text().splitlines():
        if hot.start <= int(line.split()[0], 16) < hot.end:
            for node, pages in re.findall(r"\bN(\d+)=(\d+)", line):
                found[int(node)] = found.get(int(node), 0) + int(pages) * PAGE
    return found


def in_ram(pid: int, start: int, end_at: int) -> tuple[int, int]:
    """(bytes in RAM, bytes in swap) of a range of a process's memory, from /proc/PID/pagemap."""
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(start // PAGE * 8)
        raw = pagemap.read((end_at - start) // PAGE * 8)
    entries = struct.unpack(f"{len(raw) // 8}Q", raw)
    present = sum(1 for entry in entries if entry & _PRESENT)
    swapped = sum(1 for entry in entries if entry & _SWAPPED)
    return present * PAGE, swapped * PAGE


def node_memory(node: int) -> dict[str, int]:
    """A node's meminfo in bytes."""
    text = Path(f"/sys/devices/system/node/node{node}/meminfo").read_text()
    return {name: int(value) * 1024 for name, value in re.findall(r"Node \d+ (\S+?):\s+(\d+)", text)}


def meminfo() -> dict[str, int]:
    """The machine's meminfo in bytes."""
    return {
        name: int(value) * 1024 for name, value in re.findall(r"(\S+?):\s+(\d+)", Path("/proc/meminfo").read_text())
    }


def vmstat() -> dict[str, int]:
    """The machine's counters."""
    rows = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return {name: int(value) for name, value in rows}


def sysctl(name: str, value: str) -> None:
    Path("/proc/sys", name).write_text(value)


def measured(what: str, **numbers: Any) -> None:
    """Keep numbers for docs/effects.md: a line of JSON in effects.jsonl, and on the screen."""
    line = json.dumps({"what": what, **numbers})
    print(line, flush=True)
    out = os.environ.get("DAMOD_GUEST_OUT")
    if out:
        with (Path(out) / "effects.jsonl").open("a") as file:
            file.write(line + "\n")
