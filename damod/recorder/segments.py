"""The finished segments of a record: sealed by children, tried again when there is room, removed when too old."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable

from damod.recorder.job import Job, seal_command
from damod.recorder.place import Place


class Segments:
    """`names` are the directories of those that are done with. `complain` hears what is wrong, `settle` (with how
    such a sentence begins) that it no longer is."""

    def __init__(self, place: Place, job: Job, complain: Callable[[str], None], settle: Callable[[str], None]) -> None:
        self.names: list[str] = []
        self._place = place
        self._job = job
        self._complain = complain
        self._settle = settle
        self._sealing: list[tuple[subprocess.Popen[bytes], str]] = []
        self._unsealed: list[str] = []

    @property
    def working(self) -> bool:
        """Whether some are being sealed."""
        return bool(self._sealing)

    def seal(self, directory: int, name: str, out: str | None = None) -> None:
        """Start a child that seals the closed segment in `directory`; the handle is ours from now on."""
        job = self._job
        existing = ("--existing", "replace" if job.force else "old")
        argv = seal_command(directory, out or job.out, job.mode, job.output_type, job.caller, *existing)
        try:
            child = subprocess.Popen(argv, pass_fds=(directory,), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except OSError as exc:
            self._complain(f"{name or job.out} is not sealed yet: {exc.strerror}")
        else:
            self._sealing.append((child, name))
        finally:
            if directory != self._place.directory:
                os.close(directory)

    def reap(self) -> None:
        """Take note of children that have ended."""
        for entry in list(self._sealing):
            child, name = entry
            if child.poll() is None:
                continue
            said = child.communicate()[1].decode(errors="replace").strip().splitlines()
            self._sealing.remove(entry)
            if child.returncode:
                what = f"{name}/{self._job.out}" if name else self._job.out
                self._complain(f"{what} is not sealed: {said[-1] if said else child.returncode}; the .part is readable")
                if name:
                    self._unsealed.append(name)
            if name and name not in self.names:
                self.names.append(name)

    def seal_again(self) -> None:
        """Try once more what found no room, now that there is."""
        names, self._unsealed = self._unsealed, []
        for name in names:
            self._settle(name)
            with contextlib.suppress(OSError):
                self.seal(self._place.open_segment(name), name)

    def retain(self) -> None:
        """Remove what is older, or more, than is to be kept."""
        if self._job.keep_s is None and self._job.keep_bytes is None:
            return
        try:
            gone = self._place.expire(time.time(), self._job.keep_s, self._job.keep_bytes)
        except OSError as exc:
            self._complain(f"old segments could not be removed: {exc.strerror}")
        else:
            self.names = [name for name in self.names if name not in gone]

    def kill(self) -> None:
        """End the children; what they worked on stays as it was."""
        for child, _ in self._sealing:
            child.kill()
