"""An owner of a simulated kernel, and a second life of it."""

import pytest

from damod.daemon.owner import Owner
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel


@pytest.fixture
def kernel():
    """The newest kernel, with damon_stat off."""
    kernel = SimKernel("7.3", clock=SimClock())
    kernel.modules.write("damon_stat/parameters/enabled", "N")
    yield kernel
    kernel.close()


@pytest.fixture
def owners(tmp_path):
    """Make owners that share one runtime directory, as successive damods do."""
    (tmp_path / "run").mkdir()

    def make(kernel, **options):
        owner = Owner(kernel, tmp_path / "run", **options)
        owner.adopt_running()
        return owner

    return make


@pytest.fixture
def owner(kernel, owners):
    """The first owner of `kernel`."""
    return owners(kernel)
