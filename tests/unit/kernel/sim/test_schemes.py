"""Schemes of the simulated kernel: statistics, quotas, watermarks, filters, and what actions do to the machine."""

import pytest

from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.kernel.sim.params import Quota
from damod.kernel.sim.schemes import feedback, score

MIB = 1 << 20
CONTEXT = "kdamonds/0/contexts/0"
SCHEME = f"{CONTEXT}/schemes/0"
MAX = 2**64 - 1


def boot(settings, version="7.3", *, ops="paddr", scenario="hot", seconds=5.0):
    """A kernel whose one scheme has `settings` (paths below the scheme), after some seconds of running."""
    kernel = SimKernel(version, scenario, clock=SimClock())
    if kernel.modules.exists("damon_stat"):
        kernel.modules.write("damon_stat/parameters/enabled", "N")
    write = kernel.damon.write
    write("kdamonds/nr_kdamonds", "1")
    write("kdamonds/0/contexts/nr_contexts", "1")
    write(f"{CONTEXT}/operations", ops)
    write(f"{CONTEXT}/targets/nr_targets", "1")
    if ops == "paddr":
        start, end = kernel.proc.system_ram()[-1]
        write(f"{CONTEXT}/targets/0/regions/nr_regions", "1")
        write(f"{CONTEXT}/targets/0/regions/0/start", str(start))
        write(f"{CONTEXT}/targets/0/regions/0/end", str(end))
    else:
        write(f"{CONTEXT}/targets/0/pid_target", str(kernel.workload_pid))
    write(f"{CONTEXT}/schemes/nr_schemes", "1")
    for name in ("sz", "nr_accesses", "age"):
        write(f"{SCHEME}/access_pattern/{name}/max", str(MAX))
    for path, value in settings.items():
        write(f"{SCHEME}/{path}", str(value))
    write("kdamonds/0/state", "on")
    for _ in range(int(seconds * 10)):
        kernel.clock.advance(0.1)
        kernel.damon.read("kdamonds/nr_kdamonds")
    return kernel


def stats(kernel):
    kernel.damon.write("kdamonds/0/state", "update_schemes_stats")
    at = kernel.damon.at(f"{SCHEME}/stats")
    return {name: int(at.read(name)) for name in at.names()}


def rows(kernel):
    kernel.damon.write("kdamonds/0/state", "update_schemes_tried_regions")
    texts = kernel.damon.read_rows(f"{SCHEME}/tried_regions", ["start", "end", "nr_accesses", "age"])
    return [[int(text) for text in row] for row in texts]


def test_stat_counts_and_changes_nothing():
    """A stat scheme tries every region each aggregation and applies nothing; its files move on request only."""
    kernel = boot({})
    assert kernel.damon.read(f"{SCHEME}/stats/nr_tried") == "0"
    start, end = kernel.proc.system_ram()[-1]
    seen = stats(kernel)
    assert seen["sz_tried"] == seen["nr_snapshots"] * (end - start)
    assert 50 <= seen["nr_snapshots"] <= 51
    assert seen["sz_applied"] == seen["nr_applied"] == seen["sz_ops_filter_passed"] == 0


def test_pattern_selects():
    """Only regions within all three ranges are tried."""
    kernel = boot({"access_pattern/nr_accesses/min": 15})
    found = rows(kernel)
    assert found
    assert all(row[2] >= 15 for row in found)
    assert sum(row[1] - row[0] for row in found) == pytest.approx(20 * MIB, rel=0.2)


def test_pageout_frees_memory_and_resets_ages():
    """Paging out raises free memory, counts what was reclaimed, and makes the regions young."""
    kernel = boot({"action": "pageout", "access_pattern/nr_accesses/max": 0, "access_pattern/age/min": 20}, seconds=1)
    before = kernel.proc.meminfo()["MemFree"]
    kernel.clock.advance(3)
    seen = stats(kernel)
    assert 0 < seen["sz_applied"] <= seen["sz_tried"]
    assert kernel.proc.meminfo()["MemFree"] > before
    kernel.damon.write(f"{SCHEME}/access_pattern/age/min", "0")
    kernel.damon.write(f"{SCHEME}/access_pattern/nr_accesses/max", str(MAX))
    kernel.damon.write(f"{SCHEME}/action", "stat")
    kernel.damon.write("kdamonds/0/state", "commit")
    assert min(row[3] for row in rows(kernel)) < 20


