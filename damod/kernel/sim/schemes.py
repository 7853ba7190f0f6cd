"""A scheme of a running kdamond: which regions it takes, within which quota, and what becomes of them.

Source: design.rst of the kernel (operation schemes), mm/damon/core.c (damos_*), mm/damon/ops-common.c (scores).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from damod.kernel.sim.machine import PAGE_SHARES, Machine
from damod.kernel.sim.params import Attrs, FilterParams, Goal, Quota, SchemeParams

if TYPE_CHECKING:
    from damod.kernel.sim.kdamond import Kdamond
    from damod.kernel.sim.target import Target

# What one nanosecond of a scheme's time quota pays for, in bytes.
_BYTES_PER_NS = 4
_TOP_SCORE = 99
# Actions that an operations set carries out; on others they are tried and not applied.
_VIRTUAL = frozenset(
    ("willneed", "cold", "pageout", "hugepage", "nohugepage", "collapse", "migrate_hot", "migrate_cold")
)
_PHYSICAL = frozenset(("pageout", "lru_prio", "lru_deprio", "migrate_hot", "migrate_cold"))
_COLD_FIRST = frozenset(("pageout", "lru_deprio", "migrate_cold"))
_HOT_FIRST = frozenset(("lru_prio", "migrate_hot"))


@dataclass
class Stats:
    """The counters of a scheme, named as their files."""

    nr_tried: int = 0
    sz_tried: int = 0
    nr_applied: int = 0
    sz_applied: int = 0
    sz_ops_filter_passed: int = 0
    qt_exceeds: int = 0
    nr_snapshots: int = 0


@dataclass(frozen=True)
class Tried:
    """A region that a scheme was tried on, as tried_regions shows it."""

    start: int
    end: int
    nr_accesses: int
    age: int
    sz_filter_passed: int
    hits: tuple[int, ...]


def feedback(last: int, reached: int) -> int:
    """The next input of a control loop whose output, `reached`, should become 10,000 (damon_feed_loop_next_input())."""
    aim, least = 10000, 10000
    change = last * abs(aim - reached) // aim
    if aim > reached:
        return last + change
    return last - change if last > change + least else least


def score(quota: Quota, action: str, nr: int, most: int, age: int, aggr_us: int) -> int:
    """The priority of a region under a quota, 0 to 99 (damon_hot_score(), damon_cold_score())."""
    if action not in _COLD_FIRST and action not in _HOT_FIRST:
        return _TOP_SCORE
    _, weight_nr, weight_age = quota.weights
    frequency = min(nr * _TOP_SCORE // most, _TOP_SCORE)
    # Age counts by its order of magnitude in seconds, up to 2**20 of them, and against a region that is idle.
    seconds = age * aggr_us // 1_000_000
    magnitude = min(seconds.bit_length(), 20)
    aged = (-magnitude if nr == 0 else magnitude) + 20
    aged = aged * _TOP_SCORE // 20 // 2
    total = weight_nr + weight_age
    hotness = (weight_nr * frequency + weight_age * aged) // total if total else 0
    hotness = min(hotness, _TOP_SCORE)
    return _TOP_SCORE - hotness if action in _COLD_FIRST else hotness


@dataclass
class Scheme:
    """A scheme at work. `walk` collects tried regions while somebody asked for them."""

    params: SchemeParams
    born_ns: int
    attrs: Attrs
    stats: Stats = field(default_factory=Stats)
    active: bool = True
    effective: int = 0
    walk: list[Tried] | None = None
    walked: int = 0

    def __post_init__(self) -> None:
        self.next_ns = self.born_ns + self.every_ns(self.attrs)
        self._window_ns = self.born_ns - self.params.quota.reset_ms * 1_000_000
        self._charged = 0
        self._input = 0
        self._goon: tuple[int, int] | None = None
        self._allowed = False

    def every_ns(self, attrs: Attrs) -> int:
        """How often it has its turn."""
        return max(self.params.apply_us or attrs.aggr_us, attrs.sample_us) * 1000

    def commit(self, params: SchemeParams, now: int, attrs: Attrs) -> None:
        """Go on with other parameters; statistics stay."""
        old, self.params = self.params, params
        if old.apply_us != params.apply_us:
            self.next_ns = now + self.every_ns(attrs)
        if not params.quota.limits:
            self.effective = 0

    def watch(self, machine: Machine) -> int:
        """Follow the watermarks. 0 if the scheme is active, otherwise after how many microseconds to look again."""
        marks = self.params.watermarks
        if marks.metric == "none":
            self.active = True
            return 0
        metric = machine.free_permil()
        if metric > marks.high or metric < marks.low:
            self.active = False
        elif metric < marks.mid:
            self.active = True
        return 0 if self.active else max(marks.interval_us, 1)

    def _done(self) -> bool:
        return bool(self.params.max_snapshots and self.stats.nr_snapshots >= self.params.max_snapshots)

    # One turn

    def apply(self, kdamond: Kdamond, index: int, now: int) -> None:
        """Try the scheme on every region that it is interested in."""
        if not self.active or self._done():
            self._walked()
            return
        least = self._adjust_quota(kdamond, index, now)
        for number, target in enumerate(kdamond.targets):
            if not self._apply_to(kdamond, index, number, target, least, now):
                break
        self.stats.nr_snapshots += 1
        self._walked()
        event = kdamond.trace.wanted("damos_stat_after_apply_interval")
        if event:
            s = self.stats
            values = (s.nr_tried, s.sz_tried, s.nr_applied, s.sz_applied, s.sz_ops_filter_passed, s.qt_exceeds)
            payload = event.pack(kdamond.pid, 0, index, *values, s.nr_snapshots)
            kdamond.trace.emit(event, kdamond.cpu, [now], [payload])

    def _walked(self) -> None:
        if self.walk is not None:
            self.walked += 1

    def _matches(self, target: Target, i: int) -> bool:
        want = self.params
        return (
            want.size[0] <= target.end[i] - target.start[i] <= want.size[1]
            and want.nr_accesses[0] <= target.nr[i] <= want.nr_accesses[1]
            and want.age[0] <= target.age[i] <= want.age[1]
        )

    def _apply_to(self, kdamond: Kdamond, index: int, number: int, target: Target, least: int, now: int) -> bool:
        """Walk one target; False when the quota is used up."""
        quota, action = self.params.quota, self.params.action
        attrs, smallest = kdamond.attrs, kdamond.params.min_region
        most = attrs.max_accesses
        limited = quota.limits and self.effective > 0
        if quota.limits and not self.effective and quota.goals:
            return False
        # Only what existed when the walk began; cut-off rests of a region are not walked again.
        event = kdamond.trace.wanted("damos_before_apply")
        i = 0
        while i < len(target.start):
            if limited and self._charged >= self.effective:
                return False
            if self._before_rest(number, target, i, smallest) or not self._matches(target, i):
                i += 1
                continue
            if limited and score(quota, action, target.nr[i], most, target.age[i], attrs.aggr_us) < least:
                i += 1
                continue
            size = target.end[i] - target.start[i]
            if limited and self._charged + size > self.effective:
                size = (self.effective - self._charged) // smallest * smallest
                if not size:
                    self._charged = self.effective
                    return False
                target.split(i, target.start[i] + size)
            if self._filtered_out(number, target, i, smallest):
                i += 1
                continue
            if event:
                values = (target.start[i], target.end[i], target.nr[i], target.age[i], len(target.start))
                payload = event.pack(kdamond.pid, 0, index, number, *values)
                kdamond.trace.emit(event, kdamond.cpu, [now], [payload])
            size = target.end[i] - target.start[i]
            passed, applied = self._act(kdamond, target, i)
            self._count(size, passed, applied, target, i)
            self._charge(quota, size, applied)
            if limited and self._charged >= self.effective:
                self._goon = (number, target.end[i])
            if action != "stat":
                target.age[i] = 0
            i += 1
        return True

    def _before_rest(self, number: int, target: Target, i: int, smallest: int) -> bool:
        """Whether a region was served in the window before, which ended in the middle of the walk.

        One that was served in part is cut there (damos_skip_charged_region()).
        """
        if self._goon is None or self._charged:
            return False
        there, address = self._goon
        if number < there or (number == there and target.end[i] <= address):
            return True
        self._goon = None
        cut = address // smallest * smallest
        if number == there and target.start[i] < cut < target.end[i]:
            target.split(i, cut)
            return True
        return False

    def _filtered_out(self, number: int, target: Target, i: int, smallest: int) -> bool:
        """Core filters: whether the region is out. It is cut where an address filter begins or ends within it.

        A region that a core filter allows passes the page filters, too.
        """
        self._allowed = False
        filters = [item for item in self.params.filters if item.core]
        for item in filters:
            if item.type == "target":
                matches = item.target == number
            else:
                low, high = item.start // smallest * smallest, item.end // smallest * smallest
                start, end = target.start[i], target.end[i]
                if start < low < end:
                    target.split(i, low)
                    matches = False
                elif low <= start < high < end:
                    target.split(i, high)
                    matches = True
                else:
                    matches = low <= start and end <= high
            if matches == item.matching:
                self._allowed = item.allow
                return not item.allow
        return bool(filters) and filters[-1].allow and all(item.core for item in self.params.filters)

    def _act(self, kdamond: Kdamond, target: Target, i: int) -> tuple[int, int]:
        """Carry the action out; what passed the page filters and what it was done to, in core addresses."""
        action, ops, unit = self.params.action, kdamond.params.ops, kdamond.params.addr_unit
        # Page filters are for physical memory, and for counting virtual memory (6.18).
        filtered = ops == "paddr" or (action == "stat" and kdamond.manners.count_vaddr)
        pages = [item for item in self.params.filters if not item.core] if filtered else []
        if action == "stat" and not pages:
            return 0, 0
        if action != "stat" and action not in (_PHYSICAL if ops == "paddr" else _VIRTUAL):
            return 0, 0
        passed = (target.end[i] - target.start[i]) * unit
        if pages and not self._allowed:
            passed = _passing(pages, passed, target.nr[i] / kdamond.attrs.max_accesses)
        return passed // unit, self._do(kdamond, target.start[i] * unit, passed) // unit

    def _do(self, kdamond: Kdamond, address: int, size: int) -> int:
        """Let the action have its effect on the machine; bytes that it was done to."""
        action, machine = self.params.action, kdamond.machine
        if action == "stat":
            return 0
        if action == "pageout":
            return machine.page_out(address, size)
        if action.startswith("migrate"):
            works = kdamond.params.ops == "paddr" or kdamond.manners.migrate_vaddr
            return self._migrate(machine, address, size) if works else 0
        if action in ("lru_prio", "lru_deprio"):
            machine.activate(size if action == "lru_prio" else -size)
        return size

    def _migrate(self, machine: Machine, address: int, size: int) -> int:
        dests = self.params.dests or ((self.params.target_nid, 1),)
        total = sum(weight for _, weight in dests)
        if not total:
            return 0
        return sum(machine.migrate(address, size * weight // total & ~4095, nid) for nid, weight in dests)

    def _count(self, size: int, passed: int, applied: int, target: Target, i: int) -> None:
        stats = self.stats
        stats.nr_tried += 1
        stats.sz_tried += size
        stats.nr_applied += 1 if applied else 0
        stats.sz_applied += applied
        stats.sz_ops_filter_passed += passed
        if self.walk is not None and not self.walked:
            hits = tuple(column[i] for column in target.hits)
            self.walk.append(Tried(target.start[i], target.end[i], target.nr[i], target.age[i], passed, hits))

    # Quota

    def _charge(self, quota: Quota, size: int, applied: int) -> None:
        if quota.fail_denom:
            self._charged += applied + (size - applied) * quota.fail_num // quota.fail_denom
        else:
            self._charged += size

    def _adjust_quota(self, kdamond: Kdamond, index: int, now: int) -> int:
        """Open a new window if it is time; the lowest score that the quota has room for."""
        quota = self.params.quota
        if not quota.limits:
            return 0
        window = quota.reset_ms * 1_000_000
        if now - self._window_ns >= window:
            if self.effective and self._charged >= self.effective:
                self.stats.qt_exceeds += 1
            self._window_ns, self._charged = now, 0
            self.effective = self._effective(kdamond, quota)
            event = kdamond.trace.wanted("damos_esz")
            if event:
                payload = event.pack(kdamond.pid, 0, index, self.effective)
                kdamond.trace.emit(event, kdamond.cpu, [now], [payload])
        return self._least_score(kdamond, quota)

    def _effective(self, kdamond: Kdamond, quota: Quota) -> int:
        """The bytes that the coming window may touch."""
        limits = []
        if quota.goals:
            reached = max(_progress(self, kdamond, goal, quota) for goal in quota.goals)
            limits.append(self._tuned(quota, reached))
        if quota.ms:
            limits.append(quota.ms * 1_000_000 * _BYTES_PER_NS)
        if quota.bytes:
            limits.append(quota.bytes)
        return min(limits)

    def _tuned(self, quota: Quota, reached: int) -> int:
        """The quota that the goals ask for; `reached` is 10,000 when the best of them is met."""
        if quota.tuner == "temporal":
            return 2**64 - 1 if reached < 10000 else 0
        self._input = min(feedback(max(self._input, 10000), reached), (2**64 - 1) * 10000)
        return self._input // 10000

    def eligible_bp(self, kdamond: Kdamond, nid: int) -> int:
        """The share of a node's memory that the scheme's pattern fits, in ten-thousandths."""
        unit, found = kdamond.params.addr_unit, 0
        try:
            ranges = kdamond.machine.numa_node_ram(nid)
        except LookupError:
            return 0
        for target in kdamond.targets:
            for i in range(len(target.start)):
                if self._matches(target, i):
                    start, end = target.start[i] * unit, target.end[i] * unit
                    found += sum(max(min(end, high) - max(start, low), 0) for low, high in ranges)
        return found * 10000 // sum(high - low for low, high in ranges)

    def _least_score(self, kdamond: Kdamond, quota: Quota) -> int:
        attrs = kdamond.attrs
        room = [0] * (_TOP_SCORE + 1)
        for target in kdamond.targets:
            for i in range(len(target.start)):
                if self._matches(target, i):
                    rank = score(
                        quota, self.params.action, target.nr[i], attrs.max_accesses, target.age[i], attrs.aggr_us
                    )
                    room[rank] += target.end[i] - target.start[i]
        total = 0
        for rank in range(_TOP_SCORE, 0, -1):
            total += room[rank]
            if total >= self.effective:
                return rank
        return 0


def _passing(filters: list[FilterParams], size: int, young: float) -> int:
    """Bytes of a region that page-level filters let through; the first filter that a page matches decides."""
    if not filters:
        return size
    left, passed = 1.0, 0.0
    for item in filters:
        share = young if item.type == "young" else PAGE_SHARES[item.type]
        part = left * (share if item.matching else 1 - share)
        passed += part if item.allow else 0.0
        left -= part
    if not filters[-1].allow:
        passed += left
    return int(size * passed) & ~4095


def _progress(scheme: Scheme, kdamond: Kdamond, goal: Goal, quota: Quota) -> int:
    """How far a goal is reached, 10,000 being there."""
    machine = kdamond.machine
    metric = goal.metric
    if metric == "user_input":
        current = goal.current
    elif metric == "some_mem_psi_us":
        current = machine.psi_us(quota.reset_ms * 1000)
    elif metric in ("node_mem_used_bp", "node_mem_free_bp"):
        used = machine.node_used_bp(goal.nid)
        current = used if metric == "node_mem_used_bp" else 10000 - used
    elif metric in ("node_memcg_used_bp", "node_memcg_free_bp"):
        used = int(machine.node_used_bp(goal.nid) * PAGE_SHARES["memcg"])
        current = used if metric == "node_memcg_used_bp" else 10000 - used
    elif metric in ("active_mem_bp", "inactive_mem_bp"):
        active = int(machine.active_share * 10000)
        current = active if metric == "active_mem_bp" else 10000 - active
    else:
        current = scheme.eligible_bp(kdamond, goal.nid)
    return current * 10000 // goal.target
