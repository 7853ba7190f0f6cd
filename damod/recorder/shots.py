"""Whole aggregations as the snapshots that a record has, and which of their regions are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import numpy as np

from damod.access.select import Selection
from damod.access.select import snapshots as selected
from damod.access.snapshot import Regions, Snapshot
from damod.recorder.assemble import Whole
from damod.recorder.job import Watch

Shot = tuple[Snapshot, int | None]
"""A snapshot, and the index of the scheme whose tried regions these are."""


def snapshot(whole: Whole, of: Watch, wall_offset_ns: int) -> Shot:
    """What an aggregation of the kdamond `of` is in the record."""
    _, context, scheme, target = whole.key
    rows = whole.rows
    return Snapshot(
        kdamond=of.index,
        context=context,
        target=target,
        start_ns=whole.start_ns,
        end_ns=whole.end_ns,
        wall_offset_ns=wall_offset_ns,
        sample_us=whole.sample_us,
        aggr_us=whole.aggr_us,
        regions=Regions(
            _column(rows.start),
            _column(rows.end),
            _column(rows.nr_accesses),
            _column(rows.age),
            probe_hits=None if rows.hits is None else _column(rows.hits),
        ),
        ops=of.ops,
        pid=of.target_pids[target] if target < len(of.target_pids) else None,
        source="ring",
        intervals_goal=of.intervals_goal,
    ), (scheme if scheme >= 0 else None)


def selection(plain: Mapping[str, Any] | None) -> Selection | None:
    """A Selection out of what travelled: rates are text of fractions, ranges are lists."""
    if not plain:
        return None
    fields: dict[str, Any] = {
        name: tuple(map(tuple, value)) if value and isinstance(value[0], (list, tuple)) else tuple(value)
        for name, value in plain.items()
        if value is not None
    }
    if "rates" in fields:
        low, high = map(Fraction, fields["rates"])
        fields["rates"] = low, high
    return Selection(**fields)


def kept(found: Sequence[Shot], wanted: Selection) -> list[Shot]:
    """The snapshots with the regions that are wanted; those without any are left out."""
    return [(rest, scheme) for shot, scheme in found for rest, _ in selected([_listed(shot)], wanted)]


def _listed(shot: Snapshot) -> Snapshot:
    """The snapshot with lists for arrays, which selecting indexes one by one."""
    regions = shot.regions
    start, end, accesses, age = (
        np.asarray(column).tolist() for column in (regions.start, regions.end, regions.nr_accesses, regions.age)
    )
    return replace(shot, regions=Regions(start, end, accesses, age, regions.probe_hits, regions.sz_filter_passed))


def _column(array: Any) -> Sequence[Any]:
    """numpy's arrays are sequences, only their types do not say so."""
    return cast("Sequence[Any]", array)
