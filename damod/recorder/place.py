"""Where a record goes: files in one directory, made as the caller and never as anybody who may do more.

The directory is a handle that the caller opened, so no path of theirs is ever resolved here; and everything in it is
done with the caller's user and groups, so that the recorder, which is root, cannot write where they could not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from damod.errors import Conflict, NotAllowed
from damod.recorder.job import PART, Caller
from damod.records.directory import Directory

SIDES = ("kdamonds", "mem_footprint", "vmas", "proc_stats", "profile", "trace")
STAMP = "%Y-%m-%d-%H-%M-%S"
_STAMPED = re.compile(r"\d{4}(?:-\d\d){5}")


@contextlib.contextmanager
def as_caller(caller: Caller | None) -> Iterator[None]:
    """Run the block with the caller's file permissions, if we are root and they are not. For the whole process."""
    if caller is None or os.geteuid() != 0 or caller.uid == 0:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    os.setgroups(caller.groups)
    os.setegid(caller.gid)
    os.seteuid(caller.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


@dataclass(frozen=True)
class Segment:
    """A sealed part of a rotated record: its directory's name, when it was cut, and how large it is."""

    name: str
    cut_s: float
    size: int


class Place:
    """The directory of one record `out`. All methods act as the caller and raise OSError."""

    def __init__(self, directory: int, out: str, mode: int, caller: Caller | None) -> None:
        self.directory = directory
        self.out = out
        self.mode = mode
        self.caller = caller

    def acting(self) -> contextlib.AbstractContextManager[None]:
        """A context that acts as the caller."""
        return as_caller(self.caller)

    def make(self, name: str, directory: int | None = None) -> int:
        """A new file of our mode, open for writing. What lies there is removed first, and no link is followed."""
        where = self.directory if directory is None else directory
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self.acting():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=where)
            handle = os.open(name, flags, self.mode, dir_fd=where)
            os.fchmod(handle, self.mode)
        return handle

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name, a dangling link included."""
        return Directory(self.directory).exists(name)

    def move(self, name: str, into: int, new: str) -> None:
        """Rename a file into a directory; nothing if there is none of that name."""
        with self.acting(), contextlib.suppress(FileNotFoundError):
            os.rename(name, new, src_dir_fd=self.directory, dst_dir_fd=into)

    def names(self) -> list[str]:
        """What the files of a segment are called, finished or not."""
        return [name for out in (self.out, *(f"{self.out}.{side}" for side in SIDES)) for name in (out, part(out))]

    def move_all(self, into: int) -> None:
        """Move the files of a segment into a directory."""
        for name in self.names():
            self.move(name, into, name)

    def modified_s(self) -> float | None:
        """When the record that lies here, finished or not, was written to last; None if there is none."""
        times = []
        for name in (self.out, part(self.out)):
            with contextlib.suppress(FileNotFoundError):
                times.append(os.stat(name, dir_fd=self.directory, follow_symlinks=False).st_mtime)
        return max(times, default=None)

    def keep_old(self) -> None:
        """Give an earlier record of the same name, its side files included, the suffix .old."""
        for name in (self.out, *(f"{self.out}.{side}" for side in SIDES)):
            self.move(name, self.directory, f"{name}.old")

    def claim(self) -> bool:
        """Whether there is an `<out>.part` of an interrupted recording. Raises Conflict if it is still written to."""
        name = part(self.out)
        with self.acting():
            try:
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.directory)
            except FileNotFoundError:
                return False
            except OSError:
                # A link or whatever else: no record of ours.
                os.unlink(name, dir_fd=self.directory)
                return False
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise Conflict(
                    f"another recording writes to {self.out}", hint="stop it first, or choose another --out"
                ) from exc
            finally:
                os.close(handle)
        return True

    def set_aside(self) -> None:
        """What an interrupted recording left, with its side files, becomes `.old.part`."""
        for old in (self.out, *(f"{self.out}.{side}" for side in SIDES)):
            new = f"{self.out}.old{old.removeprefix(self.out)}"
            self.move(part(old), self.directory, part(new))

    def check(self) -> None:
        """Raise NotAllowed if the caller cannot make files here, Conflict if `out` is not to be replaced."""
        probe = f".{self.out}.{os.getpid()}"
        try:
            os.close(self.make(probe))
            with self.acting():
                os.unlink(probe, dir_fd=self.directory)
                if self.exists(self.out) and not stat.S_ISREG(
                    os.stat(self.out, dir_fd=self.directory, follow_symlinks=False).st_mode
                ):
                    raise Conflict(
                        f"cannot record to {self.out}: there is something that is no file",
                        hint="choose another name with --out",
                        path=self.out,
                    )
        except OSError as exc:
            raise NotAllowed(
                f"cannot make files where {self.out} is to go: {exc.strerror}",
                hint="record as a user who may write there, or choose another place with --out",
                path=self.out,
                errno=exc.errno,
            ) from exc

    def rotation(self, now_s: float) -> tuple[str, int]:
        """A new directory `<out>.<time>` for a segment cut at `now_s` (local time), and a handle on it.

        Segments are read in the order of their names, so one that would not come last (it is of the same second, or the
        clock went back, as each autumn) gets the second after the last one's.
        """
        with self.acting():
            stamp = datetime.fromtimestamp(now_s).replace(microsecond=0)
            last = max(self._stamps().values(), default=None)
            if last is not None and stamp <= last:
                stamp = last + timedelta(seconds=1)
            name = f"{self.out}.{stamp.strftime(STAMP)}"
            os.mkdir(name, 0o700 | (self.mode & 0o444) >> 2 | self.mode & 0o077, dir_fd=self.directory)
            return name, self.open_segment(name)

    def _stamps(self) -> dict[str, datetime]:
        """Names that are a segment's (of whatever kind the file is), and the time in them."""
        found = {}
        for name in _names(self.directory):
            prefix, _, stamp = name.rpartition(".")
            if prefix == self.out and _STAMPED.fullmatch(stamp):
                with contextlib.suppress(ValueError):
                    # Not strptime: it would load its module now, as a caller who may not be able to read that.
                    found[name] = datetime(*map(int, stamp.split("-")))  # type: ignore[arg-type]
        # After the last second that there is, none could follow.
        return {name: stamp for name, stamp in found.items() if stamp.year < datetime.max.year}

    def segments(self) -> list[Segment]:
        """The sealed segments of a rotated record, oldest first."""
        found = []
        with self.acting():
            for name, stamp in self._stamps().items():
                with contextlib.suppress(OSError):
                    found.append(Segment(name, stamp.timestamp(), self._size(name)))
        return sorted(found, key=lambda item: item.name)

    def expire(self, now_s: float, keep_s: float | None, keep_bytes: int | None) -> list[str]:
        """Remove the oldest segments that are older than `keep_s` or more than `keep_bytes` together; never the last.

        Returns their names.
        """
        segments, gone = self.segments(), []
        total = sum(item.size for item in segments)
        for item in segments[:-1]:
            old = keep_s is not None and now_s - item.cut_s > keep_s
            large = keep_bytes is not None and total > keep_bytes
            if not (old or large):
                break
            self._remove(item.name)
            total -= item.size
            gone.append(item.name)
        return gone

    def open_segment(self, name: str) -> int:
        """A handle on a segment's directory."""
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.directory)

    def _size(self, name: str) -> int:
        handle = self.open_segment(name)
        try:
            files = _names(handle)
            return sum(os.stat(file, dir_fd=handle, follow_symlinks=False).st_size for file in files)
        finally:
            os.close(handle)

    def _remove(self, name: str) -> None:
        with self.acting():
            handle = self.open_segment(name)
            try:
                # Only what we put there: files of others keep their directory.
                for file in _names(handle):
                    if file == self.out or file.startswith(f"{self.out}."):
                        os.unlink(file, dir_fd=handle)
            finally:
                os.close(handle)
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=self.directory)


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def part(name: str) -> str:
    """The name of a file that is still written."""
    return name + PART
