"""damoctl monitor: starts, reports, and leaves nothing behind."""

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


def running(daemon: LocalDaemon) -> list[str]:
    """Names of the sets that run."""
    with Client(str(daemon.socket)) as client:
        return [row["name"] for row in client.call("daemon.status")["kdamonds"]]


def test_heats_of_physical_memory(daemon: LocalDaemon, damoctl: Run) -> None:
    """So many maps as asked for, ten lines of eighty digits each, without damo's comments; then all is stopped."""
    done = damoctl("monitor", "paddr", "--delay", "0.5", "--count", "2", "--take_over")
    assert done.returncode == 0, done.stderr
    maps = [block.splitlines() for block in done.stdout.split("\n\n")]
    assert [len(lines) for lines in maps] == [10, 10]
    assert {len(line) for lines in maps for line in lines} == {80}
    assert "9" in done.stdout
    assert running(daemon) == []


@pytest.mark.parametrize("kind", ["heats", "wss", "holistic"])
def test_every_report_has_a_twin_for_programs(damoctl: Run, kind: str) -> None:
    """One line of JSON per report."""
    done = damoctl("monitor", "paddr", "--report_type", kind, "--delay", "0.5", "--count", "2", "--json", "--take_over")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 2
    assert all(found)


def test_what_runs_already_is_left_alone(daemon: LocalDaemon, damoctl: Run) -> None:
    """`ongoing` starts and stops nothing; a viewer could do it."""
    assert damoctl("start", "paddr", "--take_over").returncode == 0
    done = damoctl("monitor", "ongoing", "--report_type", "wss", "--delay", "0.5", "--count", "1")
    assert done.returncode == 0, done.stderr
    assert "# avr:" in done.stdout
    assert running(daemon) == ["adhoc"]


def test_nothing_to_see(damoctl: Run) -> None:
    """`ongoing` with nothing running is an error with a way out."""
    done = damoctl("monitor", "ongoing", "--delay", "0.5")
    assert done.returncode == 10
    assert "no kdamond is running" in done.stderr and "damoctl monitor paddr" in done.stderr


def test_it_ends_with_its_command(daemon: LocalDaemon, damoctl: Run) -> None:
    """A command that ends ends the monitoring, after a last report."""
    done = damoctl("monitor", "sleep 1", "--report_type", "holistic", "--delay", "30", "--take_over")
    assert done.returncode == 0, done.stderr
    assert "what was monitored has ended" in done.stderr
    assert "# Heatmap" in done.stdout
    assert running(daemon) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_and_the_command(daemon: LocalDaemon, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, kill, a closed terminal: exit status 0, no kdamond and no command left, no traceback."""
    marker = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-m", "damoctl", "--socket", str(daemon.socket), "monitor",
         f"echo $$ >{marker}; exec sleep 1000", "--delay", "0.3", "--take_over"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    child = int(marker.read_text())
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert running(daemon) == []
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["paddr", "--delay", "0"], "more than nothing"),
        (["paddr", "--delay", "soon"], "soon"),
        (["paddr", "--count", "-1"], "less than none"),
        (["paddr", "--report_type", "colours"], "invalid choice"),
        (["no-such-program"], "no monitoring target"),
        ([], "target"),
    ],
)
def test_wrong_words(damoctl: Run, words: list[str], said: str) -> None:
    """Told before anything is started."""
    done = damoctl("monitor", *words)
    assert done.returncode in (2, 7)
    assert said in done.stderr


def test_the_daemon_goes_away(daemon: LocalDaemon, tmp_path: Path) -> None:
    """It says what is wrong, goes on when the daemon is back, and still ends cleanly."""
    with Client(str(daemon.socket)) as client:
        client.call("kdamonds.start", kdamonds=[{"contexts": [{"ops": "paddr"}]}], take_over=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "damoctl", "--socket", str(daemon.socket), "monitor", "ongoing", "--delay", "0.5"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    assert len(process.stdout.readline()) == 81
    daemon.kill()
    assert "no snapshot came within 0.5 s" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors
