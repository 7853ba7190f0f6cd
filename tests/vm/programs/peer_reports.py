"""Runs inside a guest: the peer's answers to a list of command lines, as JSON, one line each.

    peer_reports.py DAMO PLAN ANSWERS [AT_ONCE]

`PLAN` is a JSON list of {"words": [...], "timeout_s": number, "file": path or null}. Each runs in a child of this
process, which has loaded the peer's modules once: starting it afresh takes the emulated processor seconds. An answer is
{"words", "status", "out", "err", "took_s"}; `out` has what it wrote into `file` too, the status is null where the time
was over. Of a traceback only the last line is kept.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS, LINES = 80, 24


class Running(NamedTuple):
    """A command line that runs, and the files that it writes to."""

    case: dict[str, Any]
    out: Any
    err: Any
    since: float


def begin(damo: str, case: dict[str, Any]) -> tuple[int, Running]:
    """Fork, and run the command line in the child."""
    out, err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115 (closed when the child has ended)
    running = Running(case, out, err, time.monotonic())
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid, running
    status = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(running.out.fileno(), 1)
        os.dup2(running.err.fileno(), 2)
        sys.argv = [damo, *case["words"]]
        try:
            runpy.run_path(damo, run_name="__main__")
            status = 0
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1
            if isinstance(exc.code, str):
                print(exc.code, file=sys.stderr)
        except BaseException as exc:
            print(f"{type(exc).__name__}: {exc}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def ended(running: Running, status: int | None) -> dict[str, Any]:
    """The answer of a command line that has ended."""
    texts = []
    for file in (running.out, running.err):
        file.seek(0)
        texts.append(file.read().decode(errors="replace"))
        file.close()
    if running.case.get("file") and Path(running.case["file"]).exists():
        texts[0] += Path(running.case["file"]).read_text(errors="replace")
    took_s = round(time.monotonic() - running.since, 3)
    return {"words": running.case["words"], "status": status, "out": texts[0], "err": texts[1], "took_s": took_s}


def main(damo: str, plan: str, answers: str, at_once: int = 2) -> None:
    os.environ.update(COLUMNS=str(COLUMNS), LINES=str(LINES), TZ="UTC")
    # Only loaded: what a run leaves behind in the modules would disturb the next.
    import_module("damo.damo")
    waiting = json.loads(Path(plan).read_text())[::-1]
    running: dict[int, Running] = {}
    with Path(answers).open("w") as file:
        while waiting or running:
            while waiting and len(running) < at_once:
                pid, one = begin(damo, waiting.pop())
                running[pid] = one
            pid, code = os.waitpid(-1, os.WNOHANG)
            if pid:
                one = running.pop(pid)
                file.write(json.dumps(ended(one, os.waitstatus_to_exitcode(code))) + "\n")
                file.flush()
                continue
            for pid, one in list(running.items()):
                if time.monotonic() - one.since > one.case.get("timeout_s", 60):
                    os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    file.write(json.dumps(ended(running.pop(pid), None)) + "\n")
                    file.flush()
            time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:5]))
