"""damoctl adjust: a record with only some of its accesses, or with longer aggregation intervals, as a new record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damoctl.flags import access as flags
from damoctl.flags import words
from damoctl.flags.option import Option, Word
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from damoctl.context import Context
    from damod.access.snapshot import Snapshot

EXAMPLES = """\
  damoctl adjust --address 4G 8G --output low.data
  damoctl adjust --input day.data --aggregate_interval 1s
"""
OPTIONS: tuple[Option, ...] = (
    Option(
        ("--aggregate_interval",), "adjust",
        "Join consecutive snapshots until they are this long. A bare number is in microseconds.", (Word("time", "us"),),
    ),
    Option(
        ("--skip",), "adjust", "Leave out this many snapshots at the beginning.", (Word("number", "count"),),
        default="20 with --aggregate_interval, else 0",
    ),
    Option(("--input", "-i"), "files", "The record.", (Word("file", "file"),), default="damon.data"),
    Option(("--output", "-o"), "files", "The new record.", (Word("file", "file"),), default="damon.adjusted.data"),
    Option(
        ("--output_type",), "files", "Its format.",
        (Word("type", choices=("json_compressed", "json", "perf_script", "parquet")),), default="json_compressed",
    ),
    Option(("--output_permission",), "files", "Its permission (octal).", (Word("octal"),), default="600"),
    Option(("--help", "-h"), "files", "Show this help."),
)  # fmt: skip
TABLES = (OPTIONS, flags.FILTERS)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Write the adjusted record."""
    line = words.parse(argv, [option for table in TABLES for option in table])
    if line.rest:
        raise UsageError(f"adjust takes no {' '.join(line.rest)!r}", hint="the record is given with --input")
    given = flags.values(line.uses)
    if "help" in given:
        ctx.term.write(usage())
        return 0

    def last(name: str, default: Any) -> Any:
        return given[name][-1][0] if name in given else default

    aggr_us = last("aggregate_interval", None)
    if aggr_us == 0:
        raise UsageError("--aggregate_interval 0: snapshots cannot be joined to nothing")
    mode = _mode(last("output_permission", "600"))

    from damoctl.named import located
    from damoctl.reports import options
    from damod.access import measure, select
    from damod.records import convert
    from damod.records.adjust import Adjusted
    from damod.records.file import as_lists
    from damod.records.reader import open_record

    selection = options.selection(given, measure.DEFAULT_WEIGHTS)

    def selected(snapshots: Iterable[Snapshot]) -> Iterable[Snapshot]:
        from dataclasses import replace

        plain = (replace(one, regions=as_lists(one.regions)) for one in snapshots)
        return (snapshot for snapshot, _ in select.snapshots(plain, selection))

    with open_record(located(last("input", "damon.data"), ctx)) as record:
        if select.needs_intervals(selection):
            _check_intervals(record)
        changes = [selected] if selection != select.Selection() else []
        skip = last("skip", 0 if aggr_us is None else 20)
        adjusted = Adjusted(record, changes, aggr_us=aggr_us, skip=skip)
        convert.write(
            adjusted, last("output", "damon.adjusted.data"), last("output_type", "json_compressed"), mode=mode
        )
        for warning in adjusted.warnings:
            ctx.note(f"damoctl: {warning}")
    return 0


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise UsageError(f"--output_permission {text}: not a permission like 600 or 644")
    return mode


def _check_intervals(record: Any) -> None:
    for part in record.columns("aggr_us"):
        if not part["aggr_us"].all():
            raise UsageError(
                f"{record.name} does not say its intervals, so access rates, ages and temperatures are unknown",
                hint="filter by size, address, snapshot time or index instead",
            )


def usage() -> list[str]:
    """The lines of ``damoctl adjust --help``."""
    from damoctl.flags.help import command_help

    about = "Write a new record with some of a record's accesses, or with its snapshots joined."
    return command_help("adjust", about, EXAMPLES, OPTIONS, [("which accesses", flags.FILTERS)]).split("\n")
