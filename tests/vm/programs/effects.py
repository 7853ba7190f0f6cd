"""In a systemd guest with two nodes: what the shipped policies, the guard and the shadow do. Words say which sections.

Each section notes what it saw (bench.note) and judges nothing.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.vm.programs.bench import (
    MIB,
    OUT,
    damoctl,
    meminfo,
    node_free,
    note,
    policy,
    schemes,
    sh,
    show,
    swap,
    sysctl,
    unit_cpu_ns,
    vmstat,
    wait,
    workload,
)

HOT_MIB, DOWN_MIB = 48, 16


def tiering() -> None:
    """A hot set on node 1 goes up; then node 0 is full of idle memory, and another hot set needs room there."""
    large_nodes()
    with workload("first", HOT_MIB, HOT_MIB, node=1) as first:
        time.sleep(5)
        note("tiering.start", on=first.on_nodes())
        damoctl("policy", "enable", "tiering")
        sh("systemctl", "reload", "damod")
        began = time.monotonic()

        def up() -> bool | None:
            share = first.on_nodes().get(0, 0) / (HOT_MIB * MIB)
            note("tiering.up", after_s=round(time.monotonic() - began, 1), share=round(share, 3), free=node_free(0))
            return True if share >= 0.9 else None

        wait(up, "90 % of the hot set are on node 0", 90, 1)
        note("tiering.moved", schemes=schemes(show("tiering")))
        (OUT / "tiering.show").write_text(damoctl("policy", "show", "tiering"))
        with workload("idle", node_free(0) // MIB - HOT_MIB // 2, 0, node=0) as idle:
            note("tiering.full", idle=idle.on_nodes(), free=node_free(0))
            time.sleep(20)
            with workload("second", HOT_MIB, HOT_MIB, node=1) as second:
                began = time.monotonic()

                def down() -> bool | None:
                    gone, risen = idle.on_nodes().get(1, 0), second.on_nodes().get(0, 0)
                    note("tiering.down", after_s=round(time.monotonic() - began, 1), gone=gone, risen=risen,
                         free=node_free(0))  # fmt: skip
                    return True if gone >= DOWN_MIB * MIB and risen >= 0.9 * HOT_MIB * MIB else None

                wait(down, f"{DOWN_MIB} MiB of idle memory are on node 1 and the second hot set on node 0", 180, 2)
                note("tiering.end", first=first.on_nodes(), second=second.on_nodes(), idle=idle.on_nodes(),
                     schemes=schemes(show("tiering")))  # fmt: skip
                (OUT / "tiering.down.show").write_text(damoctl("policy", "show", "tiering"))
    damoctl("policy", "disable", "tiering")


def large_nodes() -> None:
    """Have small nodes keep as small a share of their memory free as those of a server do; nobody else moves pages.

    A small node's watermarks are several percent of it, and the policy's goals of 0.3 and 0.5 % cannot be reached
    there: the kernel has other programs' pages go to node 1 first. NUMA balancing would also move pages.
    """
    sysctl("kernel/numa_balancing", "0")
    Path("/sys/kernel/mm/transparent_hugepage/enabled").write_text("never")
    sysctl("vm/min_free_kbytes", "1024")
    sysctl("vm/lowmem_reserve_ratio", "0 0 0 0 0")
    sysctl("vm/watermark_boost_factor", "0")


HURT = """\
description: Pages out what a process uses all the time
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
      access_pattern: {nr_accesses: {min: 1%}}
      quotas: {sz_bytes: 8M, reset_interval_ms: 1s}
"""


def guard() -> None:
    """Three times a policy takes a hot set to swap, from where it comes back."""
    with swap(), workload("hurt", 32, 32, name="hurt-me") as hot:
        for run in range(1, 4):
            policy(f"90-hurt{run}", HURT)
            before, began = vmstat(), time.monotonic()
            done = subprocess.run(
                ["damoctl", "policy", "apply", f"hurt{run}", "--probation", "60s"],
                capture_output=True,
                text=True,
                check=False,
            )
            took_s = round(time.monotonic() - began, 1)
            after = vmstat()
            note(
                "guard",
                run=run,
                took_s=took_s,
                status=done.returncode,
                told=done.stdout + done.stderr,
                counted={name: after[name] - before[name] for name in after},
                kdamonds=show(f"hurt{run}")["kdamonds"],
            )
            wait(lambda: True if hot.hot()[1] == 0 else None, "the hot set is back in RAM", 30)
            note("guard.after", run=run, hot=hot.hot())
            Path(f"/etc/damo.d/90-hurt{run}.yaml").unlink()


COLD = """\
description: Pages out what is idle
enabled: false
on_conflict: take_over
targets:
- {target}
kdamonds:
- contexts:
  - ops: {ops}
    intervals: {{sample_us: 50ms, aggr_us: {aggr}}}
    nr_regions: {{min: {regions}}}
    schemes:
    - action: pageout
      access_pattern:
        nr_accesses: {{max: 0%}}
        age: {{min: {age}}}
      quotas: {{sz_bytes: 1G, reset_interval_ms: 1s}}
