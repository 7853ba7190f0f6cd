"""The trace ring of a real Linux: an own tracefs instance, read page by page.

An instance (`instances/damod-<pid>-<n>`) has its own buffers and its own switches, so nobody else's tracing is touched.
Its clock is set to `mono`, so that time stamps compare with CLOCK_MONOTONIC. Each CPU has its own ring; the one of a
CPU that comes online later is opened by the next `wait`, the one of a CPU that goes offline stays readable.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from damod.kernel.events import parse_fields

MOUNT_POINTS = ("kernel/tracing", "kernel/debug/tracing")
_INSTANCE = re.compile(r"damod-(\d+)-\d+")
_LOST = re.compile(r"^(?:overrun|commit overrun|dropped events): (\d+)$", re.MULTILINE)


def parse_cpus(text: str) -> list[int]:
    """CPU numbers from a kernel list such as ``0-3,8``. Raises ValueError."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


class TraceRing:
    """`interface.RawRing` on an instance directory that exists and whose events are on."""

    def __init__(self, instance: Path, online: Path, page_size: int) -> None:
        self.page_size = page_size
        self._instance = instance
        self._online = os.open(online, os.O_RDONLY | os.O_CLOEXEC)
        self._seen_online = b""
        self._fds: dict[int, int] = {}
        self._poll = select.poll()
        self._follow_cpus()

    @property
    def cpus(self) -> list[int]:
        return list(self._fds)

    def read(self, cpu: int) -> bytes:
        try:
            return os.read(self._fds[cpu], self.page_size)
        except BlockingIOError:
            return b""

    def wait(self, timeout_s: float) -> bool:
        self._follow_cpus()
        return bool(self._poll.poll(max(timeout_s, 0) * 1000))

    def overrun(self) -> int:
        stats = (self._instance / f"per_cpu/cpu{cpu}/stats" for cpu in self._fds)
        return sum(int(count) for path in stats for count in _LOST.findall(path.read_text()))

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        if self._online >= 0:
            os.close(self._online)
            self._online = -1
        # Removing the instance switches its events off; without open files of ours nothing holds it.
        with contextlib.suppress(FileNotFoundError):
            self._instance.rmdir()

    def _follow_cpus(self) -> None:
        online = os.pread(self._online, 4096, 0)
        if online == self._seen_online:
            return
        self._seen_online = online
        for cpu in parse_cpus(online.decode()):
            if cpu not in self._fds:
                path = self._instance / f"per_cpu/cpu{cpu}/trace_pipe_raw"
                self._fds[cpu] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._poll.register(self._fds[cpu], select.POLLIN)


class TraceFs:
    """`interface.Trace` on the mounted tracefs below `sysfs_root`, or on `root`; there may be none."""

    def __init__(self, sysfs_root: Path, proc_root: Path, root: Path | None = None) -> None:
        self._candidates = [root] if root else [sysfs_root / name for name in MOUNT_POINTS]
        self._online = sysfs_root / "devices/system/cpu/online"
        self._proc_root = proc_root
        self._numbers = itertools.count()

    def events(self) -> Mapping[str, str]:
        root = self._root()
        if root is None:
            return {}
        return {path.parent.name: path.read_text() for path in (root / "events/damon").glob("*/format")}

    def header_page(self) -> str:
        return (self._mounted() / "events/header_page").read_text()

    def open(self, events: Iterable[str], *, buffer_kb: int = 1024) -> TraceRing:
        root = self._mounted()
        self.remove_leftovers()
        fields = {item.name: item for item in parse_fields(self.header_page())}
        instance = self._make_instance(root / "instances")
        try:
            _write(instance / "trace_clock", "mono")
            _write(instance / "buffer_size_kb", str(buffer_kb))
            # The default wakes a reader when half of the buffer is full; 0 does at the first event.
            _write(instance / "buffer_percent", "0")
            for name in events:
                _write(instance / f"events/damon/{name}/enable", "1")
            return TraceRing(instance, self._online, fields["data"].offset + fields["data"].size)
        except BaseException:
            instance.rmdir()
            raise

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def remove_leftovers(self) -> list[str]:
        """Remove the instances of damods that are dead (killed, so they could not); their names."""
        root = self._root()
        gone = list(self._leftovers(root / "instances")) if root else []
        for path in gone:
            # Somebody may be reading it, or another damod be removing it: then it is theirs.
            with contextlib.suppress(OSError):
                path.rmdir()
        return [path.name for path in gone]

    def _leftovers(self, instances: Path) -> Iterator[Path]:
        if not instances.is_dir():
            return
        for path in instances.iterdir():
            match = _INSTANCE.fullmatch(path.name)
            if match and not (self._proc_root / match[1]).exists():
                yield path

    def _make_instance(self, instances: Path) -> Path:
        while True:
            path = instances / f"damod-{os.getpid()}-{next(self._numbers)}"
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path

    def _root(self) -> Path | None:
        return next((path for path in self._candidates if _is_dir(path / "events")), None)

    def _mounted(self) -> Path:
        root = self._root()
        if root is None:
            raise FileNotFoundError(2, "tracefs is not mounted", str(self._candidates[0]))
        return root


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        return False


def _write(path: Path, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
