"""`report access`: the access pattern of memory, region by region or as a distribution, in formats made of keywords.

`compute` selects, merges and sorts records into a `Report`; `render` yields its lines. Snapshots are drawn one after
the other, so only one at a time is in memory as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from damoctl.reports import styles
from damoctl.reports.box import Bounds
from damoctl.reports.columns import RECORD, REGION, SNAPSHOT, Keyword
from damoctl.reports.options import Options
from damoctl.reports.styles import Templates
from damoctl.reports.view import RecordView, SnapshotView, temperatures
from damoctl.term.term import Term
from damod.access import measure, select
from damod.access.record import Record, age_us
from damod.access.snapshot import Snapshot
from damod.errors import NoData


class Report(NamedTuple):
    """The records as they will be shown: filtered, merged, each snapshot's regions by address.

    `totals` has the total bytes of each snapshot of each record; `bounds` the least and greatest age (us), access rate
    (percent) and size of all regions if a box shows them.
    """

    records: Sequence[Record]
    totals: Sequence[Sequence[int]]
    templates: Templates
    bounds: Mapping[str, Bounds]
    options: Options


def compute(records: Sequence[Record], options: Options, *, live: bool = False) -> Report:
    """What to show of `records`. NoData if they cannot answer what the options ask for."""
    selection = options.selection
    # damo drops what it cannot tell of such records
    dropped = options.compat and not selection.temperatures
    plain = options.raw_form or (options.as_json and not is_distribution(options))
    if not plain or (select.needs_intervals(selection) and not dropped):
        _check_intervals(records)
    found, totals = [], []
    # Temperatures of probe hits are none that `select` knows.
    # damo takes the temperatures that are to be kept for those of accesses
    if options.attrs is not None and not options.compat:
        selection = selection._replace(temperatures=())
    for record in records:
        tidy = _tidy(record, merge=live and options.merge, known=options.compat)
        kept, total = select.apply(tidy, selection, compat=options.compat)
        if options.attrs is not None and options.selection.temperatures and not options.compat:
            kept = _by_temperature(kept, options)
            total = [snapshot.regions.total_bytes() for snapshot in kept.snapshots]
        if kept.snapshots or options.compat:
            found.append(kept)
            totals.append(total)
    if any(record.snapshots for record in records) and not any(totals) and not options.compat:
        raise NoData("the filters leave no snapshot", hint="widen --sz_snapshot, --snapshot_time or --snapshot_idx")
    known = styles.facts(found, compat=options.compat)
    if options.attrs is None:
        layout = styles.templates(
            options.style,
            known,
            region_box=options.region_box,
            total_sz_only=options.total_sz_only,
            compat=options.compat,
            stats=options.newest,
        )
    else:
        from damoctl.reports import attrs

        layout = attrs.layout(options.style, known, total_sz_only=options.total_sz_only)
    edits = options.edits
    if options.compat and options.region_box:
        # damo puts its boxes over whatever was asked for
        edits = [edit for edit in edits if edit[1] not in ("region", "snapshot_tail")]
    named = styles.HITS_LEGEND if options.attrs is None else attrs.legend(known)
    templates = styles.apply_edits(layout, edits, compat=options.compat, legend=named)
    boxed = (
        "<box>" in templates.region or "<region box description>" in templates.snapshot_head + templates.snapshot_tail
    )
    return Report(found, totals, templates, _bounds(found, options) if boxed else {}, options)


def _check_intervals(records: Sequence[Record]) -> None:
    for record in records:
        if any(not (snapshot.sample_us and snapshot.aggr_us) for snapshot in record.snapshots):
            raise NoData(
                f"the record of target {record.target_id} lacks the intervals, so access rates and ages are not known",
                hint="--raw_form and --json show it as it is",
            )


def _tidy(record: Record, *, merge: bool, known: bool) -> Record:
    """Regions by address; live ones merged. With `known` no byte passed where a record does not tell, as in damo."""

    def tidy(snapshot: Snapshot) -> Snapshot:
        regions = select.by_address(snapshot.regions)
        if merge:
            regions = measure.merged(regions)
        if known and regions.sz_filter_passed is None:
            regions = replace(regions, sz_filter_passed=[0] * len(regions))
        return snapshot if regions is snapshot.regions else replace(snapshot, regions=regions)

    return replace(record, snapshots=[tidy(snapshot) for snapshot in record.snapshots])


def _by_temperature(record: Record, options: Options) -> Record:
    def kept(snapshot: Snapshot) -> Snapshot:
        regions, wanted = snapshot.regions, options.selection.temperatures
        heats = temperatures(snapshot, regions, options)
        inside = [at for at, heat in enumerate(heats) if any(low <= heat <= high for low, high in wanted)]
        return replace(snapshot, regions=select.take(regions, inside))

    return replace(record, snapshots=[kept(snapshot) for snapshot in record.snapshots])


def _bounds(records: Sequence[Record], options: Options) -> dict[str, Bounds]:
    ages: list[float] = []
    rates: list[float] = []
    sizes: list[float] = []
    for record in records:
        for snapshot in record.snapshots:
            regions = snapshot.regions
            if not len(regions):
                continue
            for least_most, column in (
                (ages, measure.ages_us(set(regions.age), age_us(record, snapshot, compat=options.compat))),
                (
                    rates,
                    measure.percents(
                        sorted(set(regions.nr_accesses)), snapshot.sample_us, snapshot.aggr_us, compat=options.compat
                    ),
                ),
                (sizes, measure.sizes(regions)),
            ):
                least_most += (min(column), max(column))
    return {
        name: (min(values), max(values)) if values else (0, 0)
        for name, values in (("age", ages), ("access_rate", rates), ("size", sizes))
    }


def render(report: Report, term: Term) -> Iterator[str]:
    """The lines of the report; an item may be a block of several lines."""
    options, templates = report.options, report.templates
    if is_distribution(options):
        yield from _distributions(report)
        return
    if options.as_json:
        from damoctl.reports.listing import json_lines

        of_all = report.totals if options.compat else None
        yield from json_lines(_shown(report), raw=options.raw, totals=of_all, newest=options.newest)
        return
    if options.raw_form:
        from damoctl.reports.listing import raw_form

        yield from raw_form(_shown(report), raw=options.raw, hits=options.attrs is not None)
        return
    for record, totals in zip(report.records, report.totals, strict=True):
        view = RecordView(record, options, templates, color=term.color)
        if templates.record_head:
            yield block(templates.record_head, RECORD, view, options)
        for index, (snapshot, total) in enumerate(zip(record.snapshots, totals, strict=True)):
            if index and not options.total_sz_only:
                yield ""
            shown = SnapshotView(view, snapshot, total, report.bounds)
            if templates.snapshot_head:
                yield block(templates.snapshot_head, SNAPSHOT, shown, options)
            if templates.region and len(snapshot.regions):
                yield from _region_lines(templates.region, shown, options)
            if templates.snapshot_tail:
                yield block(templates.snapshot_tail, SNAPSHOT, shown, options)
        if templates.record_tail:
            yield block(templates.record_tail, RECORD, view, options)


def _shown(report: Report) -> Iterator[tuple[Record, Sequence[Snapshot]]]:
    return ((record, record.snapshots) for record in report.records)


def is_distribution(options: Options) -> bool:
    """Whether JSON of a histogram or of percentiles is wanted; damo (`compat`) gives its regions all the same."""
    return options.as_json and not options.compat and options.style.endswith(("-sz-hist", "-percentiles"))


def _distributions(report: Report) -> Iterator[str]:
    """A JSON list of records with their snapshots' histograms or percentiles, times and sizes as plain numbers."""
    import json

    from damoctl.reports import distribution

    found = []
    for record, totals in zip(report.records, report.totals, strict=True):
        view = RecordView(record, report.options, report.templates, color=False)
        found.append(
            {
                "kdamond_idx": record.kdamond,
                "context_idx": record.context,
                "scheme_idx": record.scheme,
                "target_id": record.target_id,
                "style": report.options.style,
                "snapshots": [
                    {
                        "start_time": snapshot.start_ns + snapshot.wall_offset_ns,
                        "end_time": snapshot.end_ns + snapshot.wall_offset_ns,
                        "total_bytes": total,
                        **distribution.to_plain(
                            SnapshotView(view, snapshot, total, report.bounds), report.options.style
                        ),
                    }
                    for snapshot, total in zip(record.snapshots, totals, strict=True)
                ],
            }
        )
    yield json.dumps(found, indent=4)


