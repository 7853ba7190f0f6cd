"""damoctl watch: a full-screen view of memory as it is accessed, live or of a recording."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from damod.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from damoctl.context import Context
    from damoctl.options import Parser
    from damoctl.watch.model import Model
    from damoctl.watch.source import Source

EXAMPLES = """\
  damoctl watch                            what damod monitors, live; ? shows the keys, q ends
  damoctl watch --kdamond 1 --sort cold    begin with another kdamond, coldest regions first
  damoctl watch --input damon.data         a recording; space plays it, up and down seek
  damoctl watch --input damon.data --at 30s --window 10s
"""
SORTS = ("hot", "cold", "size", "address", "access", "age")


def parser() -> Parser:
    """The command's words."""
    from argparse import SUPPRESS

    from damoctl.options import Parser

    made = Parser("watch", "Watch memory in a full-screen view: heat over time, regions, schemes, costs.", EXAMPLES)
    made.add_argument(
        "--input", "-i", nargs="+", metavar="FILE",
        help="a record: a file, a directory of rotated segments, or the name of a detached recording",
    )  # fmt: skip
    made.add_argument("--kdamond", type=int, metavar="KDAMOND", help="begin with this kdamond (its index)")
    made.add_argument("--target", type=int, metavar="ID", help="begin with this target: a pid, or its index")
    made.add_argument("--at", metavar="TIME", help="begin at this time after the beginning of the record")
    made.add_argument("--window", metavar="TIME", help="show so much time at once")
    made.add_argument("--sort", choices=SORTS, default="hot", help="order of the regions (default: hot)")
    made.add_argument("--ascii", action="store_true", help="no block and line characters, for terminals without them")
    made.add_argument("--json", action="store_true", help=SUPPRESS)
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Watch until q."""
    args = parser().parse_args(argv)
    if ctx.json or args.json:
        raise UsageError("watch is for a person at a terminal", hint="for programs: `damoctl stream --json`")
    at, window = _time("--at", args.at), _time("--window", args.window)
    if at is not None and not args.input:
        raise UsageError("--at needs a record", hint="damoctl watch --input damon.data --at 30s")
    need_terminal(ctx, "watch", _elsewhere(args))
    source, model = _source(args, ctx)
    model.sort = args.sort
    from damoctl.watch.model import Start

    model.begin(Start(kdamond=args.kdamond, target_id=args.target, at_ns=at, window_ns=window))
    show(model, source, ctx, plain=args.ascii)
    return 0


def _elsewhere(args: Namespace) -> str:
    """What does without a terminal."""
    if args.input:
        return f"`damoctl report heatmap --input {args.input[0]}` prints a picture"
    return "`damoctl stream --json` or `damoctl report access --follow` go into pipes and files"


def need_terminal(ctx: Context, name: str, hint: str) -> None:
    """UsageError where nobody could see a full-screen view."""
    import os

    if not (ctx.stdout.isatty() and sys.stdin.isatty()):
        raise UsageError(f"{name} fills a terminal, and this is none", hint=hint)
    if not ctx.stderr.isatty():  # where textual draws
        raise UsageError(f"{name} draws on standard error, which is no terminal", hint="leave out the redirection")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(f"{name} fills a terminal, and TERM says that this one cannot place its cursor", hint=hint)


def _time(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    from damod.units import parse_time_ns

    try:
        found = int(parse_time_ns(text, "s"))
    except ValueError as exc:
        raise UsageError(f"{name}: {exc}") from exc
    if found < 0:
        raise UsageError(f"{name} {text}: a time from 0 on")
    return found


def _source(args: Namespace, ctx: Context) -> tuple[Source | None, Model]:
    """Where data come from, and the model; all of a recording is in the model already."""
    from damoctl.watch.model import Model

    if args.input:
        from damoctl.watch.recording import RecordSource

        record = RecordSource(args.input, ctx)
        model = Model(record.name, live=False)
        record.start(model.feed)
        model.aside = record.aside(model)
        return None, model
    from damoctl.watch.live import LiveSource

    live = LiveSource(ctx.client)
    return live, Model(live.name, live=True)


def show(model: Model, source: Source | None, ctx: Context, *, plain: bool = False) -> None:
    """Have the model on the terminal until it is done."""
    import os

    if ctx.color == "never":
        os.environ["NO_COLOR"] = "1"  # as textual wants to be told
    for name in ("COLUMNS", "LINES"):  # exported ones stay as they are when the terminal changes its size
        os.environ.pop(name, None)
    from damoctl.watch.app import WatchApp

    app = WatchApp(model, source, blocks=not plain and _has_blocks())
    app.run()
    if app.failure is not None:
        raise app.failure


def _has_blocks() -> bool:
    """Whether the terminal is likely to have block characters: where the locale is a UTF-8 one."""
    import locale

    return locale.getpreferredencoding(False).lower().replace("-", "") == "utf8"
