"""A policy that only counts: what its schemes would touch, without touching it.

`stat` differs from a real action in three things that matter here.

- The real one sets the age of what it touched back to zero, so that the same memory matches again only after the
  pattern's minimum age. A shadow therefore looks only once in that time.
- What was paged out or migrated is gone, and is not there to be touched a second time until it has been used. The
  shadow of such an action looks twice in that time, and what counts is the most that one look found: each look finds
  again what an earlier one has found. (Ages cannot tell what is new: regions that merge take the mean of theirs, and so
  come of age twice. Without a minimum age what one look finds on average counts.)
- A region of physical memory is also free memory and the kernel's own, one of virtual memory also what is not mapped;
  nothing is done to those. `stat` counts pages only if there is a page filter, so a shadow has two that let everything
  pass. `pageout` of physical memory looks at each page again and spares what was just accessed; so does its shadow.

Quotas are left out and applied to the result: of what a quota has no room for, so much of it are pages as of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from damod.policy.memory import DESTRUCTIVE
from damod.spec.filter import LAYER, PageFilter
from damod.spec.kdamond import Context, Kdamond
from damod.spec.needs import Offer
from damod.spec.scheme import Quota, Scheme, SchemeStats
from damod.units import U64_MAX

# Counting pages of virtual memory leaves no trace in sysfs; `addr_unit` came in the same release, 6.18.
PAGES = {"paddr": "stats.sz_ops_filter_passed", "vaddr": "addr_unit", "fvaddr": "addr_unit"}
"""The features by which kernels are known that count the pages of a `stat`, by operations set."""
_EVERY_PAGE = tuple(PageFilter(filter_type="anon", matching=matching, allow=True) for matching in (True, False))
# What mm/damon/paddr.c puts behind the filters of a pageout that has none of this kind.
_NOT_YOUNG = PageFilter(filter_type="young", matching=True, allow=False)


def shadow_of(kdamonds: Sequence[Kdamond], features: Offer) -> tuple[Kdamond, ...]:
    """The kdamonds with every action replaced by `stat`; patterns, filters and watermarks stay."""

    def scheme(item: Scheme, context: Context) -> Scheme:
        count = _by_page(context, features) and not any(LAYER[one.filter_type] == "ops" for one in item.filters)
        return item.model_copy(
            update={
                "action": "stat",
                "target_nid": None,
                "dests": (),
                "quotas": Quota(),
                "filters": (*item.filters, *_page_filters(item, context)) if count else item.filters,
                "apply_interval_us": _look_us(item, context),
            }
        )

    return tuple(
        kdamond.model_copy(
            update={
                "contexts": tuple(
                    context.model_copy(update={"schemes": tuple(scheme(item, context) for item in context.schemes)})
                    for context in kdamond.contexts
                )
            }
        )
        for kdamond in kdamonds
    )


def _by_page(context: Context, features: Offer) -> bool:
    """Whether the kernel counts the pages of a shadow."""
    return features.has(PAGES[context.ops])


def _page_filters(scheme: Scheme, context: Context) -> tuple[PageFilter, ...]:
    """Those that let every page pass that the action would be done to."""
    return (_NOT_YOUNG, *_EVERY_PAGE) if scheme.action == "pageout" and context.ops == "paddr" else _EVERY_PAGE


def _rest_us(scheme: Scheme, context: Context) -> int:
    """How long memory rests before it matches (again)."""
    aggr_us = context.intervals.aggr_us
    return scheme.access_pattern.age.min.aggrs(aggr_us, upper=False) * aggr_us


def _look_us(scheme: Scheme, context: Context) -> int:
    """How often a shadow looks."""
    rest_us = _rest_us(scheme, context)
    return max(scheme.apply_interval_us, rest_us // 2 if scheme.action in DESTRUCTIVE else rest_us)


@dataclass(frozen=True)
class Tally:
    """What the shadow of a scheme has counted until `at_s` seconds after its start: the kernel's sum over all its
    looks, and of the one that found most the bytes of its regions and of its pages."""

    total: SchemeStats = field(default_factory=SchemeStats)
    at_s: float = 0
    tried: int = 0
    passed: int = 0

    def after(self, stats: SchemeStats, scheme: Scheme, context: Context, at_s: float) -> Tally:
        """With what the kernel has now; several looks since the last time count as alike."""
        before = self.total if stats.nr_tried >= self.total.nr_tried else SchemeStats()
        looks = stats.nr_snapshots - before.nr_snapshots
        if not stats.nr_snapshots:  # kernels before 7.0 do not count them
            looks = round((at_s - self.at_s) * 1e6 / (_look_us(scheme, context) or context.intervals.aggr_us))
        looks = max(looks, 1)
        passed = (stats.sz_ops_filter_passed - before.sz_ops_filter_passed) // looks
        most = max((passed, (stats.sz_tried - before.sz_tried) // looks), (self.passed, self.tried))
        return Tally(stats, at_s, most[1], most[0])


def estimate(scheme: Scheme, context: Context, tally: Tally, features: Offer) -> int:
    """Bytes that a scheme would have touched, given what its shadow counted; goals are not foreseen, so it is the most
    that they allow."""
    stats = tally.total
    tried, passed = stats.sz_tried, stats.sz_ops_filter_passed
    if scheme.action in DESTRUCTIVE:
        if _rest_us(scheme, context):
            tried, passed = tally.tried, tally.passed
        else:
            look_us = _look_us(scheme, context) or context.intervals.aggr_us
            looks = max(stats.nr_snapshots or int(tally.at_s * 1e6 / look_us), 1)
            tried, passed = tried // looks, passed // looks
    touched = passed if _by_page(context, features) else tried
    quota = scheme.quotas
    if quota.sz_bytes and 0 < quota.reset_interval_ms < U64_MAX:
        working_s = max(tally.at_s - _rest_us(scheme, context) / 1e6, 0)
        windows = int(working_s * 1000 // quota.reset_interval_ms) + 1
        room = quota.sz_bytes * windows
        if tried > room:
            # What is not a page takes its share of the quota, too.
            touched = touched * room // tried
    return touched
