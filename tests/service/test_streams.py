"""Streams over the real socket: who subscribes is told, who does not read loses whole events, nobody else notices."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from damoctl.local import LocalDaemon
from damod.access.snapshot import Snapshot
from damod.errors import Busy, DaemonUnreachable, NotFound, UsageError
from damod.rpc.client import Client

MANY = {"min": 1000, "max": 1200}


def begin(client: Client, name: str = "adhoc", **context: Any) -> int:
    """Start a kdamond; its slot."""
    spec = {"contexts": [{"ops": "paddr", "targets": [{}], **context}]}
    started = client.call("kdamonds.start", name=name, kdamonds=[spec], take_over=True)
    return int(started["kdamonds"][0]["index"])


def client_of(daemon: LocalDaemon) -> Client:
    return Client(str(daemon.socket), timeout_s=20)


def until(true: Callable[[], object], timeout_s: float = 5) -> float:
    """Seconds until it is true."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < timeout_s
        time.sleep(0.01)
    return time.monotonic() - start


def test_each_aggregation_comes_once_and_in_order(daemon: LocalDaemon) -> None:
    """Without an interval a subscriber gets every aggregation, none twice, as `kdamonds.snapshot` would show it."""
    with client_of(daemon) as asks, client_of(daemon) as listens:
        begin(asks)
        events = list(islice(listens.stream(["snapshots"]), 12))
        assert [event["seq"] for event in events] == list(range(1, 13))
        assert {event["lost"] for event in events} == {0}
        seen = [Snapshot.from_wire(event["snapshot"]) for event in events]
        gaps = [later.end_ns - sooner.end_ns for sooner, later in pairwise(seen)]
        assert all(0.09e9 < gap < 0.11e9 for gap in gaps)
        assert all(len(item.regions) >= 10 and item.aggr_us == 100_000 for item in seen)


def test_an_interval_thins_and_filters_choose(daemon: LocalDaemon) -> None:
    """`interval_s` lets at most one snapshot of a target through in that time; filters leave only what they match."""
    with client_of(daemon) as asks, client_of(daemon) as listens, client_of(daemon) as filters:
        begin(asks)
        events = islice(listens.stream(["snapshots"], interval_s=0.3), 4)
        ends = [event["snapshot"]["end_ns"] for event in events]
        assert all(0.28e9 < later - sooner < 0.55e9 for sooner, later in pairwise(ends))

        whole = asks.call("kdamonds.snapshot")["snapshots"][0]["regions"]
        low, high = whole["start"][0], whole["end"][-1]
        middle = (low + high) // 2
        chosen = {
            "address": [[low, middle]],
            "access_rate": [50, None],
            "size": [4096, None],
            "age_us": [0, 60_000_000],
        }
        for event in islice(filters.stream(["snapshots"], filters=chosen), 5):
            regions = event["snapshot"]["regions"]
            assert all(end <= middle for end in regions["end"])
            assert all(nr >= 10 for nr in regions["nr_accesses"])


def test_kdamonds_are_told_apart(daemon: LocalDaemon) -> None:
    """With `kdamond` only that one's snapshots and stats come; without, those of all."""
    with client_of(daemon) as asks, client_of(daemon) as one, client_of(daemon) as both:
        begin(asks, "a")
        second = begin(asks, "b")
        told = list(islice(one.stream(["snapshots", "stats"], kdamond=second, interval_s=0.2), 8))
        assert {event["snapshot"]["kdamond"] for event in told if event["kind"] == "snapshot"} == {second}
        stats = [event["stats"]["kdamonds"] for event in told if event["kind"] == "stats"]
        assert [[row["kdamond"] for row in rows] for rows in stats] == [[second]] * len(stats)
        seen = {e["snapshot"]["kdamond"] for e in islice(both.stream(["snapshots"]), 6)}
        assert len(seen) == 2


def test_what_changes_is_told(daemon: LocalDaemon) -> None:
    """A status comes at once and again when a set is started; a kdamond that starts later is in the stream."""
    with client_of(daemon) as asks, client_of(daemon) as listens:
        stream = listens.stream(["status", "snapshots"])
        assert next(stream)["status"]["sets"] == []
        slot = begin(asks)
        told = list(islice(stream, 4))
        assert any(event["kind"] == "status" and event["status"]["sets"] == ["adhoc"] for event in told)
        assert any(event["kind"] == "snapshot" and event["snapshot"]["kdamond"] == slot for event in told)


