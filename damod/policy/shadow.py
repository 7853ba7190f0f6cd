"""A policy that only counts: what its schemes would touch, without touching it.

`stat` differs from a real action in three things that matter here.

- The real one sets the age of what it touched back to zero, so that the same memory matches again only after the
  pattern's minimum age. A shadow therefore looks only once in that time.
- What was paged out or migrated is gone, and is not there to be touched a second time until it has been used. The
  shadow of such an action takes only what has come of age since its last look. (Without a minimum age that cannot be
  told from the age, and what one look finds on average counts.)
- A region of physical memory is also free memory and the kernel's own, which nothing is done to. `stat` counts pages
  only if there is a page filter, so a shadow has two that let everything pass.

Quotas are left out and applied to the result.
"""

from __future__ import annotations

from collections.abc import Sequence

from damod.policy.memory import DESTRUCTIVE
from damod.spec.base import Age
from damod.spec.filter import LAYER, PageFilter
from damod.spec.kdamond import Context, Kdamond
from damod.spec.needs import Offer
from damod.spec.scheme import AgeRange, Quota, Scheme, SchemeStats
from damod.units import U64_MAX

PAGES = "stats.sz_ops_filter_passed"
"""The feature of kernels that count pages."""
_EVERY_PAGE = tuple(PageFilter(filter_type="anon", matching=matching, allow=True) for matching in (True, False))


def shadow_of(kdamonds: Sequence[Kdamond], features: Offer) -> tuple[Kdamond, ...]:
    """The kdamonds with every action replaced by `stat`; patterns, filters and watermarks stay."""

    def scheme(item: Scheme, context: Context) -> Scheme:
        count = _by_page(context, features) and not any(LAYER[one.filter_type] == "ops" for one in item.filters)
        look_us = max(item.apply_interval_us, _rest_us(item, context))
        pattern = item.access_pattern
        if item.action in DESTRUCTIVE and _rest_us(item, context):
            pattern = pattern.model_copy(update={"age": _come_of_age(pattern.age, context, look_us)})
        return item.model_copy(
            update={
                "access_pattern": pattern,
                "action": "stat",
                "target_nid": None,
                "dests": (),
                "quotas": Quota(),
                "filters": (*item.filters, *_EVERY_PAGE) if count else item.filters,
                "apply_interval_us": look_us,
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
    """Whether the kernel counts the pages of a shadow; of virtual memory it does not."""
    return context.ops == "paddr" and features.has(PAGES)


def _rest_us(scheme: Scheme, context: Context) -> int:
    """How long memory rests before it matches (again)."""
    aggr_us = context.intervals.aggr_us
    return scheme.access_pattern.age.min.aggrs(aggr_us, upper=False) * aggr_us


def _come_of_age(age: AgeRange, context: Context, look_us: int) -> AgeRange:
    """The ages that are reached between one look and the next."""
    aggr_us = context.intervals.aggr_us
    low = age.min.aggrs(aggr_us, upper=False)
    high = min(low + max(look_us // aggr_us, 1) - 1, age.max.aggrs(aggr_us, upper=True))
    return AgeRange(min=Age(low, "aggr_intervals"), max=Age(max(low, high), "aggr_intervals"))


def estimate(scheme: Scheme, context: Context, stats: SchemeStats, elapsed_s: float, features: Offer) -> int:
    """Bytes that a scheme would have touched, given what its shadow counted in a time; goals are not foreseen, so it
    is the most that they allow."""
    touched = stats.sz_ops_filter_passed if _by_page(context, features) else stats.sz_tried
    if scheme.action in DESTRUCTIVE and not _rest_us(scheme, context):
        look_us = scheme.apply_interval_us or context.intervals.aggr_us
        touched //= max(stats.nr_snapshots or int(elapsed_s * 1e6 / look_us), 1)
    quota = scheme.quotas
    if quota.sz_bytes and 0 < quota.reset_interval_ms < U64_MAX:
        working_s = max(elapsed_s - _rest_us(scheme, context) / 1e6, 0)
        windows = int(working_s * 1000 // quota.reset_interval_ms) + 1
        touched = min(touched, quota.sz_bytes * windows)
    return touched
