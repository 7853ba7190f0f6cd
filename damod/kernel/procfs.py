"""What a real Linux says about processes, memory and NUMA nodes, in the few words that damod needs.

A process that vanishes while it is looked at is an answer (None, False), not an error.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from damod.kernel.interface import MemoryLayout, ProcessEvents
from damod.kernel.procevents import NetlinkEvents

_GONE = (FileNotFoundError, ProcessLookupError)
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# Places in /proc/PID/stat, counted from the state, which follows the command's closing parenthesis.
_STATE, _UTIME, _STIME, _NUM_THREADS, _STARTTIME = 0, 11, 12, 17, 19
_RAM = "System RAM"
_IOMEM_LINE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) : (.*)$", re.MULTILINE)
_MEMORY_BLOCK = re.compile(r"memory(\d+)")

_CONFIG = re.compile(r"^(?:# )?(CONFIG_[A-Z0-9_]+)(?:=([ym])| is not set)$", re.MULTILINE)
CONFIG = (
    *("DAMON", "DAMON_VADDR", "DAMON_PADDR", "DAMON_SYSFS", "DAMON_RECLAIM", "DAMON_LRU_SORT", "DAMON_STAT"),
    *("DAMON_STAT_ENABLED_DEFAULT", "TRACING", "PSI", "MEMCG", "SWAP", "NUMA", "PROC_EVENTS"),
)
"""The options that damod or a scheme may need."""

Ranges = list[tuple[int, int]]


class LinuxProc:
    """`interface.Proc` on `/proc` and `/sys/devices/system`."""

    def __init__(self, proc_root: Path, sysfs_root: Path, boot: Path = Path("/boot")) -> None:
        self._proc = proc_root
        self._boot = boot
        self._system = sysfs_root / "devices/system"
        self._cgroups = sysfs_root / "fs/cgroup"

    def alive(self, pid: int) -> bool:
        stat = self._stat(pid)
        # A zombie has no memory left to watch.
        return stat is not None and stat[_STATE] not in ("Z", "X")

    def start_time(self, pid: int) -> int | None:
        stat = self._stat(pid)
        return None if stat is None else int(stat[_STARTTIME])

    def cpu_ns(self, pid: int) -> int | None:
        stat = self._stat(pid)
        if stat is None:
            return None
        ticks = (int(stat[_UTIME]) + int(stat[_STIME])) * _TICK_NS
        if int(stat[_NUM_THREADS]) > 1:
            return ticks
        # Exact to the nanosecond, but only of one thread, and not in every kernel.
        try:
            return int((self._proc / str(pid) / "schedstat").read_text().split()[0])
        except _GONE:
            return ticks

    def children(self, pid: int) -> list[int]:
        found: list[int] = []
        try:
            for task in (self._proc / str(pid) / "task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except _GONE:
            pass
        return sorted(found)

    def process_events(self) -> ProcessEvents:
        return NetlinkEvents()

    def cgroup_exists(self, path: str) -> bool | None:
        try:
            mounts = (self._proc / "mounts").read_text().splitlines()
        except OSError:
            return None
        roots = [words[1] for words in map(str.split, mounts) if _has_memcgs(words)]
        if not roots:
            return None
        root = Path(roots[0].encode().decode("unicode_escape"))
        # The kernel compares the text, so another spelling of the same directory is none of its cgroups.
        if path != "/" and (not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/"))):
            return False
        return (root / path[1:]).is_dir()

    def system_ram(self) -> Ranges:
        return [(start, end) for start, end, name in self._resources() if name == _RAM]

    def _resources(self) -> list[tuple[int, int, str]]:
        path = self._proc / "iomem"
        found = [
            (int(first, 16), int(last, 16) + 1, name) for first, last, name in _IOMEM_LINE.findall(path.read_text())
        ]
        if found and all(item[:2] == (0, 1) for item in found):
            raise PermissionError(13, "addresses are shown as zero to those who lack CAP_SYS_ADMIN", str(path))
        return sorted(found)

    def mounts(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for words in map(str.split, (self._proc / "mounts").read_text().splitlines()):
            if words[2] in ("sysfs", "tracefs", "debugfs"):
                found.setdefault(words[2], words[1])
        return found

    def memory_layout(self) -> MemoryLayout:
        resources = self._resources()
        blocks = sorted(self._blocks())
        if not blocks:  # a kernel without memory hotplug
            blocks = [(start, end, 0, "online") for start, end, name in resources if name == _RAM]
        joined: list[tuple[int, int, int, str]] = []
        for start, end, node, state in blocks:
            if joined and joined[-1][1:] == (start, node, state):
                joined[-1] = (joined[-1][0], end, node, state)
            else:
                joined.append((start, end, node, state))
        return MemoryLayout(resources, joined)

    def _blocks(self) -> Iterator[tuple[int, int, int, str]]:
        memory = self._system / "memory"
        if not memory.is_dir():
            return
        size = int((memory / "block_size_bytes").read_text(), 16)
        for path in memory.iterdir():
            if match := _MEMORY_BLOCK.fullmatch(path.name):
                nodes = [int(link.name[4:]) for link in path.glob("node*") if link.name[4:].isdigit()]
                try:
                    state = (path / "state").read_text().strip()
                except _GONE:
                    continue
                yield int(match[1]) * size, (int(match[1]) + 1) * size, nodes[0] if nodes else 0, state

    def numa_node_ram(self, nid: int) -> Ranges:
        nodes = self._system / "node"
        node = nodes / f"node{nid}"
        if not node.is_dir():
            if nid == 0 and not nodes.is_dir():
                return self.system_ram()
            raise LookupError(f"there is no NUMA node {nid} ({node})")
        block = int((self._system / "memory/block_size_bytes").read_text(), 16)
        numbers = sorted(int(match[1]) for path in node.iterdir() if (match := _MEMORY_BLOCK.fullmatch(path.name)))
        return _common(_joined((number * block, (number + 1) * block) for number in numbers), self.system_ram())

    def meminfo(self) -> dict[str, int]:
        found = {}
        for line in (self._proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            words = rest.split()
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
        return found

    def kernel_config(self) -> dict[str, str] | None:
        try:
            text = gzip.decompress((self._proc / "config.gz").read_bytes()).decode()
        except OSError:
            try:
                release = (self._proc / "sys/kernel/osrelease").read_text().strip()
                text = (self._boot / f"config-{release}").read_text()
            except OSError:
                return None
        found = {match[1]: match[2] or "n" for match in _CONFIG.finditer(text)}
        # An option that the release does not know, or whose parent is off, is not mentioned at all.
        return {f"CONFIG_{name}": found.get(f"CONFIG_{name}", "n") for name in CONFIG}

    def numa_nodes(self) -> list[int]:
        try:
            names = [path.name for path in (self._system / "node").iterdir()]
        except FileNotFoundError:
            return [0]
        return sorted(int(name[4:]) for name in names if name.startswith("node") and name[4:].isdigit())

    def pids(self) -> list[int]:
        return sorted(int(path.name) for path in self._proc.iterdir() if path.name.isdigit())

    def command(self, pid: int) -> str | None:
        try:
            return (self._proc / str(pid) / "comm").read_bytes().decode(errors="replace").rstrip("\n")
        except _GONE:
            return None

    def executable(self, pid: int) -> str | None:
        try:
            return str((self._proc / str(pid) / "exe").readlink()).removesuffix(" (deleted)")
        except (*_GONE, PermissionError):
            return None

    def cgroup_pids(self, path: str) -> list[int]:
        top = self._cgroups / path.strip("/")
        if not (top / "cgroup.procs").is_file():
            raise LookupError(f"there is no cgroup {path} ({top})")
        found: set[int] = set()
        for folder, _, files in os.walk(top):
            if "cgroup.procs" in files:
                try:
                    found.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
                except OSError:
                    continue  # gone meanwhile, or a threaded one, whose processes are listed above it
        return sorted(found)

    def cgroup_named(self, name: str) -> str | None:
        for folder, below, _ in os.walk(self._cgroups):
            if name in below:
                return "/" + str(Path(folder, name).relative_to(self._cgroups))
        return None

    def vmstat(self) -> dict[str, int]:
        lines = (self._proc / "vmstat").read_text().splitlines()
        return {name: int(count) for name, count in (line.split() for line in lines)}

    def memory_pressure_us(self) -> int | None:
        try:
            text = (self._proc / "pressure/memory").read_text()
        except OSError:
            return None  # a kernel without PSI answers ENOENT, one that was booted without it EOPNOTSUPP
        total = re.search(r"^some .*total=(\d+)", text, re.MULTILINE)
        return int(total[1]) if total else None

    def _stat(self, pid: int) -> list[str] | None:
        try:
            text = (self._proc / str(pid) / "stat").read_bytes().decode(errors="replace")
        except _GONE:
            return None
        # The command's name may itself contain spaces and parentheses; nothing after it does.
        return text.rpartition(")")[2].split()


def _has_memcgs(mount: list[str]) -> bool:
    """Whether a line of /proc/mounts is the hierarchy that memory cgroups are in: v2, or v1 with that controller."""
    kind, options = mount[2], mount[3].split(",")
    return kind == "cgroup2" or (kind == "cgroup" and "memory" in options)


def _joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ascending ranges with those that touch made one."""
    joined: Ranges = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _common(left: Ranges, right: Ranges) -> Ranges:
    """What both lists of ascending ranges cover. Blocks of a node are coarse and include holes and devices."""
    found = ((max(a[0], b[0]), min(a[1], b[1])) for a in left for b in right)
    return sorted((start, end) for start, end in found if start < end)
