"""SimKernel: a Linux with DAMON in memory, for `damod --kernel sim` and for tests.

Nothing runs in the background: whatever should have happened since the last look happens when somebody looks, so an
idle simulated kernel costs nothing. A look after a long time does not make up for all of it (regions grow older, the
ring counts lost events, schemes do not apply).
"""

from __future__ import annotations

import random
import threading

from damod.kernel.interface import Clock, Proc, Trace, Tree
from damod.kernel.sim import facts as abi
from damod.kernel.sim import workload
from damod.kernel.sim.clock import ScaledClock, WaitableClock
from damod.kernel.sim.control import Control
from damod.kernel.sim.kdamond import Kdamond, Manners
from damod.kernel.sim.machine import GIB, Machine
from damod.kernel.sim.modules import Modules
from damod.kernel.sim.params import ContextParams
from damod.kernel.sim.ring import SimTrace
from damod.kernel.sim.tree import Dir, SimTree, damon_shape, refuse


class _Fault:
    def __init__(self, code: int, at: int, kind: str, path: str, value: str) -> None:
        self.code = code
        self.left = at
        self.kind = kind
        self.path = path
        self.value = value


class SimKernel:
    """The `Kernel` of the kernel seam, simulated.

    `version` is one of `facts.VERSIONS`, `scenario` one of `workload.SCENARIOS`; `clock` a `SimClock` in tests, real
    time by default; without `process_events` its kernel does not tell of forks. With `foreign` a kdamond with a pageout
    scheme runs already, started by somebody else. ValueError for an unknown version or scenario.
    """

    def __init__(
        self,
        version: str = "7.3",
        scenario: str = "moving",
        *,
        clock: WaitableClock | None = None,
        seed: int = 1,
        nodes: int = 2,
        ram_bytes: int = 4 * GIB,
        foreign: bool = False,
        process_events: bool = True,
    ) -> None:
        facts = abi.load(version)
        self.name = f"sim:{scenario}"
        self.release = facts.release
        clock = clock or ScaledClock()
        self.clock: Clock = clock
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._rng = random.Random(seed)
        self._faults: list[_Fault] = []
        self.machine = Machine(
            clock, workload.scenario(scenario), nodes=nodes, ram_bytes=ram_bytes, process_events=process_events
        )
        self.proc: Proc = self.machine
        there = {path.split("/")[0] for path in facts.modules}
        for name in ("damon_reclaim", "damon_lru_sort", "damon_stat"):
            self.machine.config[f"CONFIG_{name.upper()}"] = "y" if name in there else "n"
        self.machine.config["CONFIG_DAMON_STAT_ENABLED_DEFAULT"] = "y" if facts.stat_on else "n"
        self._manners = Manners(
            even=facts.version >= (7, 0),
            commands_at_aggregation=facts.version < (6, 16),
            # Seen on real ones: 6.12 tries and never applies, 7.3 does. It came along with `dests/`.
            migrate_vaddr=any("/dests/" in path for path in facts.tree),
            # Seen on 7.3; it came with `addr_unit` (6.18).
            count_vaddr=any(path.endswith("/addr_unit") for path in facts.tree),
        )
        self._modules = Modules(facts, self.machine, busy=lambda: bool(self._control.running()))
        self._control = Control(
            facts,
            clock,
            self.machine,
            self._changed,
            start=self._start,
            exclusive=self._modules.running,
        )
        self._trace = SimTrace(
            facts.events,
            clock,
            self._changed,
            enter=self._control.catch_up,
            next_event_ns=self._control.next_event_ns,
        )
        self.trace: Trace = self._trace
        self.proc.catch_up = self._catch_up
        root = Dir(None, damon_shape(facts))
        self._control.adopt(root.dirs["kdamonds"])
        self.damon: Tree = SimTree(root, self._lock, enter=self._control.catch_up, check=self._check)
        self.modules: Tree = SimTree(self._modules.root, self._lock, enter=self._control.catch_up, check=self._check)
        if foreign:
            self._foreign()

    def close(self) -> None:
        """Give back the rings."""
        for ring in list(self._trace.rings):
            ring.close()

    def _catch_up(self) -> None:
        with self._lock:
            self._control.catch_up()

    def _start(self, params: ContextParams) -> Kdamond:
        return Kdamond(
            params,
            pid=self.machine.new_thread(),
            machine=self.machine,
            trace=self._trace,
            manners=self._manners,
            rng=self._rng,
        )

    def _foreign(self) -> None:
        """A kdamond that somebody set up by hand: page out what was idle for a minute."""
        if self._modules.running():
            self.modules.write("damon_stat/parameters/enabled", "N")
        at = "kdamonds/0/contexts/0"
        start, end = self.proc.system_ram()[-1]
        for path, value in (
            ("kdamonds/nr_kdamonds", "1"),
            ("kdamonds/0/contexts/nr_contexts", "1"),
            (f"{at}/operations", "paddr"),
            (f"{at}/targets/nr_targets", "1"),
            (f"{at}/targets/0/regions/nr_regions", "1"),
            (f"{at}/targets/0/regions/0/start", str(start)),
            (f"{at}/targets/0/regions/0/end", str(end)),
            (f"{at}/schemes/nr_schemes", "1"),
            (f"{at}/schemes/0/action", "pageout"),
            (f"{at}/schemes/0/access_pattern/sz/max", str(2**64 - 1)),
            (f"{at}/schemes/0/access_pattern/age/min", "600"),
            (f"{at}/schemes/0/access_pattern/age/max", str(2**32 - 1)),
            ("kdamonds/0/state", "on"),
        ):
            self.damon.write(path, value)

    # For tests

    @property
    def workload_pid(self) -> int:
        """The pid of the process that is there from the start: 1000 unless a real process has it."""
        return self.machine.workload_pid

    def spawn(self, name: str = "task", parent: int = 1) -> int:
        """Start a process that runs the scenario; its pid."""
        with self._changed:
            return self.machine.spawn(name, parent)

    def exit(self, pid: int) -> None:
        """End a simulated process; KeyError if there is none."""
        with self._changed:
            self._control.catch_up()
            self.machine.exit(pid)

    def kill_kdamond(self, index: int) -> None:
        """End a kdamond as if it had died of itself."""
        with self._changed:
            self._control.end(self._control.slots[index])

    @property
    def busy_reads(self) -> int:
        """How many more reads of a `state` file are answered EBUSY."""
        return self._control.busy_reads

    @busy_reads.setter
    def busy_reads(self, count: int) -> None:
        self._control.busy_reads = count

    def fail(self, code: int, *, at: int = 1, kind: str = "write", path: str = "", value: str = "") -> None:
        """Answer the `at`-th access from now with errno `code`, once.

        Only accesses of that `kind` ("read" or "write") whose path ends in `path` and, if given, whose written value
        is `value` count; so `fail(EINVAL, path="state", value="commit")` refuses the next commit.
        """
        self._faults.append(_Fault(code, at, kind, path, value))

    def _check(self, kind: str, path: str, value: str) -> None:
        for fault in list(self._faults):
            if fault.kind != kind or not path.endswith(fault.path) or (fault.value and fault.value != value.strip()):
                continue
            fault.left -= 1
            if not fault.left:
                self._faults.remove(fault)
                raise refuse(fault.code, path)
