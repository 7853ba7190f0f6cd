"""What a peer is told: whole events, the oldest lost first, and the number of the lost in the next one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack  # type: ignore[import-untyped]

from damod.rpc.outbox import QUEUE_BYTES, Outbox, encode_body


@asynccontextmanager
async def a_peer() -> AsyncIterator[tuple[Outbox, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    _, writer = await asyncio.open_unix_connection(sock=ours)
    outbox = Outbox(writer, asyncio.Lock())
    try:
        yield outbox, theirs
    finally:
        outbox.close()
        writer.transport.abort()
        theirs.close()


def taken(sock: socket.socket, until: int) -> list[Any]:
    """The events that come, up to the one with that number in its payload."""
    frames = msgpack.Unpacker(max_buffer_size=64 << 20)
    found: list[Any] = []
    while not found or found[-1]["n"]["number"] < until:
        frames.feed(sock.recv(1 << 20))
        found += [frame[2][0] for frame in frames]
    return found


def body(number: int, size: int = 10) -> bytes:
    return encode_body("n", {"number": number, "filling": b"x" * size})


async def test_a_peer_that_reads_gets_all_in_order() -> None:
    """Two subscriptions of one peer count each for itself."""
    async with a_peer() as (outbox, theirs):
        first, second = outbox.open(lambda _: None), outbox.open(lambda _: None)
        first.begin(), second.begin()
        for number in range(5):
            first.offer(body(number), number)
        second.offer(body(5), 5)
        found = await asyncio.to_thread(taken, theirs, 5)
        assert [(event["subscription"], event["seq"], event["lost"]) for event in found] == [
            *((1, seq, 0) for seq in range(1, 6)),
            (2, 1, 0),
        ]
        assert found[0] == {"subscription": 1, "seq": 1, "lost": 0, "kind": "n", "n": found[0]["n"]}


async def test_nothing_comes_before_the_answer() -> None:
    """What is offered before the peer knows the subscription's number waits for `begin`."""
    async with a_peer() as (outbox, theirs):
        flow = outbox.open(lambda _: None)
        flow.offer(body(1), 1)
        await asyncio.sleep(0.05)
        theirs.setblocking(False)
        try:
            raise AssertionError(theirs.recv(100))
        except BlockingIOError:
            theirs.settimeout(5)
        flow.begin()
        assert len(await asyncio.to_thread(taken, theirs, 1)) == 1


async def test_who_does_not_read_loses_the_oldest() -> None:
    """The queue stays bounded; later the newest are there, whole, and the losses are told once."""
    async with a_peer() as (outbox, theirs):
        flow = outbox.open(lambda _: None)
        flow.begin()
        for number in range(200):
            flow.offer(body(number, 20_000), number)
            await asyncio.sleep(0)
        assert outbox._queued_bytes <= QUEUE_BYTES
        assert flow.lost > 100
        found = await asyncio.to_thread(taken, theirs, 199)
        assert sum(event["lost"] for event in found) == flow.lost
        assert len([event for event in found if event["lost"]]) == 1
        seqs = [event["seq"] for event in found]
        assert len(seqs) + flow.lost == 200
        assert seqs[-1] == 200


async def test_what_belongs_together_is_not_lost_for_being_much() -> None:
    """Events of one round may be more than the queue holds; the next round pushes them out."""
    async with a_peer() as (outbox, _):
        flow = outbox.open(lambda _: None)
        for number in range(100):
            flow.offer(body(number, 20_000), 1)
        assert flow.lost == 0
        flow.offer(body(100, 20_000), 2)
        assert flow.lost > 70


async def test_a_closed_flow_forgets_what_waits() -> None:
    """After the end of a subscription nothing of it is sent, and the peer's going is told once."""
    gone: list[Outbox] = []
    async with a_peer() as (outbox, theirs):
        first, second = outbox.open(gone.append), outbox.open(gone.append)
        for number in range(3):
            first.offer(body(number), number)
        second.offer(body(9), 9)
        assert outbox.close_flow(first.id)
        assert not outbox.close_flow(first.id)
        second.begin()
        assert [event["subscription"] for event in await asyncio.to_thread(taken, theirs, 9)] == [2]
        outbox.close()
        outbox.close()
        assert gone == [outbox]
