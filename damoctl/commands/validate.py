"""damoctl validate: whether a record is what monitoring with given limits can have made. Silent if it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser

EXAMPLES = """\
  damoctl validate
  damoctl validate --input damon.data --aggr 90000 110000 --nr_regions 10 1000
"""
# A record of a thousand targets may have a thousand faults of one kind.
_MOST_TOLD = 20
_RANGES = (
    ("--aggr", "us", (75_000, 125_000), "duration of a snapshot in microseconds"),
    ("--nr_regions", "number", (3, 1200), "number of regions in a snapshot"),
    ("--nr_accesses", "number", (0, 24), "number of accesses of a region"),
)


def _boundary(text: str) -> tuple[int, int]:
    from damod import units

    low, dash, high = text.partition("-")
    start, end = units.parse_size(low), units.parse_size(high) if dash else 0
    if start >= end:
        raise ValueError(f"{text!r} is no <start>-<end>")
    return start, end


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser("validate", "Check whether a record is valid. Silent if it is, exit status 1 if not.", EXAMPLES)
    made.add_argument("--input", "-i", default="damon.data", metavar="FILE", help="record (default: damon.data)")
    for name, metavar, default, about in _RANGES:
        made.add_argument(
            name, type=int, nargs=2, metavar=(f"MIN_{metavar}", f"MAX_{metavar}"), default=default,
            help=f"{about} (default: {default[0]} {default[1]})",
        )  # fmt: skip
    made.add_argument(
        "--allow_error", type=float, default=2.0, metavar="PERCENT",
        help="so many snapshots may have another duration or number of regions (default: 2)",
    )  # fmt: skip
    made.add_argument(
        "--regions_boundary", nargs="+", default=[], metavar="START-END",
        help="each region must lie inside one of these",
    )  # fmt: skip
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Check a record against limits; DamodError (exit status 1) says what is wrong."""
    args = parser().parse_args(argv)

    from damoctl.named import located
    from damod.errors import DamodError, UsageError
    from damod.records import validate
    from damod.records.reader import open_record

    for name, *_ in _RANGES:
        low, high = getattr(args, name[2:])
        if low > high:
            raise UsageError(f"{name} {low} {high}: the first is above the second")
    try:
        boundaries = [_boundary(text) for text in args.regions_boundary]
    except ValueError as exc:
        raise UsageError(f"--regions_boundary: {exc}", hint="for example --regions_boundary 4G-8G") from exc
    limits = validate.Limits(
        tuple(args.aggr), tuple(args.nr_regions), tuple(args.nr_accesses), boundaries, args.allow_error
    )
    with open_record(located(args.input, ctx)) as record:
        found = validate.problems(record, limits)
        for warning in record.warnings:
            ctx.note(f"damoctl: {warning}")
    if not found:
        return 0
    lines = [
        f"invalid: {item.text}" + (f" ({item.snapshots} of {item.of} snapshots)" if item.of else "")
        for item in found[:_MOST_TOLD]
    ]
    if len(found) > _MOST_TOLD:
        lines.append(f"and {len(found) - _MOST_TOLD:,} more of this kind")
    raise DamodError("\n".join(lines))
