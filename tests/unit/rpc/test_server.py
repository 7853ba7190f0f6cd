"""The server against real sockets: calls, roles, limits, peers that misbehave."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from damod.errors import (
    AlreadyRunning,
    Busy,
    DaemonUnreachable,
    Internal,
    NotAllowed,
    NotFound,
    UsageError,
)
from damod.rpc.auth import Access, Peer, Role
from damod.rpc.client import Client
from damod.rpc.registry import Call, Method, Registry, method
from damod.rpc.server import Limits, Server, listen
from damod.rpc.wire import Decoder, Request, Response

OWN = Access(operator_gid=None, viewer_gid=None, everybody_views=False, own_uid=os.geteuid())


@method("test.echo", needs=Role.VIEWER)
async def echo(call: Call[Any], *, value: Any = None) -> dict[str, Any]:
    """Give the value back."""
    return {"value": value}


@method("test.big", needs=Role.VIEWER)
async def big(call: Call[Any], *, size: int) -> dict[str, Any]:
    """Answer with many bytes."""
    return {"value": b"x" * size}


@method("test.bug", needs=Role.OPERATOR)
async def bug(call: Call[Any]) -> dict[str, Any]:
    """Fail as no method should."""
    raise RuntimeError("a detail that no peer must see")


METHODS = (echo, big, bug)


@asynccontextmanager
async def serving(
    path: Path, *more: Method, access: Access = OWN, limits: Limits | None = None
) -> AsyncIterator[Server]:
    server = Server(Registry((*METHODS, *more)), None, access, limits)
    async with asyncio.TaskGroup() as tasks:
        await server.start(listen(str(path), access), tasks)
        try:
            yield server
        finally:
            await server.stop(0.2)


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.wait_for(asyncio.to_thread(work), 20)


async def test_a_method_is_called_over_a_real_socket(tmp_path: Path) -> None:
    """The blocking client gets the result of a method of the asyncio server."""

    def work() -> Any:
        with Client(str(tmp_path / "s"), timeout_s=5) as client:
            return client.call("test.echo", value={"a": [1, "ü", None]}), client.call("test.echo")

    async with serving(tmp_path / "s"):
        assert await in_thread(work) == ({"value": {"a": [1, "ü", None]}}, {"value": None})


def raw(path: Path, data: bytes, timeout_s: float = 10) -> list[Response]:
    """Send bytes as they are; the responses until the server closes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(str(path))
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
        decoder, found = Decoder(), []
        with suppress(ConnectionResetError):
            while piece := sock.recv(1 << 16):
                found += [message for message in decoder.feed(piece) if isinstance(message, Response)]
        return found


def works(path: Path) -> bool:
    """Whether the server still answers others."""
    with Client(str(path), timeout_s=5) as client:
        return bool(client.call("test.echo", value=1) == {"value": 1})


@pytest.mark.parametrize(
    ("call", "params", "error", "says"),
    [
        ("test.ehco", {}, NotFound, "did you mean 'test.echo'"),
        ("test.big", {"size": "1"}, UsageError, "size is '1', not whole number"),
        ("test.big", {"size": 1, "sizes": 2}, UsageError, "takes no 'sizes'; did you mean 'size'"),
        ("test.big", {}, UsageError, "size (whole number) is missing"),
        ("test.bug", {}, Internal, "test.bug failed by a bug of damod"),
    ],
)
async def test_a_wrong_call_is_an_error_and_the_connection_goes_on(
    tmp_path: Path, call: str, params: dict[str, Any], error: type[Exception], says: str
) -> None:
    """Unknown methods, wrong parameters and bugs are answered; the next call on the connection works."""

    def work() -> None:
        with Client(str(tmp_path / "s"), timeout_s=5) as client:
            with pytest.raises(error) as caught:
                client.call(call, **params)
            assert says in str(caught.value)
            assert "a detail" not in str(caught.value)
            assert client.call("test.echo", value=1) == {"value": 1}

    async with serving(tmp_path / "s"):
        await in_thread(work)


