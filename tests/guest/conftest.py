"""A whole damod on the real DAMON of a guest, driven through damoctl as processes: what issue "a session" must show.

tests/vm/test_daemon.py boots a guest of each kernel and runs this directory in it. Everything here writes below /sys,
so outside a guest nothing is even started.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from damoctl.local import LocalDaemon
from damod.errors import NotFound
from damod.kernel.linux import LinuxKernel
from damod.rpc.client import Client
from tests.contract.driver import PATIENCE_S, Damon
from tests.guest.driver import STAT, Damoctl

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def in_guest() -> bool:
    """Whether this is a virtual machine of tests/vm, the only place where writing below /sys is allowed."""
    return os.environ.get("DAMOD_GUEST") == "1" and "virtme" in Path("/proc/cmdline").read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="drives the real DAMON, in guests only: `make vm` (tests/vm/test_daemon.py)")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.guest)
            if not in_guest():
                item.add_marker(skip)


@pytest.fixture(scope="session")
def real() -> Iterator[LinuxKernel]:
    """This guest's kernel, with a ring open that nobody reads: tests/contract/conftest.py says why."""
    if not in_guest():
        pytest.exit("tests/guest writes below /sys: it is for guests only (tests/vm/test_daemon.py)", 3)
    kernel = LinuxKernel()
    unread = kernel.trace.open(kernel.trace.events(), buffer_kb=4)
    yield kernel
    unread.close()
    kernel.close()


@pytest.fixture(scope="session")
def stat_at_boot(real: LinuxKernel) -> bool:
    """Whether this kernel runs its own damon_stat from boot on (Debian's do from 6.17 on)."""
    return real.modules.exists(STAT) and real.modules.read(STAT) == "Y"


@pytest.fixture
def damon(real: LinuxKernel, stat_at_boot: bool) -> Iterator[Damon]:
    """The kernel's DAMON as it is after a boot."""
    made = Damon(real)
    made.reset()
    if stat_at_boot:
        real.modules.write(STAT, "Y")
    yield made
    made.reset()


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDaemon]:
    """A damod for the real kernel; not started, or left over from the test before."""
    made = LocalDaemon("--kernel", "linux", directory=tmp_path_factory.mktemp("damod"), timeout_s=PATIENCE_S)
    yield made
    made.stop(PATIENCE_S)


@pytest.fixture
def daemon(damon: Damon, local: LocalDaemon) -> Iterator[LocalDaemon]:
    """A damod that serves and runs nothing. One process for all tests, unless one of them ends it."""
    if local.process is None or local.process.poll() is not None:
        local.start()
    yield local
    if local.process.poll() is None:
        _stop_all(local)


def _stop_all(local: LocalDaemon) -> None:
    # Nothing to stop is an error to a person, not here.
    with Client(str(local.socket), PATIENCE_S) as client, suppress(NotFound):
        client.call("kdamonds.stop")


@pytest.fixture
def client(daemon: LocalDaemon) -> Iterator[Client]:
    """A connection to that damod, for looking often: a damoctl costs a second here."""
    with Client(str(daemon.socket), PATIENCE_S) as made:
        yield made


@pytest.fixture
def damoctl(local: LocalDaemon, tmp_path: Path) -> Damoctl:
    """Run damoctl against that daemon; what it printed and its exit status."""

    def run(*argv: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        # Files, not pipes: a command that damoctl starts keeps its output open.
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(
                [sys.executable, "-m", "damoctl", "--socket", str(local.socket), *argv],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=tmp_path,
                timeout=timeout_s,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        return subprocess.CompletedProcess(done.args, done.returncode, out.read_text(), err.read_text())

    return run
