"""The daemon as a source: a thread that follows its stream, and comes back when the daemon does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from damoctl.reports.frames import Series
from damoctl.watch.source import Counted, Running, Seen, Trouble, Update
from damod.access.snapshot import Snapshot
from damod.errors import DamodError, NoData, NotAllowed
from damod.rpc.client import Client

INTERVAL_S = 0.1
"""Snapshots of a target are not wanted more often."""
STATS_S = 1.0
_AGAIN_S = 1.0


class LiveSource:
    """What `connect` leads to. The first connection is made at once, so that what is wrong is told without a screen."""

    live = True

    def __init__(self, connect: Callable[[], Client], interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._connect = connect
        self._client: Client | None = connect()
        self._closed = threading.Event()
        self.name = self._client.path

    def start(self, tell: Callable[[Update], None]) -> None:
        """Follow the daemon in a thread."""
        threading.Thread(target=self._run, args=(tell,), name="watch", daemon=True).start()

    def close(self) -> None:
        """Tell no more; the thread ends with its next word from the daemon, or with the process."""
        self._closed.set()

    def _run(self, tell: Callable[[Update], None]) -> None:
        while not self._closed.is_set():
            try:
                client = self._client or self._connect()
                self._client = None
                with client:
                    tell(Trouble(""))
                    for update in _follow(client, self._interval_s):
                        if self._closed.is_set():
                            return
                        tell(update)
            except DamodError as error:
                tell(Trouble(f"trying again: {error.message}", error.hint))
            except Exception as exc:  # a view must not stand still because of one event that it cannot read
                tell(Trouble(f"trying again: what damod tells cannot be read ({type(exc).__name__}: {exc})"))
            self._closed.wait(_AGAIN_S)


def _follow(client: Client, interval_s: float) -> Iterator[Update]:
    """Everything that one connection tells, until it ends with a DamodError."""
    client.call("stream.subscribe", kinds=["stats", "status"], interval_s=STATS_S)
    try:
        client.call("stream.subscribe", kinds=["snapshots"], interval_s=interval_s)
    except (NotAllowed, NoData):
        other: Client | None = Client(client.path)  # no ring to be had: the slower way through sysfs
    else:
        other = None
    for told in client.notifications():
        event = told.params
        if event["kind"] == "snapshot":
            yield _seen([event["snapshot"]])
        elif event["kind"] == "status":
            yield Running(event["status"])
        elif event["kind"] == "stats":
            yield Counted(event["stats"])
            if other is not None and event["stats"]["kdamonds"]:
                with suppress(NoData):
                    yield _seen(other.call("kdamonds.snapshot")["snapshots"])


def _seen(plain: list[dict[str, Any]]) -> Seen:
    shots = map(Snapshot.from_wire, plain)
    return Seen(
        [
            (Series(shot.kdamond, shot.context, None, shot.target if shot.pid is None else shot.pid), shot)
            for shot in shots
        ]
    )
