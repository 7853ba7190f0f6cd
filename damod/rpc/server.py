"""The asyncio server of the control socket: who may connect, what one peer may use, and how a peer is let go.

One peer can never hold up another: it has at most `requests_per_connection` requests under way (then it is not read
any more until one ends), a frame that has begun must end within `frame_timeout_s`, and an answer must be taken within
`write_timeout_s`; who does not is dropped. A frame that is none ends its own connection, after an error response.
A request that has begun is finished even if its peer is gone, so that no change stops half way. No timer runs while
nothing happens.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import structlog

from damod.errors import (
    AlreadyRunning,
    Busy,
    DaemonUnreachable,
    DamodError,
    Internal,
    NotAllowed,
    ProtocolError,
    UsageError,
)
from damod.rpc.auth import Access, Peer, Role, peer_of
from damod.rpc.outbox import Outbox
from damod.rpc.passing import PassingListener, PassingSocket, close_all
from damod.rpc.registry import Call, Method, Registry
from damod.rpc.wire import (
    FROM_DAEMON_BYTES,
    MAX_DEPTH,
    TO_DAEMON_BYTES,
    TO_DAEMON_ITEMS,
    Decoder,
    Message,
    Request,
    Response,
)

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 1 << 16
_BACKLOG = 128


@dataclass(frozen=True)
class Limits:
    """What peers may use. `connections_per_user` does not bind root, so that root can always look."""

    connections: int = 256
    connections_per_user: int = 64
    requests_per_connection: int = 16
    frame_timeout_s: float = 30.0
    write_timeout_s: float = 10.0
    to_daemon_bytes: int = TO_DAEMON_BYTES
    from_daemon_bytes: int = FROM_DAEMON_BYTES


def listen(path: str, access: Access) -> socket.socket:
    """A listening socket at `path`, open to those who have a role. A dead daemon's socket is replaced.

    Raises AlreadyRunning if somebody listens there, UsageError or NotAllowed if no socket can be there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path)
            sock.bind(path)
        # Nobody can connect before listen(), so there is no moment with other permissions than these.
        open_to(path, access)
        sock.listen(_BACKLOG)
    except PermissionError as exc:
        sock.close()
        raise NotAllowed(
            f"damod may not listen on {path} ({exc.strerror})",
            hint="run it as root, or choose another place with --socket",
            path=path,
        ) from exc
    except OSError as exc:
        sock.close()
        raise UsageError(
            f"damod cannot listen on {path} ({exc.strerror or exc})",
            hint="choose another place with --socket: an existing directory, and at most 107 bytes",
            path=path,
        ) from exc
    except DamodError:
        sock.close()
        raise
    return sock


def open_to(path: str, access: Access) -> None:
    """Let those connect who can have a role: everybody if some viewers are outside the operators' group, else these.

    The role itself is decided on connecting, so a wide mode gives nobody more than an answer why not.
    """
    mode = 0o600
    if access.operator_gid is not None:
        try:
            os.chown(path, -1, access.operator_gid)
            mode = 0o660
        except PermissionError:
            # A user's own damod, and the user is no member of the group.
            pass
    Path(path).chmod(0o666 if access.wide else mode)


