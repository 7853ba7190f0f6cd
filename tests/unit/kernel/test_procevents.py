"""The proc connector's datagrams, and what a real kernel answers where we may ask."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import pytest

from damod.kernel.interface import ProcessEvent
from damod.kernel.procevents import NetlinkEvents, parse, request


def datagram(what: int, *ids: int) -> bytes:
    event = struct.pack("=IIQ", what, 0, 123) + struct.pack("=iiii", *ids) + bytes(8)
    told = struct.pack("=IIIIHH", 1, 1, 0, 0, len(event), 0) + event
    return struct.pack("=IHHII", 16 + len(told), 3, 0, 0, 0) + told


def test_processes_not_threads() -> None:
    """A fork whose child is its own thread group, an exit of the group's leader; threads and other events are left."""
    messages = [
        datagram(1, 10, 10, 20, 20),  # fork: parent pid, parent tgid, child pid, child tgid
        datagram(1, 11, 10, 21, 20),  # a thread of 20
        datagram(0x80000000, 21, 20, 0, 17),
        datagram(2, 20, 20, 0, 0),  # exec
        datagram(0x80000000, 20, 20, 0, 17),
        datagram(0, 0, 0, 0, 0),  # the acknowledgement
    ]
    assert list(parse(b"".join(messages))) == [ProcessEvent("fork", 20, 10), ProcessEvent("exit", 20)]


@pytest.mark.parametrize("cut", [0, 3, 16, 40, 55])
def test_short_datagrams(cut: int) -> None:
    """What is cut off says nothing and raises nothing."""
    assert list(parse(datagram(1, 10, 10, 20, 20)[:cut])) == []


def test_the_request() -> None:
    """36 bytes of headers and the operation, without the event filter."""
    assert struct.unpack("=IHHII IIIIHH I", request()) == (40, 3, 0, 0, os.getpid(), 1, 1, 0, 0, 4, 0, 1)


def test_on_this_machine() -> None:
    """Where the kernel lets us listen, our own child's birth and death arrive."""
    try:
        events = NetlinkEvents()
    except OSError as exc:
        pytest.skip(f"no process events here: {exc}")
    try:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        seen: list[ProcessEvent] = []
        while ProcessEvent("exit", child.pid) not in seen and events.wait(5):
            seen += events.read() or []
        assert ProcessEvent("fork", child.pid, os.getpid()) in seen
        assert ProcessEvent("exit", child.pid) in seen
        events.wake()
        events.wait(None)
    finally:
        events.close()
