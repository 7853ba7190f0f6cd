"""The blocking client of the daemon's socket: what `damoctl` and small scripts use.

It starts fast, because a person waits for it: no asyncio, and the C module `_socket` in place of `socket`, whose
enums and selectors cost as much start-up time as everything else here together. `_socket.socket` is the base class
of `socket.socket` with the same methods.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SCM_RIGHTS, SO_SNDTIMEO, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET
from _socket import socket as Socket  # noqa: N812
from _socket import timeout as SocketTimeout  # noqa: N812
from struct import pack
from time import monotonic

from damod.errors import DaemonUnreachable, NotAllowed, ProtocolError, from_wire
from damod.rpc.wire import MAX_ID, Decoder, Notification, Request, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Self

SYSTEM_SOCKET = "/run/damod/damod.sock"
_START_HINT = "start it with `systemctl start damod`, or try it without root or DAMON with `damod --kernel sim`"
_CHUNK_BYTES = 1 << 18


def user_runtime_dir() -> str:
    """Where a user's own damod keeps its socket: $XDG_RUNTIME_DIR, else a directory in /tmp named by the uid."""
    return os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/damod-{os.geteuid()}"


def default_socket_path() -> str:
    """$DAMOD_SOCKET; else for root the system's socket; else the user's own one if it is there; else the system's."""
    explicit = os.environ.get("DAMOD_SOCKET")
    if explicit:
        return explicit
    if os.geteuid() != 0:
        own = f"{user_runtime_dir()}/damod.sock"
        try:
            # /tmp/damod-1000 could have been put there by somebody else.
            if os.stat(own).st_uid == os.geteuid():  # noqa: PTH116 - pathlib is too slow to start
                return own
        except OSError:
            pass
    return SYSTEM_SOCKET


class Client:
    """A connection to the daemon; one call at a time.

    `timeout_s` bounds each call as a whole and may be changed between calls. Connecting raises DaemonUnreachable or
    NotAllowed; calls raise what the daemon answered, DaemonUnreachable when the answer does not come (whole), and
    ProtocolError when it is not one.
    """

    def __init__(self, path: str | None = None, timeout_s: float = 30.0) -> None:
        self.path = path or default_socket_path()
        self.timeout_s = timeout_s
        self._decoder = Decoder()
        self._last_id = 0
        self._told: list[Notification] = []
        self._socket = self._connect()

    def _connect(self) -> Socket:
        sock = Socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            # With Python's own timeout, connect() would not wait at all for a daemon too busy to accept.
            sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, pack("ll", int(self.timeout_s), int(self.timeout_s % 1 * 1e6)))
            sock.connect(self.path)
        except BlockingIOError as exc:
            sock.close()
            raise DaemonUnreachable(
                f"damod on {self.path} takes no connection within {self.timeout_s:g} s", path=self.path
            ) from exc
        except PermissionError as exc:
            sock.close()
            raise NotAllowed(
                f"connecting to damod on {self.path} is not allowed to you",
                hint="become a member of the group damod (`usermod -aG damod NAME`, then log in again), or use sudo",
                path=self.path,
            ) from exc
        except OSError as exc:
            sock.close()
            raise DaemonUnreachable(
                f"no damod listens on {self.path} ({exc.strerror or exc})",
                hint=_START_HINT,
                path=self.path,
                errno=exc.errno,
            ) from exc
        return sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def call(self, method: str, /, **params: Any) -> Any:
        """The result of a method. Notifications that come meanwhile are kept for `notifications()`."""
        return self.call_with_files((), method, params)

    def call_with_files(self, files: Sequence[int], method: str, params: Mapping[str, Any]) -> Any:
        """`call`, with open files that the daemon gets handles on."""
        self._last_id = self._last_id % MAX_ID + 1
        request_id = self._last_id
        frame = Request(request_id, method, params).encode()
        deadline = monotonic() + self.timeout_s
        try:
            self._socket.settimeout(self.timeout_s)
            sent = 0
            if files:
                # The files come with the first byte of the frame that they belong to.
                rights = (SOL_SOCKET, SCM_RIGHTS, pack(f"{len(files)}i", *files))
                sent = self._socket.sendmsg([frame], [rights])
            self._socket.sendall(frame[sent:])
        except SocketTimeout as exc:
            raise self._late(method) from exc
        except OSError:
            # The daemon closed; what it said before that (no room, not allowed) is still there to be read.
            pass
        answer = None
        while answer is None:
            # To the end also when the answer is found: what is told after it is not lost.
            for message in self._receive(deadline, method):
                if isinstance(message, Notification):
                    self._told.append(message)
                elif isinstance(message, Response) and message.id in (request_id, None):
                    answer = message
        if answer.error is not None:
            raise from_wire(answer.error)
        return answer.result

    def stream(self, kinds: Sequence[str], **params: Any) -> Iterator[Mapping[str, Any]]:
        """Subscribe; then the events ({"subscription", "seq", "lost", "kind", ...}) as they come, without end.

        `params` are those of `stream.subscribe`. Raises at once what the daemon answers to that, and later
        DaemonUnreachable when it goes away. One stream for each client.
        """
        number = self.call("stream.subscribe", kinds=list(kinds), **params)["subscription"]
        return (
            told.params
            for told in self.notifications()
            if told.method == "stream.event" and told.params["subscription"] == number
        )

    def notifications(self) -> Iterator[Notification]:
        """What the daemon tells, as it comes, until it closes the connection. Waits without limit."""
        while True:
            while self._told:
                yield self._told.pop(0)
            for message in self._receive(None, None):
                if isinstance(message, Notification):
                    self._told.append(message)
                elif isinstance(message, Response) and message.id is None:
                    raise from_wire(message.error)

    @property
    def pending(self) -> bool:
        """Whether more has come already than `notifications` (or `stream`) has given."""
        return bool(self._told)

    def _receive(self, deadline: float | None, what: str | None) -> list[Any]:
        """The messages of the next piece of data, perhaps none yet; `what` method's answer is awaited, if any's."""
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise self._late(what or "")
        try:
            self._socket.settimeout(left)
            data = self._socket.recv(_CHUNK_BYTES)
        except SocketTimeout as exc:
            raise self._late(what or "") from exc
        except OSError as exc:
            raise self._dropped(what) from exc
        if not data:
            raise self._dropped(what)
        try:
            return list(self._decoder.feed(data))
        except ProtocolError as exc:
            raise ProtocolError(
                f"what listens on {self.path} answers {what or 'a subscription'} with something else than damod:"
                f" {exc.message}",
                hint="see who listens there: `ss -xlp`",
                path=self.path,
            ) from exc

    def _late(self, what: str) -> DaemonUnreachable:
        return DaemonUnreachable(
            f"damod on {self.path} did not answer {what} within {self.timeout_s:g} s",
            hint="see what it is doing: `journalctl -u damod`",
            path=self.path,
            timeout_s=self.timeout_s,
        )

    def _dropped(self, what: str | None) -> DaemonUnreachable:
        missing = "while it was listened to" if what is None else f"before its answer to {what} was complete"
        return DaemonUnreachable(
            f"damod on {self.path} closed the connection {missing}",
            hint="it may have been stopped: `systemctl status damod`",
            path=self.path,
        )
