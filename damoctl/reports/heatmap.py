"""`report heatmap`: how often memory was accessed, as a picture of time by addresses.

`compute` chooses series and ranges by the guide and makes a `Map` for each; `render` draws them with characters or as
numbers, `heatmap_image` as files. A pixel's heat is the mean over its time and addresses of the access rate that
DAMON saw there: what a region tells holds for its addresses, from the end of the snapshot before (or, where there is
none so near, since it is as old as it is) to the end of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from damoctl.reports import guide as guides
from damoctl.reports.canvas import Canvas, by_temperature, cut_in_strips
from damoctl.reports.frames import I64_MAX, Floats, Series, Source
from damoctl.reports.guide import Guide
from damoctl.term import heat as colors
from damoctl.term.term import Term
from damod import units
from damod.errors import NoData, UsageError

MOST_PIXELS = 1 << 23
"""All maps together have no more pixels, a screen of 4K; each takes up to a hundred bytes until it is shown."""


@dataclass(frozen=True, slots=True)
class Options:
    """Which map to draw. `resol` is pixels in time and in addresses; ranges are (start, end, base), base a word too."""

    resol: tuple[int, int] = (40, 80)
    kdamond: int | None = None
    context: int | None = None
    scheme: int | None = None
    target_id: int | None = None
    time_range: tuple[int, int, str | int] | None = None
    address_ranges: Sequence[tuple[int, int, str | int]] = ()
    draw_all: bool = False
    df_passed: bool = False
    by_temperature: bool = False
    weights: tuple[float, float] = (1.0, 1.0)
    compat: bool = False


class Map(NamedTuple):
    """One picture: `heat[t, a]` of pixel row t (time) and column a (addresses), NaN where nothing was watched.

    `times` are in ns on the record's clock, `addresses` in bytes (or sizes, if regions were ordered by temperature).
    `unit` is "hz", or "samples" where the record lacks the intervals.
    """

    series: Series
    times: tuple[int, int]
    addresses: tuple[int, int]
    heat: Floats
    unit: str
    by_size: bool = False
    # address ranges by the name of the mapping in them, for the legend
    names: Sequence[tuple[int, int, str]] = ()

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Least and greatest heat, or None where nothing was watched."""
        known = self.heat[~np.isnan(self.heat)]
        return (float(known.min()), float(known.max())) if len(known) else None

    def to_plain(self) -> dict[str, Any]:
        rows = [[None if np.isnan(value) else float(value) for value in row] for row in self.heat]
        return {
            **self.series.to_plain(),
            "time_range_ns": list(self.times),
            "size_range" if self.by_size else "address_range": list(self.addresses),
            "resolution": list(self.heat.shape),
            "unit": self.unit,
            "heat": rows,
            "mappings": [{"start": start, "end": end, "name": name} for start, end, name in self.names],
        }


def chosen(found: Sequence[Guide], options: Options) -> Guide:
    """The guide of the series that the options name; what they do not name is as in the guide with most memory."""
    first = found[0].series
    wanted = Series(
        first.kdamond if options.kdamond is None else options.kdamond,
        first.context if options.context is None else options.context,
        first.scheme if options.scheme is None else options.scheme,
        first.target_id if options.target_id is None else options.target_id,
    )
    for guide in found:
        if guide.series == wanted:
            return guide
    named = [guide for guide in found if _matches(guide.series, options)]
    if named:
        return named[0]
    raise NoData(f"the record has nothing of {_said(options)}", hint="--guide_human shows what it has")


def _matches(series: Series, options: Options) -> bool:
    wanted = (options.kdamond, options.context, options.scheme, options.target_id)
    return all(value is None or value == own for value, own in zip(wanted, series, strict=True))


def _said(options: Options) -> str:
    names = (("kdamond", options.kdamond), ("context", options.context), ("scheme", options.scheme),
             ("target", options.target_id))  # fmt: skip
    return ", ".join(f"{name} {value}" for name, value in names if value is not None)


def time_range(guide: Guide, options: Options) -> tuple[int, int]:
    """The times to draw, in ns."""
    if options.time_range is None:
        return guide.start_ns, guide.end_ns
    low, high, base = options.time_range
    zero = {"guided": guide.start_ns, "guided_end": guide.end_ns}.get(base, 0) if isinstance(base, str) else base
    # no record has a time beyond 64 bits, so that nothing is lost
    low, high = max(low + zero, -I64_MAX), min(high + zero, I64_MAX)
    if low >= high:
        raise UsageError(f"--time_range {low} {high}: the end is not after the start")
    if high <= guide.start_ns or low >= guide.end_ns:
        raise NoData(
            f"nothing was recorded from {units.time(low)} to {units.time(high)}",
            hint=f"the record is from {units.time(guide.start_ns)} to {units.time(guide.end_ns)};"
            " `--time_range 0 10s guided` counts from its start",
        )
    return low, high


