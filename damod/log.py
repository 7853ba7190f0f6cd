"""The daemon's log: one line for each event, `key=value`, to the terminal or, with facts as fields, to the journal.

Values come from peers too (method names), so whatever could end a line or colour a terminal is shown escaped.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO


def _load_structlog() -> None:
    """Have structlog loaded without rich, which it takes where it is, for tracebacks that are not printed here.

    damoctl's full-screen views bring rich along; in the daemon it would be five megabytes of nothing.
    """
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


_load_structlog()

import structlog  # noqa: E402

# syslog(3); systemd takes it as <N> before a line (sd-daemon(3)).
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
JOURNAL_SOCKET = "/run/systemd/journal/socket"
_COLOUR = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}


def setup(level: str, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> None:
    """Send structlog's events, and what the standard library logs (asyncio), to `stream` (stderr) from `level` on."""
    stream = stream or sys.stderr
    environ = os.environ if environ is None else environ
    journal = _Journal.connected() if _is_journal(stream, environ) else None
    processors: list[Any] = [structlog.processors.add_log_level, structlog.processors.format_exc_info]
    if journal is not None:
        processors.append(journal.tell)
    processors.append(journal_line if _is_journal(stream, environ) else _terminal(stream, environ))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


def journal_line(_: Any, level: str, event: MutableMapping[str, Any]) -> str:
    """``<6>done method=kdamonds.stop uid=0``; a traceback's lines each carry the priority."""
    priority = _PRIORITY.get(event.pop("level", level), 6)
    return "\n".join(f"<{priority}>{line}" for line in _line(event).split("\n"))


def _terminal(stream: TextIO, environ: Mapping[str, str]) -> Any:
    colours = stream.isatty() and not environ.get("NO_COLOR")

    def render(_: Any, level: str, event: MutableMapping[str, Any]) -> str:
        name = str(event.pop("level", level))
        shown = f"\x1b[{_COLOUR.get(name, '0')}m{name:<7}\x1b[0m" if colours else f"{name:<7}"
        return f"damod {shown} {_line(event)}"

    return render


def _line(event: MutableMapping[str, Any]) -> str:
    traceback = event.pop("exception", None)
    words = [_escaped(str(event.pop("event", "")))]
    words += [f"{key}={_value(value)}" for key, value in event.items()]
    return " ".join(words) + (f"\n{traceback}" if traceback else "")


def _escaped(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _value(value: Any) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(text) & set(" \"'=") else repr(text)


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Journal:
    """The journal's own socket, which takes facts as fields: ``journalctl DAMOD_METHOD=kdamonds.stop``.

    Source: systemd's docs/JOURNAL_NATIVE_PROTOCOL.md.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    def connected(cls, path: str | None = None) -> _Journal | None:
        """None where no journal listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.connect(path or JOURNAL_SOCKET)
        except OSError:
            sock.close()
            return None
        sock.setblocking(False)
        return cls(sock)

    def tell(self, _: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Send an event. One that the journal does not take goes on to be written as a line."""
        facts = {name: value for name, value in event.items() if name not in ("event", "level", "exception")}
        fields = {
            "MESSAGE": _line({name: value for name, value in event.items() if name != "level"}),
            "PRIORITY": _PRIORITY.get(level, 6),
            "SYSLOG_IDENTIFIER": "damod",
            **{f"DAMOD_{name.upper()}": value for name, value in facts.items()},
        }
        try:
            self._sock.send(b"".join(_field(name, str(value)) for name, value in fields.items()))
        except OSError:
            return event
        raise structlog.DropEvent


def _field(name: str, text: str) -> bytes:
    value = text.encode(errors="backslashreplace")
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


class _Lines:
    """Writes lines. A log that nobody takes any more is no reason for the daemon to end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    debug = info = warning = error = critical = msg


class _Forward(logging.Handler):
    """The standard library's records as events."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, record.getMessage(), source=record.name, exc_info=record.exc_info)
