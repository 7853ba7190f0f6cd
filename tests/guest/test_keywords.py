"""Every keyword and optional attribute: taken and read back where the kernel has it, else refused before a write.

One kdamond runs all the time and is tuned from one spec to the next. Its schemes match no memory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from damod.daemon.owner import Owner
from damod.errors import FeatureMissing
from damod.kernel import reader
from damod.kernel.features import FEATURES, Features
from damod.kernel.linux import LinuxKernel
from damod.kernel.tree import SysfsTree
from damod.kernel.writer import resolve
from damod.spec.diff import diff
from damod.spec.kdamond import Kdamond, parse_kdamonds
from damod.spec.needs import needs
from damod.spec.scheme import GOAL_NEEDS, MIGRATIONS
from tests.contract.driver import Damon
from tests.guest.driver import ADMIN

MEMCG = "/damod-test"
NOTHING = {"sz_bytes": {"min": 1 << 60, "max": 1 << 60}}
FILTERS: dict[str, dict[str, Any]] = {
    "memcg": {"memcg_path": MEMCG},
    "hugepage_size": {"hugepage_size": ["4 KiB", "2 MiB"]},
    "addr": {"address_range": {"start": 4096, "end": 8192}},
    "target": {"damon_target_idx": 0},
    "probe_hits_wsum": {"probe_hits_wsum_range": [1, 2]},
}
PROBES: dict[str, dict[str, Any]] = {
    "memcg": {"path": MEMCG},
    "hugepage_size": {"range_min": 4096, "range_max": 1 << 21},
}


def spec_for(feature: str, pid: int) -> dict[str, Any]:
    """A kdamond that asks for a feature and as little else as can be; `pid` is there to be watched."""
    kind, _, word = feature.partition(".")
    pattern = {"access_pattern": NOTHING}

    def context(**what: Any) -> dict[str, Any]:
        return {"contexts": [what]}

    def scheme(**what: Any) -> dict[str, Any]:
        return context(schemes=[{**pattern, **what}])

    def goal(**what: Any) -> dict[str, Any]:
        return {"reset_interval_ms": 1000, "goals": [{"target_value": 100, **what}]}

    def probe(**what: Any) -> dict[str, Any]:
        return context(probes=[{"filters": [{"filter_type": "anon"}], **what}])

    match kind:
        case "ops":
            regions = [{"start": 1 << 20, "end": 1 << 21}] if word == "fvaddr" else []
            target = {"regions": regions} if word == "paddr" else {"pid": pid, "regions": regions}
            return context(ops=word, targets=[target])
        case "action":
            return scheme(action=word, target_nid=1 if word in MIGRATIONS else None)
        case "filter":
            return scheme(filters=[{"filter_type": word, **FILTERS.get(word, {})}])
        case "quota_goal" if word == "complement":
            return scheme(quotas=goal(metric="user_input", complement=True))
        case "quota_goal":
            needed = {"nid": 0, "memcg_path": MEMCG}
            return scheme(quotas=goal(metric=word, **{name: needed[name] for name in GOAL_NEEDS[word]}))
        case "goal_tuner" if word:
            return scheme(quotas={**goal(metric="user_input"), "goal_tuner": word})
        case "probe_filter":
            return probe(filters=[{"filter_type": word, **PROBES.get(word, {})}])
    return {
        "refresh_ms": {"refresh_ms": 1000},
        "addr_unit": context(addr_unit=4096),
        "pause": context(pause=True),
        "intervals_goal": context(
            intervals={
                "intervals_goal": {"access_bp": 400, "aggrs": 3, "min_sample_us": 5000, "max_sample_us": 10_000_000}
            }
        ),
        "probes": probe(),
        "probe_weight": probe(weight=7),
        "probe_preps": probe(preps=[{"prep_action": "set_pgidle"}]),
        "sample_control": context(sample_control={"primitives_enabled": {"page_table": False, "page_fault": True}}),
        "target_nid": scheme(action="migrate_cold", target_nid=1),
        "dests": scheme(action="migrate_hot", dests=[{"id": 0, "weight": 1}, {"id": 1, "weight": 3}]),
        "apply_interval": scheme(apply_interval_us=1_000_000),
        "fail_charge": scheme(quotas={"sz_bytes": 1 << 20, "reset_interval_ms": 1000, "fail_charge_num": 1,
                                      "fail_charge_denom": 4096}),
        "goal_tuner": scheme(quotas={**goal(metric="user_input"), "goal_tuner": "temporal"}),
        "filter_allow": scheme(filters=[{"filter_type": "anon", "allow": True}]),
        "max_nr_snapshots": scheme(max_nr_snapshots=1000),
    }[feature]  # fmt: skip


# Modules, events, statistics, and what else no single spec can ask for; an obsolete target takes two (below).
NOT_ASKED = {"tried_regions", "tried_bytes", "effective_bytes", "update_tuned_intervals", "core_ops_filters",
             "quota_goal.nid", "quota_goal.path", "stats.nr_snapshots", "stats.sz_ops_filter_passed",
             "obsolete_target"}  # fmt: skip
ASKED = [item.name for item in FEATURES if item.how not in ("event", "module") and item.name not in NOT_ASKED]


class Recorded(SysfsTree):
    """The real tree, with a list of what was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written: list[tuple[str, str]] = []

    def write(self, path: str, value: str) -> None:
        self.written.append((path, value))
        super().write(path, value)


