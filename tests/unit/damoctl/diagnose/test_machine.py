"""Checks of the machine, each with a machine that has the trouble and one that has not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from damoctl.diagnose import machine, owners
from damoctl.diagnose.checks import judge
from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import wrong
from damod.kernel.sim.facts import VERSIONS
from tests.unit.damoctl.diagnose.conftest import codes


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_wrong_with_a_machine_that_is_all_right(damod, version):
    """On none of the six kernels, idle or monitoring."""
    made = damod(version)
    assert judge(made.facts()) == []
    made.start({"contexts": [{"ops": "paddr", "targets": [{}]}]})
    facts = made.facts()
    assert not wrong(judge(facts)), judge(facts)
    assert len(facts.kdamonds) == 1 and facts.kdamonds[0].snapshots


def test_without_a_daemon_that_is_the_first_thing_told(damod):
    """It is an error with what to do, before all others; with a daemon of the same version nothing is said."""
    facts = damod(stat=True).facts()
    assert codes(machine.daemon(facts)) == []
    gone = replace(facts, reached=False, unreachable="nobody listens", survey={**facts.survey, "sysfs": "no"})
    first, second = judge(gone)[:2]
    assert (first.code, second.code) == ("no-daemon", "sysfs")
    assert "nobody listens" in first.message and "systemctl" in first.todo


def test_another_version_is_told(damod):
    """An upgraded damoctl with a damod that still runs."""
    facts = damod().facts()
    other = replace(facts, client="2.0", status={"daemon": {"version": "1.0"}})
    assert codes(machine.daemon(other)) == ["versions"]
    assert codes(machine.daemon(replace(other, client="1.0"))) == []
    assert codes(machine.daemon(replace(facts, untold=["policy.list: no"]))) == ["untold"]


def test_what_a_kernel_was_built_without(damod):
    """What DAMON needs is an error, what is missed a warning, what is not known a note."""
    facts = damod().facts()
    assert codes(machine.kernel_config(facts)) == []

    def built(**options: str) -> Facts:
        config = {**facts.survey["config"], **options}
        return replace(facts, survey={**facts.survey, "config": config})

    (no_sysfs,) = machine.kernel_config(built(CONFIG_DAMON_SYSFS="n"))
    assert no_sysfs.level == "error" and "CONFIG_DAMON_SYSFS" in no_sysfs.message
    (no_psi,) = machine.kernel_config(built(CONFIG_PSI="n"))
    assert no_psi.level == "warning"
    (unknown,) = machine.kernel_config(replace(facts, survey={**facts.survey, "config": None}))
    assert unknown.level == "note"


def test_interfaces_that_cannot_be_used(damod):
    """Of sysfs why; of tracefs also that it is there but has no events."""
    facts = damod().facts()
    assert codes(machine.sysfs(facts)) == codes(machine.tracefs(facts)) == []
    survey = facts.survey
    assert codes(machine.sysfs(replace(facts, survey={**survey, "sysfs": "No such file"}))) == ["sysfs"]
    assert codes(machine.tracefs(replace(facts, survey={**survey, "trace": "Permission denied"}))) == ["tracefs"]
    assert codes(machine.tracefs(replace(facts, survey={**survey, "events": []}))) == ["tracefs"]
    assert codes(machine.tracefs(replace(facts, survey={**survey, "events": None}))) == []


def test_rights_that_the_daemon_lacks(damod):
    """By capability, for a daemon on a real kernel that is not root."""
    facts = replace(damod().facts(), kernel="linux")
    root = {**facts.survey, "uid": 0, "capabilities": []}
    user = {**facts.survey, "uid": 1000, "capabilities": ["CAP_DAC_OVERRIDE"]}
    assert codes(machine.permissions(replace(facts, survey=root))) == []
    (lacking,) = machine.permissions(replace(facts, survey=user))
    assert "CAP_SYS_ADMIN" in lacking.message
    assert codes(machine.permissions(replace(facts, survey=user, kernel="sim"))) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_modules_that_run(damod, version):
    """damon_stat from boot where the kernel has it; one that sleeps by its watermarks, with the numbers."""
    made = damod(version, stat=True)
    has_stat = version not in ("6.12", "6.16")
    assert codes(machine.modules(made.facts())) == (["module-on"] if has_stat else [])
    if has_stat:
        made.kernel.modules.write("damon_stat/parameters/enabled", "N")
    made.kernel.modules.write("damon_lru_sort/parameters/enabled", "Y")
    on, asleep = machine.modules(made.facts())
    assert (on.code, asleep.code) == ("module-on", "module-asleep")
    assert "above" not in asleep.message and "more than wmarks_high (20 %)" in asleep.message
    made.kernel.modules.write("damon_lru_sort/parameters/wmarks_high", "1000")
    assert codes(machine.modules(made.facts())) == ["module-on"]
    made.kernel.modules.write("damon_lru_sort/parameters/wmarks_low", "999")
    assert "less than wmarks_low" in list(machine.modules(made.facts()))[1].message


def test_kdamonds_of_others(damod):
    """A note for one of somebody else's; none for ours."""
    foreign = damod(foreign=True).facts()
    assert codes(owners.others(foreign)) == ["foreign-kdamond"]
    made = damod("7.2")
    made.start({"contexts": [{"ops": "paddr", "targets": [{}]}]})
    assert codes(owners.others(made.facts())) == []


