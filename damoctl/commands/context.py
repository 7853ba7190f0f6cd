"""What a command is given besides its words: where to write and how to reach the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing import TextIO

    from damoctl.term.term import Term


class Caller(Protocol):
    """The part of `damod.rpc.client.Client` that commands use."""

    def call(self, method: str, /, **params: Any) -> Any: ...


class Context(Protocol):
    """Handed to each command's ``run(argv, ctx)``. `client()` connects when called, and raises DaemonUnreachable."""

    @property
    def stdout(self) -> TextIO: ...
    @property
    def stderr(self) -> TextIO: ...
    @property
    def term(self) -> Term: ...
    def client(self) -> Caller: ...
