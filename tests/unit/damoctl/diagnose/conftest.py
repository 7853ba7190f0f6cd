"""Facts of simulated kernels: gathered as damoctl does it, from an owner of the kernel instead of a socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import Finding
from damoctl.diagnose.gather import from_daemon
from damod.access.snapshot import Snapshot
from damod.daemon.owner import Owner
from damod.errors import NoData
from damod.kernel import modules
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.kernel.survey import survey
from damod.spec.kdamond import parse_kdamonds


class Damod:
    """Stands for a client: answers the methods that `gather` calls, out of an owner."""

    def __init__(self, kernel: SimKernel, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.kernel, self.owner = kernel, Owner(kernel, directory)
        self.owner.adopt_running()
        self.policies: list[dict[str, Any]] = []
        self.recordings: list[dict[str, Any]] = []

    def start(self, *kdamonds: dict[str, Any], name: str = "mine") -> None:
        """Start a set and let it work for a while."""
        self.owner.start(name, parse_kdamonds(list(kdamonds)), take_over=True)
        for _ in range(30):
            self.kernel.clock.sleep(0.1)

    def call(self, method: str, **params: Any) -> Any:
        """What the daemon would answer."""
        return {
            "daemon.version": lambda: {"kernel": {"name": self.kernel.name, "release": self.kernel.release}},
            "daemon.status": lambda: {"daemon": {"version": ""}, **self.owner.status()},
            "diagnose.survey": lambda: survey(self.kernel),
            "kdamonds.show": lambda: {"kdamonds": self.owner.show(stats=True)},
            "kdamonds.snapshot": lambda: {"snapshots": [self._snapshot(params["kdamond"]).to_wire()]},
            "modules.list": lambda: {"modules": self._modules()},
            "features.list": lambda: self.owner.features().to_wire(),
            "policy.list": lambda: {"policies": self.policies},
            "record.list": lambda: {"recordings": self.recordings},
        }[method]()

    def _modules(self) -> list[dict[str, Any]]:
        ours = self.owner.own_modules()
        return [
            {"name": one.name, "enabled": one.enabled, "owner": "damod" if one.name in ours else "other",
             "pid": one.pid, "parameters": one.parameters}
            for one in modules.modules(self.kernel)
        ]  # fmt: skip

    def _snapshot(self, slot: int) -> Snapshot:
        watched = next(item for item in self.owner.watched() if item.slot == slot)
        if not watched.ours:
            raise NoData("it is somebody else's")
        now = self.kernel.trace.now_ns()
        return Snapshot(
            slot, 0, 0, now - watched.aggr_us * 1000, now, 0, watched.sample_us, watched.aggr_us,
            self.owner.tried_now(slot),
        )  # fmt: skip

    def facts(self, **changes: Any) -> Facts:
        return replace(from_daemon(self), **changes)  # type: ignore[arg-type]


@pytest.fixture
def damod(tmp_path: Path) -> Callable[..., Damod]:
    """Make one of a kernel version and a scenario, with damon_stat off unless `stat`."""

    def make(version: str = "7.3", scenario: str = "moving", *, stat: bool = False, **options: Any) -> Damod:
        kernel = SimKernel(version, scenario, clock=SimClock(), **options)
        if not stat and kernel.modules.exists("damon_stat/parameters/enabled"):
            kernel.modules.write("damon_stat/parameters/enabled", "N")
        return Damod(kernel, tmp_path / version)

    return make


def codes(findings: list[Finding] | Any) -> list[str]:
    return [finding.code for finding in findings]
