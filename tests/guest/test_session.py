"""An operator's session on the real kernel: start, look, tune, look again, stop."""

from __future__ import annotations

import re
import shlex
import sys
import time
from pathlib import Path

from damoctl.local import LocalDaemon
from damod.kernel.linux import LinuxKernel
from damod.rpc.client import Client
from tests.contract.driver import Damon
from tests.guest.driver import (
    MIB,
    STAT,
    Damoctl,
    Hot,
    end,
    hot_bytes,
    ok,
    older_than,
    running,
    snapshots,
    wait,
)

WORKLOADS = Path(__file__).parents[1] / "vm/workloads"


def test_start_look_tune_stop(
    damon: Damon, daemon: LocalDaemon, damoctl: Damoctl, real: LinuxKernel, stat_at_boot: bool
) -> None:
    """The session of the README works; damon_stat stands aside when told to, and is back after the last stop."""
    if stat_at_boot:
        refused = damoctl("start", "paddr")
        assert refused.returncode == 5
        assert "damon_stat" in refused.stderr and "--take_over" in refused.stderr
        assert real.modules.read(STAT) == "Y"
    started = re.fullmatch(r"started kdamond 0 \(pid (\d+)\) of adhoc\n", ok(damoctl("start", "paddr", "--take_over")))
    assert started
    pid = int(started[1])
    assert Path(f"/proc/{pid}/comm").read_text().startswith("kdamond")
    lines = ok(damoctl("report", "access")).splitlines()
    assert lines[0].startswith("heatmap: ")
    assert lines[1].startswith("# min/max temperatures: ")
    assert lines[2] == "intervals: sample 5 ms aggr 100 ms (max access hz 200)"
    assert lines[3].startswith("0   addr ")
    assert lines[-1] == "record DAMON intervals: sample 5 ms, aggr 100 ms"
    assert "sample_us: 5 ms -> 10 ms" in ok(damoctl("tune", "--monitoring_intervals", "10ms", "200ms", "1s"))
    report = ok(damoctl("report", "damon"))
    assert "sample 10 ms, aggr 200 ms, update 1 s" in report
    assert f"state: on, pid: {pid}" in report
    assert damon.read("kdamonds/0/contexts/0/monitoring_attrs/intervals/aggr_us") == "200000"
    assert f"stopped kdamond 0 (pid {pid})" in ok(damoctl("stop"))
    assert not Path(f"/proc/{pid}").exists()
    assert not stat_at_boot or real.modules.read(STAT) == "Y"


def test_a_real_workload_shows_its_hot_memory(damoctl: Damoctl, client: Client, tmp_path: Path) -> None:
    """A command that touches 20 of its 100 MiB for ever shows about 20 MiB hot within ten seconds.

    It runs beside a busy competitor, for emulation hides accesses otherwise (docs/kernels.md).
    """
    words = [sys.executable, WORKLOADS / "pinned.py", "1", sys.executable, WORKLOADS / "hot.py"]
    command = shlex.join(map(str, [*words, "--total-mib", "100", "--hot-mib", "20"]))
    told = ok(damoctl("start", command, "--take_over"))
    pid = int(told.rsplit("watching pid", 1)[1].split()[0])
    try:
        hot = wait(lambda: Hot.told((tmp_path / "stdout").read_text()), "the workload has its memory")
        touched = time.monotonic()
        assert hot.pid == pid
        seen: list[float] = []

        def about_20_mib() -> float | None:
            (found,) = snapshots(client)
            seen.append(hot_bytes(found.regions) / MIB)
            return seen[-1] if 15 <= seen[-1] <= 25 else None

        wait(about_20_mib, f"about 20 MiB are hot, but {seen}", 10 - (time.monotonic() - touched))
        (kdamond,) = running(client)
        assert kdamond["ops"] == "vaddr"
        assert "total size" in ok(damoctl("report", "access"))
    finally:
        end(pid)


def test_stopping_one_leaves_the_other(damoctl: Damoctl, client: Client) -> None:
    """Two sets at once; when one is stopped, the pid of the other stays, and its regions grow older."""
    ok(damoctl("start", "paddr", "--take_over", "--name", "first"))
    ok(damoctl("start", "paddr", "--name", "second"))
    first, second = running(client)
    assert [first["name"], second["name"]] == ["first", "second"]
    assert first["pid"] != second["pid"]
    age = older_than(client, first["index"], 20)
    assert f"(pid {second['pid']})" in ok(damoctl("stop", "second"))
    (left,) = running(client)
    assert left == first
    older_than(client, first["index"], age)


def test_a_killed_daemon_finds_its_kdamond_again(daemon: LocalDaemon, damoctl: Damoctl, client: Client) -> None:
    """After kill -9 the next damod goes on with the same kdamond: same pid, still ours, ages kept, tune works."""
    ok(damoctl("start", "paddr", "--take_over"))
    (before,) = running(client)
    age = older_than(client, 0, 20)
    daemon.kill()
    assert Path(f"/proc/{before['pid']}").exists()
    daemon.start()
    with Client(str(daemon.socket)) as again:
        assert running(again) == [before]
        assert f"kdamond 0: on, pid {before['pid']}, adhoc" in ok(damoctl("status"))
        older_than(again, 0, age)
        ok(damoctl("tune", "--monitoring_nr_regions_range", "20", "500"))
        assert running(again) == [before]
        (held,) = again.call("kdamonds.show")["kdamonds"]
        assert held["spec"]["contexts"][0]["nr_regions"] == {"min": "20", "max": "500"}
        assert held["drift"] == []