def test_a_size_quota_holds():
    """Within a reset interval at most so many bytes are tried, and running into the limit is counted."""
    kernel = boot({"quotas/bytes": 10 * MIB, "quotas/reset_interval_ms": 1000, "action": "pageout"})
    seen = stats(kernel)
    assert 4 * 10 * MIB <= seen["sz_tried"] <= 6 * 10 * MIB
    assert seen["qt_exceeds"] >= 4
    kernel.damon.write("kdamonds/0/state", "update_schemes_effective_quotas")
    assert kernel.damon.read(f"{SCHEME}/quotas/effective_bytes") == str(10 * MIB)


def test_a_time_quota_is_a_size_quota():
    """A time quota shows as effective bytes; the smaller of both counts."""
    for size, wanted in ((0, 4_000_000 * 10), (4096, 4096)):
        kernel = boot({"quotas/ms": 10, "quotas/bytes": size, "quotas/reset_interval_ms": 1000})
        kernel.damon.write("kdamonds/0/state", "update_schemes_effective_quotas")
        assert int(kernel.damon.read(f"{SCHEME}/quotas/effective_bytes")) == wanted


def test_a_quota_is_spent_all_over():
    """A scheme that ran out of quota goes on behind where it stopped, not at the start again."""
    kernel = boot({"quotas/bytes": 300 * MIB, "quotas/reset_interval_ms": 100, "access_pattern/nr_accesses/max": 0})
    starts = {rows(kernel)[0][0] >> 27 for _ in range(12)}
    assert len(starts) > 3


def test_a_goal_tunes_the_quota():
    """A goal far from reached lets the effective quota grow, an exceeded one lets it shrink to nothing."""
    goal = {"quotas/goals/nr_goals": 1, "quotas/goals/0/target_value": 1000, "quotas/reset_interval_ms": 100}
    kernel = boot(goal)

    def effective():
        kernel.damon.write("kdamonds/0/state", "update_schemes_effective_quotas")
        return int(kernel.damon.read(f"{SCHEME}/quotas/effective_bytes"))

    grown = effective()
    assert grown > MIB
    kernel.damon.write(f"{SCHEME}/quotas/goals/0/current_value", "2000")
    kernel.damon.write("kdamonds/0/state", "commit_schemes_quota_goals")
    kernel.clock.advance(1)
    assert effective() < grown


@pytest.mark.parametrize(("metric", "stops"), [("node_mem_free_bp", True), ("node_mem_used_bp", False)])
def test_the_temporal_tuner_is_all_or_nothing(metric, stops):
    """With the temporal tuner a reached goal stops the scheme and one that is not lets it run freely."""
    kernel = boot(
        {
            "quotas/goals/nr_goals": 1,
            "quotas/goals/0/target_metric": metric,
            "quotas/goals/0/nid": 1,
            "quotas/goals/0/target_value": 3900 if stops else 9000,
            "quotas/goal_tuner": "temporal",
            "quotas/reset_interval_ms": 100,
        }
    )
    assert (stats(kernel)["nr_tried"] == 0) == stops


def test_watermarks():
    """Above the high mark the scheme sleeps and monitoring with it; between the marks it works."""
    marks = {"watermarks/metric": "free_mem_rate", "watermarks/interval_us": 1000000, "watermarks/low": 50}
    asleep = boot({**marks, "watermarks/high": 200, "watermarks/mid": 150})
    assert stats(asleep)["nr_snapshots"] == 0
    awake = boot({**marks, "watermarks/high": 900, "watermarks/mid": 800})
    assert stats(awake)["nr_snapshots"] > 40


def test_max_nr_snapshots():
    """A scheme with a limit of snapshots stops there."""
    assert stats(boot({"stats/max_nr_snapshots": 7}))["nr_snapshots"] == 7


def test_apply_interval():
    """A scheme with an interval of its own has its turn that often."""
    assert stats(boot({"apply_interval_us": 500000}))["nr_snapshots"] == 10
    assert 95 <= stats(boot({"apply_interval_us": 50000}))["nr_snapshots"] <= 101


