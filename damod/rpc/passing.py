"""Open files that travel with a request (SCM_RIGHTS): received beside the bytes, kept until their request is decoded.

asyncio's transports read with `recv`, which drops files that come along. So accepted sockets are `PassingSocket`s,
whose `recv` takes and keeps them. A client sends them with the first byte of their request's frame.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence

MAX_FILES = 4
"""Files that one peer may have waiting; what goes beyond is closed."""


class PassingSocket(socket.socket):
    """A connected socket that keeps the files its peer sends until `take` is called."""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        room = socket.CMSG_SPACE(MAX_FILES * array.array("i").itemsize)
        data, told, _, _ = self.recvmsg(bufsize, room, flags | socket.MSG_CMSG_CLOEXEC)
        if told:
            self._keep(told)
        return data

    def _keep(self, told: Sequence[tuple[int, int, bytes]]) -> None:
        files = array.array("i")
        for level, kind, packed in told:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                files.frombytes(packed[: len(packed) - len(packed) % files.itemsize])
        held = self.__dict__.setdefault("_files", [])
        for handle in files:
            if len(held) < MAX_FILES:
                held.append(handle)
            else:
                os.close(handle)

    def take(self) -> list[int]:
        """The files that have come since the last call; the caller closes them."""
        held: list[int] = self.__dict__.pop("_files", [])
        return held

    def close(self) -> None:
        close_all(self.take())
        super().close()


class PassingListener(socket.socket):
    """A listening Unix socket whose accepted sockets are PassingSockets, to be fetched by their number."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(fileno=os.dup(listener.fileno()))
        self.accepted: dict[int, PassingSocket] = {}

    def accept(self) -> tuple[socket.socket, str]:
        handle, address = self._accept()  # type: ignore[attr-defined]
        sock = PassingSocket(fileno=handle)
        self.accepted[sock.fileno()] = sock
        return sock, address


def close_all(files: Sequence[int]) -> None:
    """Close handles."""
    for handle in files:
        os.close(handle)
