"""The daemon as a source, over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon
from damoctl.watch.live import LiveSource
from damoctl.watch.source import Counted, Running, Seen, Trouble, Update
from damod.errors import DaemonUnreachable
from damod.rpc.client import Client

SPEC = [{"contexts": [{"ops": "paddr", "schemes": [{"action": "stat"}]}]}]


class Heard:
    """What a source told, and a way to wait for more of it."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self._more = threading.Condition()

    def __call__(self, update: Update) -> None:
        with self._more:
            self.updates.append(update)
            self._more.notify_all()

    def wait(self, fits: Callable[[Update], bool], since: int = 0) -> None:
        """Until one that fits has come."""
        with self._more:
            assert self._more.wait_for(lambda: any(map(fits, self.updates[since:])), 20), self.updates[since:]


def test_snapshots_stats_and_status_come(tmp_path: Path) -> None:
    """Also after the daemon was killed and is there again; meanwhile it is told what is wrong."""
    heard = Heard()
    with LocalDaemon("--kernel", "sim:hot", directory=tmp_path) as daemon:
        with Client(str(daemon.socket)) as client:
            client.call("kdamonds.start", kdamonds=SPEC, take_over=True)
        source = LiveSource(lambda: Client(str(daemon.socket)))
        source.start(heard)
        heard.wait(lambda item: isinstance(item, Running) and item.status["kdamonds"][0]["index"] == 0)
        heard.wait(
            lambda item: isinstance(item, Counted) and item.stats["kdamonds"][0]["schemes"][0]["action"] == "stat"
        )
        heard.wait(lambda item: isinstance(item, Seen) and item.snapshots[0][0] == (0, 0, None, 0))
        daemon.kill()
        heard.wait(lambda item: isinstance(item, Trouble) and "trying again" in item.message)
        before = len(heard.updates)
        daemon.start()
        heard.wait(lambda item: isinstance(item, Trouble) and not item.message, before)
        heard.wait(lambda item: isinstance(item, Running), before)
        source.close()


def test_no_daemon_is_an_error_at_once(tmp_path: Path) -> None:
    """Before a screen opens, so that it can be read."""
    with pytest.raises(DaemonUnreachable, match="no damod listens"):
        LiveSource(lambda: Client(str(tmp_path / "none.sock")))
