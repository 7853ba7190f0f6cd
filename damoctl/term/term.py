"""What output looks like where it goes: width, colours or none, plain numbers or human ones, and how it is written.

Reports get a `Term` and yield lines; only `Term.write` touches the stream.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import IO, NamedTuple, Self

# Lines (or blocks of many) joined into one write: few system calls, little held, and the first still show at once.
_BATCH = 64


class Term(NamedTuple):
    """`width`/`height` in characters; `color` whether escapes may be used; `tty` whether somebody looks at it."""

    stream: IO[str]
    width: int = 80
    height: int = 50
    color: bool = False
    tty: bool = False
    pager: bool = False

    @classmethod
    def of(cls, stream: IO[str], *, color: str = "auto", pager: bool = True) -> Self:
        """The Term of a stream. `color` is always, never or auto: on a terminal, unless NO_COLOR is set."""
        tty = stream.isatty()
        width, height = 80, 50
        if tty:
            try:
                size = os.get_terminal_size(stream.fileno())
            except (OSError, ValueError):
                pass
            else:
                width, height = size.columns or width, size.lines or height
        wanted = tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(stream, width, height, color=wanted if color == "auto" else color == "always", tty=tty, pager=pager)

    def write(self, lines: Iterable[str]) -> None:
        """Print the lines, each ended by a newline; through a pager if there is one and they do not fit.

        A reader that went away (``| head``) raises BrokenPipeError, which `damoctl.main` turns into a quiet end.
        """
        rest = iter(lines)
        if self.pager and self.tty:
            head, shown = [], 0
            for line in rest:
                head.append(line)
                shown += 1 + line.count("\n")
                if shown >= self.height:
                    break
            if shown >= self.height and _page(head, rest):
                return
            self.stream.write("".join(f"{line}\n" for line in head))
        while batch := list(islice(rest, _BATCH)):
            self.stream.write("\n".join(batch))
            self.stream.write("\n")
        self.stream.flush()


def _page(head: Iterable[str], rest: Iterable[str]) -> bool:
    """Show the lines in ``$PAGER`` or less; False if there is none (then nothing was printed)."""
    import shlex
    import subprocess
    from itertools import chain

    command = shlex.split(os.environ.get("PAGER") or "less")
    if not command or command == ["cat"]:
        return False
    if command[0] == "less":
        command += ["--RAW-CONTROL-CHARS", "--no-init", "--quit-if-one-screen"]
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    except OSError:
        return False
    feed = pager.stdin
    try:
        if feed is not None:
            with feed:
                feed.writelines(f"{line}\n" for line in chain(head, rest))
    except BrokenPipeError:
        pass  # the user has seen enough
    pager.wait()
    return True
