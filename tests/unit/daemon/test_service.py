"""The daemon as a process: ready, asked, reloaded, stopped, started twice, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from damod.errors import DaemonUnreachable
from damod.rpc.client import Client

PROGRAM = str(Path(__file__).with_name("fake_damod.py"))


class Damod:
    """A damod process on a fake kernel, with the socket that it notifies."""

    def __init__(self, directory: Path, *more: str, socket_name: str = "s", state: str = "state", **environ: str):
        self.path = str(directory / socket_name)
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notes.settimeout(10)
        notify = directory / f"notify-{id(self):x}"
        self.notes.bind(str(notify))
        words = ["--kernel", "sim", "--socket", self.path, "--state-dir", str(directory / state)]
        words += ["--policy-dir", str(directory / "damo.d"), *more]
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, *words],
            env={**os.environ, "NOTIFY_SOCKET": str(notify), "PYTHONPATH": str(Path.cwd()), **environ},
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self) -> str:
        """The next notification."""
        return self.notes.recv(1000).decode()

    def client(self) -> Client:
        return Client(self.path, timeout_s=10)

    def end(self) -> tuple[int, str, float]:
        """Exit status, log, and seconds from SIGTERM to the end."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(10)
        took = time.monotonic() - begin
        assert self.process.stderr is not None
        return status, self.process.stderr.read(), took

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.notes.close()
        assert self.process.stderr is not None
        self.process.stderr.close()


Start = Callable[..., Damod]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a damod in the test's directory; all are gone at the end."""
    with ExitStack() as held:

        def begin(*words: str, **more: Any) -> Damod:
            damod = Damod(tmp_path, *words, **more)
            held.callback(damod.close)
            return damod

        yield begin


@pytest.fixture
def damod(start: Start) -> Damod:
    """A damod that has said READY."""
    damod = start()
    assert damod.told().startswith("READY=1\n")
    return damod


def test_ready_means_that_a_client_is_answered(damod: Damod) -> None:
    """After READY=1 the first connection succeeds and the status names the process."""
    with damod.client() as client:
        status = client.call("daemon.status")["daemon"]
        version = client.call("daemon.version")
    assert (status["pid"], status["socket"]) == (damod.process.pid, damod.path)
    assert version == {"version": status["version"], "protocol": 1, "kernel": {"name": "fake", "release": "0.0"}}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_within_a_second(damod: Damod, tmp_path: Path, number: signal.Signals) -> None:
    """STOPPING=1, exit status 0, no socket left, in less than a second."""
    begin = time.monotonic()
    damod.process.send_signal(number)
    assert damod.process.wait(5) == 0
    assert time.monotonic() - begin < 1
    assert damod.told() == "STOPPING=1"
    assert not (tmp_path / "s").exists()


def test_it_stops_within_a_second_while_the_kernel_blocks(damod: Damod) -> None:
    """A write that does not return delays neither the end nor the answer to who waits for it."""
    answers: list[Exception] = []

    def wait() -> None:
        with damod.client() as client, pytest.raises(DaemonUnreachable) as caught:
            client.call("test.block")
        answers.append(caught.value)

    with damod.client() as other:
        waiting = threading.Thread(target=wait)
        waiting.start()
        while other.call("daemon.status")["daemon"]["connections"] < 2:
            time.sleep(0.01)
        status, log, took = damod.end()
        waiting.join(5)
    assert (status, took < 1) == (0, True), f"{took:.2f} s\n{log}"
    assert "test.block was not finished" in str(answers[0])
    assert "the kernel still works on a command" in log


def test_others_are_answered_while_the_kernel_blocks(damod: Damod) -> None:
    """A blocked kernel thread does not block the socket."""
    with damod.client() as blocked, damod.client() as other:
        blocked.timeout_s = 0.1
        with pytest.raises(DaemonUnreachable, match="did not answer"):
            blocked.call("test.block")
        assert other.call("daemon.version")["protocol"] == 1


def test_a_second_damod_is_refused_with_the_pid_of_the_first(damod: Damod, start: Start) -> None:
    """Neither the same directory nor the same socket can have two; the first goes on."""
    for second, where in ((start(socket_name="other"), "state"), (start(state="other"), "s")):
        assert second.process.wait(10) == 5
        assert second.process.stderr is not None
        text = second.process.stderr.read()
        assert f"damod: another damod (pid {damod.process.pid}) already" in text and f"/{where}\n" in text
        assert "\n  hint: " in text and "Traceback" not in text
    with damod.client() as client:
        assert client.call("daemon.version")


def test_a_killed_damod_is_no_obstacle(damod: Damod, start: Start) -> None:
    """Its lock is free and its socket is replaced."""
    damod.process.kill()
    damod.process.wait()
    again = start()
    assert again.told().startswith("READY=1\n")
    with again.client() as client:
        assert client.call("daemon.status")["daemon"]["pid"] == again.process.pid