async def test_a_viewer_may_look_and_not_change(tmp_path: Path) -> None:
    """The role is the peer's; who has none gets a sentence on connecting."""
    uid = os.geteuid()

    def work(*calls: str) -> None:
        for name in calls:
            with Client(str(tmp_path / "s"), timeout_s=5) as client:
                client.call(name)

    viewer = Access(operator_gid=None, viewer_gid=None, everybody_views=True, own_uid=uid)
    async with serving(tmp_path / "s", access=viewer) as server:
        # Root is always an operator, so this user's role is fixed here rather than found.
        server.access = _Fixed(Role.VIEWER)
        await in_thread(lambda: work("test.echo"))
        with pytest.raises(NotAllowed, match=f"test.bug needs the role operator; uid {uid} has viewer"):
            await in_thread(lambda: work("test.bug"))
        server.access = _Fixed(Role.NONE)
        with pytest.raises(NotAllowed, match=f"uid {uid} is in none of the groups"):
            await in_thread(lambda: work("test.echo"))


class _Fixed(Access):
    """The same role for everybody."""

    def __init__(self, role: Role) -> None:
        object.__setattr__(self, "_role", role)

    def role(self, peer: Peer) -> Role:
        found: Role = self._role  # type: ignore[attr-defined]
        return found


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not 71"),
        (b"\xc1", "not MessagePack"),
        (b"\x94\x00\x01\xa1m\xdd\xff\xff\xff\xff", "max_array_len"),
        (b"\x91" * 2000, "nested too deeply"),
        (b"\x94\x00\x01\xa1m\x91\x81\xa1a" + b"\x91" * 40 + b"\x00", "nested deeper than the 32"),
        (b"\x94\x00\x01\xa1m\x91\x81\xa1a\xc6\x00\x20\x00\x00" + b"x" * (2 << 20), "larger than the 1,048,576 bytes"),
        (bytes(range(256)) * 256, "a frame is"),
    ],
    ids=["http", "invalid", "claims", "nested", "deep", "oversized", "64KiB"],
)
async def test_what_is_no_frame_ends_its_own_connection_only(tmp_path: Path, data: bytes, says: str) -> None:
    """The peer gets one error without an id and is let go; others are served on."""

    def work() -> None:
        with Client(str(tmp_path / "s"), timeout_s=5) as other:
            (answer,) = raw(tmp_path / "s", data)
            assert (answer.id, answer.error["code"]) == (None, "protocol")
            assert says in answer.error["message"]
            assert other.call("test.echo", value=1) == {"value": 1}

    async with serving(tmp_path / "s"):
        await in_thread(work)


async def test_requests_before_garbage_are_answered(tmp_path: Path) -> None:
    """What was whole is done, then the connection ends."""
    data = Request(5, "test.echo", {"value": 1}).encode() + b"\xc1"
    async with serving(tmp_path / "s"):
        answers = await in_thread(lambda: raw(tmp_path / "s", data))
    assert {(answer.id, answer.error is None) for answer in answers} == {(5, True), (None, False)}


async def test_a_frame_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """Half a frame holds a connection for a bounded time, also when it trickles; no frame at all may wait."""

    def work() -> None:
        with Client(str(tmp_path / "s"), timeout_s=5) as silent:
            with socket.socket(socket.AF_UNIX) as trickle:
                trickle.settimeout(5)
                trickle.connect(str(tmp_path / "s"))
                with suppress(BrokenPipeError):
                    for byte in Request(1, "test.echo", {"value": "x" * 100}).encode()[:50]:
                        trickle.sendall(bytes([byte]))
                        time.sleep(0.02)
                (answer,) = Decoder().feed(trickle.recv(1000))
            assert isinstance(answer, Response)
            assert "was begun and not finished within 0.2 s" in answer.error["message"]
            assert silent.call("test.echo") == {"value": None}

    async with serving(tmp_path / "s", limits=Limits(frame_timeout_s=0.2)):
        await in_thread(work)


async def test_a_client_that_only_closes_its_sending_side_gets_its_answers(tmp_path: Path) -> None:
    """Half-closing, as `nc -N` does, is the end of the requests and not of the answers."""

    def work() -> int:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(tmp_path / "s"))
            sock.sendall(b"".join(Request(n, "test.echo", {}).encode() for n in range(40)))
            sock.shutdown(socket.SHUT_WR)
            decoder, count = Decoder(), 0
            while piece := sock.recv(1 << 16):
                count += len(list(decoder.feed(piece)))
            return count

    async with serving(tmp_path / "s"):
        assert await in_thread(work) == 40


