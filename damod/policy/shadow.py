"""A policy that only counts: what its schemes would touch, without touching it."""

from __future__ import annotations

from collections.abc import Sequence

from damod.spec.kdamond import Kdamond
from damod.spec.scheme import Quota, Scheme


def shadow_of(kdamonds: Sequence[Kdamond]) -> tuple[Kdamond, ...]:
    """The kdamonds with every action replaced by `stat`; patterns, filters, watermarks and plain quotas stay.

    Goals go: they would steer by what the actions do not do. A goal's own limit (sz_bytes, time_ms) stays.
    """

    def scheme(item: Scheme) -> Scheme:
        quotas = item.quotas.model_copy(update={"goals": ()}) if item.quotas.goals else item.quotas
        if not quotas.active:
            quotas = Quota()
        return item.model_copy(update={"action": "stat", "target_nid": None, "dests": (), "quotas": quotas})

    return tuple(
        kdamond.model_copy(
            update={
                "contexts": tuple(
                    context.model_copy(update={"schemes": tuple(map(scheme, context.schemes))})
                    for context in kdamond.contexts
                )
            }
        )
        for kdamond in kdamonds
    )
