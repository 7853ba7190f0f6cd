"""A damod of one's own: started beside us, awaited until it serves, ended with us. For the demo, tests and benchmarks.

Readiness is the daemon's own READY=1, received on a notification socket as systemd would; nothing polls.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from damod.errors import DaemonUnreachable


class LocalDaemon:
    """`python -m damod` in a directory of its own. Use as a context manager; `socket` is where it listens.

    Raises DaemonUnreachable with the daemon's own last words when it does not become ready within `timeout_s`.
    """

    def __init__(
        self,
        *args: str,
        directory: Path | None = None,
        timeout_s: float = 20.0,
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="damod-")
        self.directory = directory or Path(self._temporary.name if self._temporary else "")
        self.socket = self.directory / "damod.sock"
        self.log = self.directory / "damod.log"
        self.policies = self.directory / "damo.d"
        places = (
            *("--socket", self.socket, "--state-dir", self.directory),
            *("--policy-dir", self.policies, "--record-dir", self.directory / "records"),
        )
        self._argv = [*python, "-m", "damod", *map(str, places), *args]
        self._timeout_s = timeout_s
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon and return when it says READY=1."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            # An abstract address: nothing is left behind, and no path length limit.
            notify.bind("\0damod-ready-" + os.urandom(8).hex())
            notify.settimeout(0.2)
            environ = dict(os.environ, NOTIFY_SOCKET="@" + notify.getsockname()[1:].decode())
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self._argv, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            waited = 0.0
            while waited < self._timeout_s:
                try:
                    if b"READY=1" in notify.recv(4096):
                        return
                except TimeoutError:
                    waited += 0.2
                if self.process.poll() is not None:
                    break
        self.stop()
        words = self.log.read_text(errors="replace").strip()
        raise DaemonUnreachable(f"damod did not start: {words[-2000:] or 'it said nothing'}", hint=" ".join(self._argv))

    def stop(self, timeout_s: float = 5.0) -> int | None:
        """SIGTERM, wait, and SIGKILL if that was not enough; the exit status."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> LocalDaemon:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
