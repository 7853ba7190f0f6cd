"""A command as monitoring target: forked and held, registered by its pid, then let go.

The child waits before exec until DAMON watches its pid, so that monitoring sees the command from its first
instruction; it runs as the caller, in the caller's terminal, and the daemon never runs anybody's command.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from damod.errors import DamodError, NotFound, UsageError

if TYPE_CHECKING:
    from damoctl.flags.compile import Compiled

# With any of these the words mean something to a shell only.
_SHELL = set("|&;<>()$`*?[]#~{}!\n")


def command_words(text: str) -> list[str]:
    """The argv that runs `text`: split into words, or given to /bin/sh where it needs a shell.

    Raises UsageError for unbalanced quotes and NotFound for a program that does not exist.
    """
    if _SHELL & set(text):
        return ["/bin/sh", "-c", text]
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise UsageError(f"cannot read the command {text!r}: {exc}") from exc
    if not words:
        raise UsageError("the command to watch is empty")
    if shutil.which(words[0]) is None:
        raise NotFound(f"cannot run {text!r}: there is no program {words[0]!r}", hint="give its path, or a pid")
    return words


class HeldChild:
    """A forked child that waits. `release` lets it run; `drop` (or our death) ends it unrun."""

    def __init__(self, words: list[str]) -> None:
        wait, self._gate = os.pipe()
        # What we have printed must not be printed again by the child.
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            _wait_then_exec(wait, words)
        os.close(wait)

    def release(self) -> None:
        """Let the command run."""
        os.write(self._gate, b"g")
        os.close(self._gate)

    def drop(self) -> None:
        """End the child without running the command, and reap it."""
        os.close(self._gate)
        os.waitpid(self.pid, 0)


def held(compiled: Compiled) -> HeldChild | None:
    """A command line's command target, held, its pid in the spec; None if there is none."""
    if not compiled.command:
        return None
    child = HeldChild(command_words(compiled.command.text))
    compiled.spec["kdamonds"][0]["contexts"][0]["targets"][0]["pid"] = child.pid
    return child


@contextmanager
def dropped_on_error(child: HeldChild | None, compiled: Compiled) -> Iterator[None]:
    """What fails in it ends the held child unrun, and is told in the words of the command line."""
    from damoctl.flags.compile import explain

    try:
        yield
    except BaseException as error:
        if child:
            child.drop()
        if isinstance(error, DamodError):
            raise explain(error, compiled.given) from error
        raise


def _wait_then_exec(wait: int, words: list[str]) -> NoReturn:
    try:
        if os.read(wait, 1) == b"g":
            os.close(wait)
            os.execvp(words[0], words)
    except OSError as exc:
        os.write(2, f"damoctl: cannot run {words[0]!r}: {exc.strerror}\n".encode())
    finally:
        os._exit(127)
