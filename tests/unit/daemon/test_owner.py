"""Owning DAMON: sets over slots, other people's kdamonds, restarts, and what is left after each refusal."""

import errno
import json

import pytest

from damod.daemon.owner import Owner
from damod.errors import Conflict, FeatureMissing, KernelRefused, NoData, NotFound, UsageError
from damod.kernel import reader
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.spec.kdamond import Kdamond, parse_kdamonds


def specs(*contexts):
    return parse_kdamonds([{"contexts": [context]} for context in contexts])


def pids(kernel):
    return [life.pid for life in reader.lives(kernel) if life.on]


def writes_nothing(kernel):
    """Make the next write fail; `unused` tells whether there was one."""
    kernel.fail(errno.EIO, path="")

    def unused():
        try:
            kernel.damon.write("kdamonds/nr_kdamonds", "x")
        except OSError as exc:
            return exc.errno == errno.EIO
        return False

    return unused


def test_sets_share_the_pool(kernel, owner):
    """A second set starts beside the first; stopping one leaves the other's pid alone."""
    first = owner.start("a", specs({}))
    second = owner.start("b", specs({}, {}))
    assert [row["index"] for row in first["kdamonds"] + second["kdamonds"]] == [0, 1, 2]
    assert owner.status()["sets"] == ["a", "b"]
    assert owner.stop("b") == [{"index": row["index"], "pid": row["pid"], "name": "b"} for row in second["kdamonds"]]
    assert pids(kernel) == [first["kdamonds"][0]["pid"]]
    assert kernel.damon.read("kdamonds/nr_kdamonds") == "8"


def test_one_set_per_name(owner):
    """A name that runs cannot be started again; the error says what to do instead."""
    owner.start("a", specs({}))
    with pytest.raises(Conflict, match="'a' runs already") as info:
        owner.start("a", specs({}))
    assert "tune" in info.value.hint and "--name" in info.value.hint


def test_pool_is_finite(kernel, owners):
    """More kdamonds than free slots are refused while others run; into an idle interface the pool grows."""
    owner = owners(kernel, pool=2)
    owner.start("a", specs({}))
    with pytest.raises(Conflict, match="only 1 of the 2 slots"):
        owner.start("b", specs({}, {}))
    owner.stop()
    assert len(owner.start("b", specs({}, {}, {}))["kdamonds"]) == 3


@pytest.mark.parametrize("idle", [0, 3], ids=["untouched", "others' idle directories"])
def test_a_refusal_leaves_no_slots(owners, idle):
    """What this kernel lacks is refused, and the interface is as it was: no pool of ours, others' directories stay."""
    kernel = SimKernel("6.12", clock=SimClock())
    kernel.damon.write("kdamonds/nr_kdamonds", str(idle))
    owner = owners(kernel)
    with pytest.raises(FeatureMissing):
        owner.start("a", specs({"schemes": [{"action": "collapse"}]}))
    assert kernel.damon.read("kdamonds/nr_kdamonds") == str(idle)
    assert len(owner.start("a", specs({}))["kdamonds"]) == 1
    kernel.close()


def test_start_is_all_or_none(kernel, owner):
    """If the second kdamond of a set is refused, the first does not run either and nothing stays staged or recorded."""
    kernel.fail(errno.ENOMEM, at=2, path="state", value="on")
    with pytest.raises(KernelRefused, match="ENOMEM"):
        owner.start("a", specs({}, {}))
    assert pids(kernel) == [] and owner.status()["sets"] == [] and owner.problems() == []
    assert [kernel.damon.read(f"kdamonds/{slot}/contexts/nr_contexts") for slot in (0, 1)] == ["0", "0"]
    assert len(owner.start("a", specs({}, {}))["kdamonds"]) == 2


