"""SimKernel as a whole: what a client of the kernel seam sees of a kdamond's life."""

import pytest

from damod.kernel.interface import Kernel
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.facts import VERSIONS
from damod.kernel.sim.kernel import SimKernel

MAX = str(2**64 - 1)
CONTEXT = "kdamonds/0/contexts/0"
SCHEME = f"{CONTEXT}/schemes/0"
INTERVALS = f"{CONTEXT}/monitoring_attrs/intervals"


def boot(version="7.3", scenario="hot", *, ops="paddr", pid=None, on=True, slots=1, **more):
    """A kernel with a manual clock whose slot 0 monitors with one stat scheme that takes everything."""
    kernel = SimKernel(version, scenario, clock=SimClock(), **more)
    if kernel.modules.exists("damon_stat"):
        kernel.modules.write("damon_stat/parameters/enabled", "N")
    kernel.damon.write("kdamonds/nr_kdamonds", str(slots))
    stage(kernel, 0, ops=ops, pid=pid)
    if on:
        kernel.damon.write("kdamonds/0/state", "on")
    return kernel


def stage(kernel, slot, *, ops="paddr", pid=None):
    kernel.damon.write(f"kdamonds/{slot}/contexts/nr_contexts", "1")
    at = kernel.damon.at(f"kdamonds/{slot}/contexts/0")
    at.write("operations", ops)
    at.write("targets/nr_targets", "1")
    if ops == "paddr":
        start, end = kernel.proc.system_ram()[-1]
        at.write("targets/0/regions/nr_regions", "1")
        at.write("targets/0/regions/0/start", str(start))
        at.write("targets/0/regions/0/end", str(end))
    else:
        at.write("targets/0/pid_target", str(pid or kernel.workload_pid))
    at.write("schemes/nr_schemes", "1")
    for name in ("sz", "nr_accesses", "age"):
        at.write(f"schemes/0/access_pattern/{name}/max", MAX)


def command(kernel, word, slot=0):
    kernel.damon.write(f"kdamonds/{slot}/state", word)


def state(kernel, slot=0):
    return kernel.damon.read(f"kdamonds/{slot}/state")


def refusal(kernel, path, value):
    """The errno that a write is answered with, 0 if it is accepted."""
    try:
        kernel.damon.write(path, value)
    except OSError as exc:
        return exc.errno
    return 0


def tried(kernel, names=("start", "end", "nr_accesses", "age")):
    command(kernel, "update_schemes_tried_regions")
    rows = kernel.damon.read_rows(f"{SCHEME}/tried_regions", names)
    return [[int(text) for text in row] for row in rows]


def run(kernel, seconds, steps=20):
    for _ in range(steps):
        kernel.clock.advance(seconds / steps)
        kernel.damon.read("kdamonds/nr_kdamonds")


def hot_bytes(rows, least=15):
    return sum(end - start for start, end, nr, _ in rows if nr >= least)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("ops", ["paddr", "vaddr"])
def test_finds_the_hot_part(version, ops):
    """After some seconds the 20 MiB that are always accessed are told from the rest, in every kernel."""
    kernel: Kernel = boot(version, "hot", ops=ops)
    run(kernel, 6, steps=60)
    assert hot_bytes(tried(kernel)) == pytest.approx(20 << 20, rel=0.15)


def test_pid_is_there_while_on():
    """`pid` is -1 but while the kdamond runs, and no pid is given twice."""
    kernel = boot(on=False)
    assert kernel.damon.read("kdamonds/0/pid") == "-1"
    seen = []
    for _ in range(2):
        command(kernel, "on")
        seen.append(int(kernel.damon.read("kdamonds/0/pid")))
        assert kernel.proc.alive(seen[-1])
        command(kernel, "off")
    assert seen[0] < seen[1]
    assert not kernel.proc.alive(seen[0])
    assert state(kernel) == "off"
