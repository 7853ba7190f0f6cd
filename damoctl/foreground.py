"""The caller's side of a foreground recording: shows how it goes, ends it once or at once, waits until it is whole."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from socket import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgpack  # type: ignore[import-untyped]

from damod import units
from damod.errors import DamodError, from_wire

if TYPE_CHECKING:
    from damoctl.context import Context

_MESSAGE_BYTES = 1 << 17


class Foreground:
    """`leash` is our end of the socket that the recorder holds; `child` a command target's pid."""

    def __init__(self, ctx: Context, name: str, leash: socket, out: str, child: int | None, *, as_json: bool) -> None:
        self._ctx = ctx
        self._name = name
        self._leash = leash
        self._out = out
        self._child = child
        self._as_json = as_json
        self._asked = 0
        self._began = monotonic()
        self._terminal = ctx.stderr.isatty() and not as_json

    def run(self) -> int:
        """Wait for the end; the exit status. The first signal asks for a proper end, the second for one at once."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ask())
        last = self._wait()
        if self._terminal:
            self._ctx.stderr.write("\r\033[K")
        # The recorder has ended; damod may still be stopping the kdamonds that were started for it.
        with suppress(DamodError), self._ctx.client() as client:
            client.call("record.wait", name=self._name)
        if last["kind"] == "failed":
            raise from_wire(last["error"])
        return self._tell(last)

    def _ask(self) -> None:
        self._asked += 1
        with suppress(OSError):
            self._leash.send(b"stop" if self._asked == 1 else b"abort")

    def _wait(self) -> dict[str, Any]:
        """The recorder's last message, its progress shown meanwhile."""
        sources: list[Any] = [self._leash]
        child = None
        if self._child is not None:
            child = os.pidfd_open(self._child)
            sources.append(child)
        while True:
            ready, _, _ = select.select(sources, [], [])
            if child in ready:
                sources.remove(child)
                os.waitpid(self._child or 0, 0)
                # What its kdamond saw last is still to come; the kernel ends it, and the recording ends with it.
                self._ask()
            if self._leash not in ready:
                continue
            data = self._leash.recv(_MESSAGE_BYTES)
            if not data:
                raise DamodError(
                    f"the recorder died while it recorded to {self._out}; what was written until then is kept",
                    hint=f"damod's log says how; `damoctl record recover {self._out}` if {self._out}.part is there",
                )
            message: dict[str, Any] = msgpack.unpackb(data, raw=False)
            if message["kind"] in ("done", "failed"):
                return message
            if message["kind"] == "progress" and self._terminal:
                self._ctx.stderr.write(f"\r\033[K{self._line(message)}")
                self._ctx.stderr.flush()

    def _line(self, message: dict[str, Any]) -> str:
        words = [
            units.time(int(monotonic() - self._began) * units.TIME_NS["s"]),
            f"{message['snapshots']:,} snapshots",
            f"{message['regions']:,} regions",
            units.size(message["bytes"]),
            f"{message['lost']:,} lost",
        ]
        if message["state"] != "recording":
            words.append(message["state"])
        return ", ".join(words)

    def _tell(self, last: dict[str, Any]) -> int:
        if self._as_json:
            self._ctx.print_json({name: value for name, value in last.items() if name != "kind"})
        for problem in last["problems"]:
            self._ctx.note(f"note: {problem}")
        if last["state"] == "aborted":
            self._ctx.note(f"ended at once; `damoctl record recover {self._out}` makes {self._out}.part a whole record")
            return 130
        if not self._as_json:
            files = ", ".join(last["segments"]) or self._out
            lost = f", {last['lost']:,} events lost" if last["lost"] else ""
            self._ctx.print(f"recorded {last['snapshots']:,} snapshots, {last['regions']:,} regions{lost}: {files}")
        if not last["snapshots"]:
            self._ctx.note(f"note: nothing was seen in that time ({last['why']})")
        return 0
