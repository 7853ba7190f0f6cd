"""The DAMON modules of the simulated kernel."""

import errno

import pytest

from damod.kernel.sim import facts
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel

STAT = "damon_stat/parameters"
RECLAIM = "damon_reclaim/parameters"


@pytest.mark.parametrize("version", facts.VERSIONS)
def test_parameters_are_those_of_the_kernel(version):
    """Each module has exactly its listed parameters, and those that may be written keep a value."""
    kernel, known = SimKernel(version, clock=SimClock()), facts.load(version)
    shown = {
        f"{module}/{name}" for module in kernel.modules.names() for name in kernel.modules.names(f"{module}/parameters")
    }
    assert shown == set(known.modules)
    for path, (mode, default) in known.modules.items():
        module, name = path.split("/")
        where = f"{module}/parameters/{name}"
        value = "Y" if default in ("Y", "N") else "7"
        if name in ("enabled", "commit_inputs"):
            continue
        if mode == 0o400:
            with pytest.raises(PermissionError):
                kernel.modules.write(where, value)
        else:
            kernel.modules.write(where, value + "\n")
            assert kernel.modules.read(where) == value


@pytest.mark.parametrize("version", ["6.17", "6.18", "7.2", "7.3"])
def test_damon_stat_runs_from_boot(version):
    """From 6.17 damon_stat is on; its idle times are 101 ascending numbers of milliseconds."""
    kernel = SimKernel(version, "idle", clock=SimClock())
    assert kernel.modules.read(f"{STAT}/enabled") == "Y"
    kernel.clock.advance(60)
    idle = [int(text) for text in kernel.modules.read(f"{STAT}/memory_idle_ms_percentiles").split(",")]
    assert len(idle) == 101
    assert idle == sorted(idle)
    assert idle[-1] == 60000
    assert idle[0] == (-60000 if version.startswith("7") else 0)
    assert int(kernel.modules.read(f"{STAT}/estimated_memory_bandwidth")) > 0


def test_switching_off_keeps_the_last_results():
    """Switched off, damon_stat has no kdamond any more, and what it showed last stays."""
    kernel = SimKernel("7.3", clock=SimClock())
    pid = int(kernel.modules.read(f"{STAT}/kdamond_pid"))
    assert kernel.proc.alive(pid)
    kernel.clock.advance(10)
    last = kernel.modules.read(f"{STAT}/memory_idle_ms_percentiles")
    kernel.modules.write(f"{STAT}/enabled", "N")
    kernel.clock.advance(10)
    assert kernel.modules.read(f"{STAT}/memory_idle_ms_percentiles") == last
    assert kernel.modules.read(f"{STAT}/kdamond_pid") == "-1"
    assert not kernel.proc.alive(pid)


def on_and_wrong(version):
    """A kernel whose damon_reclaim runs, with too few regions written meanwhile."""
    kernel = SimKernel(version, clock=SimClock())
    if "damon_stat" in kernel.modules.names():
        kernel.modules.write(f"{STAT}/enabled", "N")
    kernel.modules.write(f"{RECLAIM}/enabled", "Y")
    kernel.modules.write(f"{RECLAIM}/min_nr_regions", "2")
    return kernel


def test_an_old_kernel_ends_a_module_over_a_bad_commit():
    """6.12 takes the Y, and a moment later the module is off, which it says nothing about."""
    kernel = on_and_wrong("6.12")
    kernel.modules.write(f"{RECLAIM}/commit_inputs", "Y")
    assert kernel.modules.read(f"{RECLAIM}/commit_inputs") == "Y"
    kernel.clock.advance(0.01)
    assert [kernel.modules.read(f"{RECLAIM}/{name}") for name in ("commit_inputs", "enabled", "kdamond_pid")] == [
        "N", "N", "-1",
    ]  # fmt: skip
    kernel.modules.write(f"{RECLAIM}/commit_inputs", "Y")
    kernel.clock.advance(10)
    assert kernel.modules.read(f"{RECLAIM}/commit_inputs") == "Y"


def test_a_new_kernel_refuses_a_bad_commit():
    """7.3 answers EINVAL and the module runs on; while it is off a commit is ECANCELED."""
    kernel = on_and_wrong("7.3")
    with pytest.raises(OSError) as caught:
        kernel.modules.write(f"{RECLAIM}/commit_inputs", "Y")
    assert caught.value.errno == errno.EINVAL
    assert kernel.modules.read(f"{RECLAIM}/enabled") == "Y"
    kernel.modules.write(f"{RECLAIM}/min_nr_regions", "10")
    kernel.modules.write(f"{RECLAIM}/commit_inputs", "Y")
    assert kernel.modules.read(f"{RECLAIM}/commit_inputs") == "N"
    kernel.modules.write(f"{RECLAIM}/enabled", "N")
    with pytest.raises(OSError) as caught:
        kernel.modules.write(f"{RECLAIM}/commit_inputs", "Y")
    assert caught.value.errno == errno.ECANCELED


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_nr_regions", 2), ("max_nr_regions", 5), ("sample_interval", 200_000), ("monitor_region_start", 4096)],
)
@pytest.mark.parametrize("version", ["6.12", "7.3"])
def test_impossible_parameters_keep_a_module_off(version, name, value):
    """As damon_set_attrs() has it: EINVAL on enabling."""
    kernel = on_and_wrong(version)
    kernel.modules.write(f"{RECLAIM}/enabled", "N")
    kernel.modules.write(f"{RECLAIM}/min_nr_regions", "10")
    kernel.modules.write(f"{RECLAIM}/{name}", str(value))
    with pytest.raises(OSError) as caught:
        kernel.modules.write(f"{RECLAIM}/enabled", "Y")
    assert caught.value.errno == errno.EINVAL
    assert kernel.modules.read(f"{RECLAIM}/enabled") == "N"


def test_modules_run_alone():
    """A second module is EBUSY while one runs; switching on what is on is nothing; nonsense is EINVAL."""
    kernel = SimKernel("6.12", clock=SimClock())
    kernel.modules.write("damon_reclaim/parameters/enabled", "Y")
    kernel.modules.write("damon_reclaim/parameters/enabled", "1")
    assert int(kernel.modules.read("damon_reclaim/parameters/kdamond_pid")) > 0
    for value, answer in (("Y", errno.EBUSY), ("maybe", errno.EINVAL)):
        with pytest.raises(OSError) as caught:
            kernel.modules.write("damon_lru_sort/parameters/enabled", value)
        assert caught.value.errno == answer
    kernel.modules.write("damon_reclaim/parameters/enabled", "N")
    kernel.modules.write("damon_lru_sort/parameters/enabled", "Y")
    assert kernel.modules.read("damon_lru_sort/parameters/enabled") == "Y"
