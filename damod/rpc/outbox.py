"""What is told to one peer without being asked: its subscriptions, and a queue that never holds up who publishes.

A notification is ``[2, "stream.event", [{"subscription", "seq", "lost", "kind", ...}]]``. All but the first three
entries is the same for every subscriber that wants the same, so it is encoded once (`body`) and shared as bytes; only
the head is made for each. A peer that reads is written to directly. For one that does not, events wait: at most
`QUEUE_BYTES` beside those of the latest round, then the oldest whole event goes and is counted. The peer's next event
of that subscription says how many went (`lost`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]

EVENT = "stream.event"
QUEUE_BYTES = 512 << 10
MOST_SUBSCRIPTIONS = 16

_START = b"\x93\x02" + msgpack.packb(EVENT) + b"\x91"
_OF, _SEQ, _LOST = (msgpack.packb(name) for name in ("subscription", "seq", "lost"))
# A map of five entries, as encode_body has the last two.
_MAP = b"\x85"


def encode_body(kind: str, payload: Any) -> bytes:
    """The part of an event that all who get it share: the entries "kind" and, under the kind's name, the payload."""
    pack = msgpack.Packer(use_bin_type=True, unicode_errors="surrogateescape").pack
    return b"".join((pack("kind"), pack(kind), pack(kind), pack(payload)))


class _Event(NamedTuple):
    flow: Flow
    seq: int
    body: bytes
    round: int


class Flow:
    """One subscription of one peer. `offer` gives it an event; nothing is sent before its `begin`."""

    def __init__(self, outbox: Outbox, number: int) -> None:
        self.id = number
        self.sent = 0
        self.lost = 0
        self._outbox = outbox
        self._seq = 0
        self._untold = 0
        self._begun = False

    def offer(self, body: bytes, turn: int) -> None:
        """Send the event now or keep it until the peer reads. Events of one `turn` belong together."""
        self._seq += 1
        self._outbox.put(_Event(self, self._seq, body, turn), self._begun)

    def begin(self) -> None:
        """The peer knows the subscription's number; what was offered meanwhile may go."""
        self._begun = True
        self._outbox.start()

    def drop(self) -> None:
        """An event of this subscription was thrown away."""
        self.lost += 1
        self._untold += 1

    def frame(self, seq: int, body: bytes) -> bytes:
        """The whole notification."""
        pack = msgpack.packb
        told, self._untold = self._untold, 0
        self.sent += 1
        return b"".join((_START, _MAP, _OF, pack(self.id), _SEQ, pack(seq), _LOST, pack(told), body))


class Outbox:
    """The subscriptions of one connection. `writing` is the lock under which its frames are written whole."""

    def __init__(self, writer: asyncio.StreamWriter, writing: asyncio.Lock) -> None:
        self.flows: dict[int, Flow] = {}
        self.closed = False
        self._writer = writer
        self._writing = writing
        self._queue: deque[_Event] = deque()
        self._queued_bytes = 0
        self._pump: asyncio.Task[None] | None = None
        self._last_number = 0
        self._farewells: list[Callable[[Outbox], None]] = []

    def open(self, farewell: Callable[[Outbox], None]) -> Flow:
        """A new subscription; `farewell` is called once when the peer goes."""
        # The transport keeps nothing back: what it cannot hand over at once is told by its buffer not being empty.
        self._writer.transport.set_write_buffer_limits(high=0)
        self._last_number += 1
        flow = self.flows[self._last_number] = Flow(self, self._last_number)
        if farewell not in self._farewells:
            self._farewells.append(farewell)
        return flow

    def close_flow(self, number: int) -> bool:
        """End a subscription and forget what waits for it; whether there was one."""
        flow = self.flows.pop(number, None)
        self._keep([event for event in self._queue if event.flow is not flow])
        return flow is not None

    def close(self) -> None:
        """The peer is gone: end everything."""
        if self.closed:
            return
        self.closed = True
        self.flows.clear()
        self._keep([])
        if self._pump is not None:
            self._pump.cancel()
        for farewell in self._farewells:
            farewell(self)

    def put(self, event: _Event, begun: bool) -> None:
        """Write an event if nothing is before it, else queue it."""
        if self.closed:
            return
        if begun and not self._queue and self._idle():
            self._writer.write(event.flow.frame(event.seq, event.body))
            return
        self._queue.append(event)
        self._queued_bytes += len(event.body)
        while self._queued_bytes > QUEUE_BYTES and self._queue[0].round != event.round:
            oldest = self._queue.popleft()
            self._queued_bytes -= len(oldest.body)
            oldest.flow.drop()
        if begun:
            self.start()

    def _idle(self) -> bool:
        return not self._writing.locked() and not self._writer.transport.get_write_buffer_size()

    def start(self) -> None:
        """Write what waits, if the peer reads."""
        if self._queue and self._pump is None and not self.closed:
            self._pump = asyncio.get_running_loop().create_task(self._write_queue(), name="outbox")
            self._pump.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._pump = None
        self.start()

    async def _write_queue(self) -> None:
        try:
            while self._queue:
                async with self._writing:
                    await self._writer.drain()
                    if not self._queue:
                        return
                    event = self._queue.popleft()
                    self._queued_bytes -= len(event.body)
                    self._writer.write(event.flow.frame(event.seq, event.body))
                    await self._writer.drain()
        except ConnectionError:
            self.close()

    def _keep(self, events: list[_Event]) -> None:
        self._queue = deque(events)
        self._queued_bytes = sum(len(event.body) for event in events)
