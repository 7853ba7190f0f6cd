"""The kernel seam: what the daemon needs of a Linux with DAMON, and what the simulated kernel offers just the same.

Everything here may block and is called from a worker thread. Paths are relative, `/`-separated, without a leading
slash. All refusals are OSError with the kernel's errno; the callers turn them into sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol


class Tree(Protocol):
    """A directory tree of small text files (sysfs), or a part of one."""

    def read(self, path: str) -> str:
        """The text of a file without its final newline. Raises OSError (ENOENT, EBUSY, ...)."""
        ...

    def write(self, path: str, value: str) -> None:
        """Write a file in one write(2). Raises OSError with what the kernel answered; "" never reaches the kernel."""
        ...

    def names(self, path: str = "") -> list[str]:
        """Names in a directory, unsorted. Raises OSError."""
        ...

    def exists(self, path: str) -> bool: ...

    def at(self, path: str) -> Tree:
        """The part of the tree below a directory; holds a directory handle where that is cheaper."""
        ...

    def read_rows(self, path: str, names: Sequence[str]) -> list[list[str]]:
        """For the numbered subdirectories of `path`, in numeric order: the texts of the files `names` in each.

        The bulk path for `tried_regions`, whose numbers have holes on some kernels (12, 14, 16, ... on 6.16 to 6.18). A
        directory that vanishes meanwhile ends the rows; a file that is missing in one that stays is ENOENT.
        """
        ...

    def close(self) -> None:
        """Give back the directory handle, if there is one."""
        ...


class RawRing(Protocol):
    """An own tracefs instance with some events switched on. One reader."""

    @property
    def cpus(self) -> Sequence[int]: ...
    @property
    def page_size(self) -> int: ...

    def read(self, cpu: int) -> bytes:
        """The next whole page of a CPU's ring (header included, as trace_pipe_raw gives it); b"" when none is there.

        Never blocks.
        """
        ...

    def wait(self, timeout_s: float) -> bool:
        """Sleep until some CPU has data or the time is over; whether there is data."""
        ...

    def overrun(self) -> int:
        """Events overwritten before they were read, since the ring was opened, over all CPUs."""
        ...

    def close(self) -> None:
        """Switch the events off and remove the instance."""
        ...


class Trace(Protocol):
    """The tracefs of the kernel."""

    def events(self) -> Mapping[str, str]:
        """Name of each DAMON event -> text of its `format` file; empty without tracefs."""
        ...

    def header_page(self) -> str:
        """Text of events/header_page, the layout of a ring page."""
        ...

    def open(self, events: Iterable[str], *, buffer_kb: int = 1024) -> RawRing:
        """A ring in which exactly these events arrive. Raises OSError (EACCES, ENOENT without tracefs)."""
        ...

    def now_ns(self) -> int:
        """The ring's clock."""
        ...


class ProcessEvent(NamedTuple):
    """A process (no thread) was born to `parent`, or has ended."""

    kind: Literal["fork", "exit"]
    pid: int
    parent: int = 0


class ProcessEvents(Protocol):
    """Births and deaths of this machine's processes, as they happen. One reader."""

    def wait(self, timeout_s: float | None) -> bool:
        """Sleep until there is something to read, the time is over, or `wake`; whether there is something."""
        ...

    def read(self) -> list[ProcessEvent] | None:
        """All that came, oldest first, without blocking; None if some were lost."""
        ...

    def wake(self) -> None:
        """End a `wait` in another thread."""
        ...

    def close(self) -> None: ...


class MemoryLayout(NamedTuple):
    """Physical memory, ascending.

    `resources` are [start, end) and name of what /proc/iomem has at its top level, `blocks` [start, end), NUMA node and
    state ("online", "offline", ...) of the memory blocks, neighbours that are alike as one.
    """

    resources: list[tuple[int, int, str]]
    blocks: list[tuple[int, int, int, str]]


class Proc(Protocol):
    """What /proc and /sys/devices say about processes, cgroups, memory and NUMA nodes."""

    def children(self, pid: int) -> list[int]:
        """The processes that a process has started and that live; none if it is gone."""
        ...

    def process_events(self) -> ProcessEvents:
        """Raises OSError where the kernel does not tell."""
        ...

    def cgroup_exists(self, path: str) -> bool | None:
        """Whether there is a cgroup of that path below the mount point of the memory controller; None: not known."""
        ...

    def alive(self, pid: int) -> bool: ...

    def start_time(self, pid: int) -> int | None:
        """Clock ticks after boot at which the process started, its identity against pid reuse; None if gone."""
        ...

    def cpu_ns(self, pid: int) -> int | None:
        """CPU time used by a process or kernel thread; None if gone."""
        ...

    def system_ram(self) -> list[tuple[int, int]]:
        """[start, end) of each "System RAM" range in physical memory, ascending."""
        ...

    def numa_node_ram(self, nid: int) -> list[tuple[int, int]]:
        """[start, end) of the memory of one NUMA node; LookupError if there is no such node."""
        ...

    def mounts(self) -> dict[str, str]:
        """Where sysfs, tracefs and debugfs are mounted, by these names; what is not mounted is left out."""
        ...

    def memory_layout(self) -> MemoryLayout:
        """What is where in physical memory. Raises OSError where that may not be seen."""
        ...

    def meminfo(self) -> dict[str, int]:
        """/proc/meminfo in bytes."""
        ...

    def numa_nodes(self) -> list[int]:
        """The NUMA nodes, ascending; [0] where there is only memory."""
        ...

    def pids(self) -> list[int]:
        """All processes (not kernel threads' names, but their pids are among them), ascending."""
        ...

    def command(self, pid: int) -> str | None:
        """The name of a process (at most 15 bytes of it); None if gone."""
        ...

    def executable(self, pid: int) -> str | None:
        """The file that a process runs; None if gone, or for a kernel thread."""
        ...

    def cgroup_pids(self, path: str) -> list[int]:
        """Processes in a cgroup (v2, path below its mount) and below it, ascending; LookupError if there is none."""
        ...

    def cgroup_named(self, name: str) -> str | None:
        """The path of the cgroup whose last part is `name` (a systemd unit's), or None."""
        ...

    def vmstat(self) -> dict[str, int]:
        """/proc/vmstat: counts of pages and events since boot."""
        ...

    def kernel_config(self) -> Mapping[str, str] | None:
        """How the kernel was built, as far as DAMON is concerned: CONFIG_... -> "y", "m", "n"; None: it is not told."""
        ...

    def memory_pressure_us(self) -> int | None:
        """Total time in which some task waited for memory (PSI), since boot; None where the kernel does not tell."""
        ...


class Clock(Protocol):
    """Time as this kernel lives it; the simulated one may run faster."""

    def monotonic_ns(self) -> int: ...

    def time_ns(self) -> int: ...

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for that much of this kernel's time."""
        ...


class Kernel(Protocol):
    """One machine's DAMON. `damon` is rooted at .../mm/damon/admin, `modules` at /sys/module."""

    name: str
    release: str

    @property
    def damon(self) -> Tree: ...
    @property
    def modules(self) -> Tree: ...
    @property
    def trace(self) -> Trace: ...
    @property
    def proc(self) -> Proc: ...
    @property
    def clock(self) -> Clock: ...

    def close(self) -> None: ...