def address_ranges(guide: Guide, options: Options, sizes: tuple[int, int] | None) -> list[tuple[int, int]]:
    """The address ranges to draw, one map each."""
    stretches = list(guide.stretches)
    if not stretches:
        raise NoData("the record has no regions", hint="--guide_human shows what it has")
    found = []
    for index, (low, high, base) in enumerate(options.address_ranges):
        if isinstance(base, str):
            if index >= len(stretches):
                raise UsageError(
                    f"--address_range {low} {high} guided: the guide has {len(stretches)} ranges, this would be"
                    f" number {index + 1}"
                )
            base = stretches[index].start
        if low >= high:
            raise UsageError(f"--address_range {low} {high}: the end is not above the start")
        low, high = low + base, min(high + base, I64_MAX)
        if not options.compat and sizes is None and not any(item.start < high and low < item.end for item in stretches):
            known = ", ".join(
                f"[{units.size(item.start, digits=6)}, {units.size(item.end, digits=6)})" for item in stretches[:4]
            )
            raise NoData(
                f"nothing was watched from {units.exact_size(low)} to {units.exact_size(high)}",
                hint=f"the record has {known}{' and more' if len(stretches) > 4 else ''}; `--address_range 0 1G guided`"
                " counts from there",
            )
        found.append((low, high))
    if found:
        return found
    if sizes is not None:
        return [sizes]
    if options.draw_all:
        return [(stretch.start, stretch.end) for stretch in stretches]
    hottest = max(stretches, key=lambda stretch: stretch.heat)
    return [(hottest.start, hottest.end)]


class Plan(NamedTuple):
    """What to draw of one series: a map of each of the address ranges `spans`, all of the same `times`."""

    guide: Guide
    times: tuple[int, int]
    spans: Sequence[tuple[int, int]]


def compute(source: Source, options: Options) -> list[Map]:
    """The maps that the options ask for. NoData if the record has nothing of it, UsageError for too many pixels."""
    found = guides.compute(source, compat=options.compat)
    if not found:
        raise NoData(f"{source.name} has no snapshots", hint="nothing was monitored, or the recording just began")
    guide = chosen(found, options)
    times = time_range(guide, options)
    sizes = (0, _largest(source, guide.series)) if options.by_temperature and not options.compat else None
    return draw(source, [Plan(guide, times, address_ranges(guide, options, sizes))], options)


def draw(source: Source, plans: Sequence[Plan], options: Options) -> list[Map]:
    """The maps of all plans, in one pass over the record. UsageError if they have too many pixels.

    Of `options` only what says how to draw counts.
    """
    count = sum(len(plan.spans) for plan in plans)
    rows, columns = options.resol
    if (pixels := count * rows * columns) > MOST_PIXELS:
        raise UsageError(
            f"{f'{count:,} maps' if count > 1 else 'a map'} of {rows:,} by {columns:,} would be {pixels:,} pixels;"
            f" at most {MOST_PIXELS:,} are drawn",
            hint="less of --resol, fewer ranges (--address_range); --time_range and --address_range show parts closer",
        )
    if options.compat:
        from damoctl.reports.heatmap_compat import heats

        return [
            Map(plan.guide.series, plan.times, span, heat, _unit(plan.guide.noted), options.by_temperature)
            for plan in plans
            for span, heat in zip(
                plan.spans, heats(source, plan.guide.series, plan.times, plan.spans, options), strict=True
            )
        ]
    sheets = {
        plan.guide.series: Sheet([Canvas(plan.times, span, options.resol) for span in plan.spans]) for plan in plans
    }
    _draw(source, sheets, options)
    return [
        Map(plan.guide.series, plan.times, canvas.addresses, canvas.heat(), _unit(sheet.known), options.by_temperature)
        for plan in plans
        for sheet in (sheets[plan.guide.series],)
        for canvas in sheet.canvases
    ]


def _unit(known: bool | None) -> str:
    return "hz" if known else "samples"


def _largest(source: Source, series: Series) -> int:
    """The most bytes that a snapshot of the series has."""
    return max(
        (int(frame.sums(frame.sizes).max()) for frame in source.frames(()) if frame.series == series and len(frame)),
        default=0,
    )


def _draw(source: Source, sheets: Mapping[Series, Sheet], options: Options) -> None:
    """Draw all frames of the series that have a sheet."""
    need = {"start_ns", "intervals", "age"} | ({"passed"} if options.df_passed else set())
    for frame in source.frames(need):
        sheet = sheets.get(frame.series)
        if sheet is None or not len(frame):
            continue
        if sheet.known is None:
            sheet.known = bool((frame.aggr_us > 0).all())
        if options.by_temperature:
            frame = by_temperature(frame, options.weights)
        strips = cut_in_strips(frame, sheet.before, known=sheet.known, df_passed=options.df_passed)
        sheet.before = int(frame.end_ns[-1])
        for canvas in sheet.canvases:
            canvas.add(strips)


