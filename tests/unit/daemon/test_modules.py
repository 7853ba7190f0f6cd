"""Changing DAMON's modules: only what was asked for, all of it or nothing, and never beside what is in the way."""

import asyncio
import errno
import threading

import pytest

from damod.daemon.kernel_thread import KernelThread
from damod.daemon.modules import Modules
from damod.errors import Busy, Conflict, FeatureMissing, KernelRefused, NotFound, SpecInvalid, UsageError
from damod.kernel.sim.clock import ScaledClock
from damod.kernel.sim.facts import VERSIONS
from damod.kernel.sim.kernel import SimKernel
from damod.spec.kdamond import parse_kdamonds

RECLAIM = "damon_reclaim/parameters"
LRU_SORT = "damon_lru_sort/parameters"
STAT = "damon_stat/parameters"
PADDR = parse_kdamonds([{"contexts": [{"ops": "paddr", "targets": [{}]}]}])


class Bench:
    """Modules of one kernel, every write to them noted."""

    def __init__(self, kernel, owner):
        self.kernel, self.owner = kernel, owner
        self.writes = []
        write = kernel.modules.write
        kernel.modules.write = lambda path, value: (self.writes.append((path, value)), write(path, value))[1]

    def _run(self, ask):
        async def once():
            thread = KernelThread()
            try:
                return await ask(Modules(self.kernel, self.owner, thread))
            finally:
                await thread.close(1)

        return asyncio.run(once())

    def write(self, name="reclaim", parameters=None, **more):
        return self._run(lambda made: made.write(name, parameters or {}, **more))

    def all(self):
        return {item["name"]: item for item in self._run(lambda made: made.all())}

    def read(self, path):
        return self.kernel.modules.read(path)


def fresh(version="7.3", *, stat=False, foreign=False):
    kernel = SimKernel(version, clock=ScaledClock(1000), foreign=foreign)
    if not stat and "damon_stat" in kernel.modules.names():
        kernel.modules.write(f"{STAT}/enabled", "N")
    return kernel


@pytest.fixture
def bench(owners):
    """Make a bench on a kernel; owners share a runtime directory."""

    def make(kernel=None):
        kernel = kernel or fresh()
        return Bench(kernel, owners(kernel))

    return make


@pytest.mark.parametrize("version", VERSIONS)
def test_every_parameter_is_read_and_written(bench, version):
    """On each kernel, of each module: what can be written takes a value and shows it; what cannot is refused."""
    made = bench(fresh(version))
    for name, module in made.all().items():
        shown = made._run(lambda one, name=name: one.show(name))["parameters"]
        assert {row["name"]: row["text"] for row in shown} == module["parameters"]
        for row in shown:
            if row["name"] in ("enabled", "commit_inputs"):
                continue
            if not row["writable"]:
                with pytest.raises(UsageError, match="result"):
                    made.write(name, {row["name"]: "1"})
                continue
            value = {"flag": "Y", "permil": row["value"]}.get(row["kind"], int(row["value"]) + 1)
            if row["name"] in ("monitor_region_start", "addr_unit"):
                value = {"monitor_region_start": 0, "addr_unit": 2}[row["name"]]
            made.write(name, {row["name"]: str(value)})
            assert made.read(f"{name}/parameters/{row['name']}") == str(value)


def test_only_what_was_asked_for_is_written(bench):
    """Enabling with two parameters, one of which is as it was, writes the other and `enabled`."""
    made = bench()
    result = made.write(parameters={"min_age": "30s", "quota_sz": "128M"}, enabled=True)
    assert made.writes == [(f"{RECLAIM}/min_age", "30000000"), (f"{RECLAIM}/enabled", "Y")]
    assert [change["parameter"] for change in result["changes"]] == ["min_age", "enabled"]
    assert result["module"]["enabled"] and result["module"]["pid"] and result["module"]["owner"] == "damod"
    made.writes.clear()
    again = made.write(enabled=True)
    assert made.writes == []
    assert "is on already" in again["notes"][0]
    made.write(enabled=False)
    assert made.writes == [(f"{RECLAIM}/enabled", "N")]


def test_a_dry_run_writes_nothing(bench):
    """It tells the changes, and refuses as the real one would."""
    made = bench()
    assert made.write(parameters={"min_age": "30s"}, enabled=True, dry_run=True)["changes"]
    with pytest.raises(SpecInvalid):
        made.write(parameters={"min_nr_regions": "2"}, enabled=True, dry_run=True)
    assert made.writes == []


