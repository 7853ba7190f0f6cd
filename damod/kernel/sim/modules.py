"""The DAMON modules below /sys/module: damon_stat, damon_reclaim, damon_lru_sort and their parameters.

A module's kdamond runs alone: switching one on while any kdamond runs is answered EBUSY, and while one is on no
kdamond of sysfs starts (design.rst, exclusivity). Of what they do only damon_stat's results are simulated; the two
others start and stop their kdamond, and their counters stay at zero. Switching on with impossible parameters is EINVAL.
`commit_inputs` as seen on 6.12: it always takes a Y, a running module makes it an N within a sampling interval and
switches itself off, without a word, if the parameters are impossible; while it is off, the Y stays. As seen on 7.3:
the write waits for it, and is EINVAL for impossible ones, which change nothing, and ECANCELED while the module is off.
What the kernels between do was not looked at; before 7.0 they are taken to be like 6.12.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from damod.kernel.sim.facts import Facts
from damod.kernel.sim.machine import Machine
from damod.kernel.sim.tree import Dir, File, Shape, boolean, number, refuse

# damon_stat starts with 5 ms and 100 ms and tunes itself; on an idle machine to about this.
_STAT_AGGR_US = 3_200_000


_SAMPLE_NS = 5_000_000


def _impossible(at: Dir) -> bool:
    """Whether damon_set_attrs() or the target region refuses the parameters of a module."""

    def number_of(name: str, default: int = 0) -> int:
        return int(at.files[name].text) if name in at.files else default

    low, high = number_of("min_nr_regions", 3), number_of("max_nr_regions", 3)
    start, end = number_of("monitor_region_start"), number_of("monitor_region_end")
    return (
        low < 3
        or low > high
        or number_of("sample_interval") > number_of("aggr_interval")
        or bool((start or end) and start >= end)
        or not number_of("addr_unit", 1)
    )


def _ulong(text: str) -> str:
    return str(number(text, low=0, high=2**64 - 1))


class Modules:
    """The tree of /sys/module; `busy` says whether a kdamond of sysfs runs."""

    def __init__(self, facts: Facts, machine: Machine, *, busy: Callable[[], bool]) -> None:
        self._machine = machine
        self._busy = busy
        self._signed = self._waits = facts.version >= (7, 0)
        self._pids: dict[str, int] = {}
        # Modules that were told to read their parameters, and when they will have done so.
        self._committing: dict[str, int] = {}
        self._since_ns = machine.clock.monotonic_ns()
        self.root = Dir(None, Shape())
        for path, (mode, default) in facts.modules.items():
            module, name = path.split("/")
            at = self._parameters(module)
            at.files[name] = File(mode, default, boolean if default in ("Y", "N") else _ulong)
        for module, at in ((name, self._parameters(name)) for name in list(self.root.dirs)):
            at.files["enabled"].store = self._switch(module, at)
            at.files["enabled"].show = self._settled(module, at, at.files["enabled"])
            if "commit_inputs" in at.files:
                at.files["commit_inputs"].store = self._commit(module, at)
                at.files["commit_inputs"].show = self._settled(module, at, at.files["commit_inputs"])
            if "kdamond_pid" in at.files:
                at.files["kdamond_pid"].show = self._pid(module, at)
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
        for module in list(self._committing):
            self._settle(module, self.root.dirs[module].dirs["parameters"])
        return bool(self._pids)

    def _pid(self, module: str, at: Dir) -> Callable[[], str]:
        def show() -> str:
            self._settle(module, at)
            return str(self._pids.get(module, -1))

        return show

    def _switch(self, module: str, at: Dir) -> Callable[[str], None]:
        def store(text: str) -> None:
            wanted = boolean(text)
            self._settle(module, at)
            if (wanted == "Y") == (module in self._pids):
                return
            if wanted == "N":
                self._machine.end_thread(self._pids.pop(module))
            elif _impossible(at):
                raise refuse(errno.EINVAL, module)
            elif self._busy() or self._pids:
                raise refuse(errno.EBUSY, module)
            else:
                self._pids[module] = self._machine.new_thread()
                self._since_ns = self._machine.clock.monotonic_ns()
                if "commit_inputs" in at.files and at.files["commit_inputs"].text == "Y":
                    self._committing[module] = self._since_ns
            at.files["enabled"].text = wanted

        return store

    def _commit(self, module: str, at: Dir) -> Callable[[str], None]:
        def store(text: str) -> None:
            file = at.files["commit_inputs"]
            wanted = boolean(text)
            if wanted == "N" or not self._waits:
                file.text = wanted
                if wanted == "Y" and module in self._pids:
                    self._committing[module] = self._machine.clock.monotonic_ns() + _SAMPLE_NS
            elif module not in self._pids:
                raise refuse(errno.ECANCELED, module)
            elif _impossible(at):
                raise refuse(errno.EINVAL, module)

        return store

    def _settled(self, module: str, at: Dir, file: File) -> Callable[[], str]:
        def show() -> str:
            self._settle(module, at)
            return file.text

        return show

    def _settle(self, module: str, at: Dir) -> None:
        """Do what the module's kdamond has done since: read its parameters again, or end over them."""
        due = self._committing.get(module)
        if due is None or self._machine.clock.monotonic_ns() < due:
            return
        del self._committing[module]
        if module not in self._pids:
            return
        at.files["commit_inputs"].text = "N"
        if _impossible(at):
            self._machine.end_thread(self._pids.pop(module))
            at.files["enabled"].text = "N"

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
