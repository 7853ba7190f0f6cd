"""Starting, stopping and commanding kdamonds, one and several."""

from __future__ import annotations

import errno
import threading

import pytest

from damod.kernel.interface import Kernel
from damod.kernel.sim.facts import Facts
from tests.contract.conftest import Spawn
from tests.contract.driver import Damon

ALWAYS = (
    "commit",
    "update_schemes_stats",
    "update_schemes_tried_bytes",
    "update_schemes_tried_regions",
    "clear_schemes_tried_regions",
    "update_schemes_effective_quotas",
    "commit_schemes_quota_goals",
)


def version(kernel: Kernel) -> tuple[int, int]:
    major, minor = kernel.release.split(".")[:2]
    return int(major), int(minor)


def test_on_and_off(kernel: Kernel, damon: Damon) -> None:
    """A started kdamond is a kernel thread with a pid; a stopped one has none."""
    damon.slots(1)
    damon.configure(0)
    assert (damon.state(0), damon.pid(0)) == ("off", -1)
    pid = damon.start(0)
    assert damon.state(0) == "on"
    assert kernel.proc.alive(pid)
    assert kernel.proc.start_time(pid) is not None
    damon.stop(0)
    assert (damon.state(0), damon.pid(0)) == ("off", -1)
    damon.wait(lambda: not kernel.proc.alive(pid), "the thread of a stopped kdamond ends")


def test_on_needs_a_context(damon: Damon) -> None:
    """Without a context every command is EINVAL."""
    damon.slots(1)
    for word in ("on", "off", "commit", "update_schemes_stats", "bogus"):
        assert damon.command(0, word) == "EINVAL", word
    assert damon.state(0) == "off"


def test_on_twice(damon: Damon) -> None:
    """Starting what runs is EBUSY and changes nothing."""
    damon.slots(1)
    damon.configure(0)
    pid = damon.start(0)
    assert damon.command(0, "on") == "EBUSY"
    assert damon.pid(0) == pid


def test_on_with_impossible_values(damon: Damon) -> None:
    """A kdamond with nr_regions min above max, or aggr below sample, does not start: EINVAL."""
    damon.slots(1)
    damon.configure(0, nr_regions=(2000, 1000))
    assert damon.command(0, "on") == "EINVAL"
    damon.configure(0, sample_us=5000, aggr_us=1000)
    assert damon.command(0, "on") == "EINVAL"
    assert damon.state(0) == "off"


def test_on_for_nobody(damon: Damon, spawn: Spawn) -> None:
    """A target process that is gone is EINVAL."""
    damon.slots(1)
    process = spawn()
    process.kill()
    process.wait()
    damon.configure(0, ops="vaddr", pids=[process.pid])
    assert damon.command(0, "on") == "EINVAL"
    assert damon.state(0) == "off"


def test_commands(damon: Damon, facts: Facts) -> None:
    """A running kdamond takes every command of its release and refuses any other word with EINVAL."""
    damon.slots(1)
    at = damon.configure(0)
    damon.start(0)
    for word in ALWAYS:
        assert damon.command(0, word) == "", word
    has_goal = damon.tree.exists(f"{at}/monitoring_attrs/intervals/intervals_goal")
    assert damon.command(0, "update_tuned_intervals") == ("" if has_goal else "EINVAL")
    for word in ("bogus", "commit ", "ON", "\n"):
        assert damon.command(0, word) == "EINVAL", word
    assert damon.state(0) == "on"


def test_commands_to_a_stopped_one(kernel: Kernel, damon: Damon) -> None:
    """A kdamond that was stopped takes no commit any more, and starts again.

    On 6.18 an update_schemes_tried_* command to a stopped one is EINVAL and leaves its request behind, so that all
    later ones are EBUSY until the next start: who commands must look at `state` first.
    """
    damon.slots(1)
    damon.configure(0)
    damon.start(0)
    damon.stop(0)
    assert damon.command(0, "commit") == ("ECANCELED" if version(kernel) >= (7, 0) else "EINVAL")
    assert damon.command(0, "off") == ("" if version(kernel) >= (7, 3) else "EPERM")
    assert damon.command(0, "on") == ""
    assert damon.command(0, "update_schemes_tried_regions") == ""


