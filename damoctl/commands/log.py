"""damoctl log: who changed what, by uid, pid, method and policy generation."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from damod.errors import UsageError

if TYPE_CHECKING:
    from damoctl.context import Context

_LATEST = 50
_EXAMPLES = """\
  damoctl log                      the latest changes
  damoctl log --since 1h           those of the last hour
  damoctl log --since 2026-01-31   those since then
  damoctl log --follow             and those to come
"""


def parser() -> argparse.ArgumentParser:
    from damoctl.options import Parser

    words = Parser(
        "log",
        "Who changed what: the time, the user and pid that asked, the socket's method with its parameters, and the\n"
        "generation that the policies were at afterwards. The method `policies` is what damod did itself to keep to\n"
        "them. The log lasts until reboot; `journalctl -u damod DAMOD_METHOD=kdamonds.stop` goes back further.",
        _EXAMPLES,
    )
    words.add_argument("--since", metavar="WHEN", help="a time ago (10m, 2h), or an ISO date and time")
    words.add_argument("-n", "--lines", type=int, metavar="N", help=f"at most the last N (default: {_LATEST})")
    words.add_argument("--follow", "-f", action="store_true", help="go on with what changes from now on")
    words.add_argument("--json", action="store_true", help="for programs; with --follow a line for each")
    return words


def run(argv: list[str], ctx: Context) -> int:
    """Print the log, and what is added to it."""
    args = parser().parse_args(argv)
    as_json = args.json or ctx.json
    if args.lines is not None and args.lines < 0:
        raise UsageError(f"log: -n {args.lines} is less than nothing", hint="damoctl log --help")
    params: dict[str, Any] = {}
    if args.since is not None:
        params["since_s"] = since(args.since)
    if args.lines is not None or args.since is None:
        params["last"] = _LATEST if args.lines is None else args.lines
    with ctx.client() as client:
        # First the stream, so that nothing falls between the two; what is in both is shown once.
        told = client.stream(["log"]) if args.follow else None
        entries = client.call("log.list", **params)["entries"]
        if as_json and not args.follow:
            ctx.print_json({"entries": entries})
            return 0
        for entry in entries:
            _show(entry, ctx, as_json=as_json)
        if not entries and not args.follow:
            ctx.note("damoctl: nothing has been changed" + (" since then" if args.since else ""))
        try:
            for event in told or ():
                if event["log"] not in entries:
                    _show(event["log"], ctx, as_json=as_json)
        except KeyboardInterrupt:
            pass
    return 0


def _show(entry: Mapping[str, Any], ctx: Context, *, as_json: bool) -> None:
    if as_json:
        import json

        ctx.print(json.dumps(entry))
    else:
        ctx.print(line(entry))
    ctx.stdout.flush()


def line(entry: Mapping[str, Any]) -> str:
    """An entry as a row: time, generation, who, what."""
    from time import localtime, strftime

    at = strftime("%Y-%m-%d %H:%M:%S", localtime(entry["wall_ns"] // 10**9))
    words = f"{at}  g{entry['generation']:<3} {_user(entry['uid']):<10} {entry['pid']:>7}  {entry['method']:<16}"
    failed = f"  [not done: {entry['error']}]" if entry["error"] else ""
    return f"{words} {entry['what']}{failed}".rstrip()


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def since(text: str) -> float:
    """Seconds after the epoch of an ISO date (and time), or of a time ago. Raises UsageError."""
    from datetime import datetime
    from time import time

    from damod import units

    try:
        return time() - float(units.parse_time_ns(text, "s")) / 1e9
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as exc:
        raise UsageError(
            f"log: --since {text}: neither a time ago nor a date", hint="10m, 2h, 2026-01-31, 2026-01-31T12:00"
        ) from exc
