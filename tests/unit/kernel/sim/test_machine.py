"""The simulated computer: memory, nodes, processes made up and real."""

import os
import subprocess

import pytest

from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.machine import GIB, Machine
from damod.kernel.sim.workload import MIB, scenario


def machine(nodes=2, ram_bytes=4 * GIB, name="hot"):
    return Machine(SimClock(), scenario(name), nodes=nodes, ram_bytes=ram_bytes)


@pytest.mark.parametrize("ram_bytes", [64 * MIB, GIB, 4 * GIB, 64 * GIB])
@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_nodes_divide_the_memory(ram_bytes, nodes):
    """The nodes' ranges are those of System RAM, each byte in one node, and about as many in each."""
    made = machine(nodes, ram_bytes)
    sizes = [sum(end - start for start, end in made.numa_node_ram(nid)) for nid in range(nodes)]
    assert sum(sizes) == sum(end - start for start, end in made.system_ram()) == made.meminfo()["MemTotal"]
    assert max(sizes) - min(sizes) <= ram_bytes // 16
    for nid in range(nodes):
        assert all(made.node_of(start) == made.node_of(end - 1) == nid for start, end in made.numa_node_ram(nid))
    with pytest.raises(LookupError, match=str(nodes)):
        made.numa_node_ram(nodes)


def test_memory_that_was_paged_out_comes_back():
    """Paging out frees memory and costs pressure; demand takes it back with time."""
    made = machine()
    free = made.meminfo()["MemFree"]
    done = made.page_out(5 * GIB, 200 * MIB)
    assert 0 < done <= 200 * MIB
    assert made.meminfo()["MemFree"] == pytest.approx(free + done, abs=4096)
    assert made.psi_us(1_000_000) > 0
    made.clock.advance(600)
    assert made.meminfo()["MemFree"] == pytest.approx(free, abs=MIB)
    assert made.psi_us(1_000_000) == 0


def test_migration_needs_another_node():
    """Memory moves only to a node that is there and elsewhere, and not into the void."""
    made = machine()
    assert made.migrate(5 * GIB, 10 * MIB, 1) == 0
    assert made.migrate(5 * GIB, 10 * MIB, 7) == 0
    before = made.meminfo()["MemFree"]
    assert made.migrate(5 * GIB, 10 * MIB, 0) == 10 * MIB
    assert made.meminfo()["MemFree"] == pytest.approx(before, abs=4096)
    assert made.node_used_bp(0) > made.node_used_bp(1)


def test_processes_come_and_go():
    """A spawned process has an identity until it exits; pids are never used twice."""
    made = machine()
    made.clock.advance(1.5)
    pid = made.spawn()
    assert made.alive(pid)
    assert made.start_time(pid) == 100150
    made.clock.advance(1)
    assert made.cpu_ns(pid) > 0
    made.exit(pid)
    assert (made.alive(pid), made.start_time(pid), made.cpu_ns(pid)) == (False, None, None)
    assert made.spawn() > pid


def test_this_process_is_real():
    """A pid of this machine is seen through to /proc, a zombie is gone."""
    made = machine()
    assert made.alive(os.getpid())
    assert made.start_time(os.getpid()) > 0
    assert made.cpu_ns(os.getpid()) > 0
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not made.alive(child.pid)
    child.wait()
    assert not made.alive(-1)
    assert not made.alive(0)


@pytest.mark.parametrize("ram_bytes", [64 * MIB, GIB, 4 * GIB])
@pytest.mark.parametrize("name", ["hot", "moving", "idle"])
def test_physical_accesses_lie_in_ram(name, ram_bytes):
    """The pattern of physical memory ascends and lies within System RAM."""
    made = machine(1, ram_bytes, name)
    pattern = made.physical(made.clock.monotonic_ns())
    assert pattern == sorted(pattern)
    assert len(pattern) > 1
    for start, end, _ in pattern:
        assert any(low <= start < end <= high for low, high in made.system_ram())


def test_virtual_accesses_lie_in_mappings():
    """The pattern of a process lies within its three areas."""
    made = machine()
    process = made.process(made.workload_pid)
    for start, end, _ in made.virtual(made.workload_pid, made.clock.monotonic_ns()):
        assert any(low <= start < end <= high for low, high in process.mappings())


def test_a_machine_too_small():
    """Without a node or with hardly any memory there is no machine."""
    for nodes, ram_bytes in ((0, GIB), (1, MIB)):
        with pytest.raises(ValueError):
            machine(nodes, ram_bytes)
