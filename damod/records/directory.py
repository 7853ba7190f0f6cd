"""Files of a directory by its handle: created anew, never through a link, since it may belong to somebody else."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from damod.errors import DamodError, DiskFull, NotAllowed, NotFound


def refused(exc: OSError, attempt: str) -> DamodError:
    """The error that tells of an OSError met while writing."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"{attempt} failed: no space left", hint="what was recorded before is whole; make room", errno=exc.errno
        )
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotAllowed(f"{attempt} failed: {exc.strerror}", errno=exc.errno)
    if exc.errno == errno.ELOOP:
        return NotAllowed(f"{attempt} failed: it is a symbolic link, which is not followed", errno=exc.errno)
    if exc.errno == errno.ENOENT:
        return NotFound(f"{attempt} failed: {exc.strerror}", errno=exc.errno)
    return DamodError(f"{attempt} failed: {exc.strerror or exc}", errno=exc.errno)


class Directory:
    """A directory by handle. `fd` is borrowed from the caller or, for a path, opened and owned."""

    def __init__(self, where: int | str | Path) -> None:
        self._owned = not isinstance(where, int)
        if isinstance(where, int):
            self.fd = where
            return
        try:
            self.fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise refused(exc, f"opening directory {where}") from exc

    def create(self, name: str, mode: int) -> int:
        """A new file, open for reading and writing, with exactly that mode. Raises FileExistsError and OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(name, flags, mode & 0o777, dir_fd=self.fd)
        os.fchmod(handle, mode & 0o777)
        return handle

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A regular file that is there, never through a link nor waiting for a pipe's other end. Raises OSError."""
        import stat

        handle = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self.fd)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "not a regular file", name)
        return handle

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name, a dangling link included."""
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def sync(self) -> None:
        """Make creations and renames last; file systems that cannot are fine."""
        with contextlib.suppress(OSError):
            os.fsync(self.fd)

    def close(self) -> None:
        if self._owned and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