@pytest.mark.parametrize("version", ["6.12", "7.3"])
def test_a_running_module_reads_on_commit_only(bench, version):
    """A write to a running module is noted to wait; a commit makes it read, and `enabled` is not touched."""
    made = bench(fresh(version))
    made.write(enabled=True)
    assert "commit" in made.write(parameters={"min_age": "1m"})["notes"][0]
    made.writes.clear()
    made.write(parameters={"min_age": "2m"}, commit=True)
    assert made.writes == [(f"{RECLAIM}/min_age", "120000000"), (f"{RECLAIM}/commit_inputs", "Y")]
    assert made.read(f"{RECLAIM}/commit_inputs") == "N"


@pytest.mark.parametrize("version", ["6.12", "7.3"])
def test_a_commit_that_the_kernel_refuses_changes_nothing(bench, version, monkeypatch):
    """Whether the kernel answers EINVAL or ends the module without a word: values are put back, the module runs."""
    made = bench(fresh(version))
    made.write(enabled=True)
    monkeypatch.setattr("damod.kernel.parameters.problems", lambda texts: [])
    with pytest.raises(KernelRefused, match="commit") as caught:
        made.write(parameters={"min_nr_regions": "2"}, commit=True)
    assert "as they were" in caught.value.hint
    assert made.read(f"{RECLAIM}/min_nr_regions") == "10"
    assert made.read(f"{RECLAIM}/enabled") == "Y"
    assert made.all()["damon_reclaim"]["owner"] == "damod"


@pytest.mark.parametrize("version", ["6.12", "7.3"])
def test_no_wait_is_without_end(bench, version, monkeypatch):
    """A module that never reads its parameters is told as busy: older kernels keep the Y, newer ones the write."""
    made = bench(fresh(version))
    made.write(enabled=True)
    let_go, write = threading.Event(), made.kernel.modules.write
    monkeypatch.setattr("damod.daemon.modules._reading_s", lambda module: 0.2)

    def stuck(path, value):
        if not path.endswith("commit_inputs"):
            write(path, value)
        elif version == "7.3":
            let_go.wait(20)
        else:
            read = made.kernel.modules.read
            made.kernel.modules.read = lambda path: "Y" if path.endswith("commit_inputs") else read(path)

    made.kernel.modules.write = stuck
    with pytest.raises(Busy, match="did not read its parameters"):
        made.write(parameters={"min_age": "1m"}, commit=True)
    let_go.set()


def test_a_commit_while_it_is_off_is_only_a_note(bench):
    """The kernel would keep the Y (6.12) or answer ECANCELED (7.3), so it is not asked."""
    made = bench()
    result = made.write(parameters={"min_age": "1m"}, commit=True)
    assert "is off" in result["notes"][0]
    assert made.writes == [(f"{RECLAIM}/min_age", "60000000")]


def test_wrong_values_are_told_together_before_any_write(bench):
    """All of them, by parameter."""
    made = bench()
    with pytest.raises(SpecInvalid) as caught:
        made.write(parameters={"min_age": "soon", "quota_sz": "5%"})
    assert [problem["path"] for problem in caught.value.facts["problems"]] == ["min_age", "quota_sz"]
    with pytest.raises(SpecInvalid, match="above aggr_interval"):
        made.write(parameters={"sample_interval": "1s"})
    assert made.writes == []


def test_one_wrong_value_does_not_keep_another_from_being_mended(bench):
    """What was wrong before may stay wrong, until the module is to be enabled."""
    made = bench()
    made.kernel.modules.write(f"{RECLAIM}/min_nr_regions", "2")
    made.write(parameters={"min_age": "1m"})
    with pytest.raises(SpecInvalid, match="below 3"):
        made.write(enabled=True)


def test_what_does_not_exist_is_told_by_name(bench):
    """A module, a parameter of a newer kernel, a misspelt one."""
    made = bench(fresh("6.18"))
    with pytest.raises(NotFound, match="damon_nothing"):
        made.write("nothing")
    with pytest.raises(FeatureMissing, match=r"6\.18.*autotune_monitoring_intervals") as missing:
        made.write(parameters={"autotune_monitoring_intervals": "Y"})
    assert "7.2" in missing.value.hint
    with pytest.raises(NotFound, match="'min_age'"):
        made.write(parameters={"min_aeg": "1m"})


