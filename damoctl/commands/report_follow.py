"""`damoctl report access --follow`: the report again for each new snapshot, as the daemon's stream brings them.

On a terminal the newest snapshot of every target is redrawn in place. Elsewhere what is new is appended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.reports import access
from damod.access.record import from_live
from damod.access.snapshot import Snapshot
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from damoctl.context import Context
    from damoctl.reports.options import Options
    from damoctl.term.term import Term

_TITLE = "damoctl report access --follow (Ctrl-C ends)"
Key = tuple[int, int, int]


def follow(ctx: Context, shown: Options, term: Term, interval_s: float) -> int:
    """Show what comes until Ctrl-C. Raises DaemonUnreachable when the daemon goes."""
    if interval_s < 0:
        raise UsageError(f"--follow {interval_s:g}: the interval is negative")
    redrawn = term.tty and not shown.as_json
    with ctx.client() as client:
        events = client.stream(["snapshots", "status"], interval_s=interval_s)
        newest: dict[Key, Snapshot] = {}
        new: dict[Key, Snapshot] = {}
        idle = False
        if redrawn:
            from damoctl.term.screen import CLEAR

            term.stream.write(CLEAR)
        try:
            for event in events:
                if event["kind"] == "status":
                    running = {item["index"] for item in event["status"]["kdamonds"]}
                    newest = {key: item for key, item in newest.items() if key[0] in running}
                    if not running and not idle:
                        ctx.note("damoctl: no kdamond is running; waiting for one (`damoctl start`)")
                    idle = not running
                else:
                    _note_lost(ctx, event, redrawn=redrawn)
                    snapshot = Snapshot.from_wire(event["snapshot"])
                    key = snapshot.kdamond, snapshot.context, snapshot.target
                    new[key] = newest[key] = snapshot
                # Those of one look come together and are shown together.
                if new and not client.pending:
                    found = newest if redrawn else new
                    _show([found[key] for key in sorted(found)], shown, term, redrawn=redrawn)
                    new.clear()
        except KeyboardInterrupt:
            pass
    return 0


def _note_lost(ctx: Context, event: Mapping[str, Any], *, redrawn: bool) -> None:
    # A screen that is drawn over shows the newest anyway.
    if event["lost"] and not redrawn:
        ctx.note(f"damoctl: {event['lost']} snapshots were lost, since they were not read in time")


def _show(snapshots: list[Snapshot], shown: Options, term: Term, *, redrawn: bool) -> None:
    lines = access.render(access.compute(from_live(snapshots), shown, live=True), term)
    if redrawn:
        import shutil

        from damoctl.term.screen import redraw

        size = shutil.get_terminal_size()
        term.stream.write(redraw(_TITLE, "\n".join(lines).split("\n"), size.lines))
        term.stream.flush()
    elif shown.as_json:
        term.write(_one_line(lines))
    else:
        term.write(lines)


def _one_line(lines: Iterator[str]) -> Iterator[str]:
    import json

    yield json.dumps(json.loads("\n".join(lines)))