def parts(template: str, keywords: Mapping[str, Keyword]) -> list[str | Keyword]:
    """A template cut into literal text and keywords; what is no keyword of this position stays literal."""
    parts: list[str | Keyword] = []
    literal, at = "", 0
    while at < len(template):
        close = template.find(">", at) if template[at] == "<" else -1
        keyword = keywords.get(template[at : close + 1]) if close > 0 else None
        if keyword is None:
            literal += template[at]
            at += 1
            continue
        parts += [literal, keyword]
        literal, at = "", close + 1
    return [*parts, literal]


def block(template: str, keywords: Mapping[str, Keyword], view: RecordView | SnapshotView, options: Options) -> str:
    return "".join(
        part if isinstance(part, str) else part.show(view).ljust(options.min_chars.get(part.name, 0))
        for part in parts(template, keywords)
    )


def _region_lines(template: str, view: SnapshotView, options: Options) -> Iterator[str]:
    """One line per region, made column by column: each keyword formats all its values at once."""
    found = parts(template, REGION)
    line = "".join(
        part.replace("%", "%%") if isinstance(part, str) else f"%-{options.min_chars.get(part.name, 0)}s"
        for part in found
    )
    columns = [part.show(view) for part in found if isinstance(part, Keyword)]
    if not columns:
        return iter([line % ()] * len(view.regions))
    return map(line.__mod__, zip(*columns, strict=True))
