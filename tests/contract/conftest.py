"""One suite for any kernel behind the seam: what holds on Linux must hold in the simulation, on each of its versions.

Here the simulated kernel is tested, in its own time. With DAMOD_CONTRACT=linux, which tests/vm/test_contract.py sets
inside a guest, the same tests drive the real DAMON; they write below /sys, so they refuse to run outside a guest.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from damod.kernel.interface import Kernel
from damod.kernel.linux import LinuxKernel
from damod.kernel.sim import facts as abi
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.facts import Facts
from damod.kernel.sim.kernel import SimKernel
from tests.contract.driver import Damon

REAL = os.environ.get("DAMOD_CONTRACT") == "linux"
Spawn = Callable[[], "subprocess.Popen[bytes]"]


def _only_in_guest() -> None:
    if os.environ.get("DAMOD_GUEST") != "1" or "virtme" not in Path("/proc/cmdline").read_text():
        pytest.exit("DAMOD_CONTRACT=linux writes below /sys: it is for guests only (tests/vm/test_contract.py)", 3)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "version" in metafunc.fixturenames:
        metafunc.parametrize("version", ["linux"] if REAL else abi.VERSIONS, scope="session")


@pytest.fixture(scope="session")
def switched_on(version: str) -> Iterator[None]:
    """In a guest, all of DAMON's trace events stay on in a ring that nobody reads, for as long as tests run.

    The first ring that opens and the last one that closes make Linux patch its own scheduler code (event comms are
    recorded at each task switch), which QEMU's multi-threaded emulation does not always survive: 6.12 once died of a
    stale int3 in __schedule.
    """
    if version != "linux":
        yield
        return
    _only_in_guest()
    real = LinuxKernel()
    unread = real.trace.open(real.trace.events(), buffer_kb=4)
    yield
    unread.close()
    real.close()


@pytest.fixture
def kernel(version: str, switched_on: None) -> Iterator[Kernel]:
    """A kernel without kdamonds on which damon_stat does not run, and left so."""
    made: Kernel = LinuxKernel() if version == "linux" else SimKernel(version, clock=SimClock())
    damon = Damon(made)
    damon.reset()
    yield made
    damon.reset()
    made.close()


@pytest.fixture
def damon(kernel: Kernel) -> Damon:
    """The kernel's DAMON, with a word for each thing that the tests do to it."""
    return Damon(kernel)


@pytest.fixture
def facts(kernel: Kernel) -> Facts:
    """What is known of this kernel release. Skips on a release that nothing is known of yet."""
    series = ".".join(kernel.release.split(".")[:2])
    if series not in abi.VERSIONS:
        pytest.skip(f"there are no facts of Linux {series} in damod/kernel/sim/abi")
    return abi.load(series)


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts processes that do nothing; those still there are ended."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "3600"]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
