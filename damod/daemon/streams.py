"""Live streams: one look at the kernel for everybody who has subscribed, each event encoded once for all who want it.

`Streams` knows who wants what and hands events to their outboxes (`rpc.outbox`). What is told comes from feeds
(`daemon.feeds`): each is a task that lives while somebody wants its kind, so that a daemon without subscribers sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from damod.access.select import Selection, address_ranges, snapshots
from damod.access.snapshot import Snapshot
from damod.errors import Busy, NotFound, UsageError
from damod.rpc.outbox import MOST_SUBSCRIPTIONS, Flow, Outbox, encode_body
from damod.units import U64_MAX

KINDS = ("snapshots", "status", "policies", "stats", "log")
MOST_INTERVAL_S = 86_400.0
MOST_SELECTIONS = 32
"""Distinct filters at the same time: each costs the daemon a pass over every snapshot."""
_AGAIN_S = 1.0


@dataclass(frozen=True)
class Want:
    """What one subscriber wants. `interval_ns` thins snapshots and stats (0: all); indices that are None mean any."""

    kinds: frozenset[str]
    kdamond: int | None = None
    context: int | None = None
    target: int | None = None
    interval_ns: int = 0
    selection: Selection | None = None

    def takes(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot is one of those wanted."""
        return (
            self.kdamond in (None, snapshot.kdamond)
            and self.context in (None, snapshot.context)
            and self.target in (None, snapshot.target)
        )


class Feed(Protocol):
    """Where events of one kind come from."""

    async def open(self) -> None:
        """Make sure that there is something to tell from. Raises DamodError."""
        ...

    async def run(self) -> None:
        """Publish until cancelled."""
        ...

    def greet(self, subscriber: Subscriber) -> None:
        """Tell a new subscriber what is known already."""
        ...


@dataclass(eq=False)
class Subscriber:
    """One subscription. `told_ns` is the end of the snapshot (or stats) that it got last, by what it is of."""

    want: Want
    flow: Flow
    outbox: Outbox
    told_ns: dict[object, int] = field(default_factory=dict)

    def due(self, key: object, end_ns: int, slack_ns: int, *, unsaid_ns: int = 0) -> bool:
        """Whether what ended at `end_ns` is new to it, its interval (else `unsaid_ns`) over; then it counts as told."""
        last = self.told_ns.get(key)
        if last is not None and (end_ns <= last or end_ns - last < (self.want.interval_ns or unsaid_ns) - slack_ns):
            return False
        self.told_ns[key] = end_ns
        return True


