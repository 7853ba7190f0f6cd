"""How values spread: percentiles with bars, as `report wss`, `nr_regions` and `footprints` print them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from damoctl.reports.frames import Ints
from damoctl.term.bars import bar

POINTS = (0, 25, 50, 75, 100)


class Values(NamedTuple):
    """The values of one subject (a target, a metric) in order of time."""

    target_id: int | None
    values: Ints


@dataclass(frozen=True, slots=True)
class Look:
    """What to print of values. `by_time` takes percentiles of the recording's time, not of the values in order."""

    points: Sequence[int] = POINTS
    by_time: bool = False
    columns: int = 59
    raw: bool = False
    all_values: bool = False


def at_points(values: Ints, points: Sequence[float], *, by_time: bool) -> list[int]:
    """The value at each percentile: of n values in order, that of index int(p / 100 * n), the last at most."""
    ordered = values if by_time else np.sort(values)
    last = len(ordered) - 1
    return [int(ordered[min(int(point / 100.0 * len(ordered)), last)]) for point in points]


def lines(values: Ints, look: Look, show: Callable[[int], str]) -> Iterator[str]:
    """One line per percentile (or per value)."""
    if look.all_values:
        ordered = values if look.by_time else np.sort(values)
        yield from (f"{index} {show(value)}" for index, value in enumerate(ordered.tolist()))
        return
    found = at_points(values, look.points, by_time=look.by_time)
    unit = max(found) / look.columns if look.columns else 0
    for point, value in zip(look.points, found, strict=True):
        stars = bar(int(value / unit) if unit else 0, look.columns) if look.columns else ""
        yield f"{point:3d} {show(value):>15} {stars}".rstrip()


def to_plain(found: Sequence[Values], look: Look, name: str) -> list[dict[str, Any]]:
    """The value of ``--json``."""
    return [
        {
            "target_id": item.target_id,
            "nr_values": len(item.values),
            "average": float(item.values.mean()) if len(item.values) else None,
            "percentiles": dict(
                zip(map(str, look.points), at_points(item.values, look.points, by_time=look.by_time), strict=True)
            )
            if len(item.values)
            else {},
            **({name: item.values.tolist()} if look.all_values else {}),
        }
        for item in found
    ]
