"""What a command gets from `main`: where to print, which daemon to ask. Everything heavy is made on first use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from damoctl.term.term import Term
    from damod.rpc.client import Client


class Context:
    """One run of damoctl.

    `socket` is the path given with --socket, or None for the default; `json` whether --json stood before the command;
    `color` one of "auto", "always", "never".
    """

    def __init__(
        self,
        *,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        socket: str | None = None,
        json: bool = False,
        color: Literal["auto", "always", "never"] = "auto",
    ) -> None:
        self.stdout: TextIO = stdout if stdout is not None else sys.stdout
        self.stderr: TextIO = stderr if stderr is not None else sys.stderr
        self.socket = socket
        self.json = json
        self.color = color

    def client(self) -> Client:
        """A new connection to the daemon; raises DaemonUnreachable or NotAllowed. Use it as a context manager."""
        from damod.rpc.client import Client

        return Client(self.socket)

    @property
    def term(self) -> Term:
        """The terminal behind `stdout`, with this run's colour choice."""
        from damoctl.term.term import Term

        return Term.of(self.stdout, color=self.color)

    def print(self, text: str = "") -> None:
        """One line to standard output."""
        self.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """One line to standard error: what a person should know that is not the answer."""
        self.stderr.write(text + "\n")

    def print_json(self, value: Any) -> None:
        """The machine's twin of an answer."""
        import json
        from itertools import islice

        # Piece by piece: the text of a large picture is several times the picture.
        pieces = json.JSONEncoder(indent=4).iterencode(value)
        while block := "".join(islice(pieces, 4096)):
            self.stdout.write(block)
        self.stdout.write("\n")
