"""damoctl's commands that go on: stream, report access --follow, log --follow; ended by Ctrl-C, head, or the daemon."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from damoctl.local import LocalDaemon
from damod.rpc.client import Client
from tests.service.conftest import ROOT, Run

ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}


def argv_of(daemon: LocalDaemon, *words: str) -> list[str]:
    return [sys.executable, "-m", "damoctl", "--socket", str(daemon.socket), *words]


@contextmanager
def running(daemon: LocalDaemon, *words: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    argv = argv_of(daemon, *words)
    with subprocess.Popen(argv, env=ENVIRON, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def paddr(damoctl: Run) -> None:
    """A kdamond that runs."""
    assert damoctl("start", "paddr", "--take_over").returncode == 0


@pytest.mark.usefixtures("paddr")
def test_stream_prints_lines_and_json_lines(damoctl: Run) -> None:
    """A line for each snapshot, or the event as JSON with the regions that the filters leave."""
    plain = damoctl("stream", "-n", "3")
    assert plain.returncode == 0
    for line in plain.stdout.splitlines():
        assert re.fullmatch(r"[\d:.]+ kdamond 0 target 0: \d+ regions, [\d.]+ GiB, accessed [\d.]+ [MG]iB", line)
    events = damoctl("stream", "--json", "-n", "2", "--sz_region", "64M", "max", "--interval", "200ms").stdout
    found = [json.loads(line) for line in events.splitlines()]
    assert [event["seq"] for event in found] == [1, 2]
    for event in found:
        regions = event["snapshot"]["regions"]
        assert all(end - start >= 64 << 20 for start, end in zip(regions["start"], regions["end"], strict=True))


def test_stream_tells_other_kinds(damoctl: Run, daemon: LocalDaemon) -> None:
    """Status, stats and log events are a line each for people."""
    with running(daemon, "stream", "status", "stats", "log") as process:
        assert line_of(process) == "status: no kdamond is running\n"
        assert line_of(process).endswith("no kdamond is running\n")
        damoctl("start", "paddr", "--take_over", "--damos_action", "stat")
        lines = [line_of(process) for _ in range(4)]
    assert any(re.match(r"status: kdamond 0: on, pid \d+, adhoc, paddr, stat", line) for line in lines)
    assert any("kdamonds.start" in line and "take_over=True" in line for line in lines)
    assert any(re.search(r"kdamond 0 scheme 0 stat: tried .* applied .* quota exceeded \d+ times", x) for x in lines)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stream", "snapshot"], "'snapshot' (choose from"),
        (["stream", "--interval", "soon"], "--interval soon"),
        (["stream", "--address", "2G", "1G"], "address is"),
        (["stream", "-n", "0"], "shows nothing"),
        (["log", "--since", "yesterday"], "neither a time ago nor a date"),
        (["report", "access", "--follow", "--repeat"], "--follow and --repeat exclude each other"),
        (["report", "access", "--follow", "--input", "x"], "--follow and --input exclude each other"),
    ],
)
def test_mistakes_are_sentences(damoctl: Run, words: list[str], says: str) -> None:
    """What makes no sense ends with status 2 and a sentence."""
    done = damoctl(*words)
    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@pytest.mark.usefixtures("paddr")
@pytest.mark.parametrize(
    "words",
    [
        ["stream"],
        ["stream", "--json"],
        ["report", "access", "--follow", "0"],
        ["report", "access", "--follow", "--json"],
    ],
    ids=" ".join,
)
def test_ctrl_c_and_a_closed_pipe_end_it_quietly(daemon: LocalDaemon, words: list[str]) -> None:
    """After Ctrl-C status 0, after `| head` too; nothing on stderr."""
    with running(daemon, *words) as process:
        assert line_of(process)
        process.send_signal(signal.SIGINT)
        _, trouble = process.communicate(timeout=5)
        assert (process.returncode, trouble) == (0, "")
    with running(daemon, *words) as process:
        assert line_of(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(5) == 0
        assert process.stderr.read() == ""


@pytest.mark.usefixtures("paddr")
@pytest.mark.parametrize("words", [["stream"], ["report", "access", "--follow"], ["log", "--follow"]], ids=" ".join)
def test_a_daemon_that_goes_is_told(daemon: LocalDaemon, words: list[str]) -> None:
    """When damod stops, who listens ends with status 3 and the reason; damod is not held up by them."""
    with running(daemon, *words) as process:
        assert line_of(process)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 1.5
        _, trouble = process.communicate(timeout=5)
        assert process.returncode == 3
        assert "closed the connection while it was listened to" in trouble
        assert "Traceback" not in trouble


@pytest.mark.usefixtures("paddr")
def test_follow_appends_where_nobody_looks(daemon: LocalDaemon) -> None:
    """Without a terminal the snapshots come one after the other, as JSON one in each line."""
    with running(daemon, "report", "access", "--follow", "0", "--json") as process:
        records: list[Any] = [json.loads(line_of(process)) for _ in range(3)]
        starts = [found[0]["snapshots"][0]["start_time"] for found in records]
        assert len(set(map(str, starts))) == 3
    with running(daemon, "report", "access", "--follow", "0") as process:
        heads = 0
        while heads < 2:
            heads += line_of(process).startswith("heatmap: ")


@pytest.mark.usefixtures("paddr")
def test_follow_redraws_on_a_terminal(daemon: LocalDaemon) -> None:
    """On a terminal each snapshot is drawn over the one before and never longer than the screen."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 100, 0, 0))
    argv = argv_of(daemon, "report", "access", "--follow", "0.2")
    with subprocess.Popen(argv, env=ENVIRON, stdout=slave, stderr=subprocess.PIPE) as process:
        os.close(slave)
        shown = ""
        deadline = time.monotonic() + 10
        while shown.count("\x1b[J") < 3 and time.monotonic() < deadline:
            if select.select([master], [], [], 1)[0]:
                shown += os.read(master, 1 << 16).decode()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(5) == 0
        finally:
            process.kill()
    os.close(master)
    screens = shown.split("\x1b[H")[1:4]
    assert len(screens) == 3
    assert screens[0] != screens[1]
    for screen in screens:
        assert screen.startswith("\x1b[?7ldamoctl report access --follow (Ctrl-C ends)")
        assert screen.count("\n") <= 11
        assert "total size" in screen