def test_files_that_somebody_else_changed(damod):
    """The change is told with its path."""
    made = damod()
    made.start({"contexts": [{"ops": "paddr", "targets": [{}]}]})
    assert codes(owners.drift(made.facts())) == []
    made.kernel.damon.write("kdamonds/0/contexts/0/monitoring_attrs/nr_regions/max", "777")
    (changed,) = owners.drift(made.facts())
    assert "777" in changed.message


def test_values_that_make_no_sense(damod):
    """Of a kdamond that another program set up: told, and the rest is judged all the same."""
    made = damod(foreign=True)
    assert codes(owners.nonsense(made.facts())) == []
    made.kernel.damon.write("kdamonds/0/contexts/0/schemes/0/access_pattern/sz/min", "9000")
    made.kernel.damon.write("kdamonds/0/contexts/0/schemes/0/access_pattern/sz/max", "10")
    (told,) = owners.nonsense(made.facts())
    assert told.about == "kdamond 0" and "min is above max" in told.message


@pytest.mark.parametrize(
    ("stage", "level"),
    [("running", None), ("disabled", None), ("masked", None), ("invalid", "error"), ("refused", "warning"),
     ("waiting", "warning"), ("rolled-back", "warning"), ("stopped", "note"), ("unmet", "note")],
)  # fmt: skip
def test_policies_by_their_stage(damod, stage, level):
    """Those that run, or are not meant to, are not told; the others with their reason."""
    made = damod()
    made.policies = [{"name": "tiering", "stage": stage, "reason": "no node 2", "drift": []}]
    found = list(owners.policies(made.facts()))
    assert [finding.level for finding in found] == ([level] if level else [])
    assert all("no node 2" in finding.message and finding.about == "policy tiering" for finding in found)
    made.policies[0] |= {"stage": "running", "drift": [{"path": "x"}]}
    assert codes(owners.policies(made.facts())) == ["policy-drift"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, []), ({"state": "failed"}, ["recording-failed"]), ({"state": "crashed"}, ["recording-failed"]),
     ({"state": "no room"}, ["recording-no-room"]), ({"lost": 3}, ["recording-lost"]),
     ({"problems": ["slow"]}, ["recording-trouble"])],
)  # fmt: skip
def test_recordings(damod, change, expected):
    """What failed, waits for room, or lost something."""
    made = damod()
    made.recordings = [{"name": "r", "state": "recording", "why": "", "lost": 0, "problems": [], **change}]
    assert codes(owners.recordings(made.facts())) == expected


def test_what_the_daemon_noticed(damod):
    """Its problems are findings."""
    facts = damod().facts()
    assert codes(owners.problems(facts)) == []
    assert codes(owners.problems(replace(facts, status={"problems": ["kdamond 3 has ended"]}))) == ["noticed"]