def test_looking_while_a_command_is_under_way(damon: Damon) -> None:
    """While a command waits for the kdamond, `state` reads as on or is EBUSY (6.12), and nothing else."""
    damon.slots(1)
    damon.configure(0)
    damon.start(0)
    done = threading.Event()

    def keep_busy() -> None:
        try:
            for _ in range(5):
                damon.command(0, "update_schemes_tried_regions")
        finally:
            done.set()

    busy = threading.Thread(target=keep_busy, name="commands")
    busy.start()
    answers = set()
    while not done.is_set():
        try:
            answers.add(damon.tree.read("kdamonds/0/state"))
        except OSError as exc:
            answers.add(errno.errorcode[exc.errno or 0])
        done.wait(0.01)
    busy.join()
    assert answers <= {"on", "EBUSY"}
    assert damon.state(0) == "on"


def test_stats_move(damon: Damon) -> None:
    """A scheme that counts everything has tried more and more, as update_schemes_stats shows."""
    damon.slots(1)
    at = damon.configure(0)
    damon.start(0)
    stats = f"{at}/schemes/0/stats"

    def tried() -> int:
        assert damon.command(0, "update_schemes_stats") == ""
        return int(damon.read(f"{stats}/nr_tried"))

    damon.wait(lambda: tried() > 0, "regions are tried")
    before = tried()
    damon.wait(lambda: tried() > before, "more regions are tried")
    assert int(damon.read(f"{stats}/sz_tried")) >= int(damon.read(f"{stats}/nr_tried")) * 4096


def test_virtual_memory_is_counted_by_page(damon: Damon, spawn: Spawn) -> None:
    """A scheme that counts a process's memory and has a page filter tells what passed it, from 6.18."""
    damon.slots(1)
    at = damon.configure(0, ops="vaddr", pids=[spawn().pid])
    filters, stats = f"{at}/schemes/0/ops_filters", f"{at}/schemes/0/stats"
    if damon.tree.exists(filters):
        damon.write(f"{filters}/nr_filters", 1)
        for name, value in (("type", "anon"), ("matching", "Y"), ("allow", "Y")):
            damon.write(f"{filters}/0/{name}", value)
    damon.start(0)

    def counted(name: str) -> int:
        assert damon.command(0, "update_schemes_stats") == ""
        return int(damon.read(f"{stats}/{name}")) if damon.tree.exists(f"{stats}/{name}") else 0

    if damon.tree.exists(f"{at}/addr_unit"):
        damon.wait(lambda: counted("sz_ops_filter_passed") > 0, "pages pass the filter")
    else:
        damon.wait(lambda: counted("nr_tried") > 0, "regions are tried")
        assert counted("sz_ops_filter_passed") == 0


def test_nr_kdamonds_is_fixed_while_one_runs(damon: Damon) -> None:
    """While any kdamond runs, nr_kdamonds is EBUSY, whatever the number, and the slots stay."""
    damon.slots(2)
    damon.configure(1)
    pid = damon.start(1)
    for count in (0, 1, 2, 3):
        assert damon.refused("kdamonds/nr_kdamonds", count) == "EBUSY"
    assert damon.read("kdamonds/nr_kdamonds") == "2"
    assert (damon.state(1), damon.pid(1)) == ("on", pid)


def test_slots_are_independent(damon: Damon) -> None:
    """With spare slots a second kdamond is configured, started, changed and stopped while the first runs on."""
    damon.slots(3)
    damon.configure(0)
    first = damon.start(0)
    damon.configure(2, sample_us=10_000, aggr_us=200_000)
    second = damon.start(2)
    assert first != second
    damon.intervals(2, 20_000, 400_000)
    assert damon.command(2, "commit") == ""
    assert damon.pid(2) == second
    damon.stop(2)
    damon.configure(2, nr_regions=(20, 200))
    third = damon.start(2)
    assert third != second
    assert (damon.state(0), damon.pid(0)) == ("on", first)
    assert damon.state(1) == "off"
    damon.stop(0)
    assert (damon.state(2), damon.pid(2)) == ("on", third)


def test_a_stopped_kdamond_leaves_the_others_ages(damon: Damon) -> None:
    """Stopping one kdamond takes nothing of what another has learnt."""
    damon.slots(2)
    for slot in (0, 1):
        damon.configure(slot)
    first, _ = damon.start(0), damon.start(1)
    damon.wait(lambda: max(damon.look({first: 1})[first, 0].regions.age) >= 3, "regions grow old")
    damon.stop(1)
    assert max(damon.look({first: 1})[first, 0].regions.age) >= 3


