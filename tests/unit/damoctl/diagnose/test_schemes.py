"""Schemes that do nothing, and why: each reason on a kernel where it is so, and none where all is well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from damoctl.diagnose import monitoring, quirks, schemes
from damod.kernel.sim.facts import VERSIONS
from damod.spec.base import Age
from damod.spec.kdamond import parse_kdamonds
from damod.spec.scheme import AccessPattern, AgeRange, SchemeStats, SizeRange, Watermarks
from tests.unit.damoctl.diagnose.conftest import codes


def paddr(*found, **more):
    return {"contexts": [{"ops": "paddr", "targets": [{}], "schemes": list(found), **more}]}


def changed(facts, *, stats=None, seen=None, **scheme):
    """The facts with the first kdamond's first scheme changed."""
    kdamond = facts.kdamonds[0]
    (context,) = kdamond.spec.contexts
    first, *rest = context.schemes
    made = first.model_copy(update={**({"stats": SchemeStats(**stats)} if stats is not None else {}), **scheme})
    context = context.model_copy(update={"schemes": (made, *rest)})
    spec = kdamond.spec.model_copy(update={"contexts": (context,)})
    return replace(facts, kdamonds=[replace(kdamond, spec=spec, **(seen or {}))])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_scheme_that_works_is_not_told(damod, version):
    """One that pages out what is idle, on each kernel."""
    made = damod(version)
    made.start(paddr({"action": "pageout", "access_pattern": {"nr_accesses": {"min": "0 %", "max": "0 %"}}}))
    facts = made.facts()
    assert facts.kdamonds[0].schemes[0].stats.nr_applied
    assert [code for check in schemes.CHECKS for code in codes(check(facts))] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_actions_without_effect_by_release(damod, version):
    """Migration of virtual memory does nothing before 6.17; hugepage on physical memory does nothing anywhere."""
    made = damod(version)
    pid = made.kernel.workload_pid
    virtual = {"contexts": [{"ops": "vaddr", "targets": [{"pid": pid}], "schemes": [
        {"action": "migrate_hot", "target_nid": 1}]}]}  # fmt: skip
    made.start(virtual, paddr({"action": "hugepage"}))
    found = [finding for finding in schemes.nothing_applied(made.facts()) if finding.code == "no-effect"]
    old = version in ("6.12", "6.16")
    assert [finding.about for finding in found] == [
        *(["kdamond 0 (mine) scheme 0 (migrate_hot)"] if old else []),
        "kdamond 1 (mine) scheme 0 (hugepage)",
    ]
    if old:
        assert "before Linux 6.17" in found[0].message


@pytest.mark.parametrize(
    ("pattern", "says", "level"),
    [
        ({"age": {"min": "1 h", "max": "max"}}, "1 h or more", "note"),
        ({"sz_bytes": {"min": "8 GiB", "max": "max"}}, "no region has the size", "warning"),
        ({"nr_accesses": {"min": "30 samples", "max": "max"}}, "there are 20 samples", "warning"),
    ],
)
def test_patterns_that_nothing_has(damod, pattern, says, level):
    """Which of size, rate and age it is, with what is wanted and what is there."""
    made = damod()
    made.start(paddr({"action": "stat", "access_pattern": pattern}))
    (found,) = schemes.never_tried(made.facts())
    assert says in found.message
    assert found.level == level


def test_a_rate_that_nothing_has(damod):
    """In an idle machine nothing is accessed all the time."""
    made = damod(scenario="idle")
    made.start(paddr({"action": "stat", "access_pattern": {"nr_accesses": {"min": "100 %", "max": "100 %"}}}))
    (found,) = schemes.never_tried(made.facts())
    assert "accessed as often" in found.message and "20 accesses" in found.message


