"""damoctl convert_record_format: the same record in another format, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser

EXAMPLES = """\
  damoctl convert_record_format --format parquet --output_file fast.data
  damoctl convert_record_format --record_file perf.data --format json_compressed
"""


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser(
        "convert_record_format",
        "Write a record in another format. Without --output_file it takes the place of the old one,\n"
        "in one step. What the input is, its content tells: parquet, an interrupted .part, json_compressed,\n"
        "json, perf_script, raw data of perf, or a directory of rotated segments.",
        EXAMPLES,
    )
    made.add_argument("--record_file", default="damon.data", metavar="FILE", help="input (default: damon.data)")
    made.add_argument(
        "--format", default="json_compressed", choices=("parquet", "json_compressed", "json", "perf_script"),
        help="output's format (default: json_compressed, which damo reads)",
    )  # fmt: skip
    made.add_argument("--output_file", metavar="FILE", help="output (default: in place)")
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Convert a record; in place unless an output file is given."""
    args = parser().parse_args(argv)

    from pathlib import Path

    from damoctl.named import located
    from damod.errors import UsageError
    from damod.records import convert
    from damod.records.reader import open_record

    with open_record(located(args.record_file, ctx)) as record:
        if args.output_file is None and not Path(args.record_file).is_file():
            raise UsageError(
                f"{args.record_file} cannot be converted in place: it is not one file", hint="give --output_file"
            )
        convert.write(record, args.output_file or args.record_file, args.format)
        for warning in record.warnings:
            ctx.note(f"damoctl: {warning}")
    return 0