def _remove_stale(path: str) -> None:
    if not stat.S_ISSOCK(Path(path).lstat().st_mode):
        raise UsageError(
            f"damod cannot listen on {path}: there is a file that is no socket",
            hint="move it away, or choose another place with --socket",
            path=path,
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            log.info("replaced the socket of a daemon that is gone", path=path)
            return
        except BlockingIOError:
            # Somebody listens and is too busy to accept.
            raise AlreadyRunning(
                f"another damod already listens on {path}",
                hint="stop it, or choose another socket with --socket",
                path=path,
            ) from None
        pid = struct.unpack("iII", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        raise AlreadyRunning(
            f"another damod (pid {pid}) already listens on {path}",
            hint="stop it, or choose another socket with --socket",
            path=path,
            pid=pid,
        )


class Server:
    """Answers the requests of all peers from `registry`. The handlers get `daemon` in their Call.

    `changed` hears of each operator's request that could change something, with its error if it had one, and answers
    with facts for the log.
    """

    def __init__(
        self,
        registry: Registry,
        daemon: Any,
        access: Access,
        limits: Limits | None = None,
        changed: Callable[[Method, Peer, Mapping[str, Any], DamodError | None], Mapping[str, Any]] | None = None,
    ) -> None:
        self.changed = changed
        self.registry = registry
        self.daemon = daemon
        self.access = access
        self.limits = limits or Limits()
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._per_user: Counter[int] = Counter()
        self._server: asyncio.Server | None = None
        self._listener: PassingListener | None = None

    @property
    def connections(self) -> int:
        """How many peers are connected now."""
        return len(self._connections)

    async def start(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Accept peers from now on; each one's task lives in `tasks`."""
        self._listener = PassingListener(listener)
        # From Python 3.13 on, closing would remove the path, which is systemd's with socket activation, and else ours.
        more: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await asyncio.start_unix_server(
            lambda reader, writer: self._connected(reader, writer, tasks),
            sock=self._listener,
            limit=_CHUNK_BYTES,
            backlog=_BACKLOG,
            **more,
        )

    async def stop(self, grace_s: float) -> None:
        """Accept nobody any more; running requests get `grace_s`, then the answer that they were not finished."""
        if self._server is not None:
            self._server.close()
        running = dict(self._connections)
        for connection in running:
            connection.finish()
        if running:
            _, late = await asyncio.wait(running.values(), timeout=grace_s)
            for task in late:
                task.cancel()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tasks: asyncio.TaskGroup) -> None:
        sock = writer.get_extra_info("socket")
        files = self._listener.accepted.pop(sock.fileno(), None) if self._listener else None
        try:
            peer = peer_of(sock)
        except OSError:
            # Gone before it could be asked who it is.
            writer.transport.abort()
            return
        role = self.access.role(peer)
        refusal = self._refusal(peer, role)
        if refusal is not None:
            log.warning("refused a connection", uid=peer.uid, pid=peer.pid, why=refusal.message)
            writer.write(Response(None, refusal.to_wire()).encode())
            writer.close()
            return
        connection = Connection(self, reader, writer, peer, role, files)
        task = tasks.create_task(connection.run(), name=f"peer {peer.pid}")
        self._connections[connection] = task
        self._per_user[peer.uid] += 1
        task.add_done_callback(lambda _: self._forget(connection))

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection]
        self._per_user[connection.peer.uid] -= 1
        # Only users with connections stay in it.
        self._per_user += Counter()

    def _refusal(self, peer: Peer, role: Role) -> DamodError | None:
        if role is Role.NONE:
            return NotAllowed(
                f"uid {peer.uid} is in none of the groups that may talk to damod",
                hint="become a member of the operators' or viewers' group that damod.yaml names, or use sudo",
                uid=peer.uid,
            )
        if len(self._connections) >= self.limits.connections:
            return Busy(
                f"damod has {self.limits.connections} connections open, as many as it allows",
                hint="try again later; `ss -xp` shows who is connected",
                limit=self.limits.connections,
            )
        if peer.uid != 0 and self._per_user[peer.uid] >= self.limits.connections_per_user:
            return Busy(
                f"uid {peer.uid} has {self.limits.connections_per_user} connections open, as many as a user may have",
                hint="close some; `ss -xp` shows which programs have them",
                limit=self.limits.connections_per_user,
            )
        return None


class Connection:
    """One peer, from its first byte to its last answer."""

    def __init__(
        self,
        server: Server,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
        role: Role,
        files: PassingSocket | None,
    ) -> None:
        self.peer = peer
        self._files = files
        self._server = server
        self._limits = server.limits
        self._reader = reader
        self._writer = writer
        self._role = role
        self._room = asyncio.Semaphore(server.limits.requests_per_connection)
        self._writing = asyncio.Lock()
        self._outbox = Outbox(writer, self._writing)
        self._gone = False
        self._reading: asyncio.Task[None] | None = None

    def finish(self) -> None:
        """Take no further requests; run() ends when those under way are answered."""
        if self._outbox.flows and self._writer.transport.get_write_buffer_size():
            # It does not take its stream, and nobody is to wait for it to do so.
            self._gone = True
            self._writer.transport.abort()
        if self._reading is not None:
            self._reading.cancel()

    async def run(self) -> None:
        """Answer requests until the peer has no more. Nothing of one peer escapes from here but cancellation."""
        try:
            async with asyncio.TaskGroup() as requests:
                self._reading = requests.create_task(self._read(requests), name="read")
            await self._close()
        except Exception:
            log.exception("a connection ended by a bug", uid=self.peer.uid, pid=self.peer.pid)
        finally:
            self._outbox.close()
            if not self._gone:
                self._writer.close()

    async def _read(self, requests: asyncio.TaskGroup) -> None:
        decoder = Decoder(max_bytes=self._limits.to_daemon_bytes, max_items=TO_DAEMON_ITEMS, max_depth=MAX_DEPTH)
        deadline: float | None = None
        try:
            while data := await self._chunk(deadline):
                for message in decoder.feed(data):
                    deadline = None
                    await self._begin(message, requests)
                if not decoder.pending:
                    deadline = None
                elif deadline is None:
                    deadline = asyncio.get_running_loop().time() + self._limits.frame_timeout_s
        except ProtocolError as exc:
            log.warning("dropped a peer", uid=self.peer.uid, pid=self.peer.pid, why=exc.message)
            await self._send(Response(None, exc.to_wire()))
        except ConnectionError:
            self._gone = True
        finally:
            # Who sends no more may wait for answers, but nothing is told any more: it could as well be dead.
            self._outbox.close()

    async def _chunk(self, deadline: float | None) -> bytes:
        if deadline is None:
            return await self._reader.read(_CHUNK_BYTES)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._reader.read(_CHUNK_BYTES)
        except TimeoutError:
            raise ProtocolError(
                f"a frame was begun and not finished within {self._limits.frame_timeout_s:g} s"
            ) from None

    async def _begin(self, message: Message, requests: asyncio.TaskGroup) -> None:
        if isinstance(message, Request):
            await self._room.acquire()
            files = self._files.take() if self._files else []
            requests.create_task(self._answer(message, files), name=message.method[:100])

    async def _answer(self, request: Request, files: list[int]) -> None:
        call = Call(self._server.daemon, self.peer, tuple(files), self._outbox)
        try:
            response = await self._outcome(request, call)
        except asyncio.CancelledError:
            stopping = DaemonUnreachable(
                f"damod is stopping; {request.method[:100]} was not finished",
                hint="look at `damoctl status` when it is back",
            )
            self._writer.write(Response(request.id, stopping.to_wire()).encode())
            raise
        finally:
            close_all(files)
            self._room.release()
        await self._send(response)
        for act in call.then:
            act()

    async def _outcome(self, request: Request, call: Call[Any]) -> Response:
        entry: Method | None = None
        who = {"method": request.method[:100], "uid": self.peer.uid, "pid": self.peer.pid}
        try:
            entry = self._server.registry.find(request.method)
            try:
                self._server.registry.admit(entry, self.peer, self._role)
            except NotAllowed:
                log.warning("refused", **who)
                raise
            entry.check(request.params)
            result = await entry.handler(call, **request.params)
            _log_at(entry)("done", **who, **self._tell_change(entry, request, None))
            return Response(request.id, None, result)
        except DamodError as exc:
            more = self._tell_change(entry, request, exc)
            _log_at(entry)("answered with an error", **who, code=exc.code, message=exc.message, **more)
            return Response(request.id, exc.to_wire())
        except Exception:
            log.exception("a method ended by a bug", **who)
            bug = _bug(request.method)
            self._tell_change(entry, request, bug)
            return Response(request.id, bug.to_wire())

    def _tell_change(self, entry: Method | None, request: Request, error: DamodError | None) -> Mapping[str, Any]:
        """Facts for the log. Who may change nothing is not heard of: he could push others out of a bounded log."""
        if entry is None or entry.needs is not Role.OPERATOR or self._role < Role.OPERATOR:
            return {}
        return {} if self._server.changed is None else self._server.changed(entry, self.peer, request.params, error)

    async def _send(self, response: Response) -> None:
        """Write a response and wait until the peer has taken most of it, or drop the peer."""
        try:
            frame = response.encode()
        except ProtocolError as exc:
            log.error("an answer cannot be encoded", id=response.id, why=exc.message)
            frame = Response(response.id, _bug("the method").to_wire()).encode()
        if len(frame) > self._limits.from_daemon_bytes:
            error = Busy(
                f"the answer has {len(frame):,} bytes; {self._limits.from_daemon_bytes:,} fit into a frame",
                hint="ask for less at once, for example for one kdamond",
            )
            frame = Response(response.id, error.to_wire()).encode()
        async with self._writing:
            if self._gone:
                return
            self._writer.write(frame)
            await self._within_write_timeout(self._writer.drain())

    async def _close(self) -> None:
        if not self._gone:
            self._writer.close()
            await self._within_write_timeout(self._writer.wait_closed())

    async def _within_write_timeout(self, flushed: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._limits.write_timeout_s):
                await flushed
        except TimeoutError:
            log.warning(
                "dropped a peer",
                uid=self.peer.uid,
                pid=self.peer.pid,
                why=f"it did not read its answer within {self._limits.write_timeout_s:g} s",
            )
            self._gone = True
            self._writer.transport.abort()
        except ConnectionError:
            self._gone = True


def _log_at(entry: Method | None) -> Callable[..., object]:
    """Changes belong into the log; who only looks, or asks for what does not exist, must not be able to fill it."""
    return cast(Callable[..., object], log.info if entry is not None and entry.needs is Role.OPERATOR else log.debug)


def _bug(what: str) -> Internal:
    return Internal(
        f"{what[:100]} failed by a bug of damod", hint="`journalctl -u damod` has the traceback; please report it"
    )
