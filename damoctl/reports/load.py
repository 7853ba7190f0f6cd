"""Recordings from what a user names: files, directories of rotated segments, standard input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from damoctl.reports.frames import Opened, Source
from damod.errors import DamodError, NotFound
from damod.records.reader import RecordFile, open_record

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

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def open_named(path: str, ctx: Context, *, compat: bool = False) -> RecordFile:
    """The record at a path; where there is none, the detached recording of that name that damod has."""
    try:
        return open_record(path, compat=compat)
    except NotFound:
        found = None if "/" in path else _of_daemon(path, ctx)
        if found is None:
            raise
    return open_record(found, compat=compat)


def _of_daemon(name: str, ctx: Context) -> str | None:
    """Where damod keeps a recording; None if it does not, or there is none."""
    try:
        with ctx.client() as client:
            item = client.call("record.show", name=name)["recording"]
    except DamodError:
        return None
    return f"{item['directory']}/{item['out']}" if item["directory"] else None


@contextmanager
def opened(paths: Sequence[str], ctx: Context, *, compat: bool = False) -> Iterator[Source]:
    """The record(s) at `paths` as one source; what was damaged in them is said on standard error at the end."""
    progress = Progress(ctx.stderr)
    with ExitStack() as stack:
        stack.callback(progress.clear)
        files = [stack.enter_context(open_named(path, ctx, compat=compat)) for path in paths or [DEFAULT]]
        yield Opened(files, progress)
        progress.clear()
        for file in files:
            for warning in dict.fromkeys(file.warnings):
                ctx.note(f"damoctl: {warning}")
