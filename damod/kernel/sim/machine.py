"""The simulated computer around DAMON: memory in NUMA nodes, processes, and how busy which part of it is.

Processes are made up, except that a pid which is none of ours and is alive on the real machine is accepted too: it is
given the scenario's pattern on a made-up address space, so that a real command can be "monitored" without DAMON.
Simulated pids other than the workload's lie above the largest possible real one.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

from damod.kernel.interface import MemoryLayout, ProcessEvent, ProcessEvents
from damod.kernel.procfs import CONFIG
from damod.kernel.sim.clock import WaitableClock
from damod.kernel.sim.workload import MIB, Scenario, Segment, lay

GIB = 1 << 30
TICKS_PER_S = 100
_PID_MAX = 1 << 22
_WORKLOAD_PID = 1000
# The kernel's own memory at the bottom of RAM: always somewhat busy.
_KERNEL_SIZE = 32 * MIB
# Share of the memory missing below the workload's demand that comes back each second.
_REFILL = 0.05
# Share of time that tasks would wait if all memory were paged out.
_STALL = 0.05

# Shares of memory that page-level filters match; made up, but the same for everybody.
PAGE_SHARES = {"anon": 0.6, "active": 0.4, "memcg": 0.5, "hugepage_size": 0.25, "unmapped": 0.1}


@dataclass
class Process:
    """A user process. `heap`, `arena` and `stack` are its three mapped areas, as [start, end)."""

    name: str
    heap: tuple[int, int]
    arena: tuple[int, int]
    stack: tuple[int, int]
    born_ns: int

    def mappings(self) -> list[tuple[int, int]]:
        """The areas that DAMON's vaddr operations would cover, ascending."""
        return [self.heap, self.arena, self.stack]


@dataclass
class _Node:
    ranges: list[tuple[int, int]] = field(default_factory=list)
    demand: float = 0.0
    used: float = 0.0

    @property
    def total(self) -> int:
        return sum(end - start for start, end in self.ranges)


def _stat(pid: int) -> list[str] | None:
    """Fields of a real /proc/PID/stat after the name; None if the process is gone or only a zombie is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields


def _real_children(pid: int) -> list[int]:
    try:
        return [
            int(word)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for word in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def _ram(ram_bytes: int) -> list[tuple[int, int]]:
    """System RAM as a PC has it: a little below 640 KiB, up to 2 GiB below the hole for devices, the rest above it."""
    low = min(ram_bytes, 2 * GIB)
    ranges = [(0x1000, 0x9F000), (MIB, low)]
    if ram_bytes > low:
        ranges.append((4 * GIB, 4 * GIB + ram_bytes - low))
    return ranges


def _slices(ranges: list[tuple[int, int]], parts: int) -> list[list[tuple[int, int]]]:
    """The ranges cut into `parts` lists of about the same number of bytes, where possible between ranges."""
    total = sum(end - start for start, end in ranges)
    ends = list(accumulate(end - start for start, end in ranges))

    def cut(part: int) -> int:
        aim = total * part // parts & ~4095
        near = min(ends, key=lambda end: abs(end - aim))
        return near if abs(near - aim) < total // 64 else aim

    cuts: list[list[tuple[int, int]]] = []
    for part in range(parts):
        low, high = cut(part) if part else 0, cut(part + 1)
        here, at = [], 0
        for start, end in ranges:
            begin, stop = max(low, at), min(high, at + end - start)
            if begin < stop:
                here.append((start + begin - at, start + stop - at))
            at += end - start
        cuts.append(here)
    return cuts


class SimProcessEvents:
    """Births and deaths of simulated processes, for one listener."""

    def __init__(self, machine: Machine, room: int = 1000) -> None:
        self._machine = machine
        self._room = room
        self._queue: list[ProcessEvent] = []
        self._lost = self._awake = False
        self._told = threading.Condition()
        machine.listeners.append(self)

    def put(self, event: ProcessEvent) -> None:
        """Something happened; beyond the room it is lost, as with a socket's buffer."""
        with self._told:
            self._lost = self._lost or len(self._queue) >= self._room
            if not self._lost:
                self._queue.append(event)
            self._told.notify_all()

    def wait(self, timeout_s: float | None) -> bool:
        with self._told:
            if not self._queue and not self._lost and not self._awake:
                self._told.wait(timeout_s)
            self._awake = False
            return bool(self._queue) or self._lost

    def read(self) -> list[ProcessEvent] | None:
        with self._told:
            found, lost = self._queue, self._lost
            self._queue, self._lost = [], False
            return None if lost else found

    def wake(self) -> None:
        with self._told:
            self._awake = True
            self._told.notify_all()

    def close(self) -> None:
        if self in self._machine.listeners:
            self._machine.listeners.remove(self)


