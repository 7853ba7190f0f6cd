"""DAMON's modules through a whole damod: written, enabled, committed, disabled on the real kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from damoctl.local import LocalDaemon
from damod.errors import KernelRefused, SpecInvalid
from damod.kernel import parameters
from damod.kernel.linux import LinuxKernel
from damod.rpc.client import Client
from tests.contract.driver import PATIENCE_S
from tests.guest.driver import STAT, Damoctl, ok

RECLAIM = "damon_reclaim/parameters"


def listed(client: Client) -> dict[str, Any]:
    return {module["name"]: module for module in client.call("modules.list")["modules"]}


@pytest.fixture
def quiet(real: LinuxKernel, local: LocalDaemon, client: Client) -> Iterator[None]:
    """No module runs, and afterwards each has its parameters again."""
    if real.modules.exists(STAT):
        client.call("modules.write", name="stat", enabled=False)
    before = listed(client)
    yield
    with Client(str(local.socket), PATIENCE_S) as again:  # a test may have ended the daemon of the first
        left = listed(again)
        for name in [name for name, module in left.items() if module["enabled"]]:
            again.call("modules.write", name=name, enabled=False)
    for name in left:
        for parameter, text in before[name]["parameters"].items():
            row = parameters.of(name, parameter, text)
            if not row.result and parameter not in ("enabled", "commit_inputs"):
                real.modules.write(f"{name}/parameters/{parameter}", text)


def test_every_parameter_is_read_and_written(real: LinuxKernel, client: Client, quiet: None) -> None:
    """Each that can be written takes another value and has it; each that cannot is told as a result."""
    for name in listed(client):
        for row in client.call("modules.show", name=name)["parameters"]:
            where = f"{name}/parameters/{row['name']}"
            if row["name"] in ("enabled", "commit_inputs") or not row["writable"]:
                continue
            value = {"flag": "N" if row["value"] else "Y", "permil": row["text"]}.get(row["kind"])
            value = value or {"monitor_region_start": "0", "addr_unit": "2"}.get(row["name"], str(row["value"] + 1))
            client.call("modules.write", name=name, parameters={row["name"]: value})
            assert real.modules.read(where) == value
            client.call("modules.write", name=name, parameters={row["name"]: row["text"]})
            assert real.modules.read(where) == row["text"]


def test_reclaim_from_enable_to_disable(
    real: LinuxKernel, client: Client, damoctl: Damoctl, quiet: None, stat_at_boot: bool
) -> None:
    """damon_stat makes room and comes back; a commit is read by the running module, whose kdamond stays the same."""
    if stat_at_boot:
        client.call("modules.write", name="stat", enabled=True)
        refused = damoctl("reclaim", "enable")
        assert refused.returncode == 5 and "--take_over" in refused.stderr
    ok(damoctl("reclaim", "enable", "--min_age", "30s", "--quota", "10", "100M", "1s", "--take_over"))
    assert real.modules.read(f"{RECLAIM}/min_age") == "30000000"
    module = listed(client)["damon_reclaim"]
    assert module["enabled"] and module["owner"] == "damod"
    assert module["pid"] and real.proc.alive(module["pid"])
    refused = damoctl("start", "paddr")
    assert refused.returncode == 5 and "damoctl module reclaim disable" in refused.stderr
    refused = damoctl("lru_sort", "enable", "--take_over")
    assert refused.returncode == 5 and "damon_reclaim" in refused.stderr
    told = json.loads(ok(damoctl("reclaim", "commit", "--wmarks", "1s", "100%", "99%", "0", "--json")))
    assert told["module"]["pid"] == module["pid"]
    assert real.modules.read(f"{RECLAIM}/commit_inputs") == "N"
    ok(damoctl("reclaim", "disable"))
    assert not real.proc.alive(module["pid"])
    assert [item["enabled"] for item in listed(client).values()] == [stat_at_boot, False, False][-len(listed(client)) :]


def test_what_the_kernel_would_refuse_is_not_written(real: LinuxKernel, client: Client, quiet: None) -> None:
    """By its rules: told with the parameter, and the module stays off."""
    for name, value in (("min_nr_regions", "2"), ("sample_interval", "1s"), ("max_nr_regions", "5")):
        with pytest.raises(SpecInvalid, match=name if name != "max_nr_regions" else "max_nr_regions"):
            client.call("modules.write", name="reclaim", parameters={name: value}, enabled=True)
    assert real.modules.read(f"{RECLAIM}/enabled") == "N"
    assert real.modules.read(f"{RECLAIM}/min_nr_regions") == "10"


def test_a_commit_that_the_kernel_refuses_is_put_back(real: LinuxKernel, client: Client, quiet: None) -> None:
    """Somebody else spoils a parameter behind damod's back; the module runs on, or again, whatever this kernel does."""
    client.call("modules.write", name="reclaim", enabled=True)
    real.modules.write(f"{RECLAIM}/monitor_region_start", str(1 << 50))
    real.modules.write(f"{RECLAIM}/monitor_region_end", str(1 << 40))
    with pytest.raises(SpecInvalid):
        client.call("modules.write", name="reclaim", commit=True)
    assert listed(client)["damon_reclaim"]["enabled"]
    real.modules.write(f"{RECLAIM}/monitor_region_start", "0")
    # A region without any memory: right by all rules that can be checked from here.
    try:
        client.call("modules.write", name="reclaim", parameters={"monitor_region_end": "1"}, commit=True)
    except KernelRefused as exc:
        assert "as they were" in exc.hint
        assert real.modules.read(f"{RECLAIM}/monitor_region_end") == str(1 << 40)
    assert listed(client)["damon_reclaim"]["enabled"]


def test_a_module_that_damod_enabled_is_its_own_after_a_crash(
    local: LocalDaemon, client: Client, damoctl: Damoctl, quiet: None
) -> None:
    """The next damod finds it on, with the same kdamond, and disables it."""
    ok(damoctl("lru_sort", "enable"))
    pid = listed(client)["damon_lru_sort"]["pid"]
    local.kill()
    local.start()
    assert f"module damon_lru_sort is on, its kdamond has pid {pid}, enabled by damod" in ok(damoctl("status"))
    assert "damon_lru_sort: off" in ok(damoctl("lru_sort", "disable"))
