"""The reconciler on a simulated kernel: what runs follows the files, and trouble stays where it is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from damod.kernel.sim.kernel import SimKernel
from damod.spec.kdamond import parse_kdamonds
from damod.spec.scheme import SchemeStats
from tests.unit.policy.conftest import Site

PLAIN = "kdamonds:\n- contexts:\n  - ops: paddr\n"
STAT = "kdamonds:\n- contexts:\n  - schemes:\n    - quotas: {{sz_bytes: {size}, reset_interval_ms: 1s}}\n"
OF_PROCESS = "targets:\n- command: task*\nkdamonds:\n- contexts:\n  - ops: vaddr\n"
HURTS = (
    "acknowledge: [no_quota, hot_memory]\nguard: {probation: 60s, refaults: null, swap_in: 1M}\n"
    "kdamonds:\n- contexts:\n  - schemes:\n    - action: pageout\n"
)


class Written:
    """Paths written while it is open."""

    def __init__(self, kernel: SimKernel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        real = kernel.damon.write

        def write(path: str, value: str) -> None:
            self.paths.append(path)
            real(path, value)

        monkeypatch.setattr(kernel.damon, "write", write)


def test_a_policy_runs_until_its_file_is_gone(site: Site) -> None:
    """A file starts a set of its name, without the file it stops."""
    path = site.put("50-a.yaml", PLAIN)
    assert site.reload() == 1
    assert site.stage("a") == "running" and list(site.pids()) == ["a"]
    assert site.reload() == 0
    path.unlink()
    assert site.reload() == 1
    assert site.pids() == {}


def test_an_edit_is_a_commit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed quota keeps the pid, and only files of that one kdamond are written."""
    site.put("a.yaml", STAT.format(size="1M"))
    site.put("b.yaml", STAT.format(size="1M"))
    site.reload()
    before = site.pids()
    written = Written(site.kernel, monkeypatch)
    site.put("b.yaml", STAT.format(size="2M"))
    assert site.reload() == 1
    assert site.pids() == before
    assert written.paths == ["kdamonds/1/contexts/0/schemes/0/quotas/bytes", "kdamonds/1/state"]


def test_a_wrong_edit_leaves_the_last_good_version(site: Site) -> None:
    """The set goes on, also with a daemon that never saw the good version, and the problem is told with its place."""
    path = site.put("a.yaml", PLAIN)
    site.reload()
    before = site.pids()
    path.write_text("kdamonds: [")
    site.reload()
    assert site.stage("a") == "invalid" and f"{path}:2:1" in site.reason("a")
    assert site.pids() == before
    site.boot()
    site.reload()
    assert site.stage("a") == "invalid" and site.pids() == before
    path.write_text(PLAIN)
    site.reload()
    assert site.stage("a") == "running" and site.pids() == before


def test_a_masked_policy_stops(site: Site) -> None:
    """A link to /dev/null in place of a file that ran ends its set, and nothing is due any more."""
    path = site.put("a.yaml", PLAIN)
    site.reload()
    path.unlink()
    path.symlink_to("/dev/null")
    assert site.reload() == 1
    assert site.stage("a") == "masked" and site.pids() == {} and site.policies.due_s() is None


def test_what_runs_of_a_wrong_file_is_looked_after(site: Site) -> None:
    """The last good version is repaired and started again as any other."""
    path = site.put("a.yaml", STAT.format(size="1M"))
    site.reload()
    path.write_text("{")
    site.reload()
    assert site.policies.due_s() == 5.0
    site.kernel.damon.write("kdamonds/0/contexts/0/schemes/0/quotas/bytes", "4096")
    assert site.after(5) == 1 and site.stage("a") == "invalid"
    assert site.kernel.damon.read("kdamonds/0/contexts/0/schemes/0/quotas/bytes") == str(1 << 20)


