"""SimKernel as a whole: what a client of the kernel seam sees of a kdamond's life."""

import errno
import struct
import subprocess
import threading
from itertools import pairwise

import pytest

from damod.kernel.interface import Kernel
from damod.kernel.sim.clock import ScaledClock, SimClock
from damod.kernel.sim.facts import VERSIONS
from damod.kernel.sim.kernel import SimKernel
from damod.kernel.sim.workload import SCENARIOS

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


def test_the_hot_set_moves():
    """In the default scenario the hot part is elsewhere half a minute later."""
    kernel = boot(scenario="moving")
    run(kernel, 9, steps=90)
    early = {row[0] >> 27 for row in tried(kernel) if row[2] >= 15}
    run(kernel, 40, steps=400)
    late = {row[0] >> 27 for row in tried(kernel) if row[2] >= 15}
    assert early
    assert late
    assert early.isdisjoint(late)


@pytest.mark.parametrize(("version", "answer"), [("6.12", errno.EPERM), ("7.2", errno.EPERM), ("7.3", 0)])
def test_off_before_any_start_differs_from_off_after_it(version, answer):
    """`off` of a kdamond that never ran is EINVAL, of an ended one EPERM, from 7.3 on no error."""
    kernel = boot(version, on=False)
    assert refusal(kernel, "kdamonds/0/state", "off") == errno.EINVAL
    command(kernel, "on")
    kernel.kill_kdamond(0)
    assert state(kernel) == "off"
    assert refusal(kernel, "kdamonds/0/state", "off") == answer


@pytest.mark.parametrize("version", VERSIONS)
def test_commands_of_a_kernel(version):
    """Every command that the listing saw work works, `bogus` and what this kernel lacks is EINVAL."""
    kernel = boot(version)
    words = [
        "commit",
        "update_schemes_stats",
        "update_schemes_tried_bytes",
        "update_schemes_tried_regions",
        "clear_schemes_tried_regions",
        "update_schemes_effective_quotas",
        "commit_schemes_quota_goals",
    ]
    assert {word: refusal(kernel, "kdamonds/0/state", word) for word in words} == dict.fromkeys(words, 0)
    assert refusal(kernel, "kdamonds/0/state", "update_tuned_intervals") == (errno.EINVAL if version == "6.12" else 0)
    assert refusal(kernel, "kdamonds/0/state", "bogus") == errno.EINVAL
    assert refusal(kernel, "kdamonds/0/state", "on") == errno.EBUSY
    assert state(kernel) == "on"


def test_commands_to_a_stopped_kdamond_are_refused():
    """Without a running kdamond a commit or an update is EINVAL."""
    kernel = boot(on=False)
    for word in ("commit", "update_schemes_stats", "update_schemes_tried_regions", "update_tuned_intervals"):
        assert refusal(kernel, "kdamonds/0/state", word) == errno.EINVAL


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{CONTEXT}/monitoring_attrs/nr_regions/min", "2"),
        (f"{CONTEXT}/monitoring_attrs/nr_regions/max", "9"),
        (f"{INTERVALS}/aggr_us", "4999"),
    ],
)
@pytest.mark.parametrize("version", ["6.12", "6.18", "7.3"])
def test_impossible_values(version, path, value):
    """`on` refuses them; a commit of them is refused and changes nothing, but on 6.12 it succeeds and kills."""
    kernel = boot(version, on=False)
    good = kernel.damon.read(path)
    kernel.damon.write(path, value)
    assert refusal(kernel, "kdamonds/0/state", "on") == errno.EINVAL
    kernel.damon.write(path, good)
    command(kernel, "on")
    pid = kernel.damon.read("kdamonds/0/pid")
    kernel.damon.write(path, value)
    answer = refusal(kernel, "kdamonds/0/state", "commit")
    if version == "6.12":
        assert (answer, state(kernel)) == (0, "off")
        assert refusal(kernel, "kdamonds/0/state", "commit") == errno.EINVAL
        assert refusal(kernel, "kdamonds/0/state", "off") == errno.EPERM
    else:
        assert (answer, state(kernel)) == (errno.EINVAL, "on")
        assert kernel.damon.read("kdamonds/0/pid") == pid