def test_dry_run_touches_nothing(kernel, owner):
    """A dry run says every write and does none, of a start as of a tune."""
    unused = writes_nothing(kernel)
    plan = owner.start("a", specs({"schemes": [{"action": "pageout"}]}), dry_run=True)
    assert ["kdamonds/0/contexts/0/schemes/0/action", "pageout"] in plan["kdamonds"][0]["writes"]
    assert unused()
    owner.start("a", specs({}))
    unused = writes_nothing(kernel)
    changes = owner.tune("a", specs({"intervals": {"sample_us": "10ms"}}), dry_run=True)["changes"]
    assert [(change["old"], change["new"]) for change in changes] == [("5 ms", "10 ms")]
    assert unused()


@pytest.mark.parametrize("version", ["6.12", "6.18"])
def test_missing_feature_starts_nothing(owners, version):
    """What the kernel lacks is told before anything of it is written: nothing runs, nothing is recorded."""
    kernel = SimKernel(version, clock=SimClock())
    if version != "6.12":
        kernel.modules.write("damon_stat/parameters/enabled", "Y")
    owner = owners(kernel)
    with pytest.raises(FeatureMissing, match=r"contexts\[0\]\.pause needs pause"):
        owner.start("a", specs({"pause": True}), take_over=True)
    assert pids(kernel) == [] and owner.status()["sets"] == []
    if version != "6.12":
        assert kernel.modules.read("damon_stat/parameters/enabled") == "Y"


def test_tune_keeps_pid_and_tells_changes(kernel, owner):
    """A tuned kdamond goes on under its pid with the new parameters, and what changed is told."""
    (row,) = owner.start("a", specs({}))["kdamonds"]
    answer = owner.tune(None, specs({"intervals": {"sample_us": "10ms", "aggr_us": "200ms"}}))
    assert [change["path"].rpartition(".")[2] for change in answer["changes"]] == ["sample_us", "aggr_us"]
    assert pids(kernel) == [row["pid"]]
    (shown,) = owner.show()
    assert shown["spec"]["contexts"][0]["intervals"]["sample_us"] == "10 ms"
    assert shown["drift"] == []


def test_tune_is_all_or_none(kernel, owner):
    """If the second kdamond refuses its new parameters, the first gets its old ones back."""
    owner.start("a", specs({}, {}))
    before = [reader.kdamond(kernel, slot) for slot in (0, 1)]
    kernel.fail(errno.EINVAL, at=2, path="state", value="commit")
    faster = {"intervals": {"sample_us": "1ms"}}
    with pytest.raises(KernelRefused):
        owner.tune("a", specs(faster, faster))
    assert [reader.kdamond(kernel, slot) for slot in (0, 1)] == before
    assert [spec.contexts[0].intervals.sample_us for spec in owner.specs("a")] == [5000, 5000]


def test_tune_of_other_memory_starts_anew(kernel, owner):
    """Other operations need another kdamond: started anew, in the same slot, and said so."""
    (row,) = owner.start("a", specs({}))["kdamonds"]
    answer = owner.tune("a", specs({"ops": "vaddr", "targets": [{"pid": kernel.workload_pid}]}))
    assert answer["notes"] == ["kdamond 0 is started anew"]
    assert answer["kdamonds"][0]["index"] == 0 and answer["kdamonds"][0]["pid"] != row["pid"]
    assert pids(kernel) == [answer["kdamonds"][0]["pid"]]


def test_tune_does_not_reset_tuned_intervals(kernel, owner):
    """Changing a scheme leaves intervals where the kernel's tuning has brought them."""
    goal = {"access_bp": "4%", "aggrs": 3, "min_sample_us": "1ms", "max_sample_us": "10s"}
    base = {"intervals": {"intervals_goal": goal}}
    owner.start("a", specs(base))
    kernel.clock.advance(5)
    tuned = owner.show()[0]["tuned_intervals"]
    assert tuned["sample_us"] != 5000
    owner.tune("a", specs({**base, "schemes": [{}]}))
    assert reader.intervals(kernel, 0) == (tuned["sample_us"], tuned["aggr_us"])
    assert owner.show()[0]["drift"] == []


