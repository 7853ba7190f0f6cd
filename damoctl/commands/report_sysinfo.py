"""`damoctl report sysinfo`: versions, tools, and what this kernel's DAMON has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.flags import recording
from damoctl.flags.option import Option, Word
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

SECTIONS = (
    "versions", "fs_info", "trace_cmd_info", "perf_info", "sysfs_features", "debugfs_features", "trace_features",
    "stat_features", "lru_sort_features", "reclaim_features", "interfaces", "unavailable_features", "all",
)  # fmt: skip
OPTIONS = (
    Option(("--print",), "format", "Sections to show.", (Word("section", choices=SECTIONS),), more=True,
           default="versions interfaces"),
    Option(("--invalidate_cache",), "source", "Accepted for damo's users: nothing is cached here.", hidden=True),
    recording.JSON,
    recording.HELP,
)  # fmt: skip
EXAMPLES = (
    ("damoctl report sysinfo", "versions, and what this kernel has"),
    ("damoctl report sysinfo --print all", "everything"),
    ("damoctl report sysinfo --print unavailable_features", "what this kernel lacks"),
)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show what is known of this system."""
    given = recording.read(argv, ctx, "sysinfo", (OPTIONS,), examples=EXAMPLES)
    if given is None:
        return 0
    from damoctl.reports import sysinfo

    sections = [name for use in given.every("print") for name in use] or ["versions", "interfaces"]
    if "print" in given and not sections:
        raise UsageError("--print needs a section", hint=", ".join(SECTIONS))
    with ctx.client() as client:
        info = client.call("machine.info")
    found = sysinfo.compute(info, sysinfo.tools())
    if given.json:
        ctx.print_json(sysinfo.to_plain(found))
    else:
        ctx.term.write(sysinfo.render(found, sections))
    return 0
