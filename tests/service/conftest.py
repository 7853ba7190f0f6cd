"""A whole damod on the simulated kernel and damoctl beside it, as processes, over the real socket."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LocalDaemon]:
    """A damod whose simulated kernel has a moving hot set."""
    with LocalDaemon("--kernel", "sim:moving", directory=tmp_path) as local:
        yield local


@pytest.fixture
def damoctl(daemon: LocalDaemon, tmp_path: Path) -> Run:
    """Run damoctl against that daemon; what it printed and its exit status."""

    def run(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "damoctl", "--socket", str(daemon.socket), *argv],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    return run