def test_which_set_is_tuned(owner):
    """Without a name it is the only set; with several it must be said; the number of kdamonds cannot change."""
    with pytest.raises(NotFound, match="none does"):
        owner.tune(None, specs({}))
    owner.start("a", specs({}))
    with pytest.raises(UsageError, match="has 1 kdamonds, not 2"):
        owner.tune(None, specs({}, {}))
    owner.start("b", specs({}))
    with pytest.raises(UsageError, match="several sets run"):
        owner.tune(None, specs({}))
    with pytest.raises(NotFound, match=r"running: a, b"):
        owner.stop("c")


def test_restart_adopts(kernel, owners):
    """The next damod finds the same kdamonds: same pid, same slot, same spec, and they never stopped."""
    spec = specs({"schemes": [{"access_pattern": {"nr_accesses": {"min": "5%"}}}]})
    (row,) = owners(kernel).start("a", spec)["kdamonds"]
    kernel.clock.advance(2)
    second = owners(kernel)
    (shown,) = second.show()
    assert (shown["index"], shown["name"], shown["owner"], shown["spec"]["pid"]) == (0, "a", "damod", row["pid"])
    assert shown["drift"] == [] and second.problems() == []
    assert second.start("b", specs({}))["kdamonds"][0]["index"] == 1
    assert len(second.stop()) == 2


def test_crash_between_on_and_answer(kernel, owners, tmp_path):
    """A damod that died before it wrote down the pid still finds its kdamond."""
    owners(kernel).start("a", specs({}))
    file = tmp_path / "run" / "slots.json"
    data = json.loads(file.read_text())
    data["slots"]["0"] |= {"pid": None, "pid_start": None}
    file.write_text(json.dumps(data))
    assert [row["owner"] for row in owners(kernel).status()["kdamonds"]] == ["damod"]


def test_died_while_nobody_looked(kernel, owners):
    """A kdamond that ended while damod was away is reported once and its slot is free."""
    owners(kernel).start("a", specs({}))
    kernel.kill_kdamond(0)
    second = owners(kernel)
    assert ["has ended" in problem for problem in second.problems()] == [True]
    assert second.status()["slots"] == {"pool": 8, "free": 8}


def test_damaged_memory_makes_kdamonds_foreign(kernel, owners, tmp_path):
    """With slots.json damaged nothing is guessed: the kdamond is somebody else's until it is adopted."""
    owners(kernel).start("a", specs({}))
    (tmp_path / "run" / "slots.json").write_text("{")
    owner = owners(kernel)
    assert "slots.json" in owner.problems()[0]
    with pytest.raises(Conflict, match="somebody else's kdamond"):
        owner.start("b", specs({}))
    assert owner.adopt("a") == [{"index": 0, "pid": pids(kernel)[0]}]
    assert owner.start("b", specs({}))["kdamonds"][0]["index"] == 1


@pytest.fixture
def taken():
    """A kernel where somebody else's kdamond runs, and its whole slot as text."""
    kernel = SimKernel("7.3", clock=SimClock(), foreign=True)
    yield kernel
    kernel.close()


def test_foreign_kdamonds_are_never_written(taken, owners):
    """Somebody else's kdamond is shown, but starting, stopping and tuning write nothing and name its pid."""
    owner = owners(taken)
    (pid,) = pids(taken)
    unused = writes_nothing(taken)
    with pytest.raises(Conflict, match=rf"pid {pid}\b") as info:
        owner.start("a", specs({}))
    assert "--take_over" in info.value.hint and "adopt" in info.value.hint
    with pytest.raises(Conflict, match=rf"pid {pid}\b"):
        owner.stop(slot=0)
    assert owner.stop() == []
    with pytest.raises(NotFound):
        owner.tune(None, specs({}))
    (shown,) = owner.show(tried_regions=True)
    assert (shown["owner"], shown["name"], shown["spec"]["pid"]) == ("other", None, pid)
    assert shown["spec"]["contexts"][0]["schemes"][0]["action"] == "pageout"
    assert owner.status()["kdamonds"] == [
        {
            "index": 0,
            "state": "on",
            "pid": pid,
            "name": None,
            "owner": "other",
            "started_ns": None,
            "ops": "paddr",
            "actions": ["pageout"],
            "followed": None,
        }
    ]
    assert unused()


