"""A simulated machine with an owner and a directory of policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from damod.daemon.owner import Owner
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.policy.reconcile import Reconciler


class Site:
    """A kernel, its owner, a directory of policies, and successive daemons on them."""

    def __init__(self, path: Path, version: str = "7.3") -> None:
        self.kernel = SimKernel(version, clock=SimClock())
        if version not in ("6.12", "6.16"):
            self.kernel.modules.write("damon_stat/parameters/enabled", "N")
        self.files = path / "damo.d"
        self.files.mkdir()
        self._state = path / "state"
        self._state.mkdir()
        self.boot()

    def boot(self) -> Reconciler:
        """A new daemon on what an earlier one left."""
        self.owner = Owner(self.kernel, self._state)
        self.owner.adopt_running()
        self.policies = Reconciler(self.kernel, self.owner, [str(self.files)])
        return self.policies

    def put(self, name: str, text: str) -> Path:
        path = self.files / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def reload(self) -> int:
        self.policies.load()
        return self.policies.apply()

    def stage(self, name: str) -> str:
        return self.policies.states[name].stage

    def reason(self, name: str) -> str:
        return self.policies.states[name].reason

    def pids(self) -> dict[str, list[int]]:
        """Set -> pids of its kdamonds."""
        found: dict[str, list[int]] = {}
        for row in self.owner.status()["kdamonds"]:
            found.setdefault(row["name"], []).append(row["pid"])
        return found

    def after(self, seconds: float) -> int:
        """One look after a time."""
        self.kernel.clock.sleep(seconds)
        return self.policies.apply()


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(version: str = "7.3") -> Site:
        made.append(Site(tmp_path, version))
        return made[-1]

    yield make
    for site in made:
        site.kernel.close()


@pytest.fixture
def site(sites: Callable[..., Site]) -> Site:
    return sites()
