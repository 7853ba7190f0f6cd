"""`damoctl report attrs`: as `report access`, by the hits of data attribute probes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from damoctl.commands import report_access
from damoctl.commands.report_access import Source
from damoctl.flags import access as flags
from damoctl.flags import recording, words
from damoctl.flags.option import Option, Word
from damoctl.named import all_located
from damoctl.reports import access, attrs, options
from damoctl.reports.vmas import Names
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context
    from damoctl.reports.attrs import Probed

STYLES = tuple(style for style in flags.STYLES if style not in ("simple-boxes", "cold", "hot"))
_OTHERWISE = ("style", "sort_regions_by", "sort_regions_dsc", "temperature_weights")
OPTIONS: tuple[Option, ...] = (
    *(option for option in report_access.OPTIONS if option.key != "follow"),
    *flags.FILTERS,
    Option(
        ("--style",), "format", "A preset of the formats below.", (Word("style", choices=STYLES),), default="detailed"
    ),
    Option(
        ("--sort_regions_by",), "format", "Sort regions by these keys; the last one dominates; `reverse` behind a key"
        " sorts from large to small.", (Word("key", choices=(*attrs.SORT_KEYS, "reverse")),), more=True,
        default="temperature",
    ),
    Option(
        ("--temperature_weights",), "format", "Weights of weighted probe hits, age (us) and size (bytes).",
        (Word("probe hits", "int"), Word("age", "int"), Word("size", "int")), default="100 100 0",
    ),
    Option(
        ("--adjust_region",), "format",
        "Scale size or probe hits of each region by df_passed (share of bytes that passed the filters) or"
        " probe_hits_rate: <size|probe_hits> [probe idx] <df_passed|probe_hits_rate> [probe idx]. May be repeated.",
        (Word("field"),), more=True, repeat=True,
    ),
    *(
        option for option in flags.FORMATS
        if option.key not in _OTHERWISE and not option.key.startswith(("region_box", "format_"))
    ),
)  # fmt: skip
EXAMPLES = (
    ("damoctl start --probe --probe_filter allow anon", "anonymous pages of each region"),
    ("damoctl report attrs", "what has fewest of them first"),
    ("damoctl report attrs --sort_regions_by address", "in order of address"),
    ("damoctl report attrs --adjust_region size probe_hits_rate 0", "only as large as its share of them"),
)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show regions by probe hits, of a record or live."""
    line = words.parse(argv, OPTIONS)
    if line.rest:
        raise UsageError(f"report attrs takes no {' '.join(line.rest)!r}", hint="a record is given with --input")
    given = flags.values(line.uses)
    if "help" in given:
        ctx.term.write(recording.usage("attrs", OPTIONS, EXAMPLES))
        return 0
    paths, schemes = report_access.inputs(given)
    paths = all_located(paths, ctx)
    filters = report_access.page_filters(given)
    report_access.check_sources(paths, schemes, filters)
    shown = replace(_options(given, ctx), vmas=Names(paths or [report_access.DEFAULT_RECORD]))
    scale = [attrs.adjustment(use) for use in given.get("adjust_region", ())]
    term = ctx.term if report_access.repeat(given)[1] == 1 else ctx.term._replace(pager=False)
    source = Source(ctx, paths, filters, schemes, compat=shown.compat)

    def show() -> None:
        records = source.records()
        attrs.check(records)
        found = [attrs.adjusted(record, scale, compat=shown.compat) for record in records]
        made = access.compute(found, replace(shown, attrs=_probed(source, paths)))
        if shown.compat and scale:
            # damo's totals are of the regions before
            whole = access.compute(records, made.options)
            made = made._replace(totals=whole.totals)
        report_access.present(made, given, term)

    return report_access.repeated(given, show)


def _options(given: dict[str, list[list[Any]]], ctx: Context) -> options.Options:
    """The options of `report access`, with the sort keys and weights of probe hits."""
    weights = given.pop("temperature_weights", [attrs.WEIGHTS])[-1]
    keys = given.pop("sort_regions_by", [["temperature"]])[-1]
    sort: list[tuple[str, bool]] = []
    for key in keys:
        if key == "reverse":
            if not sort:
                raise UsageError("--sort_regions_by reverse: reverse what? It stands behind a key")
            sort[-1] = (sort[-1][0], True)
        else:
            sort.append((key, False))
    widths = {**attrs.MIN_CHARS, **{f"<{name.strip('<>')}>": count for name, count in given.get("min_chars_for", ())}}
    compat = "compat" in given
    made = options.from_words(given, compat=compat, newest=compat)
    return replace(
        made, sort=sort, weights=tuple(weights), min_chars=widths, as_json=made.as_json or ctx.json,
        merge=False,
        selection=made.selection._replace(weights=tuple(weights)),
    )  # fmt: skip


def _probed(source: Source, paths: Sequence[str]) -> Probed:
    """The probes: of the daemon's kdamonds, or of what lies beside the first record that has it, or is in it."""
    if source.live:
        rows = source.probed
        return attrs.of_kdamonds([row["spec"] for row in rows], [row["index"] for row in rows])
    for path in paths or [report_access.DEFAULT_RECORD]:
        if (found := attrs.beside(path)) is not None:
            return found
    for path in paths or [report_access.DEFAULT_RECORD]:
        if path != "-":
            from damod.records.reader import open_record

            with open_record(path) as file:
                if file.meta.kdamonds:
                    return attrs.of_kdamonds(file.meta.kdamonds)
    return attrs.Probed({})
