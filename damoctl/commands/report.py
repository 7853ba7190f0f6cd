"""`damoctl report TYPE`: a table of report types, each imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from damoctl.examples import of
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

NAME = "report"
HELP = "show what monitoring found"

# type -> (module with run(argv, ctx) -> int, one line of help)
TYPES: dict[str, tuple[str, str]] = {
    "access": ("damoctl.commands.report_access", "access patterns of the monitored memory"),
    "damon": ("damoctl.commands.report_damon", "kdamonds: parameters, state, what their schemes did"),
    "heatmap": ("damoctl.commands.report_heatmap", "when which memory was accessed how often, as a picture"),
    "wss": ("damoctl.commands.report_wss", "working set sizes"),
    "footprints": ("damoctl.commands.report_footprints", "memory that processes had and the system used"),
    "times": ("damoctl.commands.report_times", "when memory looked as filters say"),
    "profile": ("damoctl.commands.report_profile", "CPU profile of the times when memory looked as filters say"),
    "holistic": ("damoctl.commands.report_holistic", "heatmaps, working sets, footprints, hot functions in one page"),
    "record_info": ("damoctl.commands.report_record_info", "what a record is about: times, targets, address ranges"),
    "attrs": ("damoctl.commands.report_attrs", "access patterns with the hits of data attribute probes"),
    "trace": ("damoctl.commands.report_trace", "DAMON's trace events, as they come or from a file"),
    "pa_layout": ("damoctl.commands.report_pa_layout", "what lies where in physical memory, and on which node"),
    "sysinfo": ("damoctl.commands.report_sysinfo", "versions, tracers, and what this kernel's DAMON has"),
    "nr_regions": ("damoctl.commands.report_nr_regions", "how many regions DAMON used"),
}


def run(argv: Sequence[str], ctx: Context) -> int:
    """Run the report that the first word names with the rest of the words."""
    if argv and argv[0] in ("-h", "--help"):
        ctx.term.write(usage())
        return 0
    if not argv:
        raise UsageError("report what?", hint=f"one of: {', '.join(TYPES)}")
    found = TYPES.get(argv[0])
    if found is None:
        from damoctl.renamed import gone
        from damod.near import near

        raise UsageError(
            f"there is no report {argv[0]!r}{near(argv[0], TYPES)}",
            hint=gone(f"report {argv[0]}") or f"reports are: {', '.join(TYPES)}",
        )
    status: int = import_module(found[0]).run(argv[1:], ctx)
    return status


def usage() -> list[str]:
    """The lines of ``damoctl report --help``."""
    width = max(map(len, TYPES))
    return [
        "usage: damoctl report TYPE [options]",
        "",
        *of("report").splitlines(),
        "",
        "types:",
        *(f"  {name:<{width}}  {about}" for name, (_, about) in TYPES.items()),
    ]