"""


def shadow_vaddr() -> None:
    """What a shadow names of a process's idle memory, and what then goes to swap."""
    shadow("vaddr", COLD.format(ops="vaddr", target="command: half-cold", aggr="500ms", age="5s", regions=10), 30, 40)


def shadow_paddr() -> None:
    """The same of all memory, which takes longer to be told apart."""
    shadow("paddr", COLD.format(ops="paddr", target="paddr: all", aggr="1s", age="10s", regions=200), 80, 80)


def shadow(ops: str, text: str, shadow_s: int, live_s: int) -> None:
    policy("80-cold", text)
    with swap(), workload("half", 160, 32, name="half-cold") as half:
        damoctl("policy", "apply", "cold", "--shadow")
        for _ in range(shadow_s // 10):
            time.sleep(10)
            shown = show("cold")
            note(f"shadow.{ops}", would=shown["would_touch"][0]["sz_bytes"], stats=schemes(shown), idle=half.idle())
        before = vmstat()
        damoctl("policy", "apply", "cold")
        for _ in range(live_s // 20):
            time.sleep(20)
            note(
                f"live.{ops}",
                stats=schemes(show("cold")),
                idle=half.idle(),
                hot=half.hot(),
                process=half.swapped(),
                counted={name: now - before[name] for name, now in vmstat().items()},
            )
        damoctl("stop", "cold")
    Path("/etc/damo.d/80-cold.yaml").unlink()
    sh("systemctl", "reload", "damod")


def interleave() -> None:
    """Of a hot set on node 0 a quarter goes to node 1."""
    large_nodes()
    with workload("stream", HOT_MIB, HOT_MIB, node=0, name="stream-hot") as hot:
        time.sleep(3)
        note("interleave.start", on=hot.on_nodes())
        began = time.monotonic()
        damoctl("policy", "enable", "interleave")
        wait(lambda: True if 0.2 <= hot.on_nodes().get(1, 0) / (HOT_MIB * MIB) <= 0.3 else None, "a quarter", 60, 0.5)
        took_s = round(time.monotonic() - began, 1)
        note("interleave", took_s=took_s, on=hot.on_nodes(), schemes=schemes(show("interleave")))
    damoctl("policy", "disable", "interleave")


def monitor() -> None:
    """What watching and recording costs, and leaves behind."""
    with workload("watched", 160, 32):
        damoctl("policy", "enable", "monitor")
        sh("systemctl", "reload", "damod")
        began, daemon = show("monitor")["kdamonds"][0], unit_cpu_ns("damod")
        time.sleep(60)
        ended = show("monitor")["kdamonds"][0]
        passed_ns = ended["time_ns"] - began["time_ns"]
        note(
            "monitor",
            kdamond=round((ended["cpu_ns"] - began["cpu_ns"]) / passed_ns, 4),
            daemon_and_recorder=round((unit_cpu_ns("damod") - daemon) / passed_ns, 4),
            tuned=ended["tuned_intervals"],
            files={str(path): path.stat().st_size for path in Path("/var/lib/damod/records").rglob("*")},
        )
        (OUT / "monitor.access").write_text(damoctl("report", "access"))
        damoctl("policy", "disable", "monitor")
        record = Path("/var/lib/damod/records/monitor/damon.data")
        wait(lambda: True if record.exists() else None, "the record is sealed", 60)
        (OUT / "monitor.record").write_text(damoctl("report", "record_info", "--input", str(record)))


# An emulated processor takes twenty times as long for everything, so what a policy may take of one is scaled by that:
# the guard's limit, the quota of time. It also does not keep up with 5 ms sampling, and ages count aggregations.
SLOW_RECLAIM = """\
guard: {cpu: null}
kdamonds:
- contexts:
  - intervals: {sample_us: 50ms, aggr_us: 1s}
    schemes:
    - quotas: {time_ms: 200ms}
"""
SLOW_LRU_SORT = """\
kdamonds:
- contexts:
  - intervals: {sample_us: 50ms, aggr_us: 1s}
    schemes:
    - quotas: {time_ms: 200ms}
    - quotas: {time_ms: 200ms}
"""
WORTH_MIB = 16


def reclaim() -> None:
    """On a machine that is nearly full of idle memory the policy takes it to swap; a hot set stays.

    Nearly full, since free memory is idle too and uses up the quota: on a machine that is mostly free there is nothing
    to gain, and next to nothing is done.
    """
    now = meminfo()
    idle_mib = (now["MemFree"] - now["MemTotal"] // 8) // MIB - 32
    with swap(), workload("server", 32 + idle_mib, 32) as server:
        policy("30-reclaim.d/50-guest", SLOW_RECLAIM)
        damoctl("policy", "enable", "reclaim")
        sh("systemctl", "reload", "damod")
        note("reclaim.start", idle=server.idle(), hot=server.hot(), free=meminfo()["MemFree"])
        began = time.monotonic()

        def out() -> bool | None:
            took_s = round(time.monotonic() - began)
            note("reclaim", after_s=took_s, idle=server.idle(), hot=server.hot(), stats=schemes(show("reclaim")))
            return True if server.idle()[1] >= WORTH_MIB * MIB and server.hot()[1] == 0 else None

        wait(out, f"{WORTH_MIB} MiB of idle memory are in swap", 420, 10)
        time.sleep(30)
        out()
        (OUT / "reclaim.show").write_text(damoctl("policy", "show", "reclaim"))
        note("reclaim.end", free=meminfo()["MemFree"], **vmstat())
        damoctl("policy", "disable", "reclaim")


LRU = ("nr_active_anon", "nr_inactive_anon", "nr_active_file", "nr_inactive_file", "pgactivate", "pgdeactivate")


def lru_sort() -> None:
    """The LRU lists, and how a hot set comes through a burst of other memory, without the policy and with it."""
    note("lru.machine", lru_gen=Path("/sys/kernel/mm/lru_gen/enabled").read_text().strip())
    for sorted_by_damon in (False, True):
        with swap(), workload("hot", 32, 32) as hot:
            now = meminfo()
            with workload("filler", (now["MemFree"] - now["MemTotal"] * 12 // 100) // MIB, 0) as filler:
                note("lru.filled", policy=sorted_by_damon, free=meminfo()["MemFree"], **vmstat(*LRU))
                if sorted_by_damon:
                    policy("20-lru-sort.d/50-guest", SLOW_LRU_SORT)
                    damoctl("policy", "enable", "lru-sort")
                    for _ in range(9):
                        time.sleep(20)
                        note("lru.sorting", stats=schemes(show("lru-sort")), free=meminfo()["MemFree"], **vmstat(*LRU))
                else:
                    time.sleep(20)
                before = vmstat()
                lists = vmstat(*LRU)
                with workload("burst", 160, 0):
                    time.sleep(20)
                    note(
                        "lru.burst",
                        policy=sorted_by_damon,
                        lists_before=lists,
                        hot=hot.hot(),
                        idle=filler.idle(),
                        counted={name: value - before[name] for name, value in vmstat().items()},
                    )
        if sorted_by_damon:
            damoctl("policy", "disable", "lru-sort")


SECTIONS: dict[str, Callable[[], None]] = {
    "tiering": tiering,
    "interleave": interleave,
    "guard": guard,
    "shadow-vaddr": shadow_vaddr,
    "shadow-paddr": shadow_paddr,
    "monitor": monitor,
    "reclaim": reclaim,
    "lru-sort": lru_sort,
}


def main() -> None:
    note("machine", release=sh("uname", "-r").strip(), nodes=Path("/sys/devices/system/node/online").read_text())
    for name in sys.argv[1:]:
        began = time.monotonic()
        try:
            SECTIONS[name]()
        except (SystemExit, Exception) as exc:  # the next section may still say something
            note("section.failed", section=name, why=f"{type(exc).__name__}: {exc}")
        note("section", section=name, took_s=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
