"""The runtime directory and its lock: one damod for each, and for each kernel."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from damod.errors import AlreadyRunning, NotAllowed, UsageError


def own_directory(path: str) -> None:
    """Make the directory if it is not there. Raises NotAllowed if it is somebody else's (say, in /tmp)."""
    mode = 0o755 if os.geteuid() == 0 else 0o700
    try:
        Path(path).mkdir(mode, parents=True, exist_ok=True)
        status = Path(path).stat()
    except PermissionError as exc:
        raise NotAllowed(
            f"damod may not make the directory {path} ({exc.strerror})",
            hint="run it as root, or choose another one with --state-dir",
            path=path,
        ) from exc
    except OSError as exc:
        raise UsageError(
            f"damod cannot use the directory {path} ({exc.strerror})",
            hint="choose another one with --state-dir",
            path=path,
        ) from exc
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
        raise NotAllowed(
            f"damod does not use the directory {path}: others can write it (owner uid {status.st_uid})",
            hint="choose another one with --state-dir",
            path=path,
        )


class RuntimeLock:
    """Held from creation to close(); the kernel gives it back when the process ends, however it ends."""

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/damod.lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(self.path, flags, 0o644)
        except OSError as exc:
            raise NotAllowed(
                f"damod cannot open its lock {self.path} ({exc.strerror})",
                hint="run it as root, or choose another directory with --state-dir",
                path=self.path,
            ) from exc
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            pid = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise AlreadyRunning(
                f"another damod (pid {pid}) already runs with {directory}",
                hint="stop it first (`systemctl stop damod`); to try things beside it,"
                " `damod --kernel sim --state-dir DIR --socket PATH`",
                pid=int(pid) if pid.isdigit() else None,
                path=self.path,
            ) from exc
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock back. The file stays: removing it would let two others hold "the" lock."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