def test_a_refused_write_puts_back_those_before_it(bench):
    """All parameters or none."""
    made = bench()
    made.kernel.fail(errno.EINVAL, path="quota_sz")
    with pytest.raises(KernelRefused):
        made.write(parameters={"min_age": "1m", "quota_sz": "1G"}, enabled=True)
    assert made.read(f"{RECLAIM}/min_age") == "120000000"
    assert made.read(f"{RECLAIM}/enabled") == "N"
    assert made.owner.own_modules() == ()


def test_kdamonds_of_damod_are_in_the_way(bench):
    """Told by name before a write, whether to take over or not."""
    made = bench()
    made.owner.start("mine", PADDR)
    for take_over in (False, True):
        with pytest.raises(Conflict, match="mine") as caught:
            made.write(parameters={"min_age": "1m"}, enabled=True, take_over=take_over)
        assert "damoctl stop mine" in caught.value.hint
    assert made.writes == []


def test_kdamonds_of_others_are_in_the_way_unless_taken_over(bench):
    """Told by pid; --take_over stops them."""
    kernel = fresh(foreign=True)
    made = bench(kernel)
    with pytest.raises(Conflict, match="pid"):
        made.write(enabled=True)
    assert made.writes == []
    result = made.write(enabled=True, take_over=True)
    assert "was stopped" in result["notes"][0]
    assert result["module"]["enabled"]


def test_damon_stat_makes_room_and_comes_back(bench):
    """With take_over it is off while our module runs, and on again after that is disabled."""
    made = bench(fresh(stat=True))
    with pytest.raises(Conflict, match="damon_stat"):
        made.write(enabled=True)
    made.write(enabled=True, take_over=True)
    assert (made.read(f"{STAT}/enabled"), made.read(f"{RECLAIM}/enabled")) == ("N", "Y")
    made.write(enabled=False)
    assert (made.read(f"{STAT}/enabled"), made.read(f"{RECLAIM}/enabled")) == ("Y", "N")


def test_another_module_is_in_the_way(bench):
    """One that acts on memory is not switched off by itself."""
    made = bench()
    made.write("lru_sort", enabled=True)
    with pytest.raises(Conflict, match="damon_lru_sort") as caught:
        made.write(enabled=True, take_over=True)
    assert "damoctl module lru_sort disable" in caught.value.hint


def test_a_module_that_we_enabled_is_ours_after_a_restart(bench, owners):
    """The next damod knows it; when somebody else disables it, that is told and it is forgotten."""
    kernel = fresh()
    made = bench(kernel)
    made.write(enabled=True)
    second = Bench(kernel, owners(kernel))
    assert second.all()["damon_reclaim"]["owner"] == "damod"
    kernel.modules.write(f"{RECLAIM}/enabled", "N")
    assert second.owner.own_modules() == ()
    assert "damon_reclaim" in second.owner.problems()[0]
    third = Bench(kernel, owners(kernel))
    third.kernel.modules.write(f"{RECLAIM}/enabled", "Y")
    assert third.all()["damon_reclaim"]["owner"] == "other"


def test_a_module_of_others_may_be_disabled_by_name(bench):
    """Who names it means it; a note tells that damod had not enabled it."""
    made = bench(fresh(stat=True))
    result = made.write("stat", enabled=False)
    assert "by somebody else" in result["notes"][0]
    assert made.read(f"{STAT}/enabled") == "N"


def test_enabled_and_commit_inputs_may_be_written_like_parameters(bench):
    """As damo's `module NAME write enabled Y` does."""
    made = bench()
    assert made.write(parameters={"enabled": "yes"})["module"]["enabled"]
    made.writes.clear()
    made.write(parameters={"commit_inputs": "Y"})
    assert made.writes == [(f"{RECLAIM}/commit_inputs", "Y")]
    assert not made.write(parameters={"enabled": "N"})["module"]["enabled"]
    with pytest.raises(UsageError, match="nothing to commit"):
        made.write("stat", commit=True)


def test_a_module_comes_before_kdamonds_too(bench):
    """With our module on, a start names it and how to end it."""
    made = bench()
    made.write(enabled=True)
    with pytest.raises(Conflict, match="damon_reclaim") as caught:
        made.owner.start("a", PADDR, take_over=True)
    assert "damoctl module reclaim disable" in caught.value.hint
