"""`report holistic`: one page of heatmaps, working sets, footprints and hot functions of a recording.

`compute` puts the other reports' values together, `render` lays them out; the functions are what perf says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from damoctl.reports import guide, heatmap, spread, wss
from damoctl.reports.frames import Source
from damoctl.reports.spread import Values
from damoctl.term.term import Term
from damod import units

# What a page has room for; a target has a handful of ranges, a damaged or odd record may have any number.
_MOST_MAPS = 200


class Page(NamedTuple):
    """The parts of the page; `spreads` are wss, rss, vsz and sys_used where known, `functions` perf's lines.

    `left_out` says how many ranges have no map, since the hotter ones are as many as a page can have.
    """

    maps: Sequence[heatmap.Map]
    spreads: Mapping[str, Values]
    functions: Sequence[str]
    left_out: int = 0


def compute(
    source: Source,
    footprints: Mapping[str, Values],
    functions: Sequence[str],
    *,
    rows: int,
    compat: bool,
    last_ns: int | None = None,
) -> Page:
    """Maps of `rows` by 80 of each stretch of each series, and the values of all series together.

    With `last_ns` the maps are of so much time at the recording's end, or of all of it if it is shorter.
    """
    guides = guide.compute(source, compat=compat)
    plans, left_out = _plans(guides, last_ns)
    maps = heatmap.draw(source, plans, heatmap.Options(resol=(rows, 80), compat=compat))
    exclude = 20 if compat and max((found.snapshots for found in guides), default=0) > 200 else 0
    sets = wss.compute(source, wss.Options(exclude=exclude))
    spreads = {"wss": sets[0]} if sets else {}
    for name in ("rss", "vsz", "sys_used"):
        if name in footprints:
            spreads[name] = footprints[name]
    return Page(maps, spreads, functions, left_out)


def _plans(guides: Sequence[guide.Guide], last_ns: int | None) -> tuple[list[heatmap.Plan], int]:
    """A map of each stretch, or of the hottest ones of all; how many are left out."""
    heats = sorted((stretch.heat for found in guides for stretch in found.stretches), reverse=True)
    least, room = heats[:_MOST_MAPS][-1] if heats else 0.0, _MOST_MAPS
    plans = []
    for found in guides:
        spans = [(one.start, one.end) for one in found.stretches if one.heat >= least][:room]
        room -= len(spans)
        if spans:
            begin = found.start_ns if last_ns is None else max(found.end_ns - last_ns, found.start_ns)
            plans.append(heatmap.Plan(found, (begin, found.end_ns), spans))
    return plans, max(len(heats) - _MOST_MAPS, 0)


def _maps(page: Page, colorset: str, term: Term, *, compat: bool) -> Iterator[str]:
    look = heatmap.Look(colorset=colorset, skip_example=True, compat=compat)
    for drawn in page.maps:
        low, high = drawn.addresses
        yield f"# target {drawn.series.target_id}, address range {low}-{high}"
        yield from heatmap.render([drawn], look, term)
    if page.left_out:
        yield f"# {page.left_out:,} more ranges, less hot than these, are left out"


def _table(page: Page, *, by_time: bool) -> Iterator[str]:
    yield f"{'percentile':>10} " + " ".join(f"{point:>15}" for point in spread.POINTS)
    for name, item in page.spreads.items():
        if not len(item.values):
            yield f"{name:>10} {'no sample':>15}"
            continue
        values = spread.at_points(item.values, spread.POINTS, by_time=by_time)
        yield f"{name:>10} " + " ".join(f"{units.size(value):>15}" for value in values) + " "


def render(page: Page, term: Term, *, long: bool, compat: bool) -> Iterator[str]:
    """The lines of the page; the long form has headings."""
    if not long:
        yield "# Heatmap"
        yield from _maps(page, "gray", term, compat=compat)
        yield "# Memory Footprints Distribution"
        yield from _table(page, by_time=False)
        yield ""
        yield "# Hotspot functions"
        yield from page.functions
        return
    yield from _heading("Heatmap")
    yield from _maps(page, "gray", term, compat=compat)
    yield ""
    yield from _heading("Working Set Size and Memory Footprints Distribution")
    for title, by_time in (("Sorted by size", False), ("Sorted by time", True)):
        yield title
        yield from _table(page, by_time=by_time)
        yield ""
    yield from _heading("Hotspot functions")
    yield from page.functions


def _heading(text: str) -> Iterator[str]:
    yield text
    yield "=" * len(text)
    yield ""


def to_plain(page: Page) -> dict[str, Any]:
    """The value of ``--json``."""
    look = spread.Look()
    return {
        **heatmap.to_plain(page.maps),
        "maps_left_out": page.left_out,
        "distributions": {
            name: spread.to_plain([item], look, name)[0]["percentiles"] for name, item in page.spreads.items()
        },
        "hot_functions": list(page.functions),
    }
