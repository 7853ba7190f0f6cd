"""Which schemes can meet over the same memory, and which of them then work against each other."""

from __future__ import annotations

from fractions import Fraction

from damod.spec.base import Age, Rate
from damod.spec.kdamond import Context, Intervals
from damod.spec.scheme import MIGRATIONS, QuotaGoal, Scheme
from damod.units import U64_MAX

DESTRUCTIVE = ("pageout", *MIGRATIONS)
"""Actions that take memory away from who uses it, so that they need a limit."""

_OPPOSITE = (
    ({"pageout", "cold", "lru_deprio"}, {"willneed", "lru_prio"}),
    ({"hugepage", "collapse"}, {"nohugepage"}),
    ({"migrate_hot"}, {"pageout", "lru_deprio", "cold"}),
)


def hot_bound(scheme: Scheme) -> bool:
    """Whether a scheme leaves memory alone that is used all the time."""
    bound = scheme.access_pattern.nr_accesses.max
    return bound.value < (100 if bound.unit == "percent" else U64_MAX)


def _rates(scheme: Scheme, spans: Intervals) -> tuple[Fraction, Fraction]:
    def share(rate: Rate) -> Fraction:
        return rate.value if rate.unit == "percent" else rate.value * 100 / spans.max_samples

    found = scheme.access_pattern.nr_accesses
    return share(found.min), share(found.max)


def _ages(scheme: Scheme, spans: Intervals) -> tuple[int, int]:
    def micros(age: Age) -> int:
        return age.value if age.unit == "us" or age.value == U64_MAX else age.value * spans.aggr_us

    found = scheme.access_pattern.age
    return micros(found.min), micros(found.max)


def same_pattern(left: Scheme, in_left: Context, right: Scheme, in_right: Context) -> bool:
    """Whether a region can match both schemes."""
    sizes = left.access_pattern.sz_bytes, right.access_pattern.sz_bytes
    if sizes[0].min > sizes[1].max or sizes[1].min > sizes[0].max:
        return False
    for of in (_rates, _ages):
        low, high = of(left, in_left.intervals)
        other_low, other_high = of(right, in_right.intervals)
        if low > other_high or other_low > high:
            return False
    return True


def same_memory(left: Context, right: Context) -> bool:
    """Whether two contexts watch memory in common. Physical and virtual memory may always be the same."""
    if (left.ops == "paddr") != (right.ops == "paddr"):
        return True
    if left.ops != "paddr":
        return bool({item.pid for item in left.targets} & {item.pid for item in right.targets})
    spans = [
        [(span.start * item.addr_unit, span.end * item.addr_unit) for target in item.targets for span in target.regions]
        for item in (left, right)
    ]
    if not all(spans):
        return True  # the default range, which is the same for all
    return any(a < d and c < b for a, b in spans[0] for c, d in spans[1])


def opposite(left: Scheme, right: Scheme) -> str:
    """Why two schemes on the same region would undo each other's work; "" if they would not."""
    for one, other in _OPPOSITE:
        for first, second in ((left, right), (right, left)):
            if first.action in one and second.action in other:
                return f"{left.action} and {right.action} undo each other"
    if left.action in MIGRATIONS and right.action in MIGRATIONS:
        goes = [
            {dest.id for dest in item.dests} | ({item.target_nid} if item.target_nid is not None else set())
            for item in (left, right)
        ]
        if goes[0] != goes[1]:
            named = [", ".join(map(str, sorted(nodes))) for nodes in goes]
            return f"they move the same memory to different nodes ({named[0]} and {named[1]})"
    return ""


def _aim(goal: QuotaGoal) -> tuple[object, ...]:
    return goal.metric, goal.nid, goal.memcg_path, goal.complement


def contradiction(left: Scheme, right: Scheme) -> str:
    """Why the quotas of two schemes with the same action on the same region cannot both hold; "" if they can."""
    if left.action != right.action or left.action == "stat":
        return ""
    ours, theirs = left.quotas, right.quotas
    for goal in ours.goals:
        for other in theirs.goals:
            if _aim(goal) == _aim(other) and goal.target_value != other.target_value:
                return f"they aim {goal.metric} at {goal.target_value:,} and at {other.target_value:,}"
    limits = [(item.time_ms, item.sz_bytes, item.reset_interval_ms) for item in (ours, theirs)]
    if ours.active and theirs.active and limits[0] != limits[1]:
        return f"both are {left.action} with different quotas, so neither limit would hold"
    return ""
