"""The DAMON modules below /sys/module: damon_stat, damon_reclaim, damon_lru_sort and their parameters.

A module's kdamond runs alone: switching one on while any kdamond runs is answered EBUSY, and while one is on no
kdamond of sysfs starts (design.rst, exclusivity). Of what they do only damon_stat's results are simulated; the two
others start and stop their kdamond, and their counters stay at zero.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from damod.kernel.sim.facts import Facts
from damod.kernel.sim.machine import Machine
from damod.kernel.sim.tree import Dir, File, Shape, boolean, number, refuse

# damon_stat starts with 5 ms and 100 ms and tunes itself; on an idle machine to about this.
_STAT_AGGR_US = 3_200_000


def _ulong(text: str) -> str:
    return str(number(text, low=0, high=2**64 - 1))


class Modules:
    """The tree of /sys/module; `busy` says whether a kdamond of sysfs runs."""

    def __init__(self, facts: Facts, machine: Machine, *, busy: Callable[[], bool]) -> None:
        self._machine = machine
        self._busy = busy
        self._signed = facts.version >= (7, 0)
        self._pids: dict[str, int] = {}
        self._since_ns = machine.clock.monotonic_ns()
        self.root = Dir(None, Shape())
        for path, (mode, default) in facts.modules.items():
            module, name = path.split("/")
            at = self._parameters(module)
            at.files[name] = File(mode, default, boolean if default in ("Y", "N") else _ulong)
        for module, at in ((name, self._parameters(name)) for name in list(self.root.dirs)):
            at.files["enabled"].store = self._switch(module, at.files["enabled"])
            if "kdamond_pid" in at.files:
                at.files["kdamond_pid"].show = self._pid(module)
        stat = self.root.dirs.get("damon_stat")
        if stat:
            self._show_stat(stat.dirs["parameters"])
        if facts.stat_on and stat:
            stat.dirs["parameters"].files["enabled"].text = "Y"
            self._pids["damon_stat"] = machine.new_thread()

    def _parameters(self, module: str) -> Dir:
        if module not in self.root.dirs:
            top = self.root.dirs[module] = Dir(self.root, Shape())
            top.dirs["parameters"] = Dir(top, Shape())
        return self.root.dirs[module].dirs["parameters"]

    def running(self) -> bool:
        """Whether some module has its kdamond on."""
        return bool(self._pids)

    def _pid(self, module: str) -> Callable[[], str]:
        return lambda: str(self._pids.get(module, -1))

    def _switch(self, module: str, enabled: File) -> Callable[[str], None]:
        def store(text: str) -> None:
            wanted = boolean(text)
            if (wanted == "Y") == (module in self._pids):
                return
            if wanted == "N":
                self._machine.end_thread(self._pids.pop(module))
            elif self._busy() or self._pids:
                raise refuse(errno.EBUSY, module)
            else:
                self._pids[module] = self._machine.new_thread()
                self._since_ns = self._machine.clock.monotonic_ns()
            enabled.text = wanted

        return store

    def _show_stat(self, at: Dir) -> None:
        """damon_stat's results follow the scenario while it is on, and stay as they were when it is switched off."""

        def live(file: File, value: Callable[[], str]) -> Callable[[], str]:
            def show() -> str:
                if "damon_stat" in self._pids:
                    file.text = value()
                return file.text

            return show

        values = {
            "aggr_interval_us": lambda: str(_STAT_AGGR_US),
            "estimated_memory_bandwidth": self._bandwidth,
            "memory_idle_ms_percentiles": self._idle,
        }
        for name, value in values.items():
            if name in at.files:
                at.files[name].text = "0" if name != "memory_idle_ms_percentiles" else ",".join(["0"] * 101)
                at.files[name].show = live(at.files[name], value)

    def _bandwidth(self) -> str:
        pattern = self._machine.physical(self._machine.clock.monotonic_ns())
        return str(int(sum((end - start) * share for start, end, share in pattern) * 20 / (_STAT_AGGR_US / 1e6)))

    def _idle(self) -> str:
        now = self._machine.clock.monotonic_ns()
        total = sum(end - start for start, end in self._machine.system_ram())
        busy = sum(end - start for start, end, share in self._machine.physical(now)) / total
        up_ms = (now - self._since_ns) // 1_000_000
        # What is accessed is idle for less than nothing from 7.x on: for how long it has been so.
        hot = -up_ms if self._signed else 0
        return ",".join(str(hot if i < busy * 100 else up_ms * i // 100) for i in range(101))
