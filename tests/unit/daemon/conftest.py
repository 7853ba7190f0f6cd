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
    """Make owners of kernels that share one runtime directory, as successive damods do; all are closed at the end."""
    made = []

    def make(kernel, **options):
        for other in made:
            other.close()
        made.append(Owner(kernel, tmp_path / "run", **options))
        made[-1].open()
        return made[-1]

    yield make
    for owner in made:
        owner.close()


@pytest.fixture
def owner(kernel, owners):
    """An opened owner of `kernel`."""
    return owners(kernel)
