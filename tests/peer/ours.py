"""Our answer to a command line of `tests.peer.grid`, and how it differs from the peer's."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

from damoctl import main
from tests.peer import grid


class Answer(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


def answer(line: str, directory: str) -> Answer:
    """Run damoctl with it and ``--compat`` as far as it has that, in colour, in this process."""
    out, err = io.StringIO(), io.StringIO()
    more: list[str] = ["--color", "always"]
    if line.startswith(("report ", "args damon")) and not line.startswith("report trace"):
        more += ["--compat", "damo-3.4"]
    with redirect_stdout(out), redirect_stderr(err):
        status = main.main([*grid.words(line, directory), *more])
    return Answer(status, out.getvalue(), err.getvalue())


def same(ours: Answer, theirs: Mapping[str, Any]) -> bool:
    """Whether we print what the peer prints; where it fails (and prints its errors as output) anything is the same."""
    return theirs["status"] != 0 or (ours.status == 0 and alike(ours.out, theirs["out"]))


def alike(one: str, other: str) -> bool:
    """Whether texts are the same in the same colours, but for one newline at the end, which the peer's pager takes."""
    known = painted(other)
    return painted(one) in (known, [*known, "\n"], known[:-1] if known[-1:] == ["\n"] else known)


def bare(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def painted(text: str) -> list[str]:
    """Each character, with its colours if it has any; whose escapes say so does not matter."""
    found, ground, front = [], "", ""
    for escape, character in re.findall(r"\x1b\[([0-9;]*)m|([\s\S])", text):
        if escape.startswith("48;5;"):
            ground = escape
        elif escape.startswith("38;5;"):
            front = escape
        elif escape or not character:
            ground = front = ""
        elif character == "\n":
            found.append(character)
        else:
            found.append(f"{character}{ground}{front}")
    return found
