"""damoctl stop: end kdamonds that damod started; nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser

EXAMPLES = """\
  damoctl stop                 everything that damod runs
  damoctl stop adhoc           the set started by a plain `damoctl start`
  damoctl stop --kdamond 1     one kdamond, by its index in `damoctl status`
"""


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser("stop", "Stop DAMON that damod started. Kdamonds of others are left alone.", EXAMPLES)
    made.add_argument("name", nargs="?", metavar="SET", help="name of a set (default: all)")
    made.add_argument("--kdamond", type=int, metavar="KDAMOND", help="only the kdamond of this index")
    made.add_argument("--json", action="store_true", help="for programs")
    made.for_damo()
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Stop all sets, one by name, or one kdamond by index."""
    args = parser().parse_args(argv)
    with ctx.client() as client:
        result = client.call("kdamonds.stop", name=args.name, kdamond=args.kdamond)
    if args.json or ctx.json:
        ctx.print_json(result)
        return 0
    for kdamond in result["stopped"]:
        ctx.print(f"stopped kdamond {kdamond['index']} (pid {kdamond['pid']}) of {kdamond['name']}")
    return 0