class Streams:
    """All subscriptions of all peers, in the event loop. `failed` hears of a feed that ended with an exception."""

    def __init__(self, failed: Callable[[str, BaseException], None]) -> None:
        self.feeds: dict[str, Feed] = {}
        self.lost = 0
        self._failed = failed
        self._subscribers: list[Subscriber] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._subscribers)

    async def subscribe(self, outbox: Outbox, want: Want) -> Flow:
        """A new subscription, which begins when its flow does. Raises Busy, or what the kernel lacks for it."""
        for kind in sorted(want.kinds & self.feeds.keys()):
            await self.feeds[kind].open()
        self._refuse(outbox, want)
        subscriber = Subscriber(want, outbox.open(self._gone), outbox)
        self._subscribers.append(subscriber)
        for kind in want.kinds & self.feeds.keys():
            self.feeds[kind].greet(subscriber)
            self._start(kind)
        return subscriber.flow

    def unsubscribe(self, outbox: Outbox, number: int) -> int:
        """End one subscription of a peer; how many events it has lost. Raises NotFound."""
        flow = outbox.flows.get(number)
        if flow is None:
            raise NotFound(
                f"this connection has no subscription {number}", hint="stream.subscribe answers with the number"
            )
        outbox.close_flow(number)
        self._forget([item for item in self._subscribers if item.flow is flow])
        return flow.lost

    def wanting(self, kind: str) -> list[Subscriber]:
        """Who wants events of a kind."""
        return [item for item in self._subscribers if kind in item.want.kinds]

    def interval_ns(self, kind: str, *, unsaid_ns: int = 0) -> int:
        """The shortest interval at which somebody wants a kind; who says none wants it each `unsaid_ns`."""
        return min((item.want.interval_ns or unsaid_ns for item in self.wanting(kind)), default=unsaid_ns)

    def publish(self, kind: str, name: str, payload: Mapping[str, Any]) -> None:
        """An event for everybody who wants its kind."""
        self.tell(self.wanting(kind), name, payload)

    def tell(self, subscribers: Sequence[Subscriber], name: str, payload: Mapping[str, Any]) -> None:
        """An event for these."""
        if not subscribers:
            return
        self._turn += 1
        body = encode_body(name, payload)
        for item in subscribers:
            item.flow.offer(body, self._turn)

    def publish_snapshots(self, found: Iterable[Snapshot], only: Subscriber | None = None) -> None:
        """The snapshots of one look, each for those (or the one) to whom it is new."""
        self._turn += 1
        wanting = self.wanting("snapshots") if only is None else [only]
        for snapshot in found:
            key = snapshot.kdamond, snapshot.context, snapshot.target
            bodies: dict[Selection | None, bytes] = {}
            # A kdamond's aggregations do not come to the microsecond.
            slack_ns = snapshot.aggr_us * 100
            for item in wanting:
                if not item.want.takes(snapshot) or not item.due(key, snapshot.end_ns, slack_ns):
                    continue
                selection = item.want.selection
                if selection not in bodies:
                    bodies[selection] = encode_body("snapshot", _selected(snapshot, selection).to_wire())
                item.flow.offer(bodies[selection], self._turn)

    async def close(self) -> None:
        """End all feeds."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse(self, outbox: Outbox, want: Want) -> None:
        if len(outbox.flows) >= MOST_SUBSCRIPTIONS:
            raise Busy(
                f"this connection has {MOST_SUBSCRIPTIONS} subscriptions, as many as it may have",
                hint="one subscription can have several kinds; stream.unsubscribe ends one",
                limit=MOST_SUBSCRIPTIONS,
            )
        filters = {item.want.selection for item in self._subscribers} - {None, want.selection}
        if want.selection is not None and len(filters) >= MOST_SELECTIONS:
            raise Busy(
                f"subscribers have {MOST_SELECTIONS} different filters now, as many as damod applies",
                hint="subscribe without filters and select on your side, or try again later",
                limit=MOST_SELECTIONS,
            )

    def _gone(self, outbox: Outbox) -> None:
        self._forget([item for item in self._subscribers if item.outbox is outbox])

    def _forget(self, gone: list[Subscriber]) -> None:
        self.lost += sum(item.flow.lost for item in gone)
        self._subscribers = [item for item in self._subscribers if item not in gone]
        for kind in list(self._tasks):
            if not self.wanting(kind):
                self._tasks.pop(kind).cancel()

    def _start(self, kind: str) -> None:
        if kind not in self._tasks:
            self._tasks[kind] = asyncio.get_running_loop().create_task(self._feed(kind), name=f"stream of {kind}")

    async def _feed(self, kind: str) -> None:
        while True:
            try:
                await self.feeds[kind].run()
            except Exception as exc:  # a feed that fails must not take the daemon or the other feeds with it
                self._failed(kind, exc)
            await asyncio.sleep(_AGAIN_S)

    @property
    def lost_events(self) -> int:
        """Events that subscribers lost by not reading, those of peers that are gone included."""
        return self.lost + sum(item.flow.lost for item in self._subscribers)


def _selected(snapshot: Snapshot, selection: Selection | None) -> Snapshot:
    if selection is None:
        return snapshot
    # Nothing in a stream's selection rejects a whole snapshot.
    return next(snapshots([snapshot], selection))[0]


_FILTERS = {
    "address": "a list of [start, end) in bytes",
    "access_rate": "[least, most] in percent",
    "age_us": "[least, most] in microseconds",
    "size": "[least, most] in bytes",
}


def selection_of(filters: Mapping[str, Any] | None) -> Selection | None:
    """The regions that a subscriber asks for; a most that is None is no bound. Raises UsageError."""
    if not filters:
        return None
    problems = [f"there is no filter {name!r}" for name in filters if name not in _FILTERS]
    found: dict[str, Any] = {}
    for name, shape in _FILTERS.items():
        given = filters.get(name)
        if given is None:
            continue
        try:
            found[name] = tuple(_span(name, part) for part in given) if name == "address" else _span(name, given)
        except (TypeError, ValueError):
            problems.append(f"{name} is {given!r:.60}, not {shape}")
    if problems:
        raise UsageError(
            f"the stream's filters are wrong: {'; '.join(problems)}",
            hint="; ".join(f"{name}: {shape}" for name, shape in _FILTERS.items()),
        )
    return Selection(
        sizes=found.get("size"),
        rates=found.get("access_rate"),
        ages_us=found.get("age_us"),
        addresses=tuple(address_ranges(found.get("address", ()))),
    )


def _span(name: str, given: Any) -> tuple[Any, Any]:
    low, high = given
    high = U64_MAX if high is None else high
    kinds = (int, float) if name == "access_rate" else (int,)
    if type(low) not in kinds or type(high) not in kinds or not 0 <= low <= high:
        raise ValueError
    return (Fraction(str(low)), Fraction(str(high))) if name == "access_rate" else (low, high)
