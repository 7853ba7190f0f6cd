"""Our answer to a command line of `tests.peer.grid`, and how it differs from the peer's."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from damoctl import main
from tests.peer import grid


class Answer(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


def answer(line: str, directory: str) -> Answer:
    """Run damoctl with it and, if it is a report, ``--compat damo-3.4``, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        compat = ["--compat", "damo-3.4"] if line.startswith("report ") else []
        status = main.main([*grid.words(line, directory), *compat])
    file = grid.written(line, directory)
    wrote = ""
    if file is not None and Path(file).exists():
        wrote = Path(file).read_text()
        Path(file).unlink()
    return Answer(status, out.getvalue() + wrote, err.getvalue())


def same(ours: Answer, theirs: Mapping[str, Any]) -> bool:
    """Whether we print what the peer prints; where it fails (and prints its errors as output) anything is the same."""
    return theirs["status"] != 0 or (ours.status == 0 and alike(ours.out, theirs["out"]))


def alike(one: str, other: str) -> bool:
    """Whether texts are the same but for colours and one newline at the end, which the peer's pager takes away."""
    return bare(one) in (known := bare(other), known + "\n", known.removesuffix("\n"))


def bare(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
