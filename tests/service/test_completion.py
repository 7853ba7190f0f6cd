"""Completion as at a terminal: real shells, the scripts that we print, a daemon with something to name."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from damoctl.complete import FILES, SCRIPTS
from damoctl.local import LocalDaemon
from tests.service.conftest import ROOT, Run

LIVE = [
    ("stop ti", "tiering"),
    ("stop --kdamond ", "0"),
    ("tune --name ti", "tiering"),
    ("record show da", "day"),
    ("record rm ", "day"),
    ("record --record_set ti", "tiering"),
    ("record --record_kdamond ", "0"),
    ("policy show wat", "watch"),
    ("policy apply --probation 5m wat", "watch"),
]


@pytest.fixture
def named(daemon: LocalDaemon, damoctl: Run) -> LocalDaemon:
    """A daemon that has a set `tiering`, a recording `day` and a policy `watch`."""
    daemon.policies.mkdir(exist_ok=True)
    (daemon.policies / "50-watch.yaml").write_text("enabled: false\nkdamonds: [{contexts: [{ops: paddr}]}]\n")
    for argv in (
        ["start", "paddr", "--take_over", "--name", "tiering"],
        ["record", "--detach", "--name", "day"],
        ["policy", "reload"],
    ):
        done = damoctl(*argv)
        assert done.returncode == 0, done.stderr
    return daemon


def ask(socket: Path, typed: str) -> list[str]:
    """What `--cli_complete` prints for words of which the last is being typed."""
    words = ["damoctl", "--socket", str(socket), *typed.split(" ")]
    done = subprocess.run(
        [sys.executable, "-m", "damoctl", "--cli_complete", str(len(words) - 1), *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_names_come_from_the_daemon(named: LocalDaemon) -> None:
    """Sets, kdamonds, recordings and policies."""
    for typed, name in LIVE:
        assert ask(named.socket, typed) == [name], typed


def test_without_a_daemon_nothing_is_said(tmp_path: Path) -> None:
    """No names, no errors, and no wait."""
    for typed, _ in LIVE:
        assert ask(tmp_path / "none", typed) == []
    assert ask(tmp_path / "none", "record recover ") == [FILES]


def test_a_daemon_that_hangs_is_not_waited_for(named: LocalDaemon) -> None:
    """Tab answers without names within a second or two, a Python start included."""
    assert named.process is not None
    os.kill(named.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert ask(named.socket, "stop ti") == []
        assert time.monotonic() - began < 5
    finally:
        os.kill(named.process.pid, signal.SIGCONT)


# -- real shells -------------------------------------------------------------------------------------------------------

# How each shell is started without its user's set-up, and told the script.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ["source <(damoctl completion bash)"]),
    "zsh": (["zsh", "-f", "-i"], ["autoload -Uz compinit", "compinit -u -D", "source <(damoctl completion zsh)"]),
    "fish": (["fish", "--no-config", "-i"], ["damoctl completion fish | source"]),
}
# What is typed before the Tab key, and the words that damoctl is then run with.
ASKED = [
    ("conv", ["convert_record_format"]),
    ("start --damos_quota_goal_t", ["start", "--damos_quota_goal_tuner"]),
    ("report access --style det", ["report", "access", "--style", "detailed"]),
    ("stop tie", ["stop", "tiering"]),
    ("record show da", ["record", "show", "day"]),
    ("policy show wat", ["policy", "show", "watch"]),
    ("replay rec", ["replay", "recorded.data"]),
    ("report heatmap --input rec", ["report", "heatmap", "--input", "recorded.data"]),
]
# Completes for real; what is run otherwise is only written down.
PROGRAM = """#!/bin/sh
case "$1" in
--cli_complete | completion) exec env PYTHONPATH={root} {python} -m damoctl "$@" ;;
*) for word; do printf '%s\\t' "$word"; done >>{log}; echo >>{log} ;;
esac
"""


class Terminal:
    """A shell on a terminal. What it draws is read and dropped; what it runs is in `log`."""

    def __init__(self, argv: list[str], environ: dict[str, str], cwd: Path, log: Path) -> None:
        self._log = log
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(cwd)
            os.execvpe(argv[0], argv, environ)
        self._shown = b""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._fd, text.encode())

    def runs(self, count: int) -> list[list[str]]:
        """The words of each damoctl that was run, once there are `count`."""
        deadline = time.monotonic() + 60
        while True:
            lines = self._log.read_text().splitlines() if self._log.exists() else []
            if len(lines) >= count:
                return [line.split("\t")[:-1] for line in lines]
            if time.monotonic() > deadline:
                pytest.fail(f"only {lines}; the terminal shows {self._shown[-2000:]!r}")
            if select.select([self._fd], [], [], 0.1)[0]:
                new = os.read(self._fd, 65536)
                self._shown += new
                # fish asks what the terminal is, and waits for the answer.
                if b"\x1b[c" in new or b"\x1b[0c" in new:
                    os.write(self._fd, b"\x1b[?62;c")

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes(name: str, named: LocalDaemon, tmp_path: Path) -> None:
    """Commands, options, keywords, names that the daemon has, and files, by the Tab key of a terminal."""
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name} on this machine: apt-get install {name} (.ci/run does)")
    home, log = tmp_path / "home", tmp_path / "log"
    (home / "bin").mkdir(parents=True)
    (home / "recorded.data").touch()
    program = home / "bin/damoctl"
    program.write_text(PROGRAM.format(root=ROOT, python=sys.executable, log=log))
    program.chmod(0o755)
    environ = {
        "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8",
        "DAMOD_SOCKET": str(named.socket), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home),
    }  # fmt: skip
    argv, settings = SHELLS[name]
    terminal = Terminal(argv, environ, home, log)
    try:
        for line in [*settings, "damoctl ready"]:
            terminal.type(line + "\n")
        assert terminal.runs(1) == [["ready"]]
        for number, (typed, found) in enumerate(ASKED, start=2):
            terminal.type(f"damoctl {typed}\t")
            terminal.type("\n")
            assert terminal.runs(number)[-1] == found
    finally:
        terminal.close()


def test_zsh_finds_the_script_in_fpath(named: LocalDaemon, tmp_path: Path) -> None:
    """Installed as a file `_damoctl`, it is found by compinit and completes at once."""
    if shutil.which("zsh") is None:
        pytest.skip("there is no zsh on this machine: apt-get install zsh (.ci/run does)")
    home, log = tmp_path / "home", tmp_path / "log"
    (home / "bin").mkdir(parents=True)
    (home / "functions").mkdir()
    (home / "functions/_damoctl").write_text(SCRIPTS["zsh"])
    program = home / "bin/damoctl"
    program.write_text(PROGRAM.format(root=ROOT, python=sys.executable, log=log))
    program.chmod(0o755)
    environ = {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8",
               "DAMOD_SOCKET": str(named.socket)}  # fmt: skip
    terminal = Terminal(["zsh", "-f", "-i"], environ, home, log)
    try:
        for line in [f"fpath=({home}/functions $fpath)", "autoload -Uz compinit", "compinit -u -D", "damoctl ready"]:
            terminal.type(line + "\n")
        assert terminal.runs(1) == [["ready"]]
        terminal.type("damoctl stop tie\t")
        terminal.type("\n")
        assert terminal.runs(2)[-1] == ["stop", "tiering"]
    finally:
        terminal.close()
