"""How to show accesses, as a value: what the words of option groups F and X mean together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from damoctl.flags.access import POSITIONS, percentiles
from damoctl.reports import styles
from damoctl.reports.box import Box
from damod.access import measure, select
from damod.access.select import Selection
from damod.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from damoctl.reports.attrs import Probed
    from damoctl.reports.vmas import Names

MIN_CHARS = {
    "<index>": 3,
    "<start address>": 12,
    "<end address>": 11,
    "<size>": 11,
    "<access rate>": 5,
    "<access hz>": 6,
    "<age>": 13,
    "<filters passed type>": 10,
}
POINTS = (0, 1, 25, 50, 75, 99, 100)


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that decides what `report access` shows of given records."""

    style: str = "detailed"
    edits: Sequence[tuple[str, str, str]] = ()
    points: Sequence[int] = POINTS
    sort: Sequence[tuple[str, bool]] = (("address", False),)
    weights: measure.Weights = measure.DEFAULT_WEIGHTS
    hist_logscale: bool = False
    hist_ranges: Sequence[str] = ()
    hist_cumulate: bool = False
    heatmap_width: int = 80
    heatmap_colorset: str = "gray"
    heatmap_static: bool = False
    region_box: bool = False
    box: Box = field(default_factory=Box)
    min_chars: Mapping[str, int] = field(default_factory=lambda: MIN_CHARS)
    total_sz_only: bool = False
    merge: bool = True
    raw: bool = False
    as_json: bool = False
    raw_form: bool = False
    selection: Selection = field(default_factory=Selection)
    compat: bool = False
    newest: bool = False
    """With `compat`: as damo 3.4 does, where that differs from 3.3."""
    vmas: Names | None = None
    """Names of the mappings of records' processes, if a template asks for them."""
    attrs: Probed | None = None
    """With it, hotness is of probe hits, and `weights` are those of hits, age and size."""


def _pair(ranges: Sequence[Sequence[int]], name: str, *, compat: bool) -> Sequence[tuple[int, int]]:
    for low, high in ranges:
        if low > high and not compat:
            raise UsageError(f"--{name} {low} {high}: the first is above the second, so nothing can match")
    return [(low, high) for low, high in ranges]


def selection(
    given: Mapping[str, Sequence[Sequence[Any]]], weights: measure.Weights, *, compat: bool = False
) -> Selection:
    """What the values of group F (`flags.access.values`) keep. UsageError for ranges that nothing can match."""
    ranges = {
        name: _pair(given[name], name, compat=compat)
        for name in ("sz_region", "access_rate", "age", "sz_snapshot", "snapshot_time", "snapshot_idx", "temperature")
        if name in given
    }

    def last(name: str) -> Any:
        return select.bound(*ranges[name][-1]) if name in ranges else None

    return Selection(
        sizes=last("sz_region"),
        rates=last("access_rate"),
        ages_us=last("age"),
        addresses=select.address_ranges((low, high) for low, high in given.get("address", ())),
        snapshot_sizes=ranges.get("sz_snapshot", ()),
        snapshot_times=ranges.get("snapshot_time", ()),
        snapshot_indices=ranges.get("snapshot_idx", ()),
        temperatures=ranges.get("temperature", ()),
        weights=weights,
    )


def _min_chars(given: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, int]:
    """Widths by keyword; the brackets of a keyword may be left out, as shells dislike them."""
    return {f"<{name.strip('<>')}>": count for name, count in given.get("min_chars_for", ())}


def _points(words: Sequence[int]) -> Sequence[int]:
    return sorted(words) if len(words) > 3 else percentiles("--percentiles_range", words)


def from_words(given: Mapping[str, Sequence[Sequence[Any]]], *, compat: bool = False, newest: bool = False) -> Options:
    """The options that parsed words (`flags.access.values`) stand for; of an option given twice the last counts."""

    def last(name: str, default: Any) -> Any:
        return given[name][-1] if name in given else default

    style = styles.STYLES[last("style", ["detailed"])[0]]
    weights = tuple(last("temperature_weights", measure.DEFAULT_WEIGHTS))
    descending = set(last("sort_regions_dsc", ()))
    sort = [(key, key in descending or "all" in descending) for key in last("sort_regions_by", ["address"])]
    if style.sort and ("sort_regions_by" not in given or compat):
        # damo's styles take no other keys
        sort = [(key, down or key in descending or "all" in descending) for key, down in style.sort]
    edits = [
        ("set", position, given[f"format_{position}"][-1][0]) for position in POSITIONS if f"format_{position}" in given
    ]
    edits += [(action, position, template) for action, position, template in given.get("format", ())]
    if len(last("hist_ranges", ())) % 2:
        raise UsageError("--hist_ranges: an odd number of values; give start and end of each bin")
    width = last("snapshot_heatmap_width", [80])[0]
    if width < 1:
        raise UsageError("--snapshot_heatmap_width 0: at least one column is needed")
    base = style.box or Box()
    lengths = tuple(last("region_box_min_max_length", base.ranges[0]))
    heights = tuple(last("region_box_min_max_height", base.ranges[2]))
    for name, (low, high) in (("length", lengths), ("height", heights)):
        if low > high and not compat:
            raise UsageError(f"--region_box_min_max_{name} {low} {high}: the first is above the second")
    box = Box(
        values=last("region_box_values", base.values),
        ranges=(lengths, base.ranges[1], heights),
        scales=last("region_box_scales", base.scales),
        colorset=last("region_box_colorset", [base.colorset])[0],
        align=last("region_box_align", [base.align])[0],
    )
    if compat:
        # damo's styles have the shape of their boxes, whatever was asked for
        shape = style.box or box
        box = replace(
            box, ranges=shape.ranges, colorset=shape.colorset, align=shape.align, newline="region_box" in given
        )
    return Options(
        style=style.name,
        edits=edits,
        points=_points(given["percentiles_range"][-1]) if "percentiles_range" in given else POINTS,
        sort=sort,
        weights=weights,
        hist_logscale="hist_logscale" in given,
        hist_ranges=last("hist_ranges", ()),
        hist_cumulate="hist_cumulate" in given,
        heatmap_width=width,
        heatmap_colorset=last("snapshot_heatmap_colorset", ["gray"])[0],
        heatmap_static="snapshot_heatmap_static" in given,
        region_box="region_box" in given,
        box=box,
        # in damo the first width of a keyword counts, so those that there are stay
        min_chars={**_min_chars(given), **MIN_CHARS} if compat else {**MIN_CHARS, **_min_chars(given)},
        total_sz_only="total_sz_only" in given,
        merge="dont_merge_regions" not in given,
        raw="raw_number" in given,
        as_json="json" in given,
        raw_form="raw_form" in given,
        selection=selection(given, weights, compat=compat),
        compat=compat,
        newest=newest,
    )