def test_staged_values_wait_for_the_commit(damon: Damon) -> None:
    """Writing to a running kdamond's files is allowed and changes nothing until commit."""
    damon.slots(1)
    damon.configure(0, nr_regions=(10, 1000))
    pid = damon.start(0)
    start, end = damon.largest_ram()
    half = start + (end - start) // 2 // 4096 * 4096
    damon.watch(0, [(start, half)])
    assert damon.look({pid: 1})[pid, 0].regions.end[-1] > half
    assert damon.command(0, "commit") == ""
    damon.wait(lambda: damon.look({pid: 1})[pid, 0].regions.end[-1] <= half, "the committed range is watched")
    assert damon.pid(0) == pid


def test_commit_keeps_pid_and_ages(damon: Damon) -> None:
    """A commit of other intervals goes on with the same thread and what it knows."""
    damon.slots(1)
    damon.configure(0)
    pid = damon.start(0)
    damon.wait(lambda: max(damon.look({pid: 1})[pid, 0].regions.age) >= 8, "regions grow old")
    damon.intervals(0, 10_000, 200_000)
    assert damon.command(0, "commit") == ""
    assert (damon.state(0), damon.pid(0)) == ("on", pid)
    # The kernel keeps ages in aggregations, and translates: as much time is half as many.
    assert max(damon.look({pid: 1})[pid, 0].regions.age) >= 4


@pytest.mark.parametrize("change", ["regions", "intervals"])
def test_an_impossible_commit(kernel: Kernel, damon: Damon, change: str) -> None:
    """Values that make no sense are EINVAL and the kdamond goes on; 6.12 takes them, and the kdamond stops."""
    damon.slots(1)
    damon.configure(0)
    pid = damon.start(0)
    if change == "regions":
        damon.nr_regions(0, 2000, 1000)
    else:
        damon.intervals(0, 5000, 1000)
    refusal = damon.command(0, "commit")
    if version(kernel) < (6, 16):
        assert refusal == ""
        damon.wait(lambda: damon.state(0) == "off", "the kdamond that got impossible values stops")
        assert damon.command(0, "commit") == "EINVAL"
        assert damon.command(0, "off") == "EPERM"
        assert damon.pid(0) == -1
        return
    assert refusal == "EINVAL"
    assert len(damon.look({pid: 1})[pid, 0].regions) > 0
    assert (damon.state(0), damon.pid(0)) == ("on", pid)
    damon.configure(0)
    assert damon.command(0, "commit") == ""


def test_a_dead_kdamond_starts_again(damon: Damon) -> None:
    """After an impossible commit, whatever it did, the slot can run with good values."""
    damon.slots(1)
    damon.configure(0)
    damon.start(0)
    damon.nr_regions(0, 2000, 1000)
    damon.command(0, "commit")
    damon.configure(0)
    if damon.command(0, "commit") == "EINVAL":
        damon.wait(lambda: damon.command(0, "on") == "", "the slot starts again")
    assert damon.state(0) == "on"


def test_the_last_target_dies(damon: Damon, spawn: Spawn) -> None:
    """A kdamond whose only target process ends stops by itself."""
    damon.slots(1)
    process = spawn()
    damon.configure(0, ops="vaddr", pids=[process.pid])
    damon.start(0)
    process.kill()
    process.wait()
    damon.wait(lambda: damon.state(0) == "off", "a kdamond without targets stops")
    assert damon.pid(0) == -1


def test_damon_stat_is_in_the_way(kernel: Kernel, damon: Damon) -> None:
    """Where the kernel has damon_stat: while it runs no kdamond starts (EBUSY); off, it is out of the way."""
    switch = "damon_stat/parameters/enabled"
    if not kernel.modules.exists(switch):
        assert version(kernel) < (6, 17)
        return
    damon.slots(1)
    damon.configure(0)
    kernel.modules.write(switch, "Y")
    assert kernel.modules.read(switch) == "Y"
    assert damon.command(0, "on") == "EBUSY"
    assert damon.state(0) == "off"
    kernel.modules.write(switch, "N")
    assert kernel.modules.read(switch) == "N"
    damon.start(0)
    with pytest.raises(OSError, match=switch):
        kernel.modules.write(switch, "Y")
    assert damon.state(0) == "on"