def test_a_peer_that_does_not_read_loses_whole_snapshots(daemon: LocalDaemon) -> None:
    """It stops reading and later reads on: whole frames only, the losses told and as many as `seq` jumps by; a reader
    beside it misses nothing meanwhile."""
    with client_of(daemon) as asks, client_of(daemon) as reads, socket.socket(socket.AF_UNIX) as stalls:
        begin(asks, intervals={"sample_us": 5000, "aggr_us": 20_000, "ops_update_us": 1_000_000}, nr_regions=MANY)
        stalls.connect(str(daemon.socket))
        stalls.sendall(msgpack.packb([0, 1, "stream.subscribe", [{"kinds": ["snapshots"]}]]))
        stream = reads.stream(["snapshots"])
        events = []
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            events.append(next(stream))
        assert sum(event["lost"] for event in events) == 0
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))

        frames = msgpack.Unpacker(max_buffer_size=16 << 20)
        found: list[Any] = []
        while not any(event["lost"] for event in found):
            frames.feed(stalls.recv(1 << 20))
            found += [frame[2][0] for frame in frames if frame[0] == 2]
        last = 0
        for event in found:
            assert event["seq"] == last + event["lost"] + 1
            last = event["seq"]
            assert len({len(column) for column in event["snapshot"]["regions"].values() if column}) == 1
        # Its queue was bounded, so it lost most of what came while it did not read.
        assert sum(event["lost"] for event in found) > len(events) / 4


def test_a_peer_that_dies_is_gone_within_a_second(daemon: LocalDaemon) -> None:
    """SIGKILL to a subscriber, one that reads and one that does not: the daemon has forgotten it within a second."""
    code = (
        "import sys, time; from damod.rpc.client import Client\n"
        "c = Client(sys.argv[1]); s = c.stream(['snapshots']); next(s); print('on', flush=True)\n"
        "for _ in s: time.sleep(float(sys.argv[2]))"
    )
    with client_of(daemon) as asks:
        begin(asks, nr_regions=MANY)
        for pause in ("0", "60"):
            argv = [sys.executable, "-c", code, str(daemon.socket), pause]
            with subprocess.Popen(argv, stdout=subprocess.PIPE) as peer:
                assert peer.stdout is not None
                assert peer.stdout.readline() == b"on\n"
                time.sleep(1)
                assert asks.call("daemon.status")["daemon"]["subscriptions"] == 1
                peer.kill()
            assert until(lambda: not asks.call("daemon.status")["daemon"]["subscriptions"]) < 1


def test_an_unsubscribed_stream_stops(daemon: LocalDaemon) -> None:
    """After the answer to stream.unsubscribe nothing comes any more; another number is not found."""
    with client_of(daemon) as client:
        begin(client)
        stream = client.stream(["snapshots"])
        next(stream)
        number = next(stream)["subscription"]
        with pytest.raises(NotFound):
            client.call("stream.unsubscribe", subscription=number + 1)
        assert client.call("stream.unsubscribe", subscription=number) == {"lost": 0}
        client.call("daemon.version")
        told = list(client._told)
        time.sleep(0.4)
        client.call("daemon.version")
        assert client._told == told


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"kinds": []}, "at least one kind"),
        ({"kinds": ["snapshot"]}, "kinds[0] is 'snapshot'"),
        ({"kinds": ["snapshots"], "filters": {"sizes": [1, 2]}}, "no filter 'sizes'"),
        ({"kinds": ["snapshots"], "filters": {"size": [2, 1]}}, "size is [2, 1]"),
        ({"kinds": ["snapshots"], "filters": {"address": [1, 2]}}, "address is [1, 2]"),
        ({"kinds": ["snapshots"], "interval_s": -1}, "interval_s is -1"),
    ],
)
def test_wrong_wishes_are_told(daemon: LocalDaemon, params: dict[str, Any], says: str) -> None:
    """A subscription that makes no sense is a usage error that names the part."""
    with client_of(daemon) as client, pytest.raises(UsageError, match=re.escape(says)):
        client.call("stream.subscribe", **params)


