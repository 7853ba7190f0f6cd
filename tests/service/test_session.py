"""An operator's session: start, look, tune, look again, stop; and the mistakes made on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def ok(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that must have worked."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_start_look_tune_stop(damoctl: Run) -> None:
    """The session of the README works on the simulated kernel."""
    assert "started kdamond 0" in ok(damoctl("start", "paddr", "--take_over"))
    shown = ok(damoctl("report", "access"))
    lines = shown.splitlines()
    assert lines[0].startswith("heatmap: ")
    assert lines[1].startswith("# min/max temperatures: ")
    assert lines[2] == "intervals: sample 5 ms aggr 100 ms (max access hz 200)"
    assert lines[3].startswith("0   addr ")
    assert lines[-1] == "record DAMON intervals: sample 5 ms, aggr 100 ms"
    pid = json.loads(ok(damoctl("status", "--json")))["kdamonds"][0]["pid"]
    changes = ok(damoctl("tune", "--monitoring_intervals", "10ms", "200ms", "1s"))
    assert "sample_us: 5 ms -> 10 ms" in changes
    report = ok(damoctl("report", "damon"))
    assert "sample 10 ms, aggr 200 ms, update 1 s" in report
    assert f"state: on, pid: {pid}" in report
    assert f"stopped kdamond 0 (pid {pid})" in ok(damoctl("stop"))
    assert "kdamond 0" not in ok(damoctl("status"))


def test_what_schemes_were_tried_on(damoctl: Run) -> None:
    """`report damon` lists each scheme's regions, `report access` shows them, and both tell the modules and the CPU."""
    assert ok(damoctl("report", "access")).endswith("# data source: damon_stat\n")
    idle = ["--damos_action", "stat", "--damos_access_rate", "0%", "0%"]
    ok(damoctl("start", "paddr", "--damos_action", "stat", *idle, "--take_over"))
    lines = ok(damoctl("report", "damon", "--show_cpu_usage")).splitlines()
    assert re.search(r"state: on, pid: \d+, cpu usage: \d+\.\d{3} %", lines[1])
    assert lines[-3:] == ["damon_lru_sort: off", "damon_reclaim: off", "damon_stat: off"]
    heads = [number for number, line in enumerate(lines) if line.startswith("            tried regions (")]
    assert len(heads) == 2
    assert all(re.search(r"^ {16}\[\S+, \S+\) \(.+\) access \d+ % age ", lines[head + 1]) for head in heads)
    for words in (["--input", "tried_regions_of", "0", "0", "1"], ["--tried_regions_of", "0", "0", "1"]):
        rows = [line for line in ok(damoctl("report", "access", *words)).splitlines() if " addr " in line]
        assert rows and all("access 0 hz" in row for row in rows)


def test_tune_says_before_it_does(damoctl: Run) -> None:
    """What changes is printed and then done; with --dry_run only printed; the goals alone when only they are meant."""
    quota = ["--damos_action", "pageout", "--damos_quota_interval", "1s", "--damos_quota_space", "1M"]
    ok(damoctl("start", "paddr", *quota, "--damos_quota_goal", "user_input", "100", "5", "--take_over"))
    dry = ok(damoctl("tune", "--dry_run", "--damos_quota_space", "2M"))
    assert dry == "kdamonds[0].contexts[0].schemes[0].quotas.sz_bytes: 1024.000 KiB -> 2.000 MiB\n"
    assert ok(damoctl("tune", "--damos_quota_space", "2M")) == dry
    assert ok(damoctl("tune", "--damos_quota_space", "2M")) == "nothing changes\n"
    goals = ["--damos_quota_goal", "user_input", "100", "50", "--damos_quota_space", "3M", "--quota_goals_only"]
    assert ok(damoctl("tune", *goals)) == (
        "kdamonds[0].contexts[0].schemes[0].quotas.goals[0].current_value: 5 -> 50\n"
    )
    refused = damoctl("tune", "--damos_quota_goal_tuner", "temporal", "--damos_apply_interval", "1", "--scheme", "7")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_two_sets_do_not_disturb_each_other(damoctl: Run) -> None:
    """Stopping one kdamond leaves the pid and the ages of the other."""
    ok(damoctl("start", "paddr", "--take_over", "--name", "first"))
    ok(damoctl("start", "paddr", "--name", "second"))
    first, second = json.loads(ok(damoctl("status", "--json")))["kdamonds"]
    assert first["pid"] != second["pid"]
    ok(damoctl("stop", "second"))
    (left,) = json.loads(ok(damoctl("status", "--json")))["kdamonds"]
    assert (left["name"], left["pid"]) == ("first", first["pid"])


