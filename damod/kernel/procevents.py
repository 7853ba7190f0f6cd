"""Births and deaths of processes as the kernel tells them: netlink's proc connector.

Wire formats: struct nlmsghdr of linux/netlink.h, struct cn_msg of linux/connector.h, struct proc_event of
linux/cn_proc.h. Needs CAP_NET_ADMIN and the initial pid and user namespaces; elsewhere the kernel takes the request and
says nothing, so its acknowledgement is waited for. All kinds of events are asked for: with the filter that came in 6.6
an event that no listener wanted makes the kernel forget that it has listeners (send_msg() in cn_proc.c).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from damod.kernel.interface import ProcessEvent

_NETLINK_CONNECTOR, _CN_IDX_PROC, _CN_VAL_PROC = 11, 1, 1
_LISTEN = 1
_NONE, _FORK, _EXIT = 0, 1, 0x8000_0000
_NLMSG_DONE = 3
_NLMSGHDR = struct.Struct("=IHHII")
_CN_MSG = struct.Struct("=IIIIHH")
_OPERATION = struct.Struct("=I")
_EVENT = struct.Struct("=IIQ")
_IDS = struct.Struct("=iiii")
_ACK_S = 1.0
_ROOM = 1 << 20


def parse(message: bytes) -> Iterator[ProcessEvent]:
    """The processes' (not the threads') forks and exits in one datagram."""
    at = 0
    while at + _NLMSGHDR.size <= len(message):
        (length, *_) = _NLMSGHDR.unpack_from(message, at)
        if length < _NLMSGHDR.size:
            return
        body = message[at + _NLMSGHDR.size + _CN_MSG.size : at + length]
        at += length + 3 & ~3
        if len(body) < _EVENT.size + _IDS.size:
            continue
        what, _, _ = _EVENT.unpack_from(body)
        first, second, third, fourth = _IDS.unpack_from(body, _EVENT.size)
        if what == _FORK and third == fourth:  # child's pid and thread group: a process, no thread
            yield ProcessEvent("fork", fourth, parent=second)
        elif what == _EXIT and first == second:
            yield ProcessEvent("exit", second)


def request() -> bytes:
    """The message that asks for events."""
    payload = _OPERATION.pack(_LISTEN)
    told = _CN_MSG.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(payload), 0) + payload
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(told), _NLMSG_DONE, 0, 0, os.getpid()) + told


class NetlinkEvents:
    """`interface.ProcessEvents` of this machine. Raises OSError where the kernel does not tell us."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
        self._awake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
            self._socket.bind((0, _CN_IDX_PROC))
            self._socket.send(request())
            self._socket.setblocking(False)
            if not self.wait(_ACK_S):
                raise OSError(errno.EOPNOTSUPP, "the kernel tells no process events here (a container?)")
        except OSError:
            self.close()
            raise

    def wait(self, timeout_s: float | None) -> bool:
        heard = self._socket.fileno()
        ready, _, _ = select.select([heard, self._awake], [], [], timeout_s)
        if self._awake in ready:
            with suppress(BlockingIOError):
                os.read(self._awake, 64)
        return heard in ready

    def read(self) -> list[ProcessEvent] | None:
        found: list[ProcessEvent] = []
        lost = False
        while True:
            try:
                found += parse(self._socket.recv(1 << 16))
            except BlockingIOError:
                return None if lost else found
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                lost = True

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._waker, b"w")

    def close(self) -> None:
        self._socket.close()
        for end in (self._awake, self._waker):
            with suppress(OSError):
                os.close(end)
