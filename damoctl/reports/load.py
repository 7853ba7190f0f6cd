"""Recordings from what a user names: files, directories of rotated segments, standard input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from damoctl.reports.frames import Opened, Source
from damod.records.reader import open_record

if TYPE_CHECKING:
    from damoctl.context import Context

DEFAULT = "damon.data"


@contextmanager
def opened(paths: Sequence[str], ctx: Context, *, compat: bool = False) -> Iterator[Source]:
    """The record(s) at `paths` as one source; what was damaged in them is said on standard error at the end."""
    with ExitStack() as stack:
        files = [stack.enter_context(open_record(path, compat=compat)) for path in paths or [DEFAULT]]
        yield Opened(files)
        for file in files:
            for warning in dict.fromkeys(file.warnings):
                ctx.note(f"damoctl: {warning}")