def test_take_over_stops_the_foreign(taken, owners):
    """Only when told to, damod stops somebody else's kdamond and takes the interface."""
    owner = owners(taken)
    (old,) = pids(taken)
    answer = owner.start("a", specs({}), take_over=True)
    assert pids(taken) == [answer["kdamonds"][0]["pid"]] != [old]
    assert answer["notes"][0] == f"kdamond 0 (pid {old}) of somebody else was stopped"


def test_adopt_touches_nothing(taken, owners):
    """An adopted kdamond runs on untouched, can be tuned like any other, and is still ours after a restart."""
    owner = owners(taken)
    (pid,) = pids(taken)
    unused = writes_nothing(taken)
    assert owner.adopt("theirs") == [{"index": 0, "pid": pid}]
    assert unused()
    again = owners(taken)
    (spec,) = again.specs("theirs")
    again.tune("theirs", [spec.model_copy(update={"refresh_ms": 500})])
    assert pids(taken) == [pid] and taken.damon.read("kdamonds/0/refresh_ms") == "500"


def test_idle_directories_are_replaced(kernel, owner):
    """Directories that somebody allocated and left idle belong to nobody; the note says that they went."""
    kernel.damon.write("kdamonds/nr_kdamonds", "3")
    assert "3 idle kdamond directories" in owner.start("a", specs({}))["notes"][0]
    assert kernel.damon.read("kdamonds/nr_kdamonds") == "8"


def test_damon_stat_is_taken_over_and_given_back(owners):
    """damon_stat in the way is a conflict; taken over it is off while we run, and on again after our last stop."""
    kernel = SimKernel("7.3", clock=SimClock())
    kernel.modules.write("damon_stat/parameters/enabled", "Y")
    owner = owners(kernel)
    with pytest.raises(Conflict, match="damon_stat") as info:
        owner.start("a", specs({}))
    assert "--take_over" in info.value.hint
    owner.start("a", specs({}), take_over=True)
    owner.start("b", specs({}))
    owner = owners(kernel)  # the memory of it outlives a restart
    owner.stop("a")
    assert kernel.modules.read("damon_stat/parameters/enabled") == "N"
    owner.stop("b")
    assert kernel.modules.read("damon_stat/parameters/enabled") == "Y"


def test_other_modules_are_left_alone(kernel, owner):
    """A module that reclaims memory is the operator's decision: not switched off even when told to take over."""
    kernel.modules.write("damon_reclaim/parameters/enabled", "Y")
    with pytest.raises(Conflict, match="damon_reclaim") as info:
        owner.start("a", specs({}), take_over=True)
    assert "damoctl module reclaim disable" in info.value.hint
    assert kernel.modules.read("damon_reclaim/parameters/enabled") == "Y"


def test_release_gives_the_interface_back(kernel, owner):
    """Released, nothing of ours is allocated any more; while something runs nothing is released."""
    owner.start("a", specs({}))
    owner.release()
    assert len(pids(kernel)) == 1
    owner.stop()
    owner.release()
    assert kernel.damon.read("kdamonds/nr_kdamonds") == "0"


def test_targets_must_live(kernel, owner):
    """A pid that is not there is refused before a write; one that dies later frees its slot, with the reason."""
    with pytest.raises(NotFound, match="process 99999 is to be monitored"):
        owner.start("a", specs({"ops": "vaddr", "targets": [{"pid": 99999}]}))
    assert kernel.damon.read("kdamonds/nr_kdamonds") == "0"
    pid = kernel.spawn()
    owner.start("a", specs({"ops": "vaddr", "targets": [{"pid": pid}]}))
    kernel.exit(pid)
    kernel.clock.advance(1)
    assert owner.show() == []
    assert f"its target is gone (pid {pid})" in owner.problems()[-1]
    assert owner.status()["slots"]["free"] == 8