def test_subscriptions_are_bounded(daemon: LocalDaemon) -> None:
    """The seventeenth subscription of a connection and the thirty-third different filter are refused."""
    with client_of(daemon) as one:
        for _ in range(16):
            one.call("stream.subscribe", kinds=["status"])
        with pytest.raises(Busy, match="16 subscriptions"):
            one.call("stream.subscribe", kinds=["status"])
    with client_of(daemon) as one, client_of(daemon) as two, client_of(daemon) as three:
        for size in range(32):
            (one if size < 16 else two).call("stream.subscribe", kinds=["snapshots"], filters={"size": [size, None]})
        three.call("stream.subscribe", kinds=["snapshots"], filters={"size": [5, None]})
        with pytest.raises(Busy, match="32 different filters"):
            three.call("stream.subscribe", kinds=["snapshots"], filters={"size": [99, None]})


def test_the_documented_client_works_as_printed(daemon: LocalDaemon, tmp_path: Path) -> None:
    """The program in docs/protocol.md, copied into a file, prints a line for each snapshot until damod goes."""
    section = Path("docs/protocol.md").read_text().partition("\n## Streams\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(code.splitlines()) <= 30
    (tmp_path / "client.py").write_text(code)
    with client_of(daemon) as client:
        begin(client)
    environ = {"DAMOD_SOCKET": str(daemon.socket)}
    argv = [sys.executable, str(tmp_path / "client.py")]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        assert peer.stderr is not None
        lines = [peer.stdout.readline() for _ in range(5)]
        daemon.stop()
        assert peer.wait(5) == 1
        assert peer.stderr.read() == "damod has gone\n"
    assert lines[0] == "subscription 1\n"
    assert all(re.fullmatch(r"kdamond 0: \d+ MiB are accessed\n", line) for line in lines[1:])


def test_nothing_runs_without_subscribers(daemon: LocalDaemon) -> None:
    """After the last subscriber has gone the daemon does nothing any more: no CPU time, no wake-ups."""
    assert daemon.process is not None
    task = Path(f"/proc/{daemon.process.pid}/task")

    def switches() -> int:
        status = [(thread / "status").read_text() for thread in task.iterdir()]
        return sum(int(count) for text in status for count in re.findall(r"ctxt_switches:\s+(\d+)", text))

    with client_of(daemon) as asks:
        begin(asks)
    with client_of(daemon) as listens:
        list(islice(listens.stream(["snapshots", "status", "stats"]), 5))
    time.sleep(1.5)
    before = switches()
    time.sleep(1.5)
    assert switches() - before <= 2


def test_many_readers_and_some_that_do_not(daemon: LocalDaemon) -> None:
    """Thirty subscribers, three of which do not read: the others get every aggregation, at the same time."""
    with client_of(daemon) as asks:
        begin(asks, nr_regions=MANY)
        seen: list[list[int]] = []

        def read() -> None:
            with client_of(daemon) as client:
                events = list(islice(client.stream(["snapshots"]), 15))
                assert not sum(event["lost"] for event in events)
                seen.append([event["snapshot"]["end_ns"] for event in events])

        stalled = [client_of(daemon) for _ in range(3)]
        for client in stalled:
            client.call("stream.subscribe", kinds=["snapshots"])
        threads = [threading.Thread(target=read) for _ in range(27)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        for client in stalled:
            client.close()
        assert len(seen) == 27
        for ends in seen:
            assert all(0.09e9 < later - sooner < 0.11e9 for sooner, later in pairwise(ends))


def test_peers_that_do_not_read_do_not_hold_up_the_end(daemon: LocalDaemon) -> None:
    """damod stops as fast as without them; they find the connection closed."""
    with client_of(daemon) as asks:
        begin(asks, nr_regions=MANY)
    stalled = [client_of(daemon) for _ in range(5)]
    for client in stalled:
        client.call("stream.subscribe", kinds=["snapshots"])
    time.sleep(3)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 1
    for client in stalled:
        with pytest.raises(DaemonUnreachable):
            list(client.notifications())
        client.close()