async def test_a_peer_that_does_not_read_is_dropped_and_blocks_nobody(tmp_path: Path) -> None:
    """Answers pile up in bounded memory, others are served meanwhile, and after its time the peer is gone."""

    def work() -> None:
        with socket.socket(socket.AF_UNIX) as slow:
            slow.settimeout(10)
            slow.connect(str(tmp_path / "s"))
            slow.sendall(b"".join(Request(n, "test.big", {"size": 2_000_000}).encode() for n in range(20)))
            assert works(tmp_path / "s")
            dropped.wait(10)
            assert works(tmp_path / "s")
            received = 0
            with suppress(ConnectionResetError):
                while piece := slow.recv(1 << 20):
                    received += len(piece)
            assert received < 2_000_000

    dropped = threading.Event()
    async with serving(tmp_path / "s", limits=Limits(write_timeout_s=0.3)) as server:
        working = asyncio.create_task(in_thread(work))
        async with asyncio.timeout(10):
            while not server.connections:
                await asyncio.sleep(0.01)
            while server.connections:
                await asyncio.sleep(0.01)
        dropped.set()
        await working


async def test_an_answer_that_fits_no_frame_is_an_error(tmp_path: Path) -> None:
    """A result above the limit is refused with what to do, and the connection goes on."""

    def work() -> None:
        with Client(str(tmp_path / "s"), timeout_s=5) as client:
            with pytest.raises(Busy, match="1,000 fit into a frame"):
                client.call("test.big", size=1000)
            assert len(client.call("test.big", size=900)["value"]) == 900

    async with serving(tmp_path / "s", limits=Limits(from_daemon_bytes=1000)):
        await in_thread(work)


async def test_a_result_that_cannot_be_encoded_is_a_bug_of_ours(tmp_path: Path) -> None:
    """The peer gets an answer, whatever a method returns."""

    @method("test.object", needs=Role.VIEWER)
    async def give_object(call: Call[Any]) -> dict[str, Any]:
        """Return what MessagePack has no form for."""
        return {"value": object()}

    def work() -> None:
        with Client(str(tmp_path / "s"), timeout_s=5) as client, pytest.raises(Internal):
            client.call("test.object")

    async with serving(tmp_path / "s", give_object):
        await in_thread(work)


async def test_300_connections_are_served_or_told_that_there_is_no_room(tmp_path: Path) -> None:
    """Of 300 at once, 256 get answers, the rest get Busy; when they are closed there is room again."""

    def work() -> tuple[int, int]:
        clients = [Client(str(tmp_path / "s"), timeout_s=10) for _ in range(300)]
        served = busy = 0
        for client in clients:
            try:
                client.call("test.echo")
                served += 1
            except Busy:
                busy += 1
        for client in clients:
            client.close()
        return served, busy

    async with serving(tmp_path / "s", limits=Limits(connections_per_user=300)) as server:
        assert await in_thread(work) == (256, 44)
        async with asyncio.timeout(5):
            while server.connections:
                await asyncio.sleep(0.01)
        assert await in_thread(lambda: works(tmp_path / "s"))


async def test_one_user_cannot_take_all_connections(tmp_path: Path) -> None:
    """Each user but root has a limit of their own."""
    server = Server(Registry(()), None, OWN, Limits(connections_per_user=2))
    server._per_user.update({1000: 2})
    assert isinstance(server._refusal(Peer(1, 1000, frozenset()), Role.VIEWER), Busy)
    assert server._refusal(Peer(1, 1001, frozenset()), Role.VIEWER) is None
    server._per_user.update({0: 2})
    assert server._refusal(Peer(1, 0, frozenset()), Role.OPERATOR) is None


