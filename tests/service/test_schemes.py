"""`damoctl schemes` runs for as long as it is watched, and `start --dry_run` for no time at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon
from damod.rpc.client import Client
from tests.service.conftest import ROOT, Run

SCHEMES = [sys.executable, "-m", "damoctl", "--socket"]


def begin(daemon: LocalDaemon, *words: str) -> subprocess.Popen[str]:
    """A `damoctl schemes` whose kdamonds run."""
    process = subprocess.Popen(
        [*SCHEMES, str(daemon.socket), "schemes", "--take_over", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout and process.stdout.readline().startswith("started kdamond 0 (pid ")
    return process


def rest(process: subprocess.Popen[str]) -> str:
    """What it prints until its end; communicate() would lose what came along with the first line."""
    assert process.stdout
    out = process.stdout.read()
    process.wait(20)
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_kdamond(daemon: LocalDaemon, number: int) -> None:
    """It tells what the schemes did, stops its set and leaves damon_stat as it was."""
    with begin(daemon, "paddr", "--damos_action", "stat") as process:
        process.send_signal(number)
        out = rest(process)
    assert process.returncode == 0
    assert out.splitlines()[-1] == "stopped schemes"
    assert out.splitlines()[-2].startswith("kdamond 0 scheme 0 (stat): tried ")
    with Client(str(daemon.socket)) as client:
        status = client.call("daemon.status")
    assert status["kdamonds"] == []
    assert list(status["modules"]) == ["damon_stat"]


def test_the_end_of_the_command_ends_it(daemon: LocalDaemon, tmp_path: Path) -> None:
    """A command target runs, and nothing of it is left."""
    with begin(daemon, f"touch {tmp_path / 'ran'}", "--damos_action", "stat") as process:
        out = rest(process)
    assert process.returncode == 0
    assert (tmp_path / "ran").exists()
    assert "stopped schemes" in out


def test_a_stop_by_somebody_else_ends_it(daemon: LocalDaemon, damoctl: Run) -> None:
    """It does not wait for a set that does not run any more."""
    with begin(daemon, "paddr", "--damos_action", "stat", "--name", "mine") as process:
        assert damoctl("stop", "mine").returncode == 0
        rest(process)
    assert process.returncode == 0


def test_a_dry_run_prints_the_writes(daemon: LocalDaemon, damoctl: Run) -> None:
    """Each file with its value; for programs the daemon's answer."""
    done = damoctl("start", "--dry_run", "--take_over", "paddr")
    assert done.returncode == 0
    assert "kdamonds/0/contexts/0/operations <- paddr" in done.stdout
    answer = json.loads(damoctl("start", "--dry_run", "--take_over", "--json", "paddr").stdout)
    assert ["kdamonds/0/contexts/0/operations", "paddr"] in answer["kdamonds"][0]["writes"]
    assert "kdamond 0" not in damoctl("status").stdout