def test_a_command_target_is_watched(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """A command is started by damoctl and is the target; the daemon says so."""
    # Not through a pipe: the command inherits damoctl's output and would keep it open.
    shown = tmp_path / "shown"
    argv = [sys.executable, "-m", "damoctl", "--socket", str(daemon.socket), "start", "sleep 60", "--take_over"]
    with shown.open("w") as out:
        subprocess.run(argv, stdout=out, stderr=out, check=True, timeout=60)
    pid = int(shown.read_text().rsplit("watching pid", 1)[1])
    try:
        assert f"pid: {pid}" in ok(damoctl("report", "damon"))
        assert ok(damoctl("report", "access")).startswith("heatmap: ")
    finally:
        os.kill(pid, signal.SIGKILL)


MISTAKES = [
    (["start", "999999999"], 7, "999999999"),
    (["start", "--monitoring_nr_regions_range", "100", "10"], 2, "--monitoring_nr_regions_range 100 10"),
    (["start", "--monitoring_intervals", "5ms", "1ms", "1s"], 2, "aggr_us"),
    (["start", "--damos_action", "pagout"], 2, "pageout"),
    (["start", "no-such-command-anywhere"], 7, "no-such-command-anywhere"),
    (["stop"], 7, "nothing"),
    (["tune", "--monitoring_intervals", "5ms", "100ms", "1s"], 7, "start"),
    (["report", "acess"], 2, "access"),
    (["satus"], 2, "status"),
    (["adopt"], 7, "no kdamond of anybody else runs"),
    (["report", "access", "--snapshot_damos_filter", "allow", "anon"], 10, "start"),
    (["report", "access", "--input", "tried_regions_of", "0", "0", "0"], 7, "kdamond 0 does not run"),
]


@pytest.mark.parametrize(
    ("argv", "status", "word"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_mistakes_get_one_sentence(damoctl: Run, argv: list[str], status: int, word: str) -> None:
    """Each mistake ends with its exit status and a sentence on stderr that names it; the daemon goes on."""
    done = damoctl(*argv)
    assert done.returncode == status, done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    ok(damoctl("status"))


def test_without_a_daemon_the_way_out_is_named(damoctl: Run, daemon: LocalDaemon) -> None:
    """No daemon: exit status 3, and how to start one."""
    daemon.stop()
    done = damoctl("status")
    assert done.returncode == 3
    assert "damod" in done.stderr
    assert "hint:" in done.stderr


def test_a_second_daemon_is_refused(daemon: LocalDaemon, damoctl: Run) -> None:
    """A second damod on the same directory says which pid has it, and the first goes on."""
    other = LocalDaemon("--kernel", "sim", directory=daemon.directory)
    with pytest.raises(Exception, match=str(daemon.process.pid if daemon.process else "?")):
        other.start()
    ok(damoctl("status"))


def test_trace_and_machine(damoctl: Run, tmp_path: Path) -> None:
    """Trace events of a running kdamond come live and read the same from what was saved; the machine is described."""
    ok(damoctl("start", "paddr", "--take_over"))
    live = ok(
        damoctl(
            "report", "trace", "--count", "20", "--timeout", "30s", "--output", "events", "--event", "damon_aggregated"
        )
    )
    assert live.count("damon_aggregated") == 20
    assert ok(damoctl("report", "trace", "--input", "events")) == live
    layout = ok(damoctl("report", "pa_layout"))
    assert layout.splitlines()[-1].startswith("Default paddr monitoring range: [4.000 GiB")
    assert [
        row["node"] for row in json.loads(ok(damoctl("report", "pa_layout", "--numa_node", "0", "--json")))["ranges"]
    ] == [0, 0]
    assert damoctl("report", "pa_layout", "--numa_node", "9").returncode == 7
    assert "kernel version: 7.3" in ok(damoctl("report", "sysinfo"))