@dataclass(slots=True)
class Sheet:
    """The canvases of a series while frames come in.

    `known` tells whether heats are in hz (None: no frame yet), `before` when the last snapshot drawn ended (ns).
    """

    canvases: Sequence[Canvas]
    known: bool | None = None
    before: int | None = None


def levels(heat: Floats, *, compat: bool) -> Sequence[Sequence[int | None]]:
    """Digits of the pixels: ten equal steps from the least to the greatest heat; None where nothing was watched.

    damo (`compat`) adds one to the greatest, so that its digits end at 8.
    """
    known = heat[~np.isnan(heat)]
    if not len(known):
        return [[None] * heat.shape[1] for _ in range(heat.shape[0])]
    low, high = float(known.min()), float(known.max())
    if compat:
        scaled = (heat - low) / ((high + 1 - low) / 9)
    elif high > low:
        scaled = np.minimum((heat - low) * (10 / (high - low)), 9)
    else:
        scaled = np.full(heat.shape, 9.0 if high > 0 else 0.0)
    return [
        [None if np.isnan(pixel) else int(value) for pixel, value in zip(row, digits, strict=True)]
        for row, digits in zip(heat, scaled, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Look:
    """How to print maps. `raw` is the tab-separated form, `absolute_*` of its times and addresses."""

    colorset: str = "gray"
    skip_example: bool = False
    raw: bool = False
    absolute_time: bool = False
    absolute_address: bool = False
    compat: bool = False


def render(maps: Sequence[Map], look: Look, term: Term) -> Iterator[str]:
    """The lines of all maps."""
    for index, drawn in enumerate(maps):
        if look.raw:
            yield from raw_lines(drawn, look)
            continue
        if index and not look.compat:
            yield ""
        yield from _picture(drawn, look, term)


def raw_lines(drawn: Map, look: Look) -> Iterator[str]:
    """``time, address, heat`` of each pixel, tab separated."""
    rows, columns = drawn.heat.shape
    times, places = _edges(drawn.times, rows, look.compat), _edges(drawn.addresses, columns, look.compat)
    zero = 0 if look.absolute_time else drawn.times[0]
    base = 0 if look.absolute_address else drawn.addresses[0]
    for at, row in zip(times, drawn.heat.tolist(), strict=True):
        for place, value in zip(places, row, strict=True):
            yield f"{at - zero}\t{place - base}\t{'NaN' if value != value else value}"


def _edges(span: tuple[int, int], count: int, compat: bool) -> list[int]:
    low, high = span
    if compat:
        return [low + index * ((high - low) // count) for index in range(count)]
    return [low + index * (high - low) // count for index in range(count)]


def _picture(drawn: Map, look: Look, term: Term) -> Iterator[str]:
    bounds = drawn.bounds
    if bounds is not None or not look.compat:
        for row in levels(drawn.heat, compat=look.compat):
            yield colors.cells(row, look.colorset, color=term.color)
    yield from legend(drawn, look, term)


def legend(drawn: Map, look: Look, term: Term) -> Iterator[str]:
    """What digits and axes mean."""
    bounds = drawn.bounds
    if not look.skip_example:
        example = colors.digits(range(10), look.colorset, color=term.color)
        said = f"{bounds[0]:.3f}-{bounds[1]:.3f} {drawn.unit}" if bounds else "nothing was watched"
        yield f"# access_frequency: {example} ({said})"
    (low, high), (begin, end) = drawn.addresses, drawn.times
    rows, columns = drawn.heat.shape
    if look.compat:
        # what is left over at the end is not drawn
        high = low + (high - low) // columns * columns
        end = begin + (end - begin) // rows * rows
    yield (
        f"# x-axis: {'size' if drawn.by_size and not look.compat else 'space'} {_range(low, high)}"
        f" ({units.size(high - low)})"
    )
    yield f"# y-axis: time [{units.time(begin)}, {units.time(end)}) ({units.time(end - begin)})"
    if look.compat:
        width: float = (high - low) // columns
        tall: float = (end - begin) // rows
    else:
        width, tall = (high - low) / columns, (end - begin) / rows
    yield f"# resolution: {columns}x{rows} ({units.size(width)} and {units.time(tall)} for each character)"
    for start, stop, name in drawn.names:
        first, last = ((place - low) * columns // (high - low) for place in (start, stop - 1))
        yield f"# columns {first}-{last}: {name} ({units.size(stop - start)})"


def _range(low: int, high: int) -> str:
    return f"[{units.size(low, digits=6)}, {units.size(high, digits=6)})"


def to_plain(maps: Sequence[Map]) -> Mapping[str, Any]:
    """The value of ``--json``."""
    return {"maps": [drawn.to_plain() for drawn in maps]}
