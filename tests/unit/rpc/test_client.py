"""The blocking client against peers that answer, hang, hang up or speak something else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from damod.errors import Conflict, DaemonUnreachable, ProtocolError
from damod.rpc import client as client_module
from damod.rpc.client import SYSTEM_SOCKET, Client, default_socket_path
from damod.rpc.wire import Decoder, Notification, Response


@contextmanager
def peer(path: Path, act: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that listens at `path`, takes one connection and does `act` with it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                act(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(path)
        thread.join(5)
        assert not thread.is_alive()


def test_notifications_that_come_before_an_answer_are_kept(tmp_path: Path) -> None:
    """A call returns its own answer; what was told meanwhile can be read afterwards, in order, until the end."""

    def act(connection: socket.socket) -> None:
        connection.recv(1000)
        told = [Notification("snapshot", {"n": n}).encode() for n in range(3)]
        connection.sendall(told[0] + told[1] + Response(1, None, "yes").encode() + told[2])

    with peer(tmp_path / "s", act) as path, Client(path, timeout_s=5) as client:
        assert client.call("m") == "yes"
        kept = client.notifications()
        assert [next(kept).params["n"] for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DaemonUnreachable):
            next(kept)


def test_an_answer_to_an_earlier_call_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    """Answers are matched by id, so a call after a timeout gets its own."""

    def act(connection: socket.socket) -> None:
        decoder, requests = Decoder(), []
        while len(requests) < 2:
            requests += list(decoder.feed(connection.recv(1000)))
        connection.sendall(b"".join(Response(request.id, None, request.method).encode() for request in requests))

    with peer(tmp_path / "s", act) as path, Client(path, timeout_s=0.1) as client:
        with pytest.raises(DaemonUnreachable, match=r"did not answer first within 0\.1 s"):
            client.call("first")
        client.timeout_s = 5
        assert client.call("second") == "second"


def test_an_error_answer_becomes_its_exception(tmp_path: Path) -> None:
    """Class, message, hint and facts survive the socket."""

    def act(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(Response(1, Conflict("taken", hint="wait", pid=7).to_wire()).encode())

    with peer(tmp_path / "s", act) as path, Client(path, timeout_s=5) as client:
        with pytest.raises(Conflict) as caught:
            client.call("m")
        assert (caught.value.message, caught.value.hint, caught.value.facts) == ("taken", "wait", {"pid": 7})


def test_nobody_listening_says_how_to_start_it(tmp_path: Path) -> None:
    """No socket, and a socket whose daemon is gone, are DaemonUnreachable with the path and a way out."""
    gone = tmp_path / "gone"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(gone))
    for path in (tmp_path / "none", gone):
        with pytest.raises(DaemonUnreachable) as caught:
            Client(str(path))
        assert str(path) in caught.value.message
        assert "systemctl start damod" in caught.value.hint


def test_a_connection_dropped_in_the_middle_is_said(tmp_path: Path) -> None:
    """Half an answer is no answer."""

    def act(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(Response(1, None, "x" * 100).encode()[:50])

    with (
        peer(tmp_path / "s", act) as path,
        Client(path, timeout_s=5) as client,
        pytest.raises(DaemonUnreachable, match="closed the connection before its answer to m"),
    ):
        client.call("m")


def test_something_else_that_listens_is_a_protocol_error(tmp_path: Path) -> None:
    """An HTTP server on the path is named as what it is: not damod."""

    def act(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with (
        peer(tmp_path / "s", act) as path,
        Client(path, timeout_s=5) as client,
        pytest.raises(ProtocolError, match="something else than damod"),
    ):
        client.call("m")


def test_the_timeout_is_for_the_whole_call(tmp_path: Path) -> None:
    """A peer that keeps sending what is no answer cannot keep a caller for ever."""
    done = threading.Event()

    def act(connection: socket.socket) -> None:
        connection.recv(1000)
        while not done.wait(0.02):
            connection.sendall(Notification("tick", {}).encode())

    with peer(tmp_path / "s", act) as path, Client(path, timeout_s=0.2) as client:
        with pytest.raises(DaemonUnreachable, match="did not answer"):
            client.call("m")
        done.set()


def test_a_daemon_too_busy_to_accept_is_waited_for(tmp_path: Path) -> None:
    """A full queue of connections is not "nobody listens"; it is waited for, and then said."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        with Client(str(tmp_path / "s"), timeout_s=5):
            with pytest.raises(DaemonUnreachable, match=r"takes no connection within 0\.1 s"):
                Client(str(tmp_path / "s"), timeout_s=0.1)
            accepting = threading.Timer(0.1, lambda: listener.accept()[0].close())
            accepting.start()
            Client(str(tmp_path / "s"), timeout_s=5).close()
            accepting.join()


def test_which_socket_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$DAMOD_SOCKET first; root has the system's; others their own if it is there and theirs, else the system's."""
    uid = os.geteuid()
    monkeypatch.setenv("DAMOD_SOCKET", "/x/explicit")
    assert default_socket_path() == "/x/explicit"
    monkeypatch.delenv("DAMOD_SOCKET")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(client_module.os, "geteuid", lambda: 0)
    assert default_socket_path() == SYSTEM_SOCKET
    other = uid or 12345
    monkeypatch.setattr(client_module.os, "geteuid", lambda: other)
    assert default_socket_path() == SYSTEM_SOCKET
    (tmp_path / "damod.sock").touch()
    if uid == 0:
        assert default_socket_path() == SYSTEM_SOCKET, "root's file is not that user's own"
        os.chown(tmp_path / "damod.sock", other, -1)
    assert default_socket_path() == str(tmp_path / "damod.sock")


def test_the_client_loads_next_to_nothing() -> None:
    """Who waits for `damoctl status` does not wait for asyncio, pydantic, typing, re or enum."""
    code = "import sys, damod.rpc.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
                            capture_output=True, text=True, check=True).stdout.split()  # fmt: skip
    heavy = {"asyncio", "pydantic", "typing", "re", "enum", "socket", "selectors", "json", "argparse", "structlog",
             "dataclasses", "pathlib"}  # fmt: skip
    assert heavy & set(loaded) == set()