def test_each_for_itself_but_not_together(damod):
    """Large regions, and accessed ones, but none that is both."""
    made = damod()
    made.start(paddr({"action": "stat", "access_pattern": {"age": {"min": "1 h", "max": "max"}}}))
    facts = made.facts()
    (shot,) = facts.kdamonds[0].snapshots
    regions = replace(shot.regions, start=[0, 4096], end=[4096, 1 << 30], nr_accesses=[20, 0], age=[50, 1])
    pattern = AccessPattern(sz_bytes=SizeRange(min=8192), age=AgeRange(min=Age(40, "aggr_intervals")))
    told = changed(facts, access_pattern=pattern, seen={"snapshots": [replace(shot, regions=regions)]})
    (found,) = schemes.never_tried(told)
    assert "each for itself is there" in found.message


def marks(high, mid, low):
    names = ("interval_us", "high_permil", "mid_permil", "low_permil")
    return {"metric": "free_mem_rate", **dict(zip(names, (1_000_000, high, mid, low), strict=True))}


@pytest.mark.parametrize(
    ("given", "says"), [((100, 80, 50), "above high (10 %)"), ((999, 998, 990), "below low (99 %)")]
)
def test_watermarks_that_keep_it_asleep(damod, given, says):
    """With what is free now; that is a note, since it is meant so. What is awake is not told."""
    made = damod()
    made.start(paddr({"action": "stat", "watermarks": marks(*given)}))
    (found,) = schemes.never_tried(made.facts())
    assert says in found.message and found.level == "note"
    made.start(paddr({"action": "stat", "watermarks": marks(1000, 999, 0)}), name="awake")
    assert len(list(schemes.never_tried(made.facts()))) == 1


def test_nothing_is_seen_of_a_kdamond_asleep(damod):
    """All its schemes sleep at their watermarks, and monitoring with them: that is as it should be."""
    made = damod()
    made.start(paddr(*[{"action": "stat", "watermarks": marks(100, 80, 50)}] * 2))
    facts = made.facts()
    dark = replace(facts.kdamonds[0], snapshots=None, blind="nothing came within 8 s")
    (found,) = monitoring.blind(replace(facts, kdamonds=[dark]))
    assert (found.code, found.level) == ("not-monitoring", "note") and "above high (10 %)" in found.message


def test_watermarks_that_it_has_not_come_down_to(damod):
    """Between high and mid a scheme stays as it was: asleep, if it was never tried."""
    made = damod()
    made.start(paddr({"action": "stat"}))
    between = Watermarks(**marks(990, 20, 10))
    (found,) = schemes.never_tried(changed(made.facts(), watermarks=between, stats={}))
    assert "wakes below mid (2 %)" in found.message


def test_filters_of_other_memory(damod):
    """An allowed address range where nothing is monitored; one that is monitored is all right."""
    made = damod()
    elsewhere = {
        "filter_type": "addr",
        "matching": True,
        "allow": True,
        "address_range": {"start": 1 << 50, "end": 1 << 51},
    }
    made.start(paddr({"action": "stat", "filters": [elsewhere]}))
    (found,) = schemes.never_tried(made.facts())
    assert "not monitored" in found.message
    here = {**elsewhere, "address_range": {"start": 0, "end": 1 << 51}}
    made = damod("7.2")
    made.start(paddr({"action": "stat", "filters": [here]}))
    assert codes(schemes.never_tried(made.facts())) == []


def test_a_paused_context(damod):
    """It is told as such."""
    made = damod()
    made.start(paddr({"action": "stat", "access_pattern": {"age": {"min": "1 h", "max": "max"}}}))
    facts = made.facts()
    kdamond = facts.kdamonds[0]
    context = kdamond.context.model_copy(update={"pause": True})
    paused = replace(kdamond, spec=kdamond.spec.model_copy(update={"contexts": (context,)}))
    (found,) = schemes.never_tried(replace(facts, kdamonds=[paused]))
    assert "paused" in found.message


def test_a_young_scheme_is_not_judged(damod):
    """Five aggregations are its chance."""
    made = damod()
    made.start(paddr({"action": "stat", "access_pattern": {"age": {"min": "1 h", "max": "max"}}}))
    facts = made.facts()
    assert codes(schemes.never_tried(facts)) == ["never-tried"]
    young = replace(facts.kdamonds[0], ran_s=0.2, snapshots=None)
    assert codes(schemes.never_tried(replace(facts, kdamonds=[young]))) == []