def test_two_kdamonds_do_not_disturb_each_other():
    """A second slot is configured, started and stopped while the first runs on; only nr_kdamonds is refused."""
    kernel = boot(slots=2)
    pid = kernel.damon.read("kdamonds/0/pid")
    run(kernel, 2)
    oldest = max(row[3] for row in tried(kernel))
    stage(kernel, 1)
    command(kernel, "on", 1)
    assert refusal(kernel, "kdamonds/nr_kdamonds", "3") == errno.EBUSY
    command(kernel, "off", 1)
    assert kernel.damon.read("kdamonds/0/pid") == pid
    assert max(row[3] for row in tried(kernel)) >= oldest
    command(kernel, "off")
    assert refusal(kernel, "kdamonds/nr_kdamonds", "3") == 0
    assert kernel.damon.names("kdamonds/0") and not kernel.damon.exists("kdamonds/0/contexts/0")


def test_commit_keeps_ages_and_takes_values():
    """After a commit of other intervals the regions are as old as before, in the new measure."""
    kernel = boot("7.3")
    run(kernel, 5, steps=50)
    before = max(row[3] for row in tried(kernel))
    kernel.damon.write(f"{INTERVALS}/sample_us", "10000")
    kernel.damon.write(f"{INTERVALS}/aggr_us", "200000")
    command(kernel, "commit")
    after = max(row[3] for row in tried(kernel))
    assert before // 2 <= after <= before // 2 + 3


