"""`report nr_regions`: how many regions DAMON used, over the snapshots of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from damoctl.reports.frames import Ints, Series, Source
from damoctl.reports.spread import Look, Values, at_points


def compute(source: Source, *, exclude: int = 0) -> list[Values]:
    """The number of regions in each snapshot of each target, without the first `exclude` ones."""
    found: dict[Series, list[Ints]] = {}
    for frame in source.frames(()):
        found.setdefault(frame.series, []).append(np.diff(frame.first))
    return [Values(series.target_id, np.concatenate(counts)[exclude:]) for series, counts in found.items()]


def render(found: Sequence[Values], look: Look) -> Iterator[str]:
    """The lines of the report."""
    yield "# <percentile> <# regions>"
    for item in found:
        yield f"# target_id\t{item.target_id}"
        if not len(item.values):
            yield "# no snapshot"
            continue
        yield f"# avr:\t{int(item.values.sum()) // len(item.values)}"
        if look.all_values:
            yield from (f"{index}\t{value}" for index, value in enumerate(item.values.tolist()))
            continue
        for point, value in zip(look.points, at_points(item.values, look.points, by_time=look.by_time), strict=True):
            yield f"{point}\t{value}"
