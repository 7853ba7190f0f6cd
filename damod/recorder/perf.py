"""`perf record` as a supervised child, for the CPU profile and for the raw trace of all DAMON events.

perf writes nowhere by itself: it runs with the recorder's rights, so it gets an open file of the caller's (`-o -`), no
name. Its clock is the trace's, so that times compare. What goes wrong with it is told and costs no access record.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

from damod.recorder.place import Place

_STOP_S = 5.0
PROFILE_WORDS = ("-a", "-k", "CLOCK_MONOTONIC")
EVENTS_WORDS = ("-a", "-k", "CLOCK_MONOTONIC", "-e", "damon:*")


class Perf:
    """One `perf record` into the file `name`. `problem` says why there is none, empty while all is well."""

    def __init__(self, place: Place, name: str, words: tuple[str, ...], path: str | None = None) -> None:
        self.problem = ""
        self._name = name
        self._child: subprocess.Popen[bytes] | None = None
        program = shutil.which(path or "perf")
        if program is None:
            self.problem = (
                f"no {name}: there is no program {path or 'perf'!r} (install linux-perf, or name it with --perf_path)"
            )
            return
        handle = place.make(name)
        try:
            self._child = subprocess.Popen(
                [program, "record", *words, "-o", "-"],
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.PIPE,
                # Ctrl-C in a terminal is the recorder's to handle.
                start_new_session=True,
            )
        except OSError as exc:
            self.problem = f"no {name}: {program} cannot be run ({exc.strerror})"
        finally:
            os.close(handle)

    def check(self) -> None:
        """Notice if perf has ended by itself."""
        if self._child is not None and not self.problem and self._child.poll() is not None:
            self._explain()

    def stop(self) -> None:
        """Let perf write what it has and end; it is waited for, so that the file is whole."""
        child = self._child
        if child is None:
            return
        self.check()
        self._child = None
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                self.problem = f"{self._name} is not whole: perf did not end within {_STOP_S:g} s"
        if child.stderr:
            child.stderr.close()

    def _explain(self) -> None:
        child = self._child
        if child is None or child.stderr is None:
            return
        os.set_blocking(child.stderr.fileno(), False)
        said = (child.stderr.read(2000) or b"").decode(errors="replace").strip().splitlines()
        why = next((line.strip() for line in said if line.strip() and line.strip() != "Error:"), "it said nothing")
        self.problem = f"{self._name} ends early: perf exited with {child.returncode} ({why})"
