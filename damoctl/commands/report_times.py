"""`damoctl report times`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.flags import access, recording
from damoctl.flags.option import Option, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context
    from damoctl.flags.recording import Given
    from damod.access.select import Selection

OPTIONS = (
    Option(
        ("--inputs",), "source", "Old form: the record, and a profile that is not used.",
        (Word("record", "file"), Word("profile", "file")), least=1, hidden=True,
    ),
    Option(
        ("--temperature_weights",), "filter", "Weights of size, access rate and age for --temperature.",
        (Word("size", "int"), Word("access rate", "int"), Word("age", "int")), default="0 100 100",
    ),
)  # fmt: skip


def selection(given: Given) -> Selection:
    """What the filters of group F keep."""
    from damoctl.reports import options
    from damod.access import measure

    size, rate, age = given.words("temperature_weights", measure.DEFAULT_WEIGHTS)
    return options.selection(given.found, (size, rate, age))


TABLES = (recording.COMMON, access.FILTERS, OPTIONS)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show when any memory looked as the filters say."""
    given = recording.read(argv, ctx, "times", TABLES)
    if given is None:
        return 0
    from damoctl.reports import load, times

    paths = given.inputs or given.words("inputs", [])[:1]
    with load.opened(paths, ctx, compat=given.compat) as source:
        found = times.compute(source, selection(given), compat=given.compat)
    if given.json:
        ctx.print_json(times.to_plain(found))
    else:
        if not found:
            ctx.note("damoctl: no snapshot of the record matches")
        ctx.term.write(times.render(found))
    return 0
