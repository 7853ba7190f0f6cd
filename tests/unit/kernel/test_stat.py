"""damon_stat's percentiles as a snapshot."""

from __future__ import annotations

import pytest

from damod.errors import NoData
from damod.kernel import stat
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel


def test_a_region_between_two_percentiles() -> None:
    """Ages are the mean of the neighbours in aggregations; idle for zero or less is accessed, for that long."""
    found = stat.regions([-400, -200, 0, 100, 300], 4000, 100_000)
    assert (found.start, found.end) == ([0, 1000, 2000, 3000], [1000, 2000, 3000, 4000])
    assert found.nr_accesses == [10, 10, 0, 0]
    assert found.age == [3, 1, 0, 2]


@pytest.mark.parametrize("version", ["6.17", "6.18", "7.2", "7.3"])
def test_a_snapshot_of_each_kernel(version: str) -> None:
    """All the memory in a hundred regions, hot first, with the intervals that make ten of twenty samples."""
    kernel = SimKernel(version, clock=SimClock())
    kernel.clock.advance(60)
    seen = stat.snapshot(kernel)
    assert seen.source == "damon_stat" and len(seen.regions) == 100
    assert seen.regions.total_bytes() == kernel.proc.meminfo()["MemTotal"]
    assert seen.aggr_us == 20 * seen.sample_us
    assert seen.regions.nr_accesses[0] == 10 and seen.regions.nr_accesses[-1] == 0
    assert 50 <= seen.regions.age[-1] * seen.aggr_us / 1e6 <= 62


def test_nothing_to_tell() -> None:
    """Without the module, with it off, and before its first result, the error says which."""
    with pytest.raises(NoData, match="no module damon_stat"):
        stat.snapshot(SimKernel("6.12", clock=SimClock()))
    kernel = SimKernel("7.3", clock=SimClock())
    with pytest.raises(NoData, match="not measured anything yet"):
        stat.snapshot(kernel)
    kernel.modules.write("damon_stat/parameters/enabled", "N")
    with pytest.raises(NoData, match="not enabled"):
        stat.snapshot(kernel)
