"""Trouble on the real kernel: each ends in a sentence and an exit status, and the daemon goes on."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator

import pytest

from damod.errors import FeatureMissing, SpecInvalid
from damod.kernel.features import Features
from damod.kernel.linux import LinuxKernel
from damod.rpc.client import Client
from tests.guest.driver import Damoctl, ok, running, wait, whole_tree

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process to be watched."""
    with subprocess.Popen(["sleep", "3600"]) as process:
        yield process
        process.kill()


def ended(client: Client) -> str:
    """Wait until nothing runs; what the daemon says about it."""
    wait(lambda: True if not running(client) else None, "the kdamond has ended")
    return str(client.call("daemon.status")["problems"][-1])


def test_a_watched_process_that_dies(
    sleeper: subprocess.Popen[bytes], damoctl: Damoctl, client: Client, stat_at_boot: bool
) -> None:
    """Its kdamond ends, status says why, nothing of it is shown any more, and the same set can be started again."""
    ok(damoctl("start", str(sleeper.pid), "--take_over"))
    (kdamond,) = running(client)
    sleeper.kill()
    sleeper.wait()
    assert ended(client) == (
        f"kdamond 0 (pid {kdamond['pid']}) of the set 'adhoc' has ended: its target is gone (pid {sleeper.pid})"
    )
    if stat_at_boot:
        # It is on again, now that damod runs nothing, and is what is left to be seen once it has measured.
        wait(lambda: "# data source: damon_stat" in damoctl("report", "access").stdout or None, "damon_stat is shown")
    else:
        assert damoctl("report", "access").returncode == 10
    gone = damoctl("start", str(sleeper.pid), "--take_over")
    assert gone.returncode == 7
    assert str(sleeper.pid) in gone.stderr
    ok(damoctl("start", "paddr", "--take_over"))


def test_a_command_that_ends(damoctl: Damoctl, client: Client) -> None:
    """A command target that exits at once ends its kdamond, and the daemon goes on."""
    # An orphan's zombie, which DAMON still takes for alive, is for init to reap, and a guest's does not.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    told = ok(damoctl("start", "sleep 0.1", "--take_over"))
    pid = int(told.rsplit("watching pid", 1)[1])
    os.waitpid(pid, 0)
    assert f"its target is gone (pid {pid})" in ended(client)


def scheme(**what: object) -> list[dict[str, object]]:
    """A spec that watches physical memory and has one scheme."""
    return [{"contexts": [{"schemes": [what]}]}]


def goal(metric: str, **more: object) -> dict[str, object]:
    return {"reset_interval_ms": "1s", "goals": [{"metric": metric, "target_value": 100, **more}]}


LACKING = {
    "action.collapse": scheme(action="collapse"),
    "quota_goal.node_mem_used_bp": scheme(quotas=goal("node_mem_used_bp", nid=0)),
    "filter.hugepage_size": scheme(filters=[{"filter_type": "hugepage_size", "hugepage_size": ["4k", "2m"]}]),
    "filter.probe_hits_wsum": scheme(filters=[{"filter_type": "probe_hits_wsum", "probe_hits_wsum_range": [0, 1]}]),
    "quota_goal.complement": scheme(quotas=goal("user_input", complement=True)),
}


def test_what_the_kernel_lacks_is_refused_before_a_write(damoctl: Damoctl, client: Client, real: LinuxKernel) -> None:
    """On start and on tune; nothing in the tree changes, the running kdamond goes on."""
    ok(damoctl("start", "paddr", "--take_over"))
    before = whole_tree()
    known = Features.known(real.release)
    lacking = {name: spec for name, spec in LACKING.items() if not known.has(name)}
    assert lacking
    for name, spec in lacking.items():
        for method, which in (("kdamonds.start", "other"), ("kdamonds.tune", "adhoc")):
            with pytest.raises(FeatureMissing) as caught:
                client.call(method, kdamonds=spec, name=which)
            assert caught.value.facts["feature"] == name
    refused = damoctl("tune", "--damos_action", "stat", "--damos_filter", "reject", "probe_hits_wsum", "0", "1")
    assert refused.returncode == 6, refused.stderr
    assert "probe_hits_wsum" in refused.stderr
    assert whole_tree() == before


IMPOSSIBLE = [
    [{"contexts": [{"nr_regions": {"min": 100, "max": 10}}]}],
    [{"contexts": [{"intervals": {"sample_us": "100ms", "aggr_us": "5ms"}}]}],
    [{"contexts": [{"nr_regions": {"min": 2}}]}],
    scheme(access_pattern={"sz_bytes": {"min": 2, "max": 1}}),
    scheme(quotas={**goal("user_input"), "reset_interval_ms": 0}),
]


def test_impossible_values_never_reach_the_kernel(damoctl: Damoctl, client: Client) -> None:
    """They are refused with a sentence, at start and at tune, and on 6.12 too, where a commit of them ends DAMON."""
    ok(damoctl("start", "paddr", "--take_over"))
    before = whole_tree()
    for spec in IMPOSSIBLE:
        for method, which in (("kdamonds.start", "other"), ("kdamonds.tune", "adhoc")):
            with pytest.raises(SpecInvalid):
                client.call(method, kdamonds=spec, name=which)
    refused = damoctl("tune", "--monitoring_nr_regions_range", "100", "10")
    assert refused.returncode == 2
    assert "--monitoring_nr_regions_range 100 10" in refused.stderr
    assert whole_tree() == before
