"""`damoctl report nr_regions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.flags import recording
from damoctl.flags.option import Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

OPTIONS = (Option(("--all_nr_regions",), "format", "Print all values, not percentiles."),)
TABLES = (recording.COMMON, OPTIONS, (recording.EXCLUDE, recording.RANGE, recording.SORT, recording.PLOT))


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show the distribution of the number of regions in a recording."""
    given = recording.read(argv, ctx, "nr_regions", TABLES)
    if given is None:
        return 0
    from damoctl.reports import load, nr_regions, spread

    look = spread.Look(
        points=given.points(spread.POINTS),
        by_time=given.one("sortby") == "time",
        all_values="all_nr_regions" in given,
    )
    with load.opened(given.inputs, ctx, compat=given.compat) as source:
        found = nr_regions.compute(source, exclude=given.one("exclude_samples", 20 if given.compat else 0))
    if given.json:
        ctx.print_json(spread.to_plain(found, look, "nr_regions"))
    elif "plot" in given:
        from damoctl.reports import chart

        chart.draw(found, look, given.one("plot"), "number of regions", ctx, show=str, is_bytes=False)
    else:
        ctx.term.write(nr_regions.render(found, look))
    return 0
