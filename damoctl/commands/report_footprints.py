"""`damoctl report footprints`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from damoctl.flags import recording
from damoctl.flags.option import Option
from damod.errors import UsageError
from damod.near import near

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

OPTIONS = (
    Option(("--all_footprint",), "format", "Print all values, not percentiles."),
    recording.RAW,
)
TABLES = (recording.COMMON, OPTIONS, (recording.RANGE, recording.SORT, recording.PLOT, recording.BAR))


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show the distribution of memory footprints in a recording."""
    given = recording.read(argv, ctx, "footprints", TABLES, most=1)
    if given is None:
        return 0
    from damoctl.reports import footprints, spread

    metric = given.rest[0] if given.rest else "all"
    if metric not in (*footprints.METRICS, "all"):
        raise UsageError(
            f"there is no footprint {metric!r}{near(metric, footprints.METRICS)}",
            hint=f"one of {', '.join(footprints.METRICS)}, all",
        )
    metrics = footprints.METRICS if metric == "all" else (metric,)
    path = given.inputs[-1] if given.inputs else "damon.data.mem_footprint"
    beside = f"{path}.mem_footprint"
    if Path(beside).is_file():  # the record was named, not its side file
        path = beside
    entries = footprints.read(path)
    found = footprints.compute(entries, metrics, path)
    if metrics != ("sys_used",) and footprints.without_processes(entries):
        ctx.note(f"damoctl: no process is in {path}, as none was monitored: vsz and rss are 0, and sys_used counts")
    look = spread.Look(
        points=given.points(spread.POINTS),
        by_time=given.one("sortby") == "time",
        columns=given.one("nr_cols_bar", 59),
        raw="raw_number" in given,
        all_values="all_footprint" in given,
    )
    if given.json:
        ctx.print_json(
            {
                name: {key: value for key, value in plain.items() if key != "target_id"}
                for name, item in found.items()
                for plain in spread.to_plain([item], look, "values")
            }
        )
    elif "plot" in given:
        from damoctl.reports import chart
        from damod import units

        chart.draw(
            list(found.values()),
            look,
            given.one("plot"),
            ", ".join(found),
            ctx,
            show=lambda value: units.size(value, raw=look.raw),
            is_bytes=True,
        )
    else:
        ctx.term.write(footprints.render(found, look))
    return 0
