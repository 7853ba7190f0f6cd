"""The peer, `damo`, in an environment of its own. Only guests run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.vm import kernels
from tests.vm.guest import GuestError, compile_for_guest


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
