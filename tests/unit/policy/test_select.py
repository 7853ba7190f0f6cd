"""Selectors: which processes and which memory, now."""

from __future__ import annotations

import pytest

from damod.kernel.sim.kernel import SimKernel
from damod.policy.document import Policy, Selector
from damod.policy.select import fill, select
from tests.unit.policy.conftest import Site


def pids(kernel: SimKernel, **key: str) -> tuple[int, ...]:
    return select([Selector(**key)], kernel.proc).pids


def test_processes(site: Site, tmp_path: object) -> None:
    """By name, file, cgroup, unit and pid file; kernel threads and the dead never match."""
    kernel = site.kernel
    one, two = kernel.spawn("db.service"), kernel.spawn("web")
    assert pids(kernel, command="w*b") == (two,)
    assert pids(kernel, executable="/usr/bin/db*") == (one,)
    assert pids(kernel, cgroup="/workload/web") == (two,)
    assert set(pids(kernel, cgroup="workload")) == {one, two, kernel.workload_pid}
    assert pids(kernel, systemd_unit="db.service") == (one,)
    file = site.put("pid", f"{two}\n")
    assert pids(kernel, pid_file=str(file)) == (two,)
    kernel.exit(two)
    assert pids(kernel, pid_file=str(file)) == () and pids(kernel, command="web") == ()
    for text in ("", "x", "-1", "99999999999999999999"):
        file.write_text(text)
        assert pids(kernel, pid_file=str(file)) == ()
    assert select([Selector(cgroup="/none")], kernel.proc).missing == ("no process for cgroup /none",)


def test_memory(site: Site) -> None:
    """A node, all nodes joined, the largest range; a node that is not there is missing."""
    proc = site.kernel.proc
    node = select([Selector(numa_node=1)], proc)
    assert list(node.ranges) == proc.numa_node_ram(1)
    assert list(select([Selector(paddr="all")], proc).ranges) == proc.system_ram()
    both = select([Selector(numa_node=0), Selector(numa_node=1), Selector(numa_node=5)], proc)
    assert sum(b - a for a, b in both.ranges) == sum(b - a for a, b in proc.system_ram())
    assert both.missing == ("no memory for numa_node 5",)
    assert len(select([Selector(paddr="largest")], proc).ranges) == 1


def test_each_kdamond_gets_its_own(site: Site) -> None:
    """A selector with `kdamond` is for that one; addresses are in units of addr_unit."""
    policy = Policy.of(
        {
            "name": "a",
            "targets": [{"numa_node": 1, "kdamond": 0}, {"numa_node": 0, "kdamond": 1}],
            "kdamonds": [{"contexts": [{"ops": "paddr", "addr_unit": 4096}]}, {"contexts": [{"ops": "paddr"}]}],
        }
    )
    found = fill(policy, site.kernel.proc)
    spans = [[(span.start, span.end) for span in item.contexts[0].targets[0].regions] for item in found.kdamonds]
    proc = site.kernel.proc
    assert spans[0] == [(start // 4096, end // 4096) for start, end in proc.numa_node_ram(1)]
    assert spans[1] == proc.numa_node_ram(0)


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
def test_watched_processes_keep_their_places(site: Site, order: tuple[int, int]) -> None:
    """Who is watched already stays where it is in the list; new ones come last."""
    spawned = [site.kernel.spawn("t1"), site.kernel.spawn("t2")]
    policy = Policy.of({"name": "a", "targets": [{"command": "t*"}], "kdamonds": [{"contexts": [{"ops": "vaddr"}]}]})
    (before,) = fill(policy, site.kernel.proc).kdamonds
    targets = tuple(before.contexts[0].targets[at] for at in order)
    running = before.model_copy(update={"contexts": (before.contexts[0].model_copy(update={"targets": targets}),)})
    third = site.kernel.spawn("t3")
    (after,) = fill(policy, site.kernel.proc, {0: running}).kdamonds
    assert [target.pid for target in after.contexts[0].targets] == [*(spawned[at] for at in order), third]
