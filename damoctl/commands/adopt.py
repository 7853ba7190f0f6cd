"""damoctl adopt: make kdamonds that somebody else started damod's, as they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser

EXAMPLES = """\
  damoctl adopt                  what somebody else runs becomes the set "adopted", as it is
  damoctl adopt --name tiering   under that name
"""


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser(
        "adopt", "Make somebody else's running kdamonds damod's, so that it may change and stop them.", EXAMPLES
    )
    made.add_argument("--name", default="adopted", help="name of the set that they become (default: adopted)")
    made.add_argument("--json", action="store_true", help="for programs")
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Adopt all that are somebody else's."""
    args = parser().parse_args(argv)
    with ctx.client() as client:
        result = client.call("kdamonds.adopt", name=args.name)
    if args.json or ctx.json:
        ctx.print_json(result)
        return 0
    for kdamond in result["adopted"]:
        ctx.print(f"adopted kdamond {kdamond['index']} (pid {kdamond['pid']}) as {args.name}")
    return 0
