"""DAMON's modules through damoctl, against a whole damod on the simulated kernel."""

from __future__ import annotations

import json
from pathlib import Path

from damoctl.local import LocalDaemon
from tests.service.conftest import Run


def test_a_module_from_list_to_disable(daemon: LocalDaemon, damoctl: Run) -> None:
    """In the way, taken over, changed, read, disabled: what is printed, and with which exit status."""
    assert "damon_stat     on, pid" in damoctl("module").stdout
    refused = damoctl("reclaim", "enable", "--min_age", "30s")
    assert refused.returncode == 5
    assert "--take_over" in refused.stderr
    made = damoctl("reclaim", "enable", "--min_age", "30s", "--quota", "10", "100M", "1s", "--take_over")
    assert made.returncode == 0
    assert made.stdout.splitlines()[:3] == [
        "min_age: 2 m -> 30 s",
        "quota_sz: 128.000 MiB -> 100.000 MiB",
        "enabled: N -> Y",
    ]
    assert "damod's" in made.stdout.splitlines()[3]
    assert "enabled by damod" in damoctl("status").stdout
    assert "damon_reclaim: on" in damoctl("report", "damon").stdout
    started = damoctl("start", "paddr")
    assert started.returncode == 5
    assert "damoctl module reclaim disable" in started.stderr
    assert damoctl("reclaim", "commit", "--min_age", "1m").stdout.splitlines()[0] == "min_age: 30 s -> 1 m"
    assert damoctl("module", "reclaim", "read", "min_age").stdout == "1 m\n"
    assert damoctl("module", "reclaim", "read", "min_age", "--raw_number").stdout == "60000000\n"
    ended = damoctl("reclaim", "disable")
    assert "damon_reclaim: off" in ended.stdout
    assert "damon_stat is on again" in ended.stderr


def test_a_module_outlives_the_daemon(daemon: LocalDaemon, damoctl: Run) -> None:
    """After a crash the next damod knows that the module is its own."""
    assert damoctl("lru_sort", "enable", "--take_over").returncode == 0
    daemon.kill()
    daemon.start()
    # The simulated kernel died with its daemon: what runs in it now is what runs after a boot.
    assert "the module damon_lru_sort, which damod had enabled, is off" in damoctl("status").stdout


def test_options_are_named_in_what_is_wrong(daemon: LocalDaemon, damoctl: Run) -> None:
    """The option that was typed and the parameter; a look with parameters is a mistake."""
    wrong = damoctl("reclaim", "enable", "--quota", "10", "5%", "1s")
    assert wrong.returncode == 2
    assert "--quota (quota_sz): '5%'" in wrong.stderr
    assert damoctl("reclaim", "--min_age", "5").returncode == 2
    assert damoctl("module", "reclaim", "write", "min_age").returncode == 2
    assert damoctl("module", "nothing", "read").returncode == 7


def test_idle_times(daemon: LocalDaemon, damoctl: Run) -> None:
    """damon_stat's percentiles as a table, as shares of memory, and from numbers of one's own without the kernel's."""
    lines = damoctl("module", "stat", "read", "idle_time_percentiles").stdout.splitlines()
    assert [line[:3] for line in lines] == [f"{at:3}" for at in range(0, 101, 10)]
    shares = damoctl("module", "stat", "read", "idle_time_mem_sz", "--idle_time_mem_sz_lines", "4").stdout.splitlines()
    assert len(shares) == 4
    words = ("module", "stat", "read", "idle_time_percentiles", "--input_idle_time_percentiles", "0", "0", "100", "50")
    assert damoctl(*words).stdout.splitlines()[5] == " 50 25 s"
    found = json.loads(damoctl("module", "list", "--json").stdout)
    assert {module["name"] for module in found} == {"damon_stat", "damon_reclaim", "damon_lru_sort"}


def test_idle_times_need_no_daemon(tmp_path: Path) -> None:
    """Numbers of one's own are read where nothing runs."""
    from io import StringIO

    from damoctl.commands import module
    from damoctl.context import Context

    out = StringIO()
    ctx = Context(stdout=out, socket=str(tmp_path / "nobody"))
    assert module.run(["stat", "read", "--input_idle_time_percentiles", "0", "0", "100", "50"], ctx) == 0
    assert len(out.getvalue().splitlines()) == 21
