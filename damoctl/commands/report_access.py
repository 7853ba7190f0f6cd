"""`damoctl report access`: where the snapshots come from, and how often.

Source, first that there is: the records given; what the running kdamonds see; ./damon.data; the idle times of
damon_stat.
"""

from __future__ import annotations

import os
from dataclasses import replace
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from damoctl.flags import access as flags
from damoctl.flags import words
from damoctl.flags.option import Option, Word
from damoctl.reports import access, options
from damod.access.record import Record, from_live
from damod.access.snapshot import Snapshot
from damod.errors import DaemonUnreachable, NoData, NotAllowed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

DEFAULT_RECORD = "damon.data"

OPTIONS: tuple[Option, ...] = (
    Option(
        ("--input", "-i"), "source", "A record; - is standard input. May be repeated.", (Word("file", "file"),),
        more=True, repeat=True,
    ),
    Option(("--input_file",), "source", "Old form of --input.", (Word("file", "file"),), more=True, hidden=True),
    Option(
        ("--repeat",), "source", "Show it again every delay (1s), count times (for ever). A bare delay is in seconds.",
        (Word("delay", "seconds"), Word("count", "count")), least=0,
    ),
    Option(
        ("--compat",), "format", "Compute as damo does, including what it gets wrong.",
        (Word("tool", choices=("damo",)),),
    ),
    Option(("--help", "-h"), "format", "Show this help."),
)  # fmt: skip


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show the accesses as the words say; the words are all of option groups F and X and `OPTIONS`."""
    line = words.parse(argv, (*OPTIONS, *flags.FILTERS, *flags.FORMATS))
    if line.rest:
        raise UsageError(f"report access takes no {' '.join(line.rest)!r}", hint="a record is given with --input")
    given = flags.values(line.uses)
    if "help" in given:
        ctx.term.write(usage())
        return 0
    if any(name.startswith("ls_") for name in given):
        raise UsageError(
            "the keywords of formats are in the help",
            hint="damoctl help access_format_options {record,snapshot,region}_format_keywords",
        )
    compat = "compat" in given
    shown = options.from_words(given, compat=compat)
    if ctx.json:
        shown = replace(shown, as_json=True)
    paths = [path for name in ("input", "input_file") for use in given.get(name, ()) for path in use]
    term = ctx.term
    delay_s, count = _repeat(given)
    if count != 1:
        term = term._replace(pager=False)
    client: list[Any] = []
    due = monotonic()
    try:
        while True:
            records, live = _records(paths, ctx, client, compat=compat)
            term.write(access.render(access.compute(records, shown, live=live), term))
            count -= 1
            if count == 0:
                return 0
            due = max(due + delay_s, monotonic())
            sleep(max(due - monotonic(), 0))
    except KeyboardInterrupt:
        if "repeat" not in given:
            raise
        return 0


def _repeat(given: dict[str, list[list[Any]]]) -> tuple[float, int]:
    """Delay in seconds and how many times; a negative count never reaches zero."""
    if "repeat" not in given:
        return 0.0, 1
    said = given["repeat"][-1]
    delay_s = said[0] if said else 1.0
    if delay_s < 0:
        raise UsageError(f"--repeat {delay_s:g}: the delay is negative")
    if len(said) > 1 and said[1] == 0:
        raise UsageError("--repeat: 0 times shows nothing")
    return delay_s, said[1] if len(said) > 1 else -1


def _records(paths: Sequence[str], ctx: Context, client: list[Any], *, compat: bool) -> tuple[list[Record], bool]:
    """The records to show, and whether they are live; `client` keeps the connection for the next time."""
    if paths:
        return _read(paths, compat=compat), False
    trouble: DaemonUnreachable | NotAllowed | NoData
    try:
        if not client:
            client.append(ctx.client())
        answer = client[0].call("kdamonds.snapshot")
    except (DaemonUnreachable, NotAllowed) as exc:
        trouble = exc
        client.clear()
    except NoData as exc:
        # Running but silent is not the same as not running: an old file would be mistaken for the answer.
        if _running(client[0]):
            raise
        trouble = exc
    else:
        snapshots = [Snapshot.from_wire(wire) for wire in answer["snapshots"]]
        if any(snapshot.source != "damon_stat" for snapshot in snapshots):
            return from_live(snapshots), True
        if snapshots and not os.path.exists(DEFAULT_RECORD):  # noqa: PTH110 (pathlib is slow to load)
            return from_live(snapshots), True
        trouble = NoData("no kdamond is running", hint="damoctl start, or give a record with --input")
    if os.path.exists(DEFAULT_RECORD):  # noqa: PTH110
        ctx.note(f"damoctl: showing ./{DEFAULT_RECORD}: {trouble.message}")
        return _read([DEFAULT_RECORD], compat=compat), False
    raise trouble


def _running(client: Any) -> bool:
    return any(kdamond.get("state") == "on" for kdamond in client.call("daemon.status").get("kdamonds", ()))


def _read(paths: Sequence[str], *, compat: bool) -> list[Record]:
    import sys

    from damod.records import damo_json

    found: list[Record] = []
    for path in paths:
        if path == "-":
            found += damo_json.read_stream(sys.stdin.buffer, "standard input", compat=compat)
        else:
            found += damo_json.read(path, compat=compat)
    return found


def usage() -> list[str]:
    """The lines of ``damoctl report access --help``."""
    lines = ["usage: damoctl report access [options]", ""]
    for title, table in (("source and output", OPTIONS), ("which accesses", flags.FILTERS), ("how", flags.FORMATS)):
        lines.append(f"{title}:")
        for option in table:
            if not option.hidden:
                default = f" (default: {option.default})" if option.default else ""
                lines += [f"  {option.synopsis()}", f"        {option.about}{default}"]
        lines.append("")
    return lines[:-1]
