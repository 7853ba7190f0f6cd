"""Processes, memory and time as the seam tells them."""

from __future__ import annotations

import itertools

import pytest

from damod.kernel.interface import Kernel
from tests.contract.conftest import Spawn
from tests.contract.driver import Damon


def test_memory(kernel: Kernel) -> None:
    """RAM is in ascending, disjoint ranges; the nodes' memory is part of it, and together all of it, bar the edges."""
    ram = kernel.proc.system_ram()
    assert all(start < end for start, end in ram)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(ram))
    nodes = []
    for nid in itertools.count():
        try:
            nodes.append(kernel.proc.numa_node_ram(nid))
        except LookupError:
            break
    assert nodes
    spans = sorted(span for node in nodes for span in node)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))
    assert all(any(low <= start and end <= high for low, high in ram) for start, end in spans)
    assert sum(end - start for start, end in spans) >= 0.9 * sum(end - start for start, end in ram)


def test_numa_nodes(kernel: Kernel) -> None:
    """The nodes are those whose memory can be asked for."""
    nodes = kernel.proc.numa_nodes()
    assert nodes and nodes == sorted(nodes)
    assert all(kernel.proc.numa_node_ram(nid) is not None for nid in nodes)


def test_a_process_that_is_not_there_has_no_name(kernel: Kernel) -> None:
    """Each pid in the list can be asked about; of one that nobody has, name and file are None."""
    pids = kernel.proc.pids()
    assert pids == sorted(pids) and any(kernel.proc.command(pid) for pid in pids)
    assert kernel.proc.command(2**31 - 1) is None and kernel.proc.executable(2**31 - 1) is None


def test_counters_grow(kernel: Kernel) -> None:
    """Pages that came back and time that was waited are counted and never fall."""
    before, after = kernel.proc.vmstat(), kernel.proc.vmstat()
    assert all(after[name] >= before[name] for name in ("pswpin", "workingset_refault_anon", "workingset_refault_file"))
    waited = kernel.proc.memory_pressure_us()
    assert waited is None or waited >= 0


def test_cgroups(kernel: Kernel) -> None:
    """The top has processes, an unknown path is LookupError, an unknown name None."""
    assert kernel.proc.cgroup_pids("/")
    with pytest.raises(LookupError):
        kernel.proc.cgroup_pids("/no-such-cgroup")
    assert kernel.proc.cgroup_named("no-such-cgroup") is None
    assert kernel.proc.cgroup_named("init.scope") in ("/init.scope", None)


def test_meminfo(kernel: Kernel) -> None:
    """Sizes are in bytes and agree with the RAM there is."""
    info = kernel.proc.meminfo()
    assert 0 <= info["MemFree"] <= info["MemTotal"] <= sum(end - start for start, end in kernel.proc.system_ram())


def test_processes(kernel: Kernel, spawn: Spawn) -> None:
    """A process is alive with an unchanging start time until it ends; then both are gone."""
    process = spawn()
    assert kernel.proc.alive(process.pid)
    born = kernel.proc.start_time(process.pid)
    assert born is not None
    assert kernel.proc.start_time(process.pid) == born
    assert kernel.proc.cpu_ns(process.pid) is not None
    process.kill()
    process.wait()
    assert not kernel.proc.alive(process.pid)
    assert kernel.proc.start_time(process.pid) is None
    assert kernel.proc.cpu_ns(process.pid) is None


def test_a_kdamond_costs_cpu_time(damon: Damon) -> None:
    """The kernel thread's CPU time can be read and grows."""
    damon.slots(1)
    damon.configure(0)
    pid = damon.start(0)

    def used() -> int:
        return damon.kernel.proc.cpu_ns(pid) or 0

    damon.wait(lambda: used() > 0, "a kdamond uses CPU time")
    before = used()
    damon.wait(lambda: used() > before, "a kdamond uses more CPU time")


def test_clock(kernel: Kernel) -> None:
    """Sleeping takes that much of the kernel's time on both its clocks; the ring's clock is the monotonic one."""
    mono, wall = kernel.clock.monotonic_ns(), kernel.clock.time_ns()
    kernel.clock.sleep(0.25)
    assert kernel.clock.monotonic_ns() - mono >= 0.25e9
    assert kernel.clock.time_ns() - wall == pytest.approx(kernel.clock.monotonic_ns() - mono, abs=1e9)
    assert abs(kernel.trace.now_ns() - kernel.clock.monotonic_ns()) < 60e9


def test_the_layout_has_the_ram(kernel: Kernel) -> None:
    """What the layout calls System RAM is the RAM, and the blocks are of nodes that there are."""
    layout = kernel.proc.memory_layout()
    assert [(start, end) for start, end, name in layout.resources if name == "System RAM"] == kernel.proc.system_ram()
    assert layout.blocks == sorted(layout.blocks)
    assert {node for _, _, node, _ in layout.blocks} <= set(kernel.proc.numa_nodes())


def test_mounts(kernel: Kernel) -> None:
    """It is known where sysfs is."""
    assert kernel.proc.mounts()["sysfs"]


def test_how_the_kernel_was_built(kernel: Kernel) -> None:
    """With DAMON, where that is told at all."""
    config = kernel.proc.kernel_config()
    assert config is None or (config["CONFIG_DAMON"], config["CONFIG_DAMON_SYSFS"]) == ("y", "y")
