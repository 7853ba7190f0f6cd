"""Staged files read as parameters, and what is refused of them."""

import errno

import pytest

from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel

CONTEXT = "kdamonds/0/contexts/0"
SCHEME = f"{CONTEXT}/schemes/0"
FILTER = f"{SCHEME}/ops_filters/0"
INTERVALS = f"{CONTEXT}/monitoring_attrs/intervals"
GOAL = f"{INTERVALS}/intervals_goal"


def answer(writes, version="7.3"):
    """The errno of `on` (0: it starts) with one paddr target of one region and these writes."""
    kernel = SimKernel(version, clock=SimClock())
    if kernel.modules.exists("damon_stat"):
        kernel.modules.write("damon_stat/parameters/enabled", "N")
    base = {
        "kdamonds/nr_kdamonds": 1,
        "kdamonds/0/contexts/nr_contexts": 1,
        f"{CONTEXT}/operations": "paddr",
        f"{CONTEXT}/targets/nr_targets": 1,
        f"{CONTEXT}/targets/0/regions/nr_regions": 1,
        f"{CONTEXT}/targets/0/regions/0/end": 1 << 30,
    }
    for path, value in [*base.items(), *writes.items()]:
        kernel.damon.write(path, str(value))
    try:
        kernel.damon.write("kdamonds/0/state", "on")
    except OSError as exc:
        return exc.errno
    return 0


REGIONS = f"{CONTEXT}/targets/0/regions"
GOALS = {f"{GOAL}/access_bp": 400, f"{GOAL}/aggrs": 3, f"{GOAL}/max_sample_us": 10000000}


@pytest.mark.parametrize(
    "writes",
    [
        {},
        {f"{INTERVALS}/sample_us": 0},
        {f"{REGIONS}/nr_regions": 0},
        {f"{CONTEXT}/targets/nr_targets": 0},
        {f"{CONTEXT}/addr_unit": 2},
        {f"{CONTEXT}/addr_unit": 12345},
        {f"{REGIONS}/nr_regions": 2, f"{REGIONS}/0/end": 4096, f"{REGIONS}/1/start": 4096, f"{REGIONS}/1/end": 8192},
        {f"{GOAL}/min_sample_us": 5000, **GOALS},
        {f"{SCHEME.rpartition('/')[0]}/nr_schemes": 1},
    ],
)
def test_taken(writes):
    """What Linux takes is taken: no regions, no target, a sampling interval of zero, odd but large address units."""
    assert answer(writes) == 0


@pytest.mark.parametrize(
    "writes",
    [
        {"kdamonds/0/contexts/nr_contexts": 0},
        {f"{CONTEXT}/targets/nr_targets": 2},
        {f"{CONTEXT}/targets/nr_targets": 1, f"{CONTEXT}/operations": "vaddr"},
        {f"{CONTEXT}/addr_unit": 3},
        {f"{REGIONS}/nr_regions": 1, f"{REGIONS}/0/start": 4096},
        {f"{REGIONS}/nr_regions": 2, f"{REGIONS}/0/end": 8192, f"{REGIONS}/1/start": 4096, f"{REGIONS}/1/end": 16384},
        {f"{GOAL}/min_sample_us": 5001, **GOALS},
        {**GOALS, f"{GOAL}/max_sample_us": 4999},
    ],
)
def test_refused(writes):
    """Impossible set-ups are EINVAL at `on`."""
    assert answer(writes) == errno.EINVAL


@pytest.mark.parametrize(
    ("writes", "wanted"),
    [
        ({f"{FILTER}/type": "memcg", f"{FILTER}/memcg_path": "/workload"}, 0),
        ({f"{FILTER}/type": "memcg", f"{FILTER}/memcg_path": "/nowhere"}, errno.EINVAL),
        ({f"{FILTER}/type": "memcg"}, errno.EINVAL),
        ({f"{FILTER}/type": "hugepage_size", f"{FILTER}/min": 2, f"{FILTER}/max": 1}, errno.EINVAL),
        ({f"{FILTER}/type": "anon", f"{FILTER}/min": 2, f"{FILTER}/max": 1}, 0),
    ],
)
def test_filters(writes, wanted):
    """A filter must name a cgroup that exists and a range that is one; fields of other types do not matter."""
    counts = {f"{CONTEXT}/schemes/nr_schemes": 1, f"{SCHEME}/ops_filters/nr_filters": 1}
    assert answer({**counts, **writes}) == wanted