class Machine:
    """Memory, processes and access pattern; also the `Proc` of the kernel seam."""

    def __init__(
        self,
        clock: WaitableClock,
        scenario: Scenario,
        *,
        nodes: int,
        ram_bytes: int,
        process_events: bool = True,
    ) -> None:
        if nodes < 1 or ram_bytes < 64 * MIB:
            raise ValueError(f"a machine needs a node and 64 MiB, not {nodes} nodes and {ram_bytes} bytes")
        self.clock = clock
        self.scenario = scenario
        self.tells_events = process_events
        # Whoever simulates kernel threads lets them do here what is due before their CPU time is looked at.
        self.catch_up: Callable[[], None] = lambda: None
        self.boot_ns = clock.monotonic_ns()
        self.ram = _ram(ram_bytes)
        self.nodes = [_Node(ranges) for ranges in _slices(self.ram, nodes)]
        for node in self.nodes:
            node.demand = node.used = node.total * scenario.used
        self.active_share = 0.4
        self.config = {f"CONFIG_{name}": "y" for name in CONFIG}
        self.cgroups = {"/", "/init.scope", "/system.slice", "/user.slice", "/workload"}
        self._filled_ns = self.boot_ns
        self._came_back, self._waited_us = 0.0, 0.0
        self._processes: dict[int, Process] = {}
        self._parents: dict[int, int] = {}
        self.listeners: list[SimProcessEvents] = []
        self._threads: dict[int, list[int]] = {}
        self._next_pid = _PID_MAX + 1
        self.workload_pid = _WORKLOAD_PID if _stat(_WORKLOAD_PID) is None else self.new_pid()
        self._processes[self.workload_pid] = self._process("workload", self.workload_pid)

    # Processes

    def new_pid(self) -> int:
        """A pid never used before."""
        self._next_pid += 1
        return self._next_pid

    def _process(self, name: str, pid: int) -> Process:
        shift = pid % 4096 * MIB
        heap, top, stack = 0x5555_0000_0000 + shift, 0x7F00_0000_0000 + shift, 0x7FFC_0000_0000 + shift
        return Process(
            name,
            (heap, heap + 16 * MIB),
            (top, top + self.scenario.size),
            (stack, stack + 132 * 1024),
            self.clock.monotonic_ns(),
        )

    def spawn(self, name: str = "task", parent: int = 1) -> int:
        """Start a process that runs the scenario; its pid."""
        pid = self.new_pid()
        self._processes[pid] = self._process(name, pid)
        self._parents[pid] = parent
        self._tell(ProcessEvent("fork", pid, parent))
        return pid

    def exit(self, pid: int) -> None:
        """End a simulated process; KeyError if there is none. Its children become those of init."""
        del self._processes[pid]
        self._parents = {child: 1 if parent == pid else parent for child, parent in self._parents.items()}
        self._parents.pop(pid, None)
        self._tell(ProcessEvent("exit", pid))

    def _tell(self, event: ProcessEvent) -> None:
        for source in self.listeners:
            source.put(event)

    def process(self, pid: int) -> Process | None:
        """The process, made up or real, or None if it is gone."""
        if pid in self._processes:
            return self._processes[pid]
        return self._process("real", pid) if 0 < pid < _PID_MAX and _stat(pid) else None

    def new_thread(self) -> int:
        """Start a kernel thread; its pid."""
        pid = self.new_pid()
        self._threads[pid] = [self.clock.monotonic_ns(), 0]
        return pid

    def charge_thread(self, pid: int, ns: int) -> None:
        """Account CPU time to a kernel thread."""
        self._threads[pid][1] += ns

    def end_thread(self, pid: int) -> None:
        """A kernel thread ended."""
        self._threads.pop(pid, None)

    # The Proc of the kernel seam

    def alive(self, pid: int) -> bool:
        return pid in self._threads or self.process(pid) is not None

    def start_time(self, pid: int) -> int | None:
        born = self._threads[pid][0] if pid in self._threads else None
        if born is None and pid in self._processes:
            born = self._processes[pid].born_ns
        if born is not None:
            return born * TICKS_PER_S // 10**9
        fields = _stat(pid) if 0 < pid < _PID_MAX else None
        return int(fields[19]) if fields else None

    def children(self, pid: int) -> list[int]:
        found = [child for child, parent in self._parents.items() if parent == pid]
        if 0 < pid < _PID_MAX and pid not in self._processes:
            found += _real_children(pid)
        return found

    def process_events(self) -> ProcessEvents:
        if not self.tells_events:
            raise OSError(errno.EOPNOTSUPP, "the simulated kernel does not see the forks of real processes")
        return SimProcessEvents(self)

    def cgroup_exists(self, path: str) -> bool | None:
        return path in self.cgroups

    def cpu_ns(self, pid: int) -> int | None:
        if pid in self._threads:
            self.catch_up()
            return self._threads[pid][1] if pid in self._threads else None
        if pid in self._processes:
            return (self.clock.monotonic_ns() - self._processes[pid].born_ns) // 2
        fields = _stat(pid) if 0 < pid < _PID_MAX else None
        return (int(fields[11]) + int(fields[12])) * 10**9 // os.sysconf("SC_CLK_TCK") if fields else None

    def system_ram(self) -> list[tuple[int, int]]:
        return list(self.ram)

    def mounts(self) -> dict[str, str]:
        return {"sysfs": "simulated", "tracefs": "simulated"}

    def memory_layout(self) -> MemoryLayout:
        resources = [(start, end, "System RAM") for start, end in self.ram]
        holes = [(low[1], high[0]) for low, high in pairwise([(0, 0), *self.ram])]
        resources += [(start, end, "PCI Bus 0000:00" if end >= 4 * GIB else "Reserved") for start, end in holes]
        blocks = [(*span, nid, "online") for nid, node in enumerate(self.nodes) for span in node.ranges]
        return MemoryLayout(sorted(resources), sorted(blocks))

    def numa_node_ram(self, nid: int) -> list[tuple[int, int]]:
        if not 0 <= nid < len(self.nodes):
            raise LookupError(f"no NUMA node {nid} (there are {len(self.nodes)})")
        return list(self.nodes[nid].ranges)

    def meminfo(self) -> dict[str, int]:
        self.refill()
        total = sum(node.total for node in self.nodes)
        used = int(sum(node.used for node in self.nodes))
        lru = int(used * 0.8)
        return {
            "MemTotal": total,
            "MemFree": total - used,
            "MemAvailable": total - used + int(used * 0.2),
            "Buffers": int(used * 0.01),
            "Cached": int(used * 0.3),
            "Active": int(lru * self.active_share),
            "Inactive": lru - int(lru * self.active_share),
            "AnonPages": int(used * 0.5),
            "SwapTotal": total // 2,
            "SwapFree": max(total // 2 - self.missing(), 0),
        }

    def numa_nodes(self) -> list[int]:
        return list(range(len(self.nodes)))

    def pids(self) -> list[int]:
        return sorted([*self._processes, *self._threads])

    def command(self, pid: int) -> str | None:
        if pid in self._threads:
            return "kdamond"
        process = self._processes.get(pid)
        return process.name[:15] if process else None

    def executable(self, pid: int) -> str | None:
        process = self._processes.get(pid)
        return f"/usr/bin/{process.name}" if process else None

    def cgroup_pids(self, path: str) -> list[int]:
        """The process `NAME` is alone with its namesakes in the cgroup ``/workload/NAME`` below ``/workload``."""
        at = "/" + path.strip("/")
        if at not in self.cgroups and not any(at == self._cgroup(item) for item in self._processes.values()):
            raise LookupError(f"there is no cgroup {path}")
        inside = at.rstrip("/") + "/"
        return sorted(pid for pid, item in self._processes.items() if f"{self._cgroup(item)}/".startswith(inside))

    def cgroup_named(self, name: str) -> str | None:
        known = self.cgroups | {self._cgroup(item) for item in self._processes.values()}
        return min((path for path in known if path.rpartition("/")[2] == name), default=None)

    def _cgroup(self, process: Process) -> str:
        return f"/workload/{process.name}"

    def vmstat(self) -> dict[str, int]:
        self.refill()
        pages = int(self._came_back) // 4096
        return {"pswpin": pages, "workingset_refault_anon": pages, "workingset_refault_file": 0}

    def memory_pressure_us(self) -> int | None:
        self.refill()
        return int(self._waited_us)

    # Memory

    def refill(self) -> None:
        """Let what was paged out but is in demand come back, for the time since this was last asked."""
        now = self.clock.monotonic_ns()
        passed_s = (now - self._filled_ns) / 1e9
        keep = (1 - _REFILL) ** passed_s
        self._filled_ns = now
        self._waited_us += _STALL * self._shortage() * passed_s * 1e6
        for node in self.nodes:
            before, node.used = node.used, node.demand - (node.demand - node.used) * keep
            self._came_back += max(node.used - before, 0)

    def missing(self) -> int:
        """Bytes in demand that are paged out now."""
        return int(sum(max(node.demand - node.used, 0) for node in self.nodes))

    def free_permil(self) -> int:
        """Free memory in thousandths of all."""
        info = self.meminfo()
        return info["MemFree"] * 1000 // info["MemTotal"]

    def node_used_bp(self, nid: int) -> int:
        """Used memory of a node in ten-thousandths; 0 for a node that does not exist."""
        self.refill()
        if not 0 <= nid < len(self.nodes):
            return 0
        return int(self.nodes[nid].used * 10000 / self.nodes[nid].total)

    def kernel_config(self) -> dict[str, str] | None:
        return self.config

    def psi_us(self, interval_us: int) -> int:
        """Time that some task waited for memory within an interval: it grows with what is paged out."""
        self.refill()
        return int(interval_us * _STALL * self._shortage())

    def _shortage(self) -> float:
        """The share of what is in demand that is paged out."""
        demand = sum(node.demand for node in self.nodes)
        return self.missing() / demand if demand else 0.0

    def node_of(self, address: int) -> int:
        """The node of a physical address; 0 for what is in none (a virtual address)."""
        for nid, node in enumerate(self.nodes):
            if any(start <= address < end for start, end in node.ranges):
                return nid
        return 0

    def page_out(self, address: int, size: int) -> int:
        """Reclaim up to `size` bytes at an address; how many really were."""
        self.refill()
        node = self.nodes[self.node_of(address)]
        done = int(max(min(size * 0.9, node.used - node.total * 0.05), 0)) & ~4095
        node.used -= done
        return done

    def migrate(self, address: int, size: int, nid: int) -> int:
        """Move up to `size` bytes at an address to a node; how many really were."""
        source = self.node_of(address)
        if not 0 <= nid < len(self.nodes) or nid == source:
            return 0
        self.refill()
        here, there = self.nodes[source], self.nodes[nid]
        done = int(max(min(size, here.used, there.total - there.used), 0)) & ~4095
        for node, change in ((here, -done), (there, done)):
            node.used += change
            node.demand += change
        return done

    def activate(self, size: int) -> None:
        """Move bytes to the active list, or off it if negative."""
        total = sum(node.total for node in self.nodes)
        self.active_share = min(max(self.active_share + size / total, 0.05), 0.95)

    # Accesses

    def physical(self, now_ns: int) -> list[Segment]:
        """The access pattern of physical memory, by address.

        The arena lies in the largest range of RAM, where people look first; a small one in the middle of it.
        """
        seconds = (now_ns - self.boot_ns) / 1e9
        total = sum(end - start for start, end in self.ram)
        kernel = lay([(0, min(_KERNEL_SIZE, total // 4), 0.3)], self.ram)
        start, end = max(self.ram, key=lambda span: span[1] - span[0])
        start = max(start, *(high for _, high, _ in kernel if high < end))
        size = min(self.scenario.size, end - start) if self.scenario.fixed else end - start
        base = start + ((end - start - size) // 2 & ~4095)
        return sorted(kernel + lay(self.scenario.segments(seconds, size), [(base, base + size)]))

    def virtual(self, pid: int, now_ns: int) -> list[Segment]:
        """The access pattern of a process, by address; nothing if it is gone."""
        process = self.process(pid)
        if process is None:
            return []
        seconds = (now_ns - self.boot_ns) / 1e9
        pattern = lay(self.scenario.segments(seconds, self.scenario.size), [process.arena])
        heap, stack = process.heap[0], process.stack
        return [(heap, heap + 64 * 1024, 0.05), *pattern, (stack[1] - 8192, stack[1], 0.5)]
