"""Recordings from what a user names: files, directories of rotated segments, standard input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from damoctl.reports.frames import Opened, Source
from damod.records.reader import open_record

if TYPE_CHECKING:
    from damoctl.context import Context

DEFAULT = "damon.data"
# Seconds without an answer after which a person wonders, and between two signs of life.
_PATIENCE_S, _BEAT_S = 1.0, 0.2


class Progress:
    """How many regions were read, on a terminal, once it takes longer than a second; `clear` takes it away."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._due = clock() + _PATIENCE_S
        self._rows = 0
        self._shown = False
        self._tty = stream.isatty()

    def __call__(self, rows: int) -> None:
        self._rows += rows
        now = self._clock()
        if self._tty and now >= self._due:
            self._stream.write(f"\rdamoctl: {self._rows:,} regions read")
            self._stream.flush()
            self._shown, self._due = True, now + _BEAT_S

    def end(self) -> None:
        """Never be seen again."""
        self.clear()
        self._tty = False

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


# Of glibc's mallopt, and what both are set to: bytes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _KEPT_BYTES = -1, -3, 1 << 28


@cache
def keep_memory() -> None:
    """Let memory be used again that was freed, instead of giving it back to the kernel at once.

    Reports make and drop columns of some hundred KiB all the time; the kernel clears each page of each anew, which was
    a tenth of the time.
    """
    import ctypes

    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


@contextmanager
def opened(paths: Sequence[str], ctx: Context, *, compat: bool = False) -> Iterator[Source]:
    """The record(s) at `paths` as one source; what was damaged in them is said on standard error at the end."""
    keep_memory()
    progress = Progress(ctx.stderr)
    with ExitStack() as stack:
        stack.callback(progress.clear)
        files = [stack.enter_context(open_record(path, compat=compat)) for path in paths or [DEFAULT]]
        yield Opened(files, progress, progress.end)
        progress.clear()
        for file in files:
            for warning in dict.fromkeys(file.warnings):
                ctx.note(f"damoctl: {warning}")
