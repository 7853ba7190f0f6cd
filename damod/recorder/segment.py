"""The files of one segment of a record while they are written: accesses, what is recorded beside them, profiles."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from damod.errors import DamodError
from damod.recorder.job import EVENTS, PROFILE, Job
from damod.recorder.perf import EVENTS_WORDS, PROFILE_WORDS, Perf
from damod.recorder.place import Place
from damod.recorder.sides import Sides, write_kdamonds
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter

FLUSH_S = 0.4
"""How long rows may wait before they are written: what is older than this, and a little, survives a crash."""
_PERF = ((PROFILE, "profile", PROFILE_WORDS), (EVENTS, "trace", EVENTS_WORDS))


class Segment:
    """`writer` is None if the accesses are not recorded, or there was no room to begin. `complain` hears problems."""

    def __init__(self, place: Place, job: Job, complain: Callable[[str], None]) -> None:
        self.writer: RecordWriter | None = None
        self._place = place
        self._job = job
        self._complain = complain
        self._sides: Sides | None = None
        self._perfs: list[Perf] = []

    def begin(self, meta: RecordMeta) -> None:
        """Begin the accesses. Raises DiskFull, OSError."""
        with self._place.acting():
            self.writer = RecordWriter(self._place.directory, self._job.out, meta, mode=self._job.mode, flush_s=FLUSH_S)

    def begin_sides(self, kdamonds: Sequence[Mapping[str, Any]]) -> None:
        """Begin all else."""
        try:
            self._sides = Sides(self._place, self._job.kinds)
            write_kdamonds(self._place, kdamonds)
        except OSError as exc:
            # Without room or not, the accesses are what matters.
            self._complain(f"the side files could not be begun: {exc.strerror}")
        self._perfs = [
            Perf(self._place, f"{self._job.out}.{suffix}", words, self._job.perf)
            for kind, suffix, words in _PERF
            if kind in self._job.kinds
        ]
        self._hear_perfs()

    def take_sides(self, time_ns: int, mono_ns: int, targets: Iterable[int], kdamonds: Iterable[int]) -> None:
        """An entry in each side file."""
        if self._sides:
            self._sides.take(time_ns, mono_ns, targets, kdamonds)

    def check_perfs(self) -> None:
        """Hear of profiles that ended."""
        for perf in self._perfs:
            perf.check()
        self._hear_perfs()

    def stop_perfs(self) -> None:
        """End the profiles."""
        for perf in self._perfs:
            perf.stop()
        self._hear_perfs()
        self._perfs = []

    def close(self, kdamonds: Sequence[Mapping[str, Any]]) -> int:
        """End all files; the bytes of the accesses. `kdamonds` is their state at the end."""
        self.stop_perfs()
        try:
            write_kdamonds(self._place, kdamonds)
        except OSError as exc:
            self._complain(f"the state of the kdamonds could not be written: {exc.strerror}")
        if self._sides:
            if self._sides.lost:
                self._complain(f"{self._sides.lost} entries of the side files found no room")
            self._sides.close()
            self._sides = None
        if self.writer is None:
            return 0
        try:
            with self._place.acting():
                self.writer.close()
        except DamodError as exc:
            self._complain(exc.message)
        return self.writer.bytes

    def move(self, directory: int) -> None:
        """Move the closed files into a directory."""
        self._place.move_all(directory)

    def discard(self) -> None:
        """Remove the closed files, in which nothing was recorded."""
        with self._place.acting():
            for name in self._place.names():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._place.directory)

    def _hear_perfs(self) -> None:
        for perf in self._perfs:
            if perf.problem:
                self._complain(perf.problem)
