"""Messages between the daemon and its recorder, and the pages of a ring that lives in the daemon.

The control channel is a stream socket with MessagePack maps, each with a `kind`. A closed channel means that the other
side is gone: a recorder without a daemon ends properly, a daemon without a recorder calls it a crash.

to the recorder     job (first), stop {why}, abort, kdamonds {specs, watches}, snapshots {snapshots}
from the recorder   ready, progress {...}, ask_kdamonds, done {...}, failed {error}

The simulated kernel's ring is in the daemon's memory, so its pages come through a second socket, each behind a header
of its CPU, its length and the ring's count of overwritten events. What the recorder does not take in time fills the
socket, then the ring, and is lost there as in Linux.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]

from damod.recorder.job import Message

_HEADER = struct.Struct("<IIQ")
_CHUNK_BYTES = 1 << 17
# A burst of this many pages waits in the socket before the ring has to hold it.
_PIPE_BYTES = 1 << 20


def pack(message: Message) -> bytes:
    """One message as it travels."""
    return msgpack.packb(message, use_bin_type=True, unicode_errors="surrogateescape")  # type: ignore[no-any-return]


def unpacker() -> Any:
    """A decoder for `pack`: feed it, then iterate."""
    return msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", strict_map_key=False, max_buffer_size=1 << 28)


class Channel:
    """The recorder's end of the control channel. `closed` once the daemon is gone."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unpacker = unpacker()
        self.closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Tell the daemon; nothing happens if it is gone."""
        try:
            self._socket.sendall(pack(message))
        except OSError:
            self.closed = True

    def receive(self) -> Iterator[Message]:
        """The messages that are there by now, after waiting for at least some data or the end."""
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        self._unpacker.feed(data)
        yield from self._unpacker

    def first(self) -> Message:
        """The first message, waited for. Raises EOFError if none comes."""
        while not self.closed:
            for message in self.receive():
                return dict(message)
        raise EOFError("the daemon closed the control channel before it sent a job")


def page_sockets() -> tuple[socket.socket, socket.socket]:
    """The daemon's and the recorder's end of a channel for pages."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_BYTES)
    return ours, theirs


def pack_page(cpu: int, page: bytes, overrun: int) -> bytes:
    """A page of a CPU as it travels."""
    return _HEADER.pack(cpu, len(page), overrun) + page


class PipedRing:
    """`interface.RawRing` of pages out of a socket. `ended` once the other side has closed it."""

    page_size = 4096

    def __init__(self, sock: socket.socket, cpus: Sequence[int]) -> None:
        self.cpus = list(cpus)
        self.ended = False
        self._socket = sock
        self._socket.setblocking(False)
        self._pages: dict[int, deque[bytes]] = {cpu: deque() for cpu in cpus}
        self._buffer = bytearray()
        self._overrun = 0

    def read(self, cpu: int) -> bytes:
        pages = self._pages[cpu]
        if not pages:
            self._take()
        return pages.popleft() if pages else b""

    def wait(self, timeout_s: float) -> bool:
        if not any(self._pages.values()):
            select.select([self._socket], [], [], max(timeout_s, 0))
            self._take()
        return any(self._pages.values())

    def overrun(self) -> int:
        return self._overrun

    def close(self) -> None:
        self._socket.close()

    def _take(self) -> None:
        """What the socket holds now, at most one chunk, as whole pages."""
        try:
            data = self._socket.recv(_PIPE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            cpu, length, overrun = _HEADER.unpack_from(self._buffer, at)
            begin = at + _HEADER.size
            if len(self._buffer) - begin < length:
                break
            self._pages[cpu].append(bytes(self._buffer[begin : begin + length]))
            self._overrun = overrun
            at = begin + length
        del self._buffer[:at]
