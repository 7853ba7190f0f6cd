"""What systemd and the daemon tell each other: notifications (sd_notify(3)) and sockets handed over (sd_listen_fds(3)).

Everything here does nothing when systemd did not start us.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

import sdnotify  # type: ignore[import-untyped]

from damod.errors import UsageError

_FIRST_FD = 3


class Notifier:
    """Tells systemd (or whoever set $NOTIFY_SOCKET) how the daemon is."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()

    def ready(self, status: str) -> None:
        self._notifier.notify(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """To be followed by ready(). Type=notify-reload wants to know when, to tell it from an earlier reload."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._notifier.notify("STOPPING=1")

    def status(self, text: str) -> None:
        self._notifier.notify(f"STATUS={text}")

    def watchdog(self) -> None:
        self._notifier.notify("WATCHDOG=1")


def watchdog_interval_s(environ: MutableMapping[str, str] | None = None) -> float | None:
    """How often watchdog() is due (half of the unit's WatchdogSec, as sd_watchdog_enabled(3) advises), if at all."""
    environ = os.environ if environ is None else environ
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 2_000_000 if usec.isdigit() and int(usec) else None


def activated_socket(environ: MutableMapping[str, str] | None = None) -> socket.socket | None:
    """The listening Unix socket that systemd opened for us, if it did. To be called once.

    Raises UsageError if it handed over something else.
    """
    environ = os.environ if environ is None else environ
    # Children must not take the sockets for theirs.
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or int(count) == 0:
        return None
    if int(count) > 1:
        raise UsageError(
            f"systemd handed over {count} sockets; damod takes one", hint="one ListenStream= in damod.socket"
        )
    os.set_inheritable(_FIRST_FD, False)
    sock = socket.socket(fileno=_FIRST_FD)
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise UsageError("systemd handed over what is no Unix stream socket", hint="ListenStream=/run/damod/damod.sock")
    return sock