def test_nodes_must_exist(kernel, owner):
    """A migration to a node that this machine does not have is refused with the node's number."""
    with pytest.raises(NotFound, match="NUMA node 7"):
        owner.start("a", specs({"schemes": [{"action": "migrate_cold", "target_nid": 7}]}))


def test_drift_is_shown(kernel, owner):
    """What somebody else writes into our kdamond's files is seen and told."""
    owner.start("a", specs({}))
    kernel.damon.write("kdamonds/0/contexts/0/monitoring_attrs/nr_regions/max", "77")
    assert owner.show()[0]["drift"] == ["kdamonds[0].contexts[0].nr_regions.max: 1,000 -> 77"]


def test_show_with_stats_and_tried_regions(kernel, owner):
    """Our own kdamonds are asked for fresh statistics and tried regions."""
    owner.start("a", specs({"schemes": [{}]}))
    kernel.clock.advance(1)
    (shown,) = owner.show(tried_regions=True, slot=0)
    assert int(shown["spec"]["contexts"][0]["schemes"][0]["stats"]["nr_tried"].replace(",", "")) > 0
    columns = shown["tried_regions"][0]
    assert len(columns["start"]) == len(columns["age"]) >= 10
    assert columns["total_bytes"] == sum(columns["end"]) - sum(columns["start"])
    with pytest.raises(NotFound, match="kdamond 5"):
        owner.show(slot=5)


def test_cpu_time_of_a_kdamond(kernel, owner):
    """Each kdamond's CPU time comes with the time at which it was looked at; both only grow."""
    owner.start("a", specs({}))
    (first,) = owner.show()
    kernel.clock.advance(2)
    (second,) = owner.show()
    assert second["time_ns"] - first["time_ns"] == pytest.approx(2e9, rel=0.1)
    assert 0 < second["cpu_ns"] - first["cpu_ns"] < 2e9


def test_a_kdamond_asleep_is_shown(kernel, owner):
    """At its watermarks no scheme gets its turn: the kernel's ECANCELED is no trouble for who looks at all of them."""
    marks = {"metric": "free_mem_rate", "interval_us": 1_000_000, "high_permil": 3, "mid_permil": 2, "low_permil": 1}
    owner.start("a", specs({"schemes": [{"action": "stat", "watermarks": marks}]}, {"schemes": [{"action": "stat"}]}))
    kernel.clock.advance(3)
    asleep, awake = owner.show(tried_regions=True)
    assert asleep["tried_regions"][0]["start"] == [] != awake["tried_regions"][0]["start"]
    with pytest.raises(NoData, match="monitors nothing now"):
        owner.tried_of(0, 0)


def test_what_a_scheme_was_tried_on(kernel, owner):
    """The regions of one of our schemes with its statistics; a scheme that is not there is named."""
    owner.start("a", specs({"schemes": [{"action": "stat"}, {"access_pattern": {"nr_accesses": {"max": 0}}}]}))
    kernel.clock.advance(1)
    everything, scheme = owner.tried_of(0, 0)
    idle, _ = owner.tried_of(0, 1)
    assert scheme.stats.nr_tried > 0
    assert 0 < idle.total_bytes() < everything.total_bytes() and set(idle.nr_accesses) == {0}
    with pytest.raises(NotFound, match="no scheme 2, only 2"):
        owner.tried_of(0, 2)
    with pytest.raises(NotFound, match="kdamond 3 does not run"):
        owner.tried_of(3, 0)