def test_statistics_that_nobody_asks_for(damod):
    """Of somebody else's kdamond zeros say nothing, unless the kernel renews them itself."""
    made = damod(foreign=True)
    assert codes(schemes.never_tried(made.facts())) == ["untold-stats"]
    made.kernel.damon.write("kdamonds/0/refresh_ms", "1000")
    assert "untold-stats" not in codes(schemes.never_tried(made.facts()))


TRIED = {"nr_tried": 50, "sz_tried": 1 << 30}


def test_what_keeps_tried_memory_as_it_is(damod):
    """Filters that let nothing pass, no swap, no other node; else pages that cannot be had."""
    made = damod()
    young = {"filter_type": "young", "matching": True, "allow": False}
    made.start(paddr({"action": "pageout", "filters": [young]}))
    facts = changed(made.facts(), stats=TRIED)
    (filtered,) = schemes.nothing_applied(facts)
    assert "filters (young) let no page pass" in filtered.message
    passed = changed(facts, stats={**TRIED, "sz_ops_filter_passed": 4096})
    (pinned,) = schemes.nothing_applied(passed)
    assert "pinned" in pinned.todo
    dry = {**facts.survey, "memory": {**facts.survey["memory"], "swap_total": 0, "swap_free": 0}}
    (no_swap,) = schemes.nothing_applied(replace(passed, survey=dry))
    assert "no swap" in no_swap.message
    one_node = replace(changed(passed, action="migrate_cold"), survey={**facts.survey, "nodes": [0]})
    (no_node,) = schemes.nothing_applied(one_node)
    assert "one NUMA node" in no_node.message
    for fine in ({**TRIED, "nr_applied": 1}, {"nr_tried": 3}):
        assert codes(schemes.nothing_applied(changed(facts, stats=fine))) == []
    assert codes(schemes.nothing_applied(changed(facts, stats=TRIED, action="stat"))) == []


@pytest.mark.parametrize(
    ("quota", "stats", "expected"),
    [
        ({"sz_bytes": 1 << 20, "reset_interval_ms": 1000}, {}, []),
        ({"sz_bytes": 1 << 20}, {}, ["quota-never-reset"]),
        ({"sz_bytes": 1 << 20}, {"qt_exceeds": 1}, ["quota-never-reset"]),
        ({"time_ms": 2000, "reset_interval_ms": 1000}, {}, ["quota-time"]),
        ({"sz_bytes": 100, "reset_interval_ms": 1000}, {"nr_tried": 3}, ["quota-page"]),
        ({"sz_bytes": 1 << 20, "reset_interval_ms": 1000}, {"qt_exceeds": 3}, ["quota-binds"]),
        ({"sz_bytes": 1 << 20, "reset_interval_ms": 10}, {"qt_exceeds": 3}, []),
        ({}, {"qt_exceeds": 3}, []),
    ],
)
def test_quotas(damod, quota, stats, expected):
    """Those that cannot work, and those that hold a scheme back."""
    made = damod()
    made.start(paddr({"action": "pageout"}))
    facts = made.facts()
    given = facts.kdamonds[0].schemes[0].quotas.model_copy(update=quota)
    found = list(schemes.quotas(changed(facts, quotas=given, stats=stats)))
    assert codes(found) == expected
    if expected == ["quota-never-reset"]:
        assert found[0].level == ("warning" if stats else "note")


def test_a_quota_of_nothing(damod):
    """Less than a page, and tuned down to nothing by its goals: reasons for a scheme that was never tried."""
    made = damod()
    made.start(paddr({"action": "pageout", "access_pattern": {"nr_accesses": {"min": "0 %", "max": "0 %"}}}))
    facts = made.facts()
    quota = facts.kdamonds[0].schemes[0].quotas
    less = changed(facts, quotas=quota.model_copy(update={"sz_bytes": 100}), stats={})
    assert "less than a page" in next(schemes.never_tried(less)).message
    goals = ({"metric": "some_mem_psi_us", "target_value": 1000},)
    reached = type(quota).model_validate({"reset_interval_ms": 1000, "goals": list(goals)})
    assert "goals are reached" in next(schemes.never_tried(changed(facts, quotas=reached, stats={}))).message