def test_a_directory_that_cannot_be_read_stops_nothing(site: Site) -> None:
    """What runs goes on while the files are not known."""
    site.put("a.yaml", PLAIN)
    site.reload()
    before = site.pids()
    site.policies.directories = (f"{site.files}/loop",)
    (site.files / "loop").symlink_to("loop")
    assert site.reload() == 0
    assert site.pids() == before and "cannot be listed" in site.policies.trouble


def test_a_new_daemon_adopts(site: Site) -> None:
    """After a restart the same kdamonds run, and a policy that is gone meanwhile is stopped."""
    site.put("a.yaml", PLAIN)
    gone = site.put("b.yaml", PLAIN)
    site.reload()
    before = site.pids()
    gone.unlink()
    site.boot()
    assert site.reload() == 1
    assert site.pids() == {"a": before["a"]}


def test_sets_by_hand_are_never_touched(site: Site) -> None:
    """A set started by hand stays as it is; a policy of the same name waits for it."""
    site.owner.start("adhoc", parse_kdamonds([{}]))
    site.owner.start("a", parse_kdamonds([{}]))
    before = site.pids()
    site.put("a.yaml", PLAIN)
    assert site.reload() == 0
    assert site.stage("a") == "refused" and "by hand" in site.reason("a") and site.pids() == before
    site.owner.stop("a")
    site.policies.apply()
    assert site.stage("a") == "running" and site.pids()["adhoc"] == before["adhoc"]


def test_a_dead_kdamond_is_started_again_with_pauses(site: Site) -> None:
    """The first death is answered at once, a second one soon after it after a pause; other sets do not notice."""
    site.put("a.yaml", PLAIN)
    site.put("b.yaml", PLAIN)
    site.reload()
    before = site.pids()
    site.kernel.clock.sleep(120)
    site.kernel.kill_kdamond(0)
    assert site.after(5) == 1
    again = site.pids()
    assert again["a"] != before["a"] and again["b"] == before["b"]
    site.kernel.kill_kdamond(0)
    assert site.after(5) == 0
    assert site.stage("a") == "waiting" and "ended soon" in site.reason("a")
    assert site.after(5) == 1
    assert site.stage("a") == "running" and site.pids()["b"] == before["b"]


def test_one_dead_kdamond_of_a_set_is_started_alone(site: Site) -> None:
    """The other kdamonds of the same policy keep their pids."""
    site.put("a.yaml", PLAIN + "- contexts:\n  - ops: paddr\n")
    site.reload()
    first, second = site.pids()["a"]
    site.kernel.clock.sleep(120)
    site.kernel.kill_kdamond(1)
    assert site.after(5) == 1
    assert site.pids()["a"][0] == first and len(site.pids()["a"]) == 2 and second not in site.pids()["a"]


@pytest.mark.parametrize("kind", [errno.EIO, errno.EBUSY, errno.EINVAL])
def test_a_refusal_is_tried_again_later(site: Site, kind: int) -> None:
    """What the kernel refuses once is in the status with its reason, and runs after a pause."""
    site.put("a.yaml", PLAIN)
    site.put("b.yaml", PLAIN)
    site.put("b.yaml", "on_conflict: wait\n" + PLAIN)
    site.kernel.fail(kind, path="kdamonds/1/state", value="on")
    site.reload()
    assert site.stage("a") == "running"
    assert site.stage("b") == "waiting" and errno.errorcode[kind] in site.reason("b")
    due = site.policies.due_s()
    assert due is not None and 1 < due <= 2.1
    assert site.after(due + 0.1) == 1
    assert site.stage("b") == "running"