def test_tried_regions_of_others_are_only_read(owners):
    """Somebody else's kdamond gets no command: what stands in its files is shown, and nothing is said to be nothing."""
    kernel = SimKernel("7.3", clock=SimClock(), foreign=True)
    owner = owners(kernel)
    with pytest.raises(NoData, match="scheme 0 of kdamond 0") as info:
        owner.tried_of(0, 0)
    assert "adopt" in info.value.hint
    kernel.damon.write("kdamonds/0/contexts/0/schemes/0/access_pattern/age/min", "0")
    kernel.damon.write("kdamonds/0/state", "commit")
    kernel.clock.advance(1)
    kernel.damon.write("kdamonds/0/state", "update_schemes_tried_regions")
    unused = writes_nothing(kernel)
    regions, _ = owner.tried_of(0, 0)
    assert regions.total_bytes() > 0
    assert unused()


def test_only_the_quota_goals(kernel, owner):
    """Of a whole spec only the goals are taken, and only they are committed; nothing else of the kdamond moves."""

    def spec(target, sample, **more):
        goal = {"metric": "user_input", "target_value": target, "current_value": 5}
        quotas = {"sz_bytes": "1M", "reset_interval_ms": "1s", "goals": [goal]}
        return specs({"intervals": {"sample_us": sample}, "schemes": [{"action": "pageout", "quotas": quotas, **more}]})

    owner.start("a", spec(100, "5ms"))
    kernel.fail(errno.EIO, path="state", value="commit")
    answer = owner.tune(None, spec(200, "10ms"), quota_goals_only=True)
    assert [(one["path"].rpartition(".")[2], one["new"]) for one in answer["changes"]] == [("target_value", "200")]
    assert kernel.damon.read("kdamonds/0/contexts/0/monitoring_attrs/intervals/sample_us") == "5000"
    assert kernel.damon.read("kdamonds/0/contexts/0/schemes/0/quotas/goals/0/target_value") == "200"
    with pytest.raises(UsageError, match="1 schemes, not 0"):
        owner.tune(None, specs({}), quota_goals_only=True)
    with pytest.raises(KernelRefused, match="EIO"):
        owner.tune(None, spec(200, "10ms"))


def test_two_damods(kernel, owner, tmp_path):
    """A second damod with another runtime directory sees the first one's kdamonds as foreign and keeps off them."""
    owner.start("a", specs({}))
    (tmp_path / "elsewhere").mkdir()
    other = Owner(kernel, tmp_path / "elsewhere")
    other.adopt_running()
    with pytest.raises(Conflict, match="somebody else's"):
        other.start("b", [Kdamond()])
    assert len(pids(kernel)) == 1


def test_obsolete_targets_are_taken_away(kernel, owner):
    """A tune drops the targets that are marked, from the kernel and from what is remembered; the next goes on so."""
    pid = kernel.workload_pid
    both = [{"pid": pid}, {"pid": pid}]
    before = owner.start("a", specs({"ops": "vaddr", "targets": both}))
    marked = [{"pid": pid}, {"pid": pid, "obsolete": True}]
    owner.tune("a", specs({"ops": "vaddr", "targets": marked}))
    assert [target.pid for target in owner.specs("a")[0].contexts[0].targets] == [pid]
    assert [(row["spec"]["pid"], row["drift"]) for row in owner.show()] == [(before["kdamonds"][0]["pid"], [])]
    with pytest.raises(UsageError, match="target 1 is obsolete"):
        owner.tune("a", specs({"ops": "vaddr", "targets": marked}))
    owner.tune("a", specs({"ops": "vaddr", "targets": [{"pid": pid}], "nr_regions": {"min": 20}}))
    assert kernel.damon.read("kdamonds/0/contexts/0/targets/nr_targets") == "1"


def test_a_new_target_cannot_be_obsolete(kernel, owner):
    """A start with an obsolete target is refused before a write: the kernel would say no more than EINVAL."""
    unused = writes_nothing(kernel)
    with pytest.raises(UsageError, match="target 0 is obsolete"):
        owner.start("a", specs({"ops": "vaddr", "targets": [{"pid": kernel.workload_pid, "obsolete": True}]}))
    assert unused()
