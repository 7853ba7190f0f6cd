"""What the shipped policies do where memory is to be got back: with swap in memory (zram), on one node or two."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon
from damod.rpc.client import Client
from tests.guest.driver import MIB, Damoctl, ok, wait
from tests.guest.policies import Policies
from tests.guest.workload import in_ram, measured, meminfo, sysctl, vmstat, workload

HOT_MIB, COLD_MIB = 32, 128

# An emulated processor takes twenty times as long for everything, so what a policy may take of one is scaled by that:
# the guard's limit, the quota of time. It also does not keep up with 5 ms sampling, and ages count aggregations.
SLOW = """\
guard: {cpu: null}
kdamonds:
- contexts:
  - intervals: {sample_us: 50ms, aggr_us: 1s}
    schemes:
    - quotas: {time_ms: 200ms}
"""


@pytest.fixture(scope="module", autouse=True)
def swap() -> Iterator[None]:
    """512 MiB of swap in zram."""
    sysctl("kernel/numa_balancing", "0")
    for words in (["modprobe", "zram", "num_devices=1"],):
        subprocess.run(words, check=True)
    Path("/sys/block/zram0/disksize").write_text("512M")
    subprocess.run(["mkswap", "/dev/zram0"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", "/dev/zram0"], check=True)
    yield
    subprocess.run(["swapoff", "/dev/zram0"], check=True)


@pytest.fixture
def policies(daemon: LocalDaemon, damoctl: Damoctl, client: Client) -> Iterator[Policies]:
    made = Policies(daemon, damoctl, client)
    yield made
    made.remove_all()


def test_idle_memory_is_paged_out_and_hot_memory_stays(policies: Policies, damoctl: Damoctl) -> None:
    """On a machine that is nearly full the policy takes idle memory to swap, and the hot part of a process stays.

    Nearly full, since free memory is idle too and uses up the quota: on a machine that is mostly free there is nothing
    to gain, and next to nothing is done.
    """
    now = meminfo()
    idle_mib = (now["MemFree"] - now["MemTotal"] // 8) // MIB - HOT_MIB
    with workload(HOT_MIB + idle_mib, HOT_MIB) as hot:
        policies.drop_in("30-reclaim", SLOW)
        policies.install("reclaim")
        policies.running("reclaim")
        free, began = meminfo()["MemFree"], time.monotonic()
        seen = []

        def paged_out() -> int | None:
            swapped = in_ram(hot.pid, hot.hot_end, hot.end)[1]
            hot_swapped = in_ram(hot.pid, hot.hot_start, hot.hot_end)[1]
            at = round(time.monotonic() - began)
            row = {"at": at, "swapped": swapped >> 20, "hot_swapped": hot_swapped >> 20}
            for key in ("sz_tried", "sz_applied"):
                row[key] = policies.bytes_of("reclaim", key)[0] >> 20
            seen.append(row)
            time.sleep(3)
            return swapped if swapped >= idle_mib * MIB // 2 else None

        try:
            swapped = wait(paged_out, "half of the idle memory is in swap", 420)
        finally:
            measured("reclaim", idle_mib=idle_mib, free_mib=free >> 20, seen=seen[::5] + seen[-1:])
            measured("reclaim.status", text=damoctl("policy", "list").stdout)
        hot_now = in_ram(hot.pid, hot.hot_start, hot.hot_end)
        measured("reclaim", took_s=time.monotonic() - began, swapped=swapped, hot=hot_now, pswpin=vmstat()["pswpin"])
        assert hot_now[0] >= 0.95 * HOT_MIB * MIB
        print(ok(damoctl("policy", "show", "reclaim")))


HURT = """\
description: Pages out whatever the workload has, hot or not
on_conflict: take_over
acknowledge: [hot_memory]
guard: {probation: 60s, swap_in: 1M, cpu: null}
targets:
- command: hurt-me
kdamonds:
- contexts:
  - ops: vaddr
    schemes:
    - action: pageout
      quotas: {sz_bytes: 8M, reset_interval_ms: 1s}