def test_follow_waits_for_a_kdamond(damoctl: Run, daemon: LocalDaemon) -> None:
    """With none running it says so and shows the first that starts."""
    with running(daemon, "report", "access", "--follow") as process:
        assert process.stderr is not None
        assert "no kdamond is running; waiting for one" in process.stderr.readline()
        damoctl("start", "paddr", "--take_over")
        assert line_of(process).startswith("heatmap: ")


def test_who_changed_what(damoctl: Run, daemon: LocalDaemon) -> None:
    """Each change is in the log with uid, pid, method and generation, also after a restart; looking is not."""
    damoctl("start", "paddr", "--take_over")
    damoctl("tune", "--sample", "10ms", "--aggr", "200ms")
    damoctl("report", "access")
    damoctl("stop")
    damoctl("stop")
    entries = json.loads(damoctl("log", "--json").stdout)["entries"]
    assert [(entry["method"], entry["error"]) for entry in entries] == [
        ("kdamonds.start", None),
        ("kdamonds.tune", None),
        ("kdamonds.stop", None),
        ("kdamonds.stop", "not-found"),
    ]
    assert {entry["uid"] for entry in entries} == {os.getuid()}
    assert all(entry["pid"] > 1 for entry in entries)
    assert entries[0]["what"] == "kdamonds=[1] name=adhoc take_over=True"
    last = damoctl("log", "-n", "1").stdout
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:]{8}  g0 +\w+ +\d+  kdamonds\.stop +\[not done: not-found\]\n", last)
    assert damoctl("log", "--since", "2100-01-01").stderr == "damoctl: nothing has been changed since then\n"
    daemon.stop()
    daemon.start()
    assert json.loads(damoctl("log", "--json").stdout)["entries"] == entries


def test_policies_have_a_generation(damoctl: Run, daemon: LocalDaemon) -> None:
    """It goes up with each reload that changes something, is in status, list, log and events, and outlives damod."""

    def generation() -> int:
        status = json.loads(damoctl("status", "--json").stdout)["policy_generation"]
        listed = json.loads(damoctl("policy", "list", "--json").stdout)["generation"]
        assert status == listed
        return int(status)

    assert generation() == 0
    daemon.policies.mkdir(exist_ok=True)
    file = daemon.policies / "look.yaml"
    text = "enabled: true\non_conflict: take_over\nkdamonds:\n- contexts:\n  - ops: paddr\n    targets: [{}]\n"
    file.write_text(text)
    with Client(str(daemon.socket)) as client:
        events = client.stream(["policies", "log"])
        damoctl("policy", "reload")
        found = [next(events) for _ in range(3)]
    policy = next(event["policy"] for event in found if event["kind"] == "policy")
    assert (policy["name"], policy["stage"], policy["before"], policy["generation"]) == ("look", "running", None, 1)
    entries = [event["log"] for event in found if event["kind"] == "log"]
    assert [(entry["method"], entry["generation"]) for entry in entries] == [("policies", 1), ("policy.reload", 1)]
    assert "look" in entries[0]["what"]
    assert generation() == 1
    damoctl("policy", "reload")
    assert generation() == 1
    file.write_text("description: the same, told better\n" + text)
    damoctl("policy", "reload")
    assert generation() == 2
    damoctl("policy", "disable", "look")
    assert generation() == 3
    daemon.stop()
    daemon.start()
    assert generation() == 3


def test_log_follow_shows_each_change_once(damoctl: Run, daemon: LocalDaemon) -> None:
    """What was before and what comes, in order, as JSON lines."""
    damoctl("start", "paddr", "--take_over")
    with running(daemon, "log", "--follow", "--json") as process:
        assert json.loads(line_of(process))["method"] == "kdamonds.start"
        damoctl("stop")
        assert json.loads(line_of(process))["method"] == "kdamonds.stop"
