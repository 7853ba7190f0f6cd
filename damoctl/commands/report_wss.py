"""`damoctl report wss`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.flags import recording
from damoctl.flags.option import Option, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

OPTIONS = (
    Option(
        ("--acc_thres", "-t"), "filter", "Least samples of a region in the working set.", (Word("samples", "count"),),
        default="1",
    ),
    Option(("--sz_thres",), "filter", "Least size of a region in the working set.", (Word("size", "bytes"),),
           default="1"),
    Option(
        ("--work_time",), "source", "Join consecutive snapshots until they are at least so long.",
        (Word("time", "us"),), default="1",
    ),
    Option(("--all_wss",), "format", "Print all values, not percentiles."),
    Option(("--per_target",), "format", "Each target for itself, not their sum."),
    Option(("--collapse_targets",), "format", "The sum of all targets (the default)."),
    recording.RAW,
)  # fmt: skip
TABLES = (
    recording.COMMON,
    OPTIONS,
    (recording.EXCLUDE, recording.RANGE, recording.SORT, recording.PLOT, recording.BAR),
)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show the distribution of working set sizes in a recording."""
    given = recording.read(argv, ctx, "wss", TABLES)
    if given is None:
        return 0
    from damoctl.reports import load, spread, wss

    options = wss.Options(
        exclude=given.one("exclude_samples", 20 if given.compat else 0),
        min_samples=given.one("acc_thres", 1),
        min_size=given.one("sz_thres", 1),
        work_us=given.one("work_time", 1),
        per_target="per_target" in given and "collapse_targets" not in given,
        compat=given.compat,
        by_size=given.one("sortby") != "time",
    )
    look = spread.Look(
        points=given.points(spread.POINTS),
        # damo does not sort the sums
        by_time=given.one("sortby") == "time" or (given.compat and not options.per_target),
        columns=given.one("nr_cols_bar", 59),
        raw="raw_number" in given,
        all_values="all_wss" in given,
    )
    with load.opened(given.inputs, ctx, compat=given.compat) as source:
        found = wss.compute(source, options)
    if given.json:
        ctx.print_json(spread.to_plain(found, look, "wss"))
    elif "plot" in given:
        from damoctl.reports import chart
        from damod import units

        chart.draw(
            found,
            look,
            given.one("plot"),
            "working set size",
            ctx,
            show=lambda value: units.size(value, raw=look.raw),
            is_bytes=True,
        )
    else:
        ctx.term.write(wss.render(found, look))
    return 0