"""


def test_a_policy_that_hurts_is_rolled_back(policies: Policies, damoctl: Damoctl) -> None:
    """It pages out a hot set, which comes back from swap at once; within its probation it is ended, and told why."""
    with workload(HOT_MIB, HOT_MIB, name="hurt-me") as hot:
        policies.write("hurt", HURT)
        before = vmstat()
        began = time.monotonic()
        told = damoctl("policy", "apply", "hurt", "--probation", "60s")
        took_s = time.monotonic() - began
        after = vmstat()
        measured(
            "guard",
            took_s=took_s,
            told=told.stdout + told.stderr,
            pswpin=after["pswpin"] - before["pswpin"],
            refaults=after["workingset_refault_anon"] - before["workingset_refault_anon"],
        )
        assert told.returncode == 1
        assert "hurt: rolled-back, guard." in told.stdout
        assert policies.show("hurt")["kdamonds"] == []
        wait(
            lambda: True if in_ram(hot.pid, hot.hot_start, hot.hot_end)[0] >= 0.99 * HOT_MIB * MIB else None,
            "the hot set is back in RAM",
        )


COLD = """\
description: Pages out what is idle
enabled: false
on_conflict: take_over
targets:
- {target}
kdamonds:
- contexts:
  - ops: {ops}
    intervals: {{sample_us: 50ms, aggr_us: 1s}}
    schemes:
    - action: pageout
      access_pattern:
        nr_accesses: {{max: 0%}}
        age: {{min: 10s}}
      quotas: {{sz_bytes: 1G, reset_interval_ms: 1s}}
"""


@pytest.mark.parametrize("ops", ["paddr", "vaddr"])
def test_a_shadow_foresees_what_the_policy_does(policies: Policies, ops: str, damoctl: Damoctl) -> None:
    """The bytes that the shadow names are within 20 % of what the policy then pages out in the same time."""
    target = "command: half-cold" if ops == "vaddr" else "paddr: all"
    policies.write("cold", COLD.format(ops=ops, target=target))
    with workload(HOT_MIB + COLD_MIB, HOT_MIB, name="half-cold") as hot:
        ok(damoctl("policy", "apply", "cold", "--shadow"))
        policies.running("cold")
        for at in (10, 15, 20, 25, 30):
            time.sleep(10 if at == 10 else 5)
            row = policies.show("cold")
            measured(
                f"shadow.{ops}",
                at=at,
                would=row["would_touch"],
                stats=row["kdamonds"][0]["spec"]["contexts"][0]["schemes"][0]["stats"],
            )
        assert in_ram(hot.pid, hot.hot_end, hot.end)[1] == 0
        free = meminfo()
        ok(damoctl("policy", "apply", "cold"))
        policies.running("cold")
        for at in (10, 15, 20, 25, 30):
            time.sleep(10 if at == 10 else 5)
            row = policies.show("cold")
            measured(
                f"live.{ops}",
                at=at,
                swapped=in_ram(hot.pid, hot.hot_end, hot.end),
                stats=row["kdamonds"][0]["spec"]["contexts"][0]["schemes"][0]["stats"],
            )
        measured(f"live.{ops}", free_before=free["MemFree"], after=meminfo()["MemFree"], swap=meminfo()["SwapFree"])
        print(Path(f"/proc/{hot.pid}/maps").read_text() if ops == "vaddr" else "")
        print(damoctl("report", "access", "--raw").stdout[-6000:] if ops == "vaddr" else "")
        print(hot)


def test_lru_lists_are_sorted(policies: Policies, damoctl: Damoctl) -> None:
    """With little free memory, hot pages are taken for active and idle ones for inactive."""
    with workload(HOT_MIB, HOT_MIB):
        total = meminfo()
        fill_mib = (total["MemFree"] - total["MemTotal"] // 10) // MIB
        with workload(fill_mib, 0):
            policies.install("lru-sort")
            policies.running("lru-sort")
            for at in range(0, 150, 15):
                now = vmstat()
                row = policies.show("lru-sort")
                stats = [s["stats"] for s in row["kdamonds"][0]["spec"]["contexts"][0]["schemes"]]
                measured(
                    "lru",
                    at=at,
                    free=meminfo()["MemFree"] >> 20,
                    stats=stats,
                    **{
                        k: v
                        for k, v in now.items()
                        if k
                        in (
                            "nr_active_anon",
                            "nr_inactive_anon",
                            "nr_active_file",
                            "nr_inactive_file",
                            "pgactivate",
                            "pgdeactivate",
                            "pglazyfree",
                            "pgrotated",
                        )
                    },
                )
                time.sleep(15)
