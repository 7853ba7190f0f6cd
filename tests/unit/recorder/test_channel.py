"""What travels between damod and its recorder arrives as it was sent."""

from __future__ import annotations

import socket

import pytest

from damod.recorder.channel import Channel, PipedRing, pack, pack_page, page_sockets
from damod.recorder.job import Caller, Events, Job, Watch, seal_command


def test_a_job_survives_the_journey() -> None:
    """Everything in a job comes out of the channel equal."""
    job = Job(
        name="day",
        out="damon.data",
        kernel="sim:moving",
        release="7.3",
        watches=(Watch(1, 77, "vaddr", 5000, 100_000, (12, None), {"aggrs": 3}),),
        kdamonds=[{"state": "on"}],
        events=Events(("damon_aggregated",), 512, piped=True, header_page="h", formats={"a": "b"}, cpus=(0, 1)),
        caller=Caller(1000, 1001, (4, 24)),
        kinds=("access",),
        keep_bytes=1 << 40,
        selection={"rates": ["1/2", "1"]},
    )
    ours, theirs = socket.socketpair()
    ours.sendall(pack({"kind": "job", "job": job.to_wire()}))
    assert Job.from_wire(Channel(theirs).first()["job"]) == job
    ours.close()
    theirs.close()


def test_the_end_of_the_daemon_is_noticed() -> None:
    """A closed channel says so, and sending into it is no error."""
    ours, theirs = socket.socketpair()
    ours.close()
    channel = Channel(theirs)
    assert list(channel.receive()) == []
    assert channel.closed
    channel.send({"kind": "ready"})
    with pytest.raises(EOFError):
        channel.first()
    theirs.close()


def test_pages_arrive_by_cpu() -> None:
    """A piped ring gives each CPU's pages in order, whole however they were cut, and ends with the other side."""
    ours, theirs = page_sockets()
    ring = PipedRing(theirs, [0, 1])
    assert not ring.wait(0)
    assert ring.read(0) == b""
    sent = b"".join([pack_page(0, b"a" * 4096, 0), pack_page(1, b"b" * 4096, 7), pack_page(0, b"c" * 4096, 9)])
    ours.sendall(sent[:5000])
    assert ring.wait(1)
    assert ring.read(0) == b"a" * 4096
    assert ring.read(1) == b""
    ours.sendall(sent[5000:])
    ours.close()
    assert ring.read(1) == b"b" * 4096
    assert ring.read(0) == b"c" * 4096
    assert ring.overrun() == 9
    assert not ring.ended
    assert ring.read(0) == b""
    assert ring.ended
    ring.close()


def test_the_words_that_seal() -> None:
    """A sealing child is told whose files they are."""
    words = seal_command(5, "x.data", 0o640, "json", Caller(1000, 100, (100, 4)), "--segments")
    assert words[1:] == [
        "-P", "-m", "damod.recorder.seal", "--directory", "5", "--out", "x.data", "--mode", "640", "--type", "json",
        "--caller", "1000,100,100,4", "--segments",
    ]  # fmt: skip
