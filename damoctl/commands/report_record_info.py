"""`damoctl report record_info`: when, whose and which addresses a record is about."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

EXAMPLES = """\
  damoctl report record_info
  damoctl report record_info --input a.data b.data --raw_numbers
"""


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show the guides of the records."""
    from damoctl.options import Parser

    parser = Parser("report record_info", "Show what a record is about: times, targets, address ranges.", EXAMPLES)
    parser.add_argument(
        "--input", "-i", nargs="+", default=["damon.data"], metavar="FILE", help="records (default: damon.data)"
    )
    parser.add_argument("--raw_numbers", action="store_true", help="plain nanoseconds and bytes")
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args(argv)

    from damoctl.reports import record_info
    from damod.records.reader import open_record

    with ExitStack() as stack:
        records = [stack.enter_context(open_record(path)) for path in args.input]
        guides = record_info.compute(records)
        for record in records:
            for warning in record.warnings:
                ctx.note(f"damoctl: {warning}")
    if args.json or ctx.json:
        ctx.print_json(record_info.to_plain(guides))
    else:
        ctx.term.write(record_info.render(guides, raw=args.raw_numbers))
    return 0
