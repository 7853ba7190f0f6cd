"""Histograms and percentiles of a snapshot's bytes, as blocks of text with bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from damoctl.term.bars import bar
from damod import units
from damod.access import measure
from damod.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from damoctl.reports.options import Options
    from damoctl.reports.view import SnapshotView

_WIDTH = 20


def whole(value: float, options: Options) -> str:
    """A temperature. damo shows what is cut to zero from below as ``-0``."""
    text = units.number(value, raw=options.raw)
    return f"-{text}" if options.compat and value < 0 and text == "0" else text


def _show(metric: str, options: Options) -> Callable[[int], str]:
    if metric == "recency":
        return lambda value: units.time(value * 1000, raw=options.raw, raw_unit="us")
    return lambda value: units.number(value, raw=options.raw)


def _edges(metric: str, values: Sequence[int], options: Options) -> list[tuple[int, int]]:
    if options.hist_ranges:
        read: Callable[[Any], int] = units.parse_time if metric == "recency" else units.parse_count
        try:
            found = [read(word) for word in options.hist_ranges]
        except ValueError as exc:
            raise UsageError(f"--hist_ranges: {exc}") from exc
        edges = list(zip(found[::2], found[1::2], strict=True))
        # damo does not cumulate over bins that were given
        return [(edges[0][0], end) for _, end in edges] if options.hist_cumulate and not options.compat else edges
    return measure.bin_edges(
        min(values),
        max(values),
        logscale=options.hist_logscale,
        cumulate=options.hist_cumulate,
        compat=options.compat,
    )


def _bins(view: SnapshotView, metric: str, amounts: Sequence[int] | None) -> list[measure.Bin]:
    """The histogram of amounts (bytes of each region) by the metric; empty if there is no region."""
    values = view.metric(metric)
    if amounts is None or not values:
        return []
    return measure.histogram(values, amounts, _edges(metric, values, view.options))


def _points(view: SnapshotView, metric: str, amounts: Sequence[int] | None) -> list[int]:
    """The metric at the wanted percentiles of the amounts; empty if there is no region."""
    if amounts is None:
        return []
    pick = measure.percentiles_by_steps if view.options.compat else measure.percentiles
    return pick(view.metric(metric), amounts, view.options.points)


def to_plain(view: SnapshotView, style: str) -> dict[str, Any]:
    """What a style of distributions shows of a snapshot, as plain values: bytes, microseconds, temperatures."""
    metric, _, kind = style.partition("-")
    found: dict[str, Any] = {"unit": "us" if metric == "recency" else "temperature"}
    for name, amounts in (("total", view.sizes), ("df_passed", view.regions.sz_filter_passed)):
        if kind == "sz-hist":
            bins = _bins(view, metric, amounts)
            found[name] = [{"start": item.start, "end": item.end, "bytes": item.amount} for item in bins]
        else:
            points = zip(view.options.points, _points(view, metric, amounts), strict=False)
            found[name] = [{"percentile": point, "value": value} for point, value in points]
        if amounts is None:
            del found[name]
    return found


def histogram(metric: str, *, passed: bool = False) -> Callable[[SnapshotView], str]:
    """What shows the bytes (or those that passed the filters) of a snapshot by a metric."""

    def show(view: SnapshotView) -> str:
        options = view.options
        amounts = view.regions.sz_filter_passed if passed else view.sizes
        bins = _bins(view, metric, amounts)
        if not bins:
            return "n/a (no region)"
        text = _show(metric, options)
        spans = [f"[{text(item.start)}, {text(item.end)})" for item in bins]
        heights = [units.size(item.amount, raw=options.raw) for item in bins]
        first, second = max(map(len, spans)), max(map(len, heights))
        stars = measure.stars([item.amount for item in bins], _WIDTH, round_up=True)
        return "\n".join(
            f"{span:<{first}} {height:<{second}} {bar(count, _WIDTH)}"
            for span, height, count in zip(spans, heights, stars, strict=True)
        )

    return show


def percentiles(metric: str, *, passed: bool = False) -> Callable[[SnapshotView], str]:
    """What shows the metric at percentiles of the bytes (or of those that passed the filters) of a snapshot."""

    def show(view: SnapshotView) -> str:
        options = view.options
        amounts = view.regions.sz_filter_passed if passed else view.sizes
        found = _points(view, metric, amounts)
        if metric == "recency":
            legend = "<idle time (us)>" if options.raw else "<idle time>"
        else:
            weights = [*options.weights] if options.compat else [0, *options.weights[1:]]
            legend = f"<temperature (weights: {weights})>"
        head = f"<{'df-passed ' if passed else ''}percentile> {legend}"
        if not found:
            return f"{head}\nn/a (no region)"
        text = _show(metric, options)
        shown = [text(value) for value in found]
        first = max(len(str(point)) for point in options.points)
        second = max(map(len, shown))
        stars = measure.stars(found, _WIDTH)
        return "\n".join(
            [head]
            + [
                f"{point:>{first}}  {value:>{second}}  {bar(count, _WIDTH)}"
                for point, value, count in zip(options.points, shown, stars, strict=False)
            ]
        )

    return show
