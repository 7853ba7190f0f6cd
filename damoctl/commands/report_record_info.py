"""`damoctl report record_info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.flags import recording
from damoctl.flags.option import Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

OPTIONS = (Option(("--raw_numbers", "--raw_number"), "format", "Plain numbers: bytes, nanoseconds."),)
TABLES = (recording.COMMON, OPTIONS)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show which times and addresses a record has, of which targets."""
    given = recording.read(argv, ctx, "record_info", TABLES)
    if given is None:
        return 0
    from damoctl.reports import guide, load

    with load.opened(given.inputs, ctx, compat=given.compat) as source:
        found = guide.compute(source, compat=given.compat)
    if given.json:
        ctx.print_json([item.to_plain() for item in found])
    else:
        ctx.term.write(guide.render(found, raw="raw_numbers" in given, compat=given.compat, newest=given.newest))
    return 0
