"""Simulated kernels whose clock stands still but for sleeping."""

import pytest

from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.facts import VERSIONS
from damod.kernel.sim.kernel import SimKernel


@pytest.fixture(params=VERSIONS)
def kernel(request):
    """One kernel of each known release, with damon_stat off."""
    kernel = SimKernel(request.param, clock=SimClock())
    if "damon_stat" in kernel.modules.names():
        kernel.modules.write("damon_stat/parameters/enabled", "N")
    yield kernel
    kernel.close()
