"""The peer, `damo`, in an environment of its own. Only guests run it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.peer import grid
from tests.vm import kernels
from tests.vm.guest import CHECKOUT, Guest, GuestError, compile_for_guest


def ensure_damo() -> Path:
    """The `damo` program; nothing on this machine runs it. Raises GuestError if it cannot be installed."""
    home = kernels.cache_dir() / f"damo-py{sys.version_info.major}.{sys.version_info.minor}"
    with kernels.locked(kernels.cache_dir() / "lock.damo"):
        if not (home / ".ready").exists():
            for step in ([sys.executable, "-m", "venv", str(home)], [str(home / "bin/pip"), "install", "-q", "damo"]):
                done = subprocess.run(step, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise GuestError(f"installing damo failed: {' '.join(step)}\n{done.stdout}{done.stderr}")
            (home / ".ready").touch()
    compile_for_guest(home / "bin/python", home / "lib")
    return home / "bin/damo"


def ask(
    lines: Sequence[str],
    records: Path,
    outdir: Path,
    *,
    kernel: str,
    each_s: float = 60,
    timeout_s: float = 1200,
    damo: Path | None = None,
) -> dict[str, Any]:
    """The peer's answers to command lines of `tests.peer.grid` on `records`, from one guest.

    programs/peer_reports.py has their form.
    """
    damo = damo or ensure_damo()
    plan = outdir.parent / f"{outdir.name}.plan"
    plan.write_text(
        json.dumps(
            [
                {"words": grid.words(line, str(records)), "timeout_s": each_s, "file": grid.written(line, str(records))}
                for line in lines
            ]
        )
    )
    program = CHECKOUT / "tests/vm/programs/peer_reports.py"
    script = f'exec "$DAMO_PYTHON" {program} "$DAMO" {shlex.quote(str(plan))} "$DAMOD_GUEST_OUT/answers"'
    guest = Guest(kernel=kernel, env={"DAMO": str(damo), "DAMO_PYTHON": str(damo.parent / "python")})
    guest.run(["bash", "-c", script], timeout_s=timeout_s, outdir=outdir, cwd=CHECKOUT).check()
    found = [json.loads(line) for line in (outdir / "answers").read_text().splitlines()]
    named = {tuple(grid.words(line, str(records))): line for line in lines}
    return {named[tuple(answer["words"])]: answer for answer in found}
