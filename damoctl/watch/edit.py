"""What a view shows as options of `report heatmap`, so that a picture found by hand can be had again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from damoctl.reports.frames import Series
from damoctl.watch.model import Model
from damoctl.watch.view import Span
from damod.errors import NoData


class Shown(NamedTuple):
    """Times in ns on the record's clock; several address ranges where what is shown goes over a gap."""

    series: Series
    times: Span
    addresses: Sequence[Span]
    others: bool


def chosen(model: Model) -> Shown:
    """What is on the screen. Raises NoData where nothing ever was."""
    target = model.chosen
    if target is None:
        raise NoData(f"{model.name} has nothing to show")
    (low, high), (first, last) = target.view.times, target.history.span
    times = max(low, first), min(high, last)
    return Shown(target.series, times, target.history.axis.pieces(*target.view.space), len(model.targets) > 1)


def words(shown: Shown) -> Iterator[str]:
    """The words of a command line."""
    series = shown.series
    if shown.others:
        yield f"--kdamond_idx {series.kdamond} --context_idx {series.context} --tid {series.target_id}"
        if series.scheme is not None:
            yield f"--scheme_idx {series.scheme}"
    yield f"--time_range {shown.times[0]} {shown.times[1]}"
    for low, high in shown.addresses:
        yield f"--address_range {low} {high}"
