"""A policy that only counts: what its schemes would touch, without touching it.

`stat` differs from a real action in one thing that matters here: the real one sets the age of what it touched back to
zero, so that the same memory matches again only after the pattern's minimum age. A shadow therefore looks only once in
that time, and without quotas, which are applied to the result.
"""

from __future__ import annotations

from collections.abc import Sequence

from damod.spec.kdamond import Context, Kdamond
from damod.spec.scheme import Quota, Scheme, SchemeStats
from damod.units import U64_MAX


def shadow_of(kdamonds: Sequence[Kdamond]) -> tuple[Kdamond, ...]:
    """The kdamonds with every action replaced by `stat`; patterns, filters and watermarks stay."""

    def scheme(item: Scheme, context: Context) -> Scheme:
        return item.model_copy(
            update={
                "action": "stat",
                "target_nid": None,
                "dests": (),
                "quotas": Quota(),
                "apply_interval_us": max(item.apply_interval_us, _rest_us(item, context)),
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


def _rest_us(scheme: Scheme, context: Context) -> int:
    """How long memory rests before it matches (again)."""
    aggr_us = context.intervals.aggr_us
    return scheme.access_pattern.age.min.aggrs(aggr_us, upper=False) * aggr_us


def estimate(scheme: Scheme, context: Context, stats: SchemeStats, elapsed_s: float) -> int:
    """Bytes that a scheme would have touched, given what its shadow counted in a time; goals are not foreseen, so it
    is the most that they allow."""
    by_page = any(item.filter_type not in ("addr", "target") for item in scheme.filters)
    touched = stats.sz_ops_filter_passed if by_page else stats.sz_tried
    quota = scheme.quotas
    if quota.sz_bytes and 0 < quota.reset_interval_ms < U64_MAX:
        working_s = max(elapsed_s - _rest_us(scheme, context) / 1e6, 0)
        windows = int(working_s * 1000 // quota.reset_interval_ms) + 1
        touched = min(touched, quota.sz_bytes * windows)
    return touched
