"""Image files: heatmaps and distributions, drawn by matplotlib. The suffix of the file name says in which format.

Matplotlib takes a second to load, so only who draws imports this module; its `Figure` is used without pyplot, which
would look for a display.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from damod import units
from damod.errors import DamodError, NoData, UsageError

if TYPE_CHECKING:
    from damoctl.reports import heatmap, spread

FORMATS = (".pdf", ".png", ".jpeg", ".jpg", ".svg")


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: str) -> None:
    try:
        figure.savefig(path, dpi=120, metadata=None)
    except OSError as exc:
        raise DamodError(f"cannot write {path}: {exc.strerror or exc}", errno=exc.errno) from exc


def check(path: str) -> None:
    """UsageError unless the name says in which format to draw."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: an image is one of {', '.join(FORMATS)}", hint="--output raw prints numbers")


def _size(value: float) -> str:
    """An axis label: ``1.75 GiB``; a full unit is one of it, unlike in tables."""
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if value >= 1 << shift:
            return f"{value / (1 << shift):.10g} {unit}"
    return f"{value:.10g} B" if value else "0"


def _size_ticks(low: int, high: int, base: int) -> list[float]:
    """About seven round places between two addresses, counted from `base`, in binary units."""
    step = 1
    while (high - low) / step > 9:
        step *= 2
    first = -(-(low - base) // step) * step + base
    return [float(place) for place in range(first, high + 1, step)]


def heatmaps(maps: Sequence[heatmap.Map], look: heatmap.Look, path: str) -> list[str]:
    """Draw each map into a file of its own: `path`, then with .1, .2, ... before the suffix. Returns the names."""
    check(path)
    made = []
    for index, drawn in enumerate(maps):
        name = path if not index else str(Path(path).with_suffix(f".{index}{Path(path).suffix}"))
        _save(_heatmap(drawn, look), name)
        made.append(name)
    return made


def _heatmap(drawn: heatmap.Map, look: heatmap.Look) -> Any:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    (begin, end), (low, high) = drawn.times, drawn.addresses
    zero = 0 if look.absolute_time else begin
    base = 0 if look.absolute_address or drawn.by_size else low
    figure = _figure(10, 6)
    axes = figure.add_subplot()
    bounds = drawn.bounds
    if bounds is None:
        raise NoData("nothing was watched in this range, so there is nothing to draw", hint="--guide_human")
    axes.set_facecolor("#d0d0d0")
    image = axes.imshow(
        np.ma.masked_invalid(drawn.heat.T),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="inferno",
        extent=((begin - zero) / 1e9, (end - zero) / 1e9, low - base, high - base),
        vmin=min(bounds[0], 0),
        vmax=bounds[1] if bounds[1] > 0 else 1,
    )
    series = drawn.series
    target = "physical memory" if series.target_id is None else f"target {series.target_id}"
    axes.set_title(f"Access pattern of {target}, kdamond {series.kdamond}, context {series.context}")
    axes.set_xlabel("time (since boot)" if look.absolute_time else f"time (from {units.time(begin)})")
    if drawn.by_size:
        axes.set_ylabel("size (hottest memory first)")
    else:
        where = units.size(low, digits=6)
        axes.set_ylabel("address" if look.absolute_address else f"address (from {where})")
    axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _time(value)))
    axes.yaxis.set_major_locator(FixedLocator(_size_ticks(low - base, high - base, 0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    bar = figure.colorbar(image, ax=axes)
    bar.set_label(f"access frequency ({'Hz' if drawn.unit == 'hz' else drawn.unit})")
    for start, stop, name in drawn.names:
        axes.text(
            1.0, (max(start, low) + min(stop, high)) / 2 - base, f" {Path(name).name}",
            transform=axes.get_yaxis_transform(), fontsize=7, va="center",
        )  # fmt: skip
    return figure


def _time(seconds: float) -> str:
    ns = round(seconds * 1e9)
    return re.sub(r"\.?0+ (?=[mnu]?s$)", " ", units.time(ns)) if ns % 10**9 else units.time(ns) if ns else "0"


def distribution(found: Sequence[spread.Values], look: spread.Look, path: str, what: str, *, is_bytes: bool) -> None:
    """Draw the distribution of each subject into one image file."""
    from damoctl.reports.spread import at_points

    check(path)
    drawn = [item for item in found if len(item.values)]
    if not drawn:
        raise NoData("there is no snapshot, so there is nothing to draw")
    figure = _figure(8, 5)
    axes = figure.add_subplot()
    for item in drawn:
        heights = at_points(item.values, look.points, by_time=look.by_time)
        axes.plot(look.points, heights, marker="o", markersize=3, label=f"target {item.target_id}")
    axes.set_title(f"Distribution of {what}")
    axes.set_xlabel("runtime (percent)" if look.by_time else "percentile")
    axes.set_ylabel(what)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if is_bytes:
        from matplotlib.ticker import FixedLocator, FuncFormatter

        formatter: Callable[[float, int], str] = lambda value, _: _size(value)  # noqa: E731
        axes.yaxis.set_major_locator(FixedLocator(_size_ticks(0, int(axes.get_ylim()[1]), 0)))
        axes.yaxis.set_major_formatter(FuncFormatter(formatter))
    if len(drawn) > 1:
        axes.legend()
    _save(figure, path)