def regions(facts, count, accesses=1):
    (shot,) = facts.kdamonds[0].snapshots
    made = replace(
        shot.regions, start=[4096 * at for at in range(count)], end=[4096 * (at + 1) for at in range(count)],
        nr_accesses=[accesses] * count, age=[9] * count,
    )  # fmt: skip
    return replace(facts, kdamonds=[replace(facts.kdamonds[0], ran_s=600, snapshots=[replace(shot, regions=made)])])


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (9, ["regions-below"]),
        (10, []),
        (900, []),
        (960, ["regions-full"]),
        (1000, ["regions-full"]),
        (1001, ["regions-above"]),
    ],
)
def test_numbers_of_regions(damod, count, expected):
    """At the most they are not fine enough, above it the kernel did not keep to it, below the least they are few."""
    made = damod()
    made.start(paddr())
    assert codes(monitoring.regions(regions(made.facts(), count))) == expected


def test_monitoring_that_sees_or_tells_nothing(damod):
    """No access at all for long; no snapshot, with why; too much CPU."""
    made = damod()
    made.start(paddr())
    facts = regions(made.facts(), 20)
    assert codes(monitoring.accesses(facts)) == []
    assert codes(monitoring.accesses(regions(facts, 20, accesses=0))) == ["no-accesses"]
    assert codes(monitoring.blind(facts)) == []
    dark = replace(facts.kdamonds[0], snapshots=None, blind="nothing came within 8 s")
    assert codes(monitoring.blind(replace(facts, kdamonds=[dark]))) == ["no-snapshot"]
    paused = replace(dark, spec=parse_kdamonds([{"contexts": [{"pause": True}]}])[0])
    assert codes(monitoring.blind(replace(facts, kdamonds=[paused]))) == ["not-monitoring"]
    for cpu_s, expected in ((1.0, []), (60.0, ["costly"])):
        busy = replace(facts.kdamonds[0], cpu_s=cpu_s)
        assert codes(monitoring.cost(replace(facts, kdamonds=[busy]))) == expected


def test_quirks_by_release(damod):
    """Each kernel has those of its release; the table has no release the wrong way round."""
    by_release = {
        version: {quirk.code for quirk in quirks.known(replace(damod().facts(), release=version))}
        for version in VERSIONS
    }
    assert by_release["6.12"] == {"commit-kills", "state-busy", "vaddr-migration", "module-commit"}
    assert by_release["6.17"] == {
        "refresh-several", "commit-kills", "tried-numbers", "module-commit", "stat-at-boot",
    }  # fmt: skip
    assert by_release["7.3"] == {"stat-at-boot", "negative-idle"}
    for quirk in quirks.TABLE:
        assert not (quirk.since and quirk.until) or quirks.release_key(quirk.since) < quirks.release_key(quirk.until)
        assert quirk.what and quirk.symptom and quirk.todo and quirk.change


@pytest.mark.parametrize("version", VERSIONS)
def test_quirks_that_bite(damod, version):
    """refresh_ms of several kdamonds on 6.17 only; a foreign kdamond or a module where a commit may end them."""
    made = damod(version)
    one = {"refresh_ms": 500} if version not in ("6.12", "6.16") else {}
    made.start({**paddr(), **one}, paddr())
    assert codes(quirks.bites(made.facts())) == (["quirk-refresh-several"] if version == "6.17" else [])
    single = made.facts()
    assert codes(quirks.bites(replace(single, kdamonds=single.kdamonds[:1]))) == []
    foreign = replace(single, kdamonds=[replace(single.kdamonds[0], name=None)])
    assert ("quirk-commit-kills" in codes(quirks.bites(foreign))) == (version in ("6.12", "6.16", "6.17"))
    on = [{"name": "damon_reclaim", "enabled": True, "owner": "damod", "pid": 1, "parameters": {"commit_inputs": "N"}}]
    assert ("quirk-module-commit" in codes(quirks.bites(replace(foreign, modules=on)))) == (version != "7.3")