def test_reload_takes_over_what_is_good_and_keeps_running_on_what_is_bad(start: Start, tmp_path: Path) -> None:
    """SIGHUP reads the file again; a bad one is named in the log and changes nothing."""
    config = tmp_path / "damod.yaml"
    config.write_text("max_connections: 10\n")
    damod = start("--config", str(config))
    assert damod.told().startswith("READY=1\n")

    def reload(text: str) -> None:
        config.write_text(text)
        damod.process.send_signal(signal.SIGHUP)
        assert damod.told().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert damod.told().startswith("READY=1\n")

    reload("max_conections: 1\n")
    reload("viewers: all\nmax_connections: 20\nkernel: sim:stairs\n")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o666
    with damod.client() as client:
        assert client.call("daemon.version")
    status, log, _ = damod.end()
    assert status == 0
    assert f"{config}:1:1: there is no setting 'max_conections'; did you mean 'max_connections'?" in log
    assert "changed=viewers,max_connections" in log


def test_systemd_can_hand_over_the_socket(tmp_path: Path) -> None:
    """With LISTEN_FDS the daemon serves on descriptor 3, and leaves the socket file to systemd."""
    path = tmp_path / "activated"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        # The shell knows its own pid, as systemd does when it has forked; it gets the socket as its input.
        script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&0'
        words = [sys.executable, PROGRAM, "--kernel", "sim", "--state-dir", str(tmp_path / "state")]
        process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *words], stdin=listener, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
        )
        try:
            with Client(str(path), timeout_s=10) as client:
                status = client.call("daemon.status")["daemon"]
            assert (status["pid"], status["socket"]) == (process.pid, str(path))
        finally:
            process.terminate()
            assert process.wait(5) == 0
    assert path.exists()


def test_a_missing_operators_group_is_said(start: Start) -> None:
    """Who wonders why nobody but root may start anything finds it in the log."""
    damod = start(DAMOD_OPERATOR_GROUP="no-such-group")
    assert damod.told().startswith("READY=1\n")
    _, log, _ = damod.end()
    assert "there is no operators' group" in log and "operator_group=no-such-group" in log


def test_the_watchdog_is_fed_when_the_unit_asks(start: Start) -> None:
    """With WATCHDOG_USEC the daemon says that it lives, in half of that time."""
    damod = start(WATCHDOG_USEC="200000")
    assert damod.told().startswith("READY=1\n")
    begin = time.monotonic()
    assert [damod.told(), damod.told()] == ["WATCHDOG=1", "WATCHDOG=1"]
    assert time.monotonic() - begin < 1


def test_an_idle_daemon_sleeps(damod: Damod) -> None:
    """Nothing happens, so nothing runs: not one wake-up in half a second, in any thread."""

    def switches() -> list[str]:
        tasks = sorted(Path(f"/proc/{damod.process.pid}/task").iterdir())
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return [line for line in lines if line.startswith("voluntary_ctxt_switches")]

    with damod.client() as client:
        client.call("daemon.version")
        time.sleep(0.1)
        before = switches()
        time.sleep(0.5)
        assert switches() == before


def test_an_idle_daemon_is_small(damod: Damod) -> None:
    """Without a running kdamond the whole daemon has at most 45 MiB."""
    status = Path(f"/proc/{damod.process.pid}/status").read_text()
    kib = int(status.partition("VmRSS:")[2].split()[0])
    assert kib < 45 * 1024


def test_the_daemon_loads_no_drawing() -> None:
    """structlog takes rich along where it is installed; the daemon's log keeps it out."""
    program = "import sys, damod.cli, damod.daemon.methods; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_ready_comes_after_the_first_apply(start: Start, tmp_path: Path) -> None:
    """STATUS= in the first message counts what runs and what was refused; a reload sends it anew."""
    (tmp_path / "damo.d").mkdir()
    (tmp_path / "damo.d/a.yaml").write_text("kdamonds:\n- contexts:\n  - ops: paddr\n")
    (tmp_path / "damo.d/b.yaml").write_text("kdamonds: [")
    damod = start()
    told = damod.told()
    assert told.startswith("READY=1\nSTATUS=") and told.endswith("policies: 1 invalid, 1 running")
    (tmp_path / "damo.d/b.yaml").unlink()
    damod.process.send_signal(signal.SIGHUP)
    assert damod.told().startswith("RELOADING=1")
    assert damod.told().endswith("policies: 1 running")


def test_idle_with_policies_that_are_off_it_does_not_wake_up(start: Start, tmp_path: Path) -> None:
    """Disabled policies cost nothing: no context switch of any thread within a second."""
    (tmp_path / "damo.d").mkdir()
    (tmp_path / "damo.d/a.yaml").write_text("enabled: false\nkdamonds:\n- contexts:\n  - ops: paddr\n")
    damod = start()
    assert damod.told().endswith("policies: 1 disabled")

    def switches() -> int:
        tasks = Path(f"/proc/{damod.process.pid}/task").iterdir()
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))

    time.sleep(0.5)
    before = switches()
    time.sleep(1)
    assert switches() - before <= 1