def test_an_address_filter_cuts_regions():
    """A core filter lets exactly the addresses through that it allows, and the rest is not tried."""
    low, high = 5 << 30, (5 << 30) + 64 * MIB
    name = "core_filters"
    kernel = boot(
        {
            f"{name}/nr_filters": 1,
            f"{name}/0/type": "addr",
            f"{name}/0/addr_start": low,
            f"{name}/0/addr_end": high,
            f"{name}/0/matching": "Y",
            f"{name}/0/allow": "Y",
        },
        seconds=2,
    )
    found = rows(kernel)
    assert (found[0][0], found[-1][1]) == (low, high)
    assert sum(row[1] - row[0] for row in found) == high - low


@pytest.mark.parametrize(("allow", "share"), [("Y", 0.6), ("N", 0.4)])
def test_a_page_filter_passes_a_share(allow, share):
    """Page filters leave what is tried alone and tell how much of it passed."""
    name = "ops_filters"
    kernel = boot({f"{name}/nr_filters": 1, f"{name}/0/matching": "Y", f"{name}/0/allow": allow})
    seen = stats(kernel)
    assert seen["sz_ops_filter_passed"] / seen["sz_tried"] == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("version", "counts"), [("6.17", False), ("6.18", True), ("7.3", True)])
def test_virtual_memory_is_counted_by_page(version, counts):
    """From 6.18 on a `stat` with page filters counts the pages of a process that pass them."""
    filters = {"nr_filters": 1, "0/type": "anon", "0/matching": "Y", "0/allow": "Y"}
    seen = stats(boot({f"ops_filters/{name}": value for name, value in filters.items()}, version, ops="vaddr"))
    assert seen["sz_tried"] > 0 and (seen["sz_ops_filter_passed"] > 0) == counts


@pytest.mark.parametrize(("version", "moves"), [("6.12", False), ("7.3", True)])
def test_migration_of_virtual_memory(version, moves):
    """6.12 takes migrate_hot on a process, tries, and never applies; 7.3 moves memory between the nodes."""
    settings = {"action": "migrate_hot", "target_nid": 1, "access_pattern/nr_accesses/min": 10}
    seen = stats(boot(settings, version, ops="vaddr"))
    assert seen["sz_tried"] > 0
    assert (seen["sz_applied"] > 0) == moves


def test_migration_moves_between_nodes():
    """Cold physical memory of node 1 goes to node 0, by the weights of the destinations."""
    kernel = boot(
        {"action": "migrate_cold", "dests/nr_dests": 1, "dests/0/id": 0, "dests/0/weight": 3, "quotas/bytes": 50 * MIB}
    )
    assert stats(kernel)["sz_applied"] > 0
    assert kernel.machine.node_used_bp(0) > kernel.machine.node_used_bp(1)


def test_an_action_that_the_operations_lack():
    """hugepage on physical memory is tried and applied to nothing."""
    seen = stats(boot({"action": "hugepage"}))
    assert seen["sz_tried"] > 0
    assert seen["sz_applied"] == 0


def test_trace_events_of_schemes():
    """What a scheme does can be traced: regions before it is applied, its quota, its statistics."""
    kernel = boot({"quotas/bytes": 10 * MIB, "quotas/reset_interval_ms": 200})
    for name in ("damos_before_apply", "damos_esz", "damos_stat_after_apply_interval"):
        ring = kernel.trace.open([name])
        assert ring.wait(1), name
        ring.close()


def test_scores():
    """Page-out prefers what is idle for long, promotion what is hot; other actions take all alike."""
    quota = Quota(0, 1, 0, (0, 1, 1), (), "consist", 0, 0)

    def of(action, nr, age):
        return score(quota, action, nr, 20, age, 100_000)

    assert of("pageout", 0, 6000) > of("pageout", 0, 10) > of("pageout", 20, 600)
    assert of("migrate_hot", 20, 600) > of("migrate_hot", 3, 10) > of("migrate_hot", 0, 600)
    assert of("stat", 0, 0) == of("stat", 20, 5) == 99


def test_feedback():
    """The loop grows below its aim, in proportion to the distance, and shrinks above it, never below its least."""
    assert feedback(20000, 0) == 40000
    assert feedback(20000, 5000) == 30000
    assert feedback(20000, 10000) == 20000
    assert feedback(40000, 12500) == 30000
    assert feedback(20000, 40000) == 10000
