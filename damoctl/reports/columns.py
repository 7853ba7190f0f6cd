"""The keywords of `report access` templates, each once: where it may stand, what it means, how it is shown.

Record and snapshot keywords give one text, region keywords a column of texts, one per region in order of display.
Help and `args accesses_format` read the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from damoctl.reports import distribution
from damoctl.reports.base import texts
from damoctl.reports.box import boxes
from damoctl.reports.styles import PAGE_FILTERS
from damoctl.reports.view import RecordView, SnapshotView
from damoctl.term import heat
from damod import units
from damod.access import measure
from damod.access.snapshot import Regions


class Keyword(NamedTuple):
    """`show` takes the view of its level and for regions returns a column (any iterable of texts)."""

    name: str
    about: str
    show: Callable[[Any], Any]


def _us(value: int, raw: bool) -> str:
    return units.time(value * 1000, raw=raw, raw_unit="us")


# record level


def _intervals(view: RecordView) -> str:
    found, raw = view.record.intervals, view.options.raw
    return "unknown" if found is None else f"sample {_us(found.sample_us, raw)}, aggr {_us(found.aggr_us, raw)}"


def _intervals_goal(view: RecordView) -> str:
    found, raw = view.record.intervals, view.options.raw
    if found is None:
        return "unknown"
    goal = found.goal
    share = units.percent(goal.access_bp if raw else goal.access_bp / 100, raw=raw)
    return (
        f"target {share} accesses per {units.number(goal.aggrs, raw=raw)} aggrs,"
        f" [{_us(goal.min_sample_us, raw)}, {_us(goal.max_sample_us, raw)}] sampling interval"
    )


def _format_strings(view: RecordView) -> str:
    return "\n".join(f'{name.replace("_", " ")}: "{getattr(view.templates, name)}"' for name in view.templates._fields)


# snapshot level


def _snapshot_intervals(view: SnapshotView) -> str:
    sample, aggr, raw = view.snapshot.sample_us, view.snapshot.aggr_us, view.options.raw
    if view.options.attrs is not None:
        most = units.number(aggr // sample, raw=raw)
        return f"sample {_us(sample, raw)} aggr {_us(aggr, raw)} (max probe hits {most})"
    fastest = units.hz(1_000_000 / sample, raw=raw).removesuffix(" hz")
    return f"sample {_us(sample, raw)} aggr {_us(aggr, raw)} (max access hz {fastest})"


def _tuning_status(view: SnapshotView) -> str:
    sample, aggr, raw = view.snapshot.sample_us, view.snapshot.aggr_us, view.options.raw
    if view.options.compat and view.of.record.intervals is not None:
        sample, aggr = view.of.record.intervals.sample_us, view.of.record.intervals.aggr_us
    seen = sum(size * count for size, count in zip(view.sizes, view.regions.nr_accesses, strict=True))
    most = sum(view.sizes) * aggr // sample
    share = units.percent(seen * 100 / most if most else 0, raw=raw)
    return f"{share} ({units.size(seen, raw=raw)} / {units.size(most, raw=raw)}) {_us(sample, raw)} {_us(aggr, raw)}"


def _probes(view: SnapshotView) -> str:
    attrs = view.options.attrs
    if attrs is None:
        return "n/a"
    from damoctl.reports.damon import probe_line

    probes = attrs.of((view.snapshot.kdamond, view.snapshot.context))
    return "\n".join(probe_line(probe, raw=view.options.raw) for probe in probes) or "- not known"


def _filters(view: SnapshotView) -> str:
    # damo shows sizes in filters for people, whatever was asked for
    raw = view.options.raw and not view.options.compat
    shown = [filter_text(item, raw=raw) for item in view.of.record.filters]
    return ", ".join(text for text in shown if text) or "n/a"


def filter_text(item: Mapping[str, Any], *, raw: bool = False) -> str:
    """``allow active``, ``reject none memcg /a``; nothing for filters that the kernel applies to whole regions."""
    kind = item.get("filter_type")
    if kind not in PAGE_FILTERS:
        return ""
    words = ["allow" if item.get("allow") else "reject"]
    if not item.get("matching", True):
        words.append("none")
    words.append(str(kind))
    if kind == "memcg":
        words.append(str(item.get("memcg_path")))
    if kind == "hugepage_size" and item.get("hugepage_size"):
        low, high = (units.size(units.parse_size(value), raw=raw) for value in item["hugepage_size"])
        words.append(f"[{low}, {high}]")
    return " ".join(words)


def _passed_total(view: SnapshotView) -> str:
    passed = view.regions.sz_filter_passed
    return "N/A" if passed is None else units.size(sum(passed), raw=view.options.raw)


def _passed_bandwidth(view: SnapshotView) -> str:
    passed = view.regions.sz_filter_passed
    return "N/A" if passed is None else units.bandwidth(view.bandwidth(passed), raw=view.options.raw)


def _heatmap(view: SnapshotView, regions: Regions) -> str:
    """Two lines: digits with gaps, and what they mean."""
    options = view.options
    heats = view.temperatures(options.weights, regions)
    by_size = options.weights[0] if options.compat and options.attrs is None else 0
    line = measure.heat_line(
        regions, heats, options.heatmap_width, static=options.heatmap_static, compat=options.compat,
        per_byte=[by_size if percent else -by_size for percent in view.percents_of(regions)] if by_size else (),
    )  # fmt: skip
    if not line.cells:
        return "n/a (no region)"
    shown = measure.levels(line.cells)
    drawn, at = [], 0
    for index, gap in enumerate(line.gaps):
        if gap:
            drawn.append(heat.digits(shown[at:index], options.heatmap_colorset, color=view.color))
            drawn.append("[...]" if gap > 4 and not options.heatmap_static else "." * int(gap))
            at = index
    drawn.append(heat.digits(shown[at:], options.heatmap_colorset, color=view.color))
    low, high = (distribution.whole(value, options) for value in (min(line.cells), max(line.cells)))
    width = units.size(line.column_size, raw=options.raw)
    return f"{''.join(drawn)}\n# min/max temperatures: {low}, {high}, column size: {width}"


def _filters_heatmap(view: SnapshotView) -> str:
    regions = view.by_address
    passed = regions.sz_filter_passed
    if passed is None:
        return "n/a (no region)"
    from damod.access.select import take

    return _heatmap(view, take(regions, [index for index, amount in enumerate(passed) if amount]))


def _box_colors(view: SnapshotView) -> str:
    return "".join(heat.run(level, 1, view.options.box.colorset, color=view.color) for level in range(10))


_BOX_SHOWN: dict[str, Callable[[float, bool], str]] = {
    "age": lambda value, raw: _us(int(value), raw),
    "access_rate": lambda value, raw: units.percent(value, raw=raw),
    "size": lambda value, raw: units.size(int(value), raw=raw),
}


def _box_description(view: SnapshotView) -> str:
    box, lines = view.options.box, []
    parts = (
        ("length", "columns"),
        ("color", f"number and color ({_box_colors(view)})"),
        ("height", "rows"),
    )
    for (side, unit), value, into, scale in zip(parts, box.values, box.ranges, box.scales, strict=True):
        if value == "none":
            lines.append(f"# {side}: none")
            continue
        show = _BOX_SHOWN[value]
        low, high = (show(bound, view.options.raw) for bound in view.bounds[value])
        gap = " " if value == "age" else ""
        lines.append(
            f"# {side}: {value} (represents [{low}, {high}] {gap}with [{into[0]}, {into[1]}] {unit} in {scale}scale)"
        )
    return "\n".join(lines)


def _damos_stats(view: SnapshotView) -> str:
    stats, raw = view.snapshot.stats, view.options.raw
    if stats is None:
        return "none"

    def count(name: str) -> str:
        return units.number(stats.get(name, 0), raw=raw)

    def amount(name: str) -> str:
        return units.size(stats.get(name, 0), raw=raw)

    lines = [
        f"tried {count('nr_tried')} times ({amount('sz_tried')})",
        f"applied {count('nr_applied')} times ({amount('sz_applied')})",
        f"{amount('sz_ops_filter_passed')} passed filters",
        f"quota exceeded {count('qt_exceeds')} times",
        f"tried {count('nr_snapshots')} snapshots (max {count('max_nr_snapshots')})",
    ]
    if view.options.compat:
        # damo prints the passed bytes a second time, without a word
        lines.insert(4, amount("sz_ops_filter_passed"))
    return "\n".join(lines)


def _times(pick: Callable[[SnapshotView], int]) -> Callable[[SnapshotView], str]:
    return lambda view: units.time(pick(view), raw=view.options.raw)


def _positive_ratio(view: SnapshotView) -> str:
    found = measure.positive_samples_percent(view.regions.nr_accesses, view.snapshot.sample_us, view.snapshot.aggr_us)
    return units.percent(found, raw=view.options.raw)


# region level


def _passed_column(view: SnapshotView) -> list[str]:
    passed, raw = view.regions.sz_filter_passed, view.options.raw
    if passed is None:
        return ["N/A"] * len(view.regions)
    return texts(passed, lambda value: units.size(value, raw=raw))


def _probe_hits(view: SnapshotView) -> list[str]:
    hits = view.regions.probe_hits
    if hits is None:
        return [""] * len(view.regions)
    return [" ".join(map(str, row)) for row in hits]


def _vmas(view: SnapshotView) -> list[str]:
    names = view.options.vmas
    if names is None:
        return ["-"] * len(view.regions)
    spaces = names.of(view.of.record.target_id)
    return [spaces.name(start, end) for start, end in zip(view.regions.start, view.regions.end, strict=True)]


def _hz_column(view: SnapshotView) -> list[str]:
    aggr, raw = view.snapshot.aggr_us, view.options.raw
    return texts(view.regions.nr_accesses, lambda samples: units.hz(samples * 1_000_000 / aggr, raw=raw))


def _box(view: SnapshotView) -> Iterator[str]:
    box = view.options.box
    columns = [view.box_column(value) for value in box.values]
    bounds = [view.bounds.get(value, (0, 0)) for value in box.values]
    if all(column is None for column in columns):
        columns[0] = [0] * len(view.regions)
    return boxes(columns, bounds, box, color=view.color)


def _sizes(pick: Callable[[SnapshotView], Sequence[int]]) -> Callable[[SnapshotView], list[str]]:
    def show(view: SnapshotView) -> list[str]:
        raw = view.options.raw
        return texts(pick(view), lambda value: units.size(value, raw=raw))

    return show


_RECORD = (
    Keyword("<kdamond index>", "index of the kdamond", lambda view: str(view.record.kdamond)),
    Keyword("<context index>", "index of the context", lambda view: str(view.record.context)),
    Keyword("<scheme index>", "index of the scheme, None if the record is not of one", lambda v: str(v.record.scheme)),
    Keyword("<target id>", "pid, index or address of the monitoring target", lambda view: str(view.record.target_id)),
    Keyword(
        "<abs start time>", "when the first snapshot begins, since the epoch or since boot",
        lambda view: units.time(view.abs_start_ns, raw=view.options.raw),
    ),
    Keyword(
        "<duration>", "time from the first snapshot's begin to the last one's end",
        lambda view: units.time(view.duration_ns, raw=view.options.raw),
    ),
    Keyword("<intervals>", "sampling and aggregation intervals", _intervals),
    Keyword("<intervals goal>", "what the kernel tunes the intervals for", _intervals_goal),
    Keyword("<data source>", "what the record was made from", lambda view: view.record.data_source),
    Keyword("<format strings>", "the templates of all positions", _format_strings),
)  # fmt: skip

_SNAPSHOT = (
    Keyword("<total bytes>", "total size of the regions", lambda v: units.size(v.total_bytes, raw=v.options.raw)),
    Keyword("<duration>", "time from begin to end", _times(lambda view: view.snapshot.end_ns - view.snapshot.start_ns)),
    Keyword("<start time>", "begin, since that of the record", _times(lambda v: v.snapshot.start_ns - v.of.start_ns)),
    Keyword("<end time>", "end, since the record's begin", _times(lambda v: v.snapshot.end_ns - v.of.start_ns)),
    Keyword(
        "<abs start time>", "begin, since the epoch or since boot",
        _times(lambda view: view.snapshot.start_ns + view.snapshot.wall_offset_ns),
    ),
    Keyword(
        "<abs end time>", "end, since the epoch or since boot",
        _times(lambda view: view.snapshot.end_ns + view.snapshot.wall_offset_ns),
    ),
    Keyword(
        "<number of regions>", "how many regions", lambda v: units.number(len(v.regions), raw=v.options.raw)
    ),
    Keyword("<region box colors>", "the digits and colours of <box>", _box_colors),
    Keyword("<region box description>", "what <box> stands for", _box_description),
    Keyword("<temperature-sz histogram>", "bytes by temperature", distribution.histogram("temperature")),
    Keyword(
        "<temperature-df-passed-sz histogram>", "bytes that passed the filters, by temperature",
        distribution.histogram("temperature", passed=True),
    ),
    Keyword("<recency-sz histogram>", "bytes by idle time", distribution.histogram("recency")),
    Keyword(
        "<recency-df-passed-sz histogram>", "bytes that passed the filters, by idle time",
        distribution.histogram("recency", passed=True),
    ),
    Keyword("<recency percentiles>", "idle time of percents of the bytes", distribution.percentiles("recency")),
    Keyword(
        "<df-passed recency percentiles>", "idle time of percents of the bytes that passed the filters",
        distribution.percentiles("recency", passed=True),
    ),
    Keyword(
        "<temperature percentiles>", "temperature of percents of the bytes", distribution.percentiles("temperature")
    ),
    Keyword(
        "<df-passed temperature percentiles>", "temperature of percents of the bytes that passed the filters",
        distribution.percentiles("temperature", passed=True),
    ),
    Keyword("<heatmap>", "temperatures over the addresses", lambda view: _heatmap(view, view.by_address)),
    Keyword(
        "<filters passed heatmap>", "temperatures over the addresses of regions with bytes that passed the filters",
        _filters_heatmap,
    ),
    Keyword("<filters passed type>", "the filters that decide page by page", _filters),
    Keyword("<filters passed bytes>", "bytes that passed the filters", _passed_total),
    Keyword(
        "<positive access samples ratio>",
        "share of the access checks that saw an access, each region counting the same", _positive_ratio,
    ),
    Keyword(
        "<estimated memory bandwidth>", "accessed bytes per second if each access touched its whole region",
        lambda view: units.bandwidth(view.bandwidth(view.sizes), raw=view.options.raw),
    ),
    Keyword(
        "<filters passed estimated memory bandwidth>", "the same of the bytes that passed the filters",
        _passed_bandwidth,
    ),
    Keyword("<intervals tuning status>", "seen of possible accesses, and the intervals now", _tuning_status),
    Keyword("<damos stats>", "what the scheme that took the snapshot did", _damos_stats),
    Keyword("<probes>", "the data attribute probes (`report attrs`)", _probes),
    Keyword("<snapshot intervals>", "intervals and the highest access rate they can see", _snapshot_intervals),
    Keyword(
        "<lost events>", "trace events lost before this snapshot",
        lambda view: units.number(view.snapshot.lost, raw=view.options.raw),
    ),
)  # fmt: skip

_REGION = (
    Keyword("<index>", "number of the region, as sorted", lambda view: list(map(str, range(len(view.regions))))),
    Keyword("<start address>", "first address", _sizes(lambda view: view.regions.start)),
    Keyword("<end address>", "address behind the last", _sizes(lambda view: view.regions.end)),
    Keyword("<size>", "size", _sizes(lambda view: view.sizes)),
    Keyword(
        "<access rate>", "share of the access checks that saw an access",
        lambda view: texts(view.percents, lambda value: units.percent(value, raw=view.options.raw)),
    ),
    Keyword("<access hz>", "accesses seen per second", _hz_column),
    Keyword(
        "<age>", "how long the access rate has been about the same",
        lambda view: texts(view.ages_us, lambda value: _us(value, view.options.raw)),
    ),
    Keyword(
        "<temperature>", "one number for hotness, negative if not accessed",
        lambda view: texts(
            view.temperatures(view.options.weights), lambda value: units.number(value, raw=view.options.raw)
        ),
    ),
    Keyword("<probe hits>", "hits of each probe", _probe_hits),
    Keyword("<filters passed bytes>", "bytes that passed the filters", _passed_column),
    Keyword("<box>", "the region as a box", _box),
    Keyword("<vma>", "the mapping that it mostly lies in, from <record>.vmas; +n: and in n others", _vmas),
)  # fmt: skip

RECORD = {keyword.name: keyword for keyword in _RECORD}
SNAPSHOT = {keyword.name: keyword for keyword in _SNAPSHOT}
REGION = {keyword.name: keyword for keyword in _REGION}
