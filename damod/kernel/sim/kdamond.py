"""A kdamond at work: regions are sampled, merged, aged, handed to the schemes, reported and split, as DAMON does it.

One call of `Kdamond.step` is everything that happens at one moment (the end of an aggregation, the turn of a scheme,
a look at watermarks); the kernel calls it for each moment that has passed when somebody looks. What happens to the
regions of a target is in `target`.

Sources: Documentation/mm/damon/design.rst (kernel-docs), mm/damon/core.c.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from damod.kernel.sim.machine import PAGE_SHARES, Machine
from damod.kernel.sim.params import Attrs, ContextParams, Probe, TargetParams
from damod.kernel.sim.ring import SimTrace
from damod.kernel.sim.schemes import Scheme, feedback
from damod.kernel.sim.target import Target, age, draw, merge, sample, split, weighted
from damod.kernel.sim.tree import refuse
from damod.kernel.sim.workload import Segment

# CPU time that looking at one region once costs, as cpu_ns() shows it.
_CHECK_NS = 300
# One in so many aggregations the scheduler moves the kdamond to another CPU.
_MOVES = 16


@dataclass(frozen=True)
class Manners:
    """How kernels differ in what no file shows.

    `even` regions from the start (7.x) or one per range that is split by and by; `commands_at_aggregation`: commands
    are served then (6.12), not at the next sample; `migrate_vaddr`: migration works on virtual memory; `count_vaddr`:
    `stat` counts the pages of virtual memory that pass page filters.
    """

    even: bool
    commands_at_aggregation: bool
    migrate_vaddr: bool
    count_vaddr: bool


class Kdamond:
    """A running kdamond. Times are nanoseconds of the kernel's monotonic clock."""

    def __init__(
        self,
        params: ContextParams,
        *,
        pid: int,
        machine: Machine,
        trace: SimTrace,
        manners: Manners,
        rng: random.Random,
    ) -> None:
        self.pid = pid
        self.machine = machine
        self.trace = trace
        self.manners = manners
        self.rng = rng
        self.params = params
        self.attrs = params.attrs
        self.aggregations = 0
        self.targets: list[Target] = []
        self.schemes: list[Scheme] = []
        self.cpu = rng.choice(list(trace.cpus))
        self._regions_before = 0
        now = machine.clock.monotonic_ns()
        self.next_aggr_ns = now + self.attrs.aggr_us * 1000
        self.asleep_until: int | None = None
        for target in params.targets:
            self.targets.append(self._new_target(target))
        self.schemes = [Scheme(scheme, now, self.attrs) for scheme in params.schemes]
        self._watermarks(now)

    # Set-up

    def _areas(self, target: TargetParams) -> Sequence[tuple[int, int]]:
        if target.regions or self.params.ops != "vaddr":
            return target.regions
        process = self.machine.process(target.pid)
        return process.mappings() if process else ()

    def _new_target(self, params: TargetParams) -> Target:
        smallest = self.params.min_region
        target = Target(params, len(self.params.probes))
        areas = self._areas(params)
        target.reshape(areas, smallest)
        if not (self.manners.even or self.params.ops == "vaddr"):
            return target
        total = sum(target.end) - sum(target.start)
        piece = max(total // self.attrs.min_nr // smallest * smallest, smallest)
        for index in range(len(target.start) - 1, -1, -1):
            start, end = target.start[index], target.end[index]
            cuts = [start + piece * k for k in range(1, (end - start) // piece)]
            for at in reversed(cuts):
                target.split(index, at)
        return target

    def commit(self, params: ContextParams) -> None:
        """Go on with other parameters; regions, ages and statistics stay where they still make sense.

        Raises OSError (EINVAL) for an obsolete target that there is nothing of to remove.
        """
        if any(target.obsolete for target in params.targets[len(self.targets) :]):
            raise refuse(errno.EINVAL, "obsolete_target")
        now = self.machine.clock.monotonic_ns()
        probes = len(params.probes)
        old_ops = self.params.ops
        resumed = self.params.pause and not params.pause
        self.params = params
        # Staged intervals replace tuned ones, too: who wants to keep those asks for update_tuned_intervals before.
        if params.attrs != self.attrs:
            self._set_attrs(params.attrs)
        kept = [] if params.ops != old_ops else self.targets
        targets = []
        for index, want in enumerate(params.targets):
            if want.obsolete:
                continue
            if index >= len(kept):
                targets.append(self._new_target(want))
                continue
            target = kept[index]
            if len(target.hits) != probes:
                target.hits = [[0] * len(target.start) for _ in range(probes)]
            moved = want.pid != target.params.pid
            target.params = want
            if want.regions:
                target.reshape(want.regions, params.min_region)
            elif moved:
                target.reshape(self._areas(want), params.min_region)
            targets.append(target)
        self.targets = targets
        for scheme, wanted in zip(self.schemes, params.schemes, strict=False):
            scheme.commit(wanted, now, self.attrs)
        del self.schemes[len(params.schemes) :]
        self.schemes += [Scheme(want, now, self.attrs) for want in params.schemes[len(self.schemes) :]]
        if resumed:
            self._restart(now)
        self._watermarks(now)

    def _set_attrs(self, attrs: Attrs) -> None:
        """Take other intervals, and rescale what was measured with the old ones (damon_set_attrs())."""
        old, self.attrs = self.attrs, attrs
        if (old.sample_us, old.aggr_us) == (attrs.sample_us, attrs.aggr_us):
            return
        before, after = old.max_accesses, attrs.max_accesses
        for target in self.targets:
            target.nr = [min(nr * after // before, after) for nr in target.nr]
            target.last = [min(nr * after // before, after) for nr in target.last]
            target.age = [age * old.aggr_us // max(attrs.aggr_us, 1) for age in target.age]
        self.next_aggr_ns = self.machine.clock.monotonic_ns() + attrs.aggr_us * 1000
        for scheme in self.schemes:
            scheme.next_ns = min(scheme.next_ns, self.next_aggr_ns)

    def _restart(self, now: int) -> None:
        self.next_aggr_ns = now + self.attrs.aggr_us * 1000
        for scheme in self.schemes:
            scheme.next_ns = now + scheme.every_ns(self.attrs)

    # Time

    def alive(self) -> bool:
        """Whether there is anything left to monitor; without a living process the kdamond ends."""
        if self.params.ops == "paddr":
            return True
        return any(self.machine.process(target.params.pid) for target in self.targets)

    def due_ns(self) -> int | None:
        """The next moment at which something happens; None while paused."""
        if self.params.pause:
            return None
        if self.asleep_until is not None:
            return self.asleep_until
        return min([self.next_aggr_ns, *(scheme.next_ns for scheme in self.schemes)])

    def period_ns(self) -> int:
        """The shortest time between two moments at which something happens."""
        return min([self.attrs.aggr_us * 1000, *(scheme.every_ns(self.attrs) for scheme in self.schemes)])

    def command_delay_ns(self, now: int) -> int:
        """How long a command written to `state` waits for this kdamond."""
        due = self.due_ns()
        if due is None or self.asleep_until is not None:
            return self.attrs.sample_us * 1000
        if self.manners.commands_at_aggregation:
            return max(self.next_aggr_ns - now, 0)
        left = max(self.next_aggr_ns - now, 0)
        return left % (self.attrs.sample_us * 1000)

    def skip_to(self, now: int) -> None:
        """Let time pass that nobody wants to have simulated in detail: regions grow older, their events are lost."""
        due = self.due_ns()
        if due is None or now <= due:
            return
        if self.asleep_until is not None:
            self.asleep_until = now
            return
        count = (now - due) // max(self.attrs.aggr_us * 1000, 1)
        if not count:
            return
        self.aggregations += count
        self.next_aggr_ns += count * self.attrs.aggr_us * 1000
        for scheme in self.schemes:
            scheme.next_ns += count * self.attrs.aggr_us * 1000
        for target in self.targets:
            target.age = [age + count for age in target.age]
            for name in ("damon_aggregated", "damon_region_aggregated"):
                self.trace.lose(name, self.cpu, count * len(target.start))

    def step(self) -> None:
        """Do what is due at `due_ns()`."""
        now = self.due_ns()
        if now is None:
            return
        if self._watermarks(now):
            return
        due = [scheme for scheme in self.schemes if scheme.next_ns <= now]
        if now >= self.next_aggr_ns:
            self._aggregate(now, due)
        elif due:
            self._apply(now, due)

    def _watermarks(self, now: int) -> bool:
        """Look at the watermarks; True if all schemes sleep, and monitoring with them."""
        waits = [scheme.watch(self.machine) for scheme in self.schemes]
        if not waits or not all(waits):
            if self.asleep_until is not None:
                self.asleep_until = None
                self._restart(now)
                return True
            return False
        self.asleep_until = now + max(min(waits), 1000) * 1000
        return True

    # One aggregation

    def _aggregate(self, now: int, due: Sequence[Scheme]) -> None:
        attrs, most = self.attrs, self.attrs.max_accesses
        self.aggregations += 1
        middle = now - attrs.aggr_us * 500
        weights = [probe.weight for probe in self.params.probes]
        weights = weights if any(weights) else []
        threshold = most // 10
        for index, target in enumerate(self.targets):
            self._check(index, target, middle, most, attributes_only=bool(weights), weights=weights)
        self._merge(threshold, weights)
        if due:
            self._apply(now, due)
        self._report(now)
        self._tune(now)
        self._split()
        checks = sum(len(target.start) for target in self.targets) * most
        self.machine.charge_thread(self.pid, checks * _CHECK_NS)
        self.next_aggr_ns = now + self.attrs.aggr_us * 1000
        if self.rng.random() * _MOVES < 1:
            self.cpu = self.rng.choice(list(self.trace.cpus))

    def _check(
        self, index: int, target: Target, now: int, most: int, *, attributes_only: bool, weights: Sequence[int]
    ) -> None:
        target.last = target.nr
        before = weighted(target, weights) if weights else target.last
        if attributes_only:
            target.nr = [0] * len(target.start)
        else:
            sample(target, self.pattern(target, now), most, self.rng)
        for column, probe in enumerate(self.params.probes):
            share = _probe_share(probe)
            # A kernel's counter of probe hits is one byte wide.
            target.hits[column] = [min(draw(most, share, self.rng), 255) for _ in target.start]
        age(target, weighted(target, weights) if weights else target.nr, before, most // 10)

    def pattern(self, target: Target, now: int) -> list[Segment]:
        """What is accessed of a target now, in its core addresses."""
        if self.params.ops != "paddr":
            return self.machine.virtual(target.params.pid, now)
        unit = self.params.addr_unit
        segments = self.machine.physical(now)
        return [(low // unit, high // unit, share) for low, high, share in segments] if unit > 1 else segments

    def _merge(self, threshold: int, weights: Sequence[int]) -> None:
        total = sum(sum(target.end) - sum(target.start) for target in self.targets)
        largest = max(total // self.attrs.min_nr, self.params.min_region)
        most = self.attrs.max_accesses
        while True:
            for target in self.targets:
                merge(target, threshold, largest, weights)
            regions = sum(len(target.start) for target in self.targets)
            threshold = max(1, threshold * 2)
            if regions <= self.attrs.max_nr or threshold // 2 >= most:
                return

    def _apply(self, now: int, due: Sequence[Scheme]) -> None:
        for index, scheme in enumerate(self.schemes):
            if scheme in due:
                scheme.apply(self, index, now)
                scheme.next_ns = now + scheme.every_ns(self.attrs)

    def _report(self, now: int) -> None:
        plain = self.trace.wanted("damon_aggregated")
        rich = self.trace.wanted("damon_region_aggregated")
        if not plain and not rich:
            return
        pid = self.pid
        for index, target in enumerate(self.targets):
            count = len(target.start)
            stamps = range(now - 100 * count, now, 100)
            rows = zip(target.start, target.end, target.nr, target.age, strict=True)
            if plain:
                pack = plain.pack
                packed = [pack(pid, index, count, *row) for row in rows]
                self.trace.emit(plain, self.cpu, stamps, packed)
            if rich:
                self.trace.emit(rich, self.cpu, stamps, self._rich(rich.pack, rich.size, index, target))

    def _rich(self, pack: Callable[..., bytes], size: int, index: int, target: Target) -> list[bytes]:
        probes, count = len(target.hits), len(target.start)
        where = size | probes << 16
        hits = [bytes(row) for row in zip(*target.hits, strict=True)] or [b""] * count
        rows = zip(target.start, target.end, target.nr, target.age, hits, strict=True)
        return [pack(self.pid, index, s, e, count, nr, old, where) + hit for s, e, nr, old, hit in rows]

    def _tune(self, now: int) -> None:
        goal = self.attrs.goal
        if goal is None or not goal.aggrs or self.aggregations % goal.aggrs:
            return
        most = self.attrs.max_accesses
        seen = possible = 0
        for target in self.targets:
            for start, end, nr in zip(target.start, target.end, target.nr, strict=True):
                seen += (end - start) * nr
                possible += (end - start) * most
        aim = possible * goal.access_bp // 10000
        change = feedback(100_000_000, seen * 10000 // aim if aim else 0) // 10000
        if change <= 10000:
            change = 5000 + change // 2
        if change == 10000:
            return
        tuned = min(max(self.attrs.sample_us * change // 10000, goal.min_sample_us), goal.max_sample_us)
        event = self.trace.wanted("damon_monitor_intervals_tune")
        if event:
            self.trace.emit(event, self.cpu, [now], [event.pack(self.pid, tuned)])
        if tuned != self.attrs.sample_us:
            self._set_attrs(replace(self.attrs, sample_us=tuned, aggr_us=tuned * most))

    def _split(self) -> None:
        regions = sum(len(target.start) for target in self.targets)
        if regions > self.attrs.max_nr // 2:
            return
        pieces = 3 if regions == self._regions_before and regions < self.attrs.max_nr // 3 else 2
        for target in self.targets:
            split(target, pieces, self.params.min_region, self.rng)
        self._regions_before = regions


def _probe_share(probe: Probe) -> float:
    """The share of memory that has a probe's attribute; the first filter that matches a page decides."""
    if not probe.filters:
        return 0.0
    left, passed = 1.0, 0.0
    for item in probe.filters:
        part = left * (PAGE_SHARES[item.type] if item.matching else 1 - PAGE_SHARES[item.type])
        passed += part if item.allow else 0.0
        left -= part
    return passed if probe.filters[-1].allow else passed + left