def test_commit_of_other_regions_reshapes():
    """Regions committed with a target become its bounds; what lies within keeps its age."""
    kernel = boot("7.3")
    run(kernel, 3)
    start, end = kernel.proc.system_ram()[-1]
    kernel.damon.write(f"{CONTEXT}/targets/0/regions/0/end", str((start + end) // 2))
    command(kernel, "commit")
    rows = tried(kernel)
    assert (rows[0][0], rows[-1][1]) == (start, (start + end) // 2)
    assert max(row[3] for row in rows) > 5


def test_a_command_waits_as_long_as_the_kernel_does():
    """6.12 serves at the end of an aggregation, later kernels at the next sample, tried regions at the next turn."""
    for version, most_ms in (("6.12", 100), ("7.3", 5)):
        kernel = boot(version)
        kernel.clock.advance(0.003)
        before = kernel.clock.monotonic_ns()
        command(kernel, "commit")
        assert (kernel.clock.monotonic_ns() - before) / 1e6 == pytest.approx(most_ms - 3, abs=0.5 + 2 * (most_ms == 5))
        before = kernel.clock.monotonic_ns()
        command(kernel, "update_schemes_tried_regions")
        assert 0 < (kernel.clock.monotonic_ns() - before) / 1e6 <= 100


def test_regions_stay_within_their_bounds():
    """The regions cover the target without gaps, and are never more than the maximum."""
    kernel = boot(scenario="zigzag", on=False)
    kernel.damon.write(f"{CONTEXT}/monitoring_attrs/nr_regions/max", "100")
    command(kernel, "on")
    start, end = kernel.proc.system_ram()[-1]
    for _ in range(10):
        run(kernel, 1)
        rows = tried(kernel)
        assert 10 <= len(rows) <= 100
        assert (rows[0][0], rows[-1][1]) == (start, end)
        assert all(left[1] == right[0] for left, right in pairwise(rows))


def test_same_seed_same_regions():
    """A kernel of the same seed lives through the same."""
    assert tried(boot(seed=7)) == tried(boot(seed=7))


def test_an_hour_unseen_is_not_an_hour_of_work():
    """Regions are older after a long absence, and catching up took a bounded number of steps."""
    kernel = boot()
    run(kernel, 1)
    kernel.clock.advance(3600)
    rows = tried(kernel)
    assert max(row[3] for row in rows) > 30000
    command(kernel, "update_schemes_stats")
    assert int(kernel.damon.read(f"{SCHEME}/stats/nr_snapshots")) < 1200


@pytest.mark.parametrize(("version", "first"), [("6.12", [0, 1, 2]), ("6.17", [1, 3, 5]), ("7.3", [0, 1, 2])])
def test_names_of_tried_regions(version, first):
    """6.16 to 6.18 name the regions 1, 3, 5, ... and go on from there after a clear, as real ones do."""
    kernel = boot(version)
    run(kernel, 2)
    count = len(tried(kernel))

    def numbers():
        return [int(name) for name in kernel.damon.names(f"{SCHEME}/tried_regions") if name.isdecimal()]

    assert numbers()[:3] == first
    tried(kernel)
    assert numbers()[0] == (count + 1 if version == "6.17" else 0)
    command(kernel, "clear_schemes_tried_regions")
    assert numbers() == []


def test_total_bytes_without_regions():
    """update_schemes_tried_bytes tells the sum and makes no directory."""
    kernel = boot()
    command(kernel, "update_schemes_tried_bytes")
    start, end = kernel.proc.system_ram()[-1]
    assert kernel.damon.read(f"{SCHEME}/tried_regions/total_bytes") == str(end - start)
    assert kernel.damon.names(f"{SCHEME}/tried_regions") == ["total_bytes"]


@pytest.mark.parametrize("version", VERSIONS)
def test_damon_stat_is_in_the_way(version):
    """Where damon_stat runs from boot, `on` is EBUSY until it is switched off, and it is refused while we run."""
    kernel = boot(version, on=False)
    if kernel.modules.exists("damon_stat"):
        kernel.modules.write("damon_stat/parameters/enabled", "Y")
        assert refusal(kernel, "kdamonds/0/state", "on") == errno.EBUSY
        kernel.modules.write("damon_stat/parameters/enabled", "N")
    command(kernel, "on")
    with pytest.raises(OSError) as caught:
        kernel.modules.write("damon_reclaim/parameters/enabled", "Y")
    assert caught.value.errno == errno.EBUSY


def test_a_process_that_does_not_exist():
    """A vaddr target without a process is refused at `on`."""
    kernel = boot(ops="vaddr", pid=2**22 + 99, on=False)
    assert refusal(kernel, "kdamonds/0/state", "on") == errno.EINVAL


def test_the_last_process_takes_the_kdamond_with_it():
    """A kdamond ends by itself when no target is left alive."""
    kernel = boot(ops="vaddr", on=False)
    pid = kernel.spawn("job")
    kernel.damon.write(f"{CONTEXT}/targets/0/pid_target", str(pid))
    command(kernel, "on")
    kernel.clock.advance(1)
    assert state(kernel) == "on"
    kernel.exit(pid)
    assert (state(kernel), kernel.damon.read("kdamonds/0/pid")) == ("off", "-1")


def test_a_real_process_can_be_watched():
    """A pid of this machine is given the scenario, and the kdamond ends with it."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        kernel = boot(ops="vaddr", pid=child.pid)
        assert kernel.proc.alive(child.pid)
        assert kernel.proc.start_time(child.pid)
        run(kernel, 5, steps=50)
        assert hot_bytes(tried(kernel)) == pytest.approx(20 << 20, rel=0.15)
        child.communicate()
    assert state(kernel) == "off"


def test_foreign():
    """With `foreign` somebody's kdamond with a pageout scheme runs already."""
    kernel = SimKernel(clock=SimClock(), foreign=True)
    assert (kernel.damon.read("kdamonds/nr_kdamonds"), state(kernel)) == ("1", "on")
    assert kernel.damon.read(f"{SCHEME}/action") == "pageout"
    assert int(kernel.damon.read("kdamonds/0/pid")) > 0
    assert refusal(kernel, "kdamonds/nr_kdamonds", "2") == errno.EBUSY


def test_faults_on_order():
    """The n-th matching access fails once, others go on; a number of state reads can be busy."""
    kernel = boot()
    kernel.fail(errno.EIO, at=2, path="state", value="commit")
    assert [refusal(kernel, "kdamonds/0/state", "commit") for _ in range(3)] == [0, errno.EIO, 0]
    kernel.busy_reads = 1
    with pytest.raises(OSError) as caught:
        state(kernel)
    assert caught.value.errno == errno.EBUSY
    assert state(kernel) == "on"


def test_pause_stops_the_clock_of_the_regions():
    """A paused kdamond takes commits and nothing else; resumed it goes on with its regions."""
    kernel = boot()
    run(kernel, 3)
    oldest = max(row[3] for row in tried(kernel))
    kernel.damon.write(f"{CONTEXT}/pause", "Y")
    command(kernel, "commit")
    kernel.clock.advance(100)
    assert refusal(kernel, "kdamonds/0/state", "update_schemes_tried_regions") == errno.ECANCELED
    kernel.damon.write(f"{CONTEXT}/pause", "N")
    command(kernel, "commit")
    assert oldest <= max(row[3] for row in tried(kernel)) <= oldest + 3


def test_intervals_are_tuned():
    """With a goal the sampling interval grows on an idle machine up to its bound; the files tell on request."""
    kernel = boot(scenario="idle", on=False)
    goal = f"{INTERVALS}/intervals_goal"
    for name, value in (("access_bp", 400), ("aggrs", 3), ("min_sample_us", 5000), ("max_sample_us", 20000)):
        kernel.damon.write(f"{goal}/{name}", str(value))
    command(kernel, "on")
    ring = kernel.trace.open(["damon_monitor_intervals_tune"])
    run(kernel, 20, steps=200)
    assert kernel.damon.read(f"{INTERVALS}/sample_us") == "5000"
    command(kernel, "update_tuned_intervals")
    assert kernel.damon.read(f"{INTERVALS}/sample_us") == "20000"
    assert kernel.damon.read(f"{INTERVALS}/aggr_us") == "400000"
    assert ring.wait(0)


def test_refresh_ms_updates_the_files():
    """With refresh_ms the stats move without a command; without it they stay."""
    kernel = boot()
    kernel.clock.advance(1)
    assert kernel.damon.read(f"{SCHEME}/stats/nr_tried") == "0"
    kernel.damon.write("kdamonds/0/refresh_ms", "500")
    kernel.clock.advance(1)
    assert int(kernel.damon.read(f"{SCHEME}/stats/nr_tried")) > 0


def test_probes():
    """Each tried region has the hits of each probe; with weights they are the measure and nr_accesses stays zero."""
    kernel = boot(on=False)
    probes = f"{CONTEXT}/monitoring_attrs/probes"
    kernel.damon.write(f"{probes}/nr_probes", "1")
    kernel.damon.write(f"{probes}/0/filters/nr_filters", "1")
    kernel.damon.write(f"{probes}/0/filters/0/matching", "Y")
    kernel.damon.write(f"{probes}/0/filters/0/allow", "Y")
    command(kernel, "on")
    run(kernel, 3)
    rows = tried(kernel)
    assert any(row[2] for row in rows)
    hits = [int(kernel.damon.read(f"{SCHEME}/tried_regions/{i}/probes/0/hits")) for i in range(len(rows))]
    assert 8 < sum(hits) / len(hits) < 16
    kernel.damon.write(f"{probes}/0/weight", "1")
    command(kernel, "commit")
    kernel.clock.advance(1)
    assert {row[2] for row in tried(kernel)} == {0}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_runs(name):
    """Each scenario can be watched in physical and virtual memory, in real time too."""
    for ops in ("paddr", "vaddr"):
        kernel = boot(scenario=name, ops=ops)
        run(kernel, 2)
        assert tried(kernel)


def test_real_time():
    """With the daemon's clock the ring is filled by and by, and closing the kernel closes it."""
    kernel = SimKernel("6.12", clock=ScaledClock(20))
    kernel.damon.write("kdamonds/nr_kdamonds", "1")
    stage(kernel, 0)
    ring = kernel.trace.open(["damon_aggregated"])
    assert not ring.wait(0.1)
    command(kernel, "on")
    assert ring.wait(2)
    kernel.close()
    assert not kernel._trace.rings


def test_unknown_names():
    """An unknown kernel or scenario is a ValueError that names those that there are."""
    with pytest.raises(ValueError, match=r"7\.3"):
        SimKernel("5.0")
    with pytest.raises(ValueError, match="stairs"):
        SimKernel(scenario="nothing")


def events(ring):
    """(stamp of the page, event id, pid) of each record in the ring, per CPU."""
    found = {}
    for cpu in ring.cpus:
        found[cpu] = []
        while page := ring.read(cpu):
            stamp, commit = struct.unpack_from("<QQ", page)
            at, end = 16, 16 + (commit & 0x7FFFFFF)
            while at < end:
                (head,) = struct.unpack_from("<I", page, at)
                if head & 31 == 30:
                    at += 8
                    continue
                kind, pid = struct.unpack_from("<H2xi", page, at + 4)
                found[cpu].append((stamp, kind, pid))
                at += 4 + 4 * (head & 31)
    return found


def test_events_of_two_kdamonds_share_the_rings():
    """Each event carries its kdamond's pid, both kdamonds wander over the CPUs, and no CPU's time goes back."""
    kernel = boot(slots=2)
    stage(kernel, 1, ops="vaddr")
    command(kernel, "on", 1)
    pids = {int(kernel.damon.read(f"kdamonds/{slot}/pid")) for slot in (0, 1)}
    ring = kernel.trace.open(["damon_aggregated"])
    run(kernel, 20, steps=10)
    found = events(ring)
    for seen in found.values():
        assert {pid for _, _, pid in seen} == pids
        assert [stamp for stamp, _, _ in seen] == sorted(stamp for stamp, _, _ in seen)
    assert ring.overrun() == 0


def test_what_nobody_simulated_counts_as_lost():
    """After an hour without a reader the ring says how many events it does not have."""
    kernel = boot()
    ring = kernel.trace.open(["damon_aggregated"])
    kernel.clock.advance(3600)
    assert ring.wait(0)
    assert ring.overrun() > 30000


def test_waiting_for_the_ring_ends_with_the_aggregation():
    """wait() sleeps until the next aggregation and no longer."""
    kernel = boot()
    ring = kernel.trace.open(["damon_aggregated"])
    before = kernel.clock.monotonic_ns()
    assert ring.wait(10)
    assert kernel.clock.monotonic_ns() - before <= 100_000_000


def test_a_reader_and_a_writer_at_once():
    """One thread may wait for the ring while another commands; neither stops the other."""
    kernel = SimKernel("6.12", clock=ScaledClock(20))
    kernel.damon.write("kdamonds/nr_kdamonds", "1")
    stage(kernel, 0)
    command(kernel, "on")
    ring = kernel.trace.open(["damon_aggregated"])
    told, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            if ring.wait(1):
                told.extend(event for of_cpu in events(ring).values() for event in of_cpu)

    reader = threading.Thread(target=read)
    reader.start()
    for word in ("commit", "update_schemes_tried_regions", "update_schemes_stats", "commit") * 3:
        command(kernel, word)
    stop.set()
    reader.join(5)
    assert not reader.is_alive()
    # of ten regions or more in each aggregation; how many pages they are depends on how soon the reader had its turn
    assert len(told) >= 9 * 10


def test_one_command_at_a_time():
    """While a command waits, another is EBUSY, and on 6.12 even a look at the state."""
    kernel = SimKernel("6.12", clock=ScaledClock(0.5))
    kernel.damon.write("kdamonds/nr_kdamonds", "1")
    stage(kernel, 0)
    command(kernel, "on")
    first = threading.Thread(target=command, args=(kernel, "commit"))
    first.start()
    busy = 0
    while first.is_alive() and not busy:
        try:
            state(kernel)
        except OSError as exc:
            busy = exc.errno
            assert refusal(kernel, "kdamonds/0/state", "update_schemes_stats") == errno.EBUSY
            assert refusal(kernel, "kdamonds/nr_kdamonds", "0") == errno.EBUSY
    first.join(5)
    assert busy == errno.EBUSY
    assert state(kernel) == "on"


def test_obsolete_targets_go():
    """A commit drops the targets that are marked, the others keep what is known of them; a new one cannot be."""
    kernel = boot(ops="vaddr", on=False)
    kernel.damon.write(f"{CONTEXT}/targets/nr_targets", "2")
    for index, pid in enumerate((kernel.spawn(), kernel.workload_pid)):
        kernel.damon.write(f"{CONTEXT}/targets/{index}/pid_target", str(pid))
    command(kernel, "on")
    run(kernel, 3)
    kernel.damon.write(f"{CONTEXT}/targets/0/obsolete_target", "Y")
    command(kernel, "commit")
    starts = [row[0] for row in tried(kernel)]
    assert starts == sorted(starts)
    assert max(row[3] for row in tried(kernel)) > 5
    kernel.damon.write(f"{CONTEXT}/targets/nr_targets", "2")
    for index in (0, 1):
        kernel.damon.write(f"{CONTEXT}/targets/{index}/pid_target", str(kernel.workload_pid))
    kernel.damon.write(f"{CONTEXT}/targets/1/obsolete_target", "Y")
    assert refusal(kernel, "kdamonds/0/state", "commit") == errno.EINVAL


def test_address_units():
    """With an address unit the regions count in it, and the hot part is found at its place divided by it."""
    kernel = boot(on=False)
    start, end = kernel.proc.system_ram()[-1]
    kernel.damon.write(f"{CONTEXT}/addr_unit", "1024")
    kernel.damon.write(f"{CONTEXT}/targets/0/regions/0/start", str(start // 1024))
    kernel.damon.write(f"{CONTEXT}/targets/0/regions/0/end", str(end // 1024))
    command(kernel, "on")
    run(kernel, 6, steps=60)
    assert hot_bytes(tried(kernel)) * 1024 == pytest.approx(20 << 20, rel=0.15)


def test_a_kdamond_uses_cpu_time():
    """The CPU time of a kdamond grows with its work."""
    kernel = boot()
    pid = int(kernel.damon.read("kdamonds/0/pid"))
    run(kernel, 1)
    first = kernel.proc.cpu_ns(pid)
    run(kernel, 1)
    assert 0 < first < kernel.proc.cpu_ns(pid)
