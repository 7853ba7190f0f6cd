"""A part of sysfs, opened once: every access below it is relative to a directory handle.

A handle makes the bulk of a read cheap (the kernel walks one name instead of eight) and keeps meaning the same
directory. Files are read and written with single system calls, as sysfs wants it: one write(2) is one value.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

# sysfs gives at most a page per file, so one read is the whole file.
_FILE_BYTES = 1 << 16
# A directory that the kernel removes while we walk it: not there, or there but no longer answering.
_GONE = (FileNotFoundError, NotADirectoryError)


class SysfsTree:
    """`interface.Tree` on the real file system. Not to be used after `close`."""

    def __init__(self, path: str | Path, *, dir_fd: int | None = None, shown: str = "") -> None:
        """Open the directory `path` (below `dir_fd`); `shown` is how errors name it. Raises OSError."""
        self.path = shown or str(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)

    def read(self, path: str) -> str:
        fd = self._open(path, os.O_RDONLY)
        try:
            return os.read(fd, _FILE_BYTES).decode(errors="replace").removesuffix("\n")
        except OSError as exc:
            raise self._named(exc, path) from exc
        finally:
            os.close(fd)

    def write(self, path: str, value: str) -> None:
        fd = self._open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(fd, value.encode())
        except OSError as exc:
            raise self._named(exc, path) from exc
        finally:
            os.close(fd)

    def names(self, path: str = "") -> list[str]:
        fd = self._open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(fd)  # noqa: PTH208 - a Path cannot be a handle
        except OSError as exc:
            raise self._named(exc, path) from exc
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        try:
            os.stat(path, dir_fd=self._fd)
        except _GONE:
            return False
        return True

    def at(self, path: str) -> SysfsTree:
        try:
            return SysfsTree(path, dir_fd=self._fd, shown=f"{self.path}/{path}")
        except OSError as exc:
            raise self._named(exc, path) from exc

    def read_rows(self, path: str, names: Sequence[str]) -> list[list[str]]:
        below = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        rows: list[list[str]] = []
        try:
            found = os.listdir(below)  # noqa: PTH208 - a Path cannot be a handle
            for number in sorted((name for name in found if name.isdecimal()), key=int):
                row = self._row(below, path, number, names)
                if row is None:
                    break
                rows.append(row)
        finally:
            os.close(below)
        return rows

    def _row(self, below: int, path: str, number: str, names: Sequence[str]) -> list[str] | None:
        """The files of one row, None if its directory has vanished."""
        row = []
        for name in names:
            try:
                fd = os.open(f"{number}/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=below)
                try:
                    row.append(os.read(fd, _FILE_BYTES).decode().removesuffix("\n"))
                finally:
                    os.close(fd)
            except OSError as exc:
                if not _is_there(number, below):
                    return None
                raise self._named(exc, f"{path}/{number}/{name}") from exc
        return row

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, path: str, flags: int) -> int:
        try:
            return os.open(path, flags | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as exc:
            raise self._named(exc, path) from exc

    def _named(self, exc: OSError, path: str) -> OSError:
        """The same refusal with the whole path in it; OSError picks its subclass by errno."""
        return OSError(exc.errno, exc.strerror, f"{self.path}/{path}".removesuffix("/"))


def _is_there(name: str, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd)
    except _GONE:
        return False
    return True