def test_a_kernel_that_cannot_be_read_for_a_while(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO on every read: no exception, the summary says so, nothing changes, and it goes on when the kernel answers."""
    site.put("a.yaml", PLAIN)
    site.reload()
    before = site.pids()

    def broken(path: str) -> str:
        raise OSError(errno.EIO, "Input/output error", path)

    with monkeypatch.context() as patch:
        patch.setattr(site.kernel.damon, "read", broken)
        assert site.reload() == 0 and site.after(5) == 0
        assert "EIO" in site.policies.summary() and site.policies.due_s() == 2.0
    assert site.after(2) == 0
    assert site.pids() == before and site.policies.summary() == "policies: 1 running"


@pytest.mark.parametrize("how", ["fail", "take_over", "wait"])
def test_a_module_in_the_way(sites: Callable[..., Site], how: str) -> None:
    """damon_stat: refused until a reload, switched off, or waited for."""
    site = sites("7.3")
    site.kernel.modules.write("damon_stat/parameters/enabled", "Y")
    site.put("a.yaml", f"on_conflict: {how}\n{PLAIN}")
    site.reload()
    assert site.stage("a") == {"fail": "refused", "take_over": "running", "wait": "waiting"}[how]
    if how != "take_over":
        assert "damon_stat" in site.reason("a") and "`on_conflict: take_over`" in site.reason("a")
        site.kernel.modules.write("damon_stat/parameters/enabled", "N")
        site.after(10)
        assert site.stage("a") == ("refused" if how == "fail" else "running")
        site.reload()
        assert site.stage("a") == "running"


def test_drift_is_found_told_and_repaired(site: Site) -> None:
    """What somebody writes into our files is seen with value and line, and set again; with `report` it is left."""
    quota = "kdamonds/0/contexts/0/schemes/0/quotas/bytes"
    path = site.put("a.yaml", STAT.format(size="1M"))
    site.reload()
    pid = site.pids()
    site.kernel.damon.write(quota, "4096")
    (row,) = site.policies.verify()
    (change,) = row["drift"]
    assert change["old"] == "1024.000 KiB" and change["new"] == "4.000 KiB" and change["line"] == f"{path}:4"
    assert site.after(5) == 1
    assert site.kernel.damon.read(quota) == str(1 << 20) and site.pids() == pid
    path.write_text("drift: report\n" + STAT.format(size="1M"))
    site.reload()
    site.kernel.damon.write(quota, "4096")
    assert site.after(5) == 0
    assert site.kernel.damon.read(quota) == "4096" and len(site.policies.verify()[0]["drift"]) == 1
    (told,) = site.policies.states["a"].to_wire()["drift"]
    assert (told["path"], told["line"]) == ("kdamonds[0].contexts[0].schemes[0].quotas.sz_bytes", f"{path}:5")
    site.kernel.damon.write(quota, str(1 << 20))
    site.after(5)
    assert site.policies.states["a"].to_wire()["drift"] == []


def test_processes_join_and_leave_without_a_restart(site: Site) -> None:
    """Until a process matches the policy waits; then one more joins and one leaves under the same kdamond."""
    site.put("a.yaml", OF_PROCESS)
    site.reload()
    assert site.stage("a") == "waiting" and "no process for command task*" in site.reason("a")
    first = site.kernel.spawn("task1")
    site.after(5)
    assert site.stage("a") == "running"
    pids = site.pids()
    second = site.kernel.spawn("task2")
    assert site.after(5) == 1

    def targets() -> list[int | None]:
        (spec,) = site.owner.specs("a")
        return [target.pid for target in spec.contexts[0].targets]

    assert targets() == [first, second] and site.pids() == pids
    site.kernel.exit(first)
    site.after(5)
    assert targets() == [second] and site.pids() == pids
    site.kernel.exit(second)
    site.after(5)
    assert site.stage("a") == "waiting" and site.pids() == {}


def test_a_stop_by_hand_holds_until_a_reload(site: Site) -> None:
    """`damoctl stop` of a policy's set is not undone by the next look."""
    site.put("a.yaml", PLAIN)
    site.reload()
    site.policies.hold([str(row["name"]) for row in site.owner.stop("a")])
    assert site.stage("a") == "stopped" and site.after(5) == 0 and site.pids() == {}
    assert site.reload() == 1 and site.stage("a") == "running"


def test_machines_that_are_not_meant(site: Site) -> None:
    """Each condition of `when` that does not hold is named with its line."""
    for condition in (
        "numa_nodes: 3",
        "features: [pause, no_such]",
        "memory_min: 1T",
        "host: nobody",
        "file_exists: [/x]",
    ):
        path = site.put("a.yaml", f"when:\n  {condition}\n{PLAIN}")
        site.reload()
        assert site.stage("a") == "unmet" and site.reason("a").startswith(f"{path}:1: when."), condition
    site.put("a.yaml", f"when: {{numa_nodes: 2, features: [pause], memory_min: 1G, file_exists: [/]}}\n{PLAIN}")
    site.reload()
    assert site.stage("a") == "running"


def test_what_the_kernel_lacks(sites: Callable[..., Site]) -> None:
    """A missing feature is named with line and release; with `skip` the rest runs, and notes say what is left out."""
    site = sites("6.12")
    text = PLAIN + "    pause: true\n"
    path = site.put("a.yaml", text)
    site.reload()
    assert site.stage("a") == "refused"
    assert site.reason("a").startswith(f"{path}:4: kdamonds[0].contexts[0].pause needs pause")
    site.put("a.yaml", "on_missing: skip\n" + text)
    site.reload()
    assert site.stage("a") == "running" and "goes back to its default" in site.policies.states["a"].notes[0]


def test_a_policy_that_hurts_is_rolled_back(site: Site) -> None:
    """Paging out what is in use trips the guard within the probation; the limit is named, and it stays stopped."""
    site.put("a.yaml", HURTS)
    site.reload()
    assert site.stage("a") == "running"
    looks = 0
    while site.stage("a") == "running" and looks < 60:
        site.after(1)
        looks += 1
    assert site.stage("a") == "rolled-back" and "guard.swap_in" in site.reason("a"), site.reason("a")
    assert site.pids() == {}
    assert site.reload() == 0 and site.stage("a") == "rolled-back"
    site.put("a.yaml", HURTS.replace("1M", "1T"))
    site.reload()
    for _ in range(65):
        site.after(1)
    assert site.stage("a") == "running" and site.policies.states["a"].probation is None


def test_a_change_that_hurts_goes_back_to_what_was(site: Site) -> None:
    """The earlier parameters count again, under the same pid."""
    site.put("a.yaml", HURTS.replace("pageout", "stat"))
    site.reload()
    pid = site.pids()
    site.after(61)
    site.put("a.yaml", HURTS)
    site.reload()
    for _ in range(60):
        site.after(1)
    assert site.stage("a") == "rolled-back" and "earlier parameters count" in site.reason("a")
    assert site.pids() == pid
    assert site.owner.specs("a")[0].contexts[0].schemes[0].action == "stat"


def test_an_edit_within_the_probation_does_not_become_what_it_goes_back_to(site: Site) -> None:
    """What counts again is what stood the test, and not the unproven version between."""
    site.put("a.yaml", HURTS.replace("pageout", "stat"))
    site.reload()
    site.after(61)
    between = HURTS.replace("pageout", "cold")
    for text in (between, HURTS):
        site.put("a.yaml", text)
        site.reload()
    for _ in range(60):
        site.after(1)
    assert site.stage("a") == "rolled-back"
    assert site.owner.specs("a")[0].contexts[0].schemes[0].action == "stat"


def test_processes_that_come_begin_no_probation(site: Site) -> None:
    """A process that joins is no change of the policy; what is rolled back keeps the processes of now."""
    guarded = "guard: {probation: 60s, refaults: null, swap_in: 1M}\n" + OF_PROCESS
    site.kernel.spawn("task-1")
    site.put("a.yaml", guarded)
    site.reload()
    for _ in range(61):
        site.after(1)
    assert site.policies.states["a"].probation is None
    second = site.kernel.spawn("task-2")
    site.after(5)
    assert site.policies.states["a"].probation is None
    assert second in {target.pid for target in site.owner.specs("a")[0].contexts[0].targets}


def test_a_probation_ends_with_its_policy(site: Site) -> None:
    """What was masked within it is not on probation any more."""
    path = site.put("a.yaml", HURTS.replace("pageout", "stat"))
    site.reload()
    assert site.policies.states["a"].probation
    path.unlink()
    path.symlink_to("/dev/null")
    site.reload()
    assert site.stage("a") == "masked" and not site.policies.states["a"].to_wire()["probation"]


def stats(site: Site) -> dict[int, list[SchemeStats]]:
    return {
        at: [item.stats or SchemeStats() for item in parse_kdamonds([row["spec"]])[0].contexts[0].schemes]
        for at, row in enumerate(site.owner.show())
    }


def test_a_shadow_touches_nothing(site: Site) -> None:
    """All actions are stat, the machine does not notice, and a reload ends it."""
    site.put("a.yaml", "enabled: false\n" + HURTS)
    site.reload()
    assert site.stage("a") == "disabled"
    site.policies.ask("a", shadow=True)
    site.policies.apply()
    for _ in range(20):
        site.after(0.2)
    assert site.owner.show()[0]["spec"]["contexts"][0]["schemes"][0]["action"] == "stat"
    assert site.policies.shadows("a")[0]["sz_bytes"] > 1 << 30
    assert site.kernel.machine.missing() == 0
    site.reload()
    assert site.stage("a") == "disabled" and site.pids() == {}


def test_a_shadow_without_what_the_kernel_lacks(sites: Callable[..., Site]) -> None:
    """A scheme that is skipped has no shadow; the others' numbers stay theirs."""
    site = sites("6.12")
    scheme = "    - action: pageout\n      access_pattern: {nr_accesses: {max: 0%}, age: {min: 2s}}\n"
    lacking = scheme + "      filters: [{filter_type: hugepage_size, matching: true, hugepage_size: [0, 4096]}]\n"
    text = "acknowledge: [no_quota]\non_missing: skip\nenabled: false\nkdamonds:\n- contexts:\n  - schemes:\n"
    site.put("a.yaml", text + lacking + scheme)
    site.reload()
    site.policies.ask("a", shadow=True)
    for _ in range(20):
        site.after(0.2)
    assert site.stage("a") == "running", site.reason("a")
    (told,) = site.policies.shadows("a")
    assert told["scheme"] == 1 and told["sz_bytes"] > 1 << 20


def test_a_shadow_that_cannot_be_counted_now(site: Site) -> None:
    """A kernel that does not tell a shadow's statistics once is not in trouble, and the next look has them."""
    site.put("a.yaml", "enabled: false\n" + HURTS)
    site.reload()
    site.policies.ask("a", shadow=True)
    site.policies.apply()
    site.kernel.fail(errno.EIO, path="state", value="update_schemes_stats")
    site.after(1)
    assert site.policies.kernel_trouble == "" and site.stage("a") == "running"
    for _ in range(20):
        site.after(0.2)
    assert site.policies.shadows("a")[0]["sz_bytes"] > 1 << 30


# Without a quota until everything was paged out once: the simulated machine would then do it all over again.
@pytest.mark.parametrize(("quota", "looks"), [("", 19), ("      quotas: {sz_bytes: 50M, reset_interval_ms: 1s}\n", 65)])
def test_a_shadow_foresees_what_the_policy_then_touches(site: Site, quota: str, looks: int) -> None:
    """The bytes of idle memory that the shadow names are within 20 % of those that the live policy then pages out."""
    text = (
        "acknowledge: [no_quota]\nkdamonds:\n- contexts:\n  - schemes:\n    - action: pageout\n"
        "      access_pattern: {nr_accesses: {max: 0%}, age: {min: 2s}}\n" + quota
    )
    site.put("a.yaml", "enabled: false\n" + text)
    site.reload()

    def run(*, shadow: bool) -> int:
        site.policies.ask("a", shadow=shadow)
        site.policies.apply()
        for _ in range(looks):
            site.after(0.2)
        return site.policies.shadows("a")[0]["sz_bytes"] if shadow else stats(site)[0][0].sz_applied

    foreseen, touched = run(shadow=True), run(shadow=False)
    assert touched > 0
    assert abs(foreseen - touched) <= 0.2 * touched, (foreseen, touched)


def test_without_policies_nothing_is_due(site: Site) -> None:
    """No policy, or none that is enabled: no look, ever. With a running one: each check interval."""
    assert site.reload() == 0 and site.policies.due_s() is None
    site.put("a.yaml", "enabled: false\n" + PLAIN)
    site.reload()
    assert site.policies.due_s() is None
    site.put("a.yaml", PLAIN)
    site.reload()
    assert site.policies.due_s() == 5.0


class Killed(BaseException):
    """The daemon dies here."""


def test_killed_at_every_write_of_a_change_it_converges(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL at kernel writes (each fourth) of a change: the next daemon gets there, the unchanged policy keeps
    its pid."""
    before = {"a": PLAIN, "b": STAT.format(size="1M"), "c": PLAIN, "same": STAT.format(size="3M")}
    after = {
        "b": STAT.format(size="2M"),
        "c": PLAIN + "- contexts:\n  - ops: paddr\n",
        "d": PLAIN,
        "same": before["same"],
    }

    def files(texts: dict[str, str]) -> None:
        for path in site.files.iterdir():
            path.unlink()
        for name, text in texts.items():
            site.put(f"{name}.yaml", text)

    files(before)
    site.reload()
    same = site.pids()["same"]
    real = site.kernel.damon.write
    at, reached = 0, False
    while not reached:
        count = 0

        def write(path: str, value: str, at: int = at) -> None:
            nonlocal count
            count += 1
            if count > at:
                raise Killed
            real(path, value)

        files(after)
        monkeypatch.setattr(site.kernel.damon, "write", write)
        try:
            site.reload()
            reached = True
        except Killed:
            at += 4
        monkeypatch.setattr(site.kernel.damon, "write", real)
        site.boot()
        site.reload()
        assert {name: len(pids) for name, pids in site.pids().items()} == {"b": 1, "c": 2, "d": 1, "same": 1}
        assert site.owner.specs("b")[0].contexts[0].schemes[0].quotas.sz_bytes == 2 << 20
        assert site.policies.apply() == 0
        assert site.pids()["same"] == same
        files(before)
        site.reload()
    assert at > 30


def test_opposite_policies_are_refused_with_both_lines(site: Site) -> None:
    """The one with the higher priority runs, the other says which two lines fight; it runs when the first is gone."""
    prio = "kdamonds:\n- contexts:\n  - schemes:\n    - action: lru_prio\n"
    first = site.put("a.yaml", prio)
    second = site.put("b.yaml", "priority: 5\n" + prio.replace("lru_prio", "lru_deprio"))
    site.reload()
    assert (site.stage("a"), site.stage("b")) == ("refused", "running")
    assert f"{first}:4 (policy a)" in site.reason("a") and f"{second}:5 (policy b)" in site.reason("a")
    second.unlink()
    site.reload()
    assert site.stage("a") == "running"


def test_an_edit_into_a_conflict_leaves_what_ran(site: Site) -> None:
    """The earlier version goes on, under the same pid, and the state says why the edit is refused."""
    prio = "kdamonds:\n- contexts:\n  - schemes:\n    - action: lru_prio\n"
    site.put("a.yaml", prio)
    site.put("b.yaml", PLAIN)
    site.reload()
    before = site.pids()
    site.put("b.yaml", prio.replace("prio", "deprio"))
    assert site.reload() == 0
    assert site.stage("b") == "refused" and "undo each other" in site.reason("b") and site.pids() == before


def test_a_preview_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps and changes of a reload are told with lines, and nothing is written."""
    path: Path = site.put("a.yaml", STAT.format(size="1M"))
    site.reload()
    path.write_text(STAT.format(size="2M"))
    written = Written(site.kernel, monkeypatch)
    (step,), reasons = site.policies.preview()
    assert str(step) == "change a" and reasons == {} and written.paths == []