class Running:
    """One kdamond of an Owner of its own, and a process to be watched."""

    def __init__(self, state_dir: Path, sleeper: int) -> None:
        self.kernel = LinuxKernel()
        self.kernel.damon.close()
        self.kernel.damon = self.tree = Recorded(ADMIN)
        self.known = Features.known(self.kernel.release)
        self.owner = Owner(self.kernel, state_dir, pool=2)
        self.owner.start("keywords", parse_kdamonds([{}]), take_over=True)
        self.sleeper = sleeper

    def tune(self, spec: Kdamond) -> Kdamond:
        """Give it a spec; what the kernel then holds, read from its files."""
        self.tree.written.clear()
        answer = self.owner.tune("keywords", [spec])
        return reader.kdamond(self.kernel, answer["kdamonds"][0]["index"])


@pytest.fixture(scope="module")
def keywords(real: LinuxKernel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """That kdamond, on an otherwise idle machine."""
    Damon(real).reset()
    cgroup = Path("/sys/fs/cgroup") / MEMCG[1:]
    cgroup.mkdir()
    with subprocess.Popen(["sleep", "3600"]) as sleeper:
        made = Running(tmp_path_factory.mktemp("keywords"), sleeper.pid)
        yield made
        made.owner.stop()
        made.kernel.close()
        sleeper.kill()
    cgroup.rmdir()
    Damon(real).reset()


@pytest.mark.parametrize("feature", ASKED)
def test_it_is_read_back_or_refused_before_a_write(keywords: Running, feature: str) -> None:
    """What this release has (by the table) the kernel takes and holds; what it lacks is refused and nothing written."""
    (spec,) = parse_kdamonds([spec_for(feature, keywords.sleeper)])
    lacking = {name for name, _ in needs([spec]) if not keywords.known.has(name)}
    if lacking:
        with pytest.raises(FeatureMissing) as caught:
            keywords.tune(spec)
        assert caught.value.facts["feature"] in lacking
        assert keywords.tree.written == []
        return
    # Only a default needs no feature.
    assert keywords.known.has(feature) or feature == "goal_tuner.consist"
    held = keywords.tune(spec)
    wanted = resolve(spec, keywords.kernel.proc)
    assert diff([reader.normalise(wanted, keywords.known)], [reader.normalise(held, keywords.known)]) == []


def test_every_keyword_of_the_table_is_asked_for() -> None:
    """No feature of the table that a spec can ask for is forgotten here."""
    asked = {name for feature in ASKED for name, _ in needs(parse_kdamonds([spec_for(feature, 1)]))}
    assert {name for name in ASKED if name not in asked} == {"goal_tuner.consist", "goal_tuner.temporal"}


def test_an_obsolete_target_is_taken_away(keywords: Running) -> None:
    """Of two targets the one that is marked goes, and the files say so; a kernel without that refuses."""
    both = [{"pid": keywords.sleeper}, {"pid": os.getpid()}]
    keywords.tune(*parse_kdamonds([{"contexts": [{"ops": "vaddr", "targets": both}]}]))
    marked = [{"pid": keywords.sleeper, "obsolete": True}, {"pid": os.getpid()}]
    (spec,) = parse_kdamonds([{"contexts": [{"ops": "vaddr", "targets": marked}]}])
    if not keywords.known.has("obsolete_target"):
        with pytest.raises(FeatureMissing):
            keywords.tune(spec)
        assert keywords.tree.written == []
        return
    held = keywords.tune(spec)
    assert [target.pid for target in held.contexts[0].targets] == [os.getpid()]
    # Committing what is left finds the kernel's array to be the same, so nothing new is watched.
    (left,) = keywords.owner.specs("keywords")
    assert keywords.tune(left).contexts[0].targets == held.contexts[0].targets