async def test_requests_of_one_peer_are_bounded(tmp_path: Path) -> None:
    """No more than the allowed number run at the same time; the others wait and all are answered."""
    running, most, go = 0, 0, asyncio.Event()

    @method("test.wait", needs=Role.VIEWER)
    async def wait(call: Call[Any]) -> dict[str, Any]:
        """Wait to be let go."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            asyncio.get_running_loop().call_later(0.05, go.set)
        await go.wait()
        running -= 1
        return {}

    data = b"".join(Request(n, "test.wait", {}).encode() for n in range(20))

    def work() -> int:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(tmp_path / "s"))
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            decoder, count = Decoder(), 0
            while piece := sock.recv(1 << 16):
                count += len(list(decoder.feed(piece)))
            return count

    async with serving(tmp_path / "s", wait, limits=Limits(requests_per_connection=4)):
        assert await in_thread(work) == 20
    assert most == 4


async def test_a_change_is_finished_though_its_peer_is_gone(tmp_path: Path) -> None:
    """Nothing that has begun stops half way because somebody pressed Ctrl-C."""
    begun, go, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @method("test.change", needs=Role.OPERATOR)
    async def change(call: Call[Any]) -> dict[str, Any]:
        """A change in two steps."""
        begun.set()
        await go.wait()
        finished.set()
        return {"value": b"x" * 100_000}

    def leave() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "s"))
            sock.sendall(Request(1, "test.change", {}).encode() + Request(2, "test.big", {"size": 10**6}).encode())

    async with serving(tmp_path / "s", change):
        await in_thread(leave)
        await asyncio.wait_for(begun.wait(), 5)
        go.set()
        await asyncio.wait_for(finished.wait(), 5)


async def test_stopping_answers_what_is_not_finished(tmp_path: Path) -> None:
    """Who still waits when the grace is over is told so, and nobody new is accepted."""
    begun = asyncio.Event()

    @method("test.long", needs=Role.VIEWER)
    async def long(call: Call[Any]) -> dict[str, Any]:
        """Never end."""
        begun.set()
        await asyncio.Event().wait()
        return {}

    def work() -> None:
        with Client(str(tmp_path / "s"), timeout_s=5) as client:
            client.call("test.long")

    async with serving(tmp_path / "s", long):
        calling = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.wait_for(begun.wait(), 5)
    with pytest.raises(DaemonUnreachable, match=r"damod is stopping; test.long was not finished"):
        await calling
    with pytest.raises(DaemonUnreachable, match="no damod listens"):
        await in_thread(work)


async def test_a_peer_that_goes_on_asking_while_it_stops_still_gets_its_answer(tmp_path: Path) -> None:
    """What comes after stopping began is not begun, and does not spoil what was."""
    begun, go = asyncio.Event(), asyncio.Event()

    @method("test.last", needs=Role.VIEWER)
    async def last(call: Call[Any]) -> dict[str, Any]:
        """Be the last one."""
        begun.set()
        await go.wait()
        return {"value": "done"}

    async with serving(tmp_path / "s", last) as server:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(Request(1, "test.last", {}).encode())
        await asyncio.wait_for(begun.wait(), 5)
        stopping = asyncio.create_task(server.stop(5))
        await asyncio.sleep(0)
        for _ in range(3):
            writer.write(Request(2, "test.echo", {}).encode())
            await asyncio.sleep(0.01)
        go.set()
        answers = list(Decoder().feed(await asyncio.wait_for(reader.read(), 5)))
        await stopping
        writer.close()
    assert [(answer.id, answer.result) for answer in answers if isinstance(answer, Response)] == [
        (1, {"value": "done"})
    ]


async def test_a_second_listener_is_refused_and_a_dead_ones_socket_replaced(tmp_path: Path) -> None:
    """A live daemon's socket is never taken away, a stale one is no obstacle, another file is not touched."""
    path = tmp_path / "s"
    first = listen(str(path), OWN)
    with pytest.raises(AlreadyRunning, match=rf"\(pid {os.getpid()}\) already listens on"):
        listen(str(path), OWN)
    first.close()
    listen(str(path), OWN).close()
    path.unlink()
    path.write_text("precious")
    with pytest.raises(UsageError, match="a file that is no socket"):
        listen(str(path), OWN)
    assert path.read_text() == "precious"


async def test_impossible_places_for_a_socket_are_said(tmp_path: Path) -> None:
    """No directory, or a path longer than Linux takes, is a sentence."""
    for path in (tmp_path / "none" / "s", tmp_path / ("x" * 120)):
        with pytest.raises(UsageError, match="cannot listen on"):
            listen(str(path), OWN)


@pytest.mark.parametrize(
    ("gid", "viewers", "mode"), [(None, False, 0o600), (os.getegid(), False, 0o660), (os.getegid(), True, 0o666)]
)
async def test_the_socket_is_open_to_whom_can_have_a_role(
    tmp_path: Path, gid: int | None, viewers: bool, mode: int
) -> None:
    """Only its owner, the operators' group, or everybody (to be told by role), and never more."""
    access = Access(operator_gid=gid, viewer_gid=None, everybody_views=viewers, own_uid=os.geteuid())
    listen(str(tmp_path / "s"), access).close()
    assert (tmp_path / "s").stat().st_mode & 0o777 == mode
