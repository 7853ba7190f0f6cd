"""Options of the reports on recordings, and how a command line of theirs is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from damoctl.flags import access, words
from damoctl.flags.option import Option, Word
from damoctl.named import all_located
from damod.errors import UsageError

if TYPE_CHECKING:
    from damoctl.context import Context

INPUT = Option(
    ("--input", "-i"), "source",
    "A record: a file, a directory of rotated segments, the name of a recording of damod, or - for standard input."
    " May be repeated.",
    (Word("file", "file"),), more=True, repeat=True, default="damon.data",
)  # fmt: skip
JSON = Option(("--json",), "format", "Print the data as JSON.")
COMPAT = Option(
    ("--compat",), "format", "Compute as damo (3.3, or 3.4) does, including what it gets wrong.",
    (Word("tool", choices=access.COMPAT),),
)  # fmt: skip
RAW = Option(("--raw_number",), "format", "Plain numbers: bytes, nanoseconds.")
HELP = Option(("--help", "-h"), "format", "Show this help.")
COMMON = (INPUT, JSON, COMPAT, HELP)
RANGE = Option(
    ("--range", "-r"), "format", "Percentiles to show: start, stop (not included) and step.",
    (Word("start", "int"), Word("stop", "int"), Word("step", "int")), default="0 101 25",
)  # fmt: skip
SORT = Option(
    ("--sortby", "-s"), "format", "Order of the values that percentiles are taken of.",
    (Word("order", choices=("time", "size")),), default="size",
)  # fmt: skip
PLOT = Option(
    ("--plot", "-p"), "format", "Draw the distribution: into an image file (pdf, png, jpeg, svg), or stdout.",
    (Word("file", "file"),),
)  # fmt: skip
BAR = Option(
    ("--nr_cols_bar",), "format", "Columns of the bars; 0 for none.", (Word("number", "count", most=10_000),),
    default="59",
)  # fmt: skip
EXCLUDE = Option(
    ("--exclude_samples",), "source", "Leave out so many snapshots at the beginning (20 with --compat damo).",
    (Word("number", "count"),), default="0",
)  # fmt: skip


class Given:
    """The options of a command line by name; of one given twice the last counts, but for `every`."""

    def __init__(self, found: dict[str, list[list[Any]]], rest: Sequence[str], ctx: Context) -> None:
        self._found = found
        self._ctx = ctx
        self.rest = rest
        self.compat = "compat" in found
        self.newest = self.compat and found["compat"][-1][0] == access.NEWEST
        self.json = "json" in found or ctx.json
        self.found = found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def one(self, name: str, default: Any = None) -> Any:
        """The only word of an option."""
        return self._found[name][-1][0] if name in self._found else default

    def words(self, name: str, default: Any = None) -> Any:
        """All words of an option's last use."""
        return self._found[name][-1] if name in self._found else default

    def every(self, name: str) -> list[list[Any]]:
        """The words of all uses."""
        return self._found.get(name, [])

    @property
    def inputs(self) -> list[str]:
        """The records, with those that were given by name located."""
        return all_located([path for use in self.every("input") for path in use], self._ctx)

    def points(self, default: Sequence[int]) -> Sequence[int]:
        """The percentiles of --range."""
        if "range" not in self:
            return default
        return access.percentiles("--range", self.words("range"), least=0)


def read(
    argv: Sequence[str],
    ctx: Context,
    report: str,
    tables: Iterable[Sequence[Option]],
    most: int = 0,
    examples: Sequence[tuple[str, str]] = (),
) -> Given | None:
    """What the words say; None if they asked for the help, which is then printed. At most `most` words of no option.

    `examples` are command lines and what each is for; the help begins with them.
    """
    tables = list(tables)
    options = [option for table in tables for option in table]
    line = words.parse(argv, options)
    given = Given(access.values(line.uses), line.rest, ctx)
    if "help" in given:
        ctx.term.write(usage(report, options, examples))
        return None
    if len(line.rest) > most:
        records = any(option.key == "input" for option in options)
        raise UsageError(
            f"report {report} takes no {' '.join(line.rest[most:])!r}",
            hint="a record is given with --input" if records else f"damoctl report {report} --help",
        )
    if COMMON in tables:
        # Now, since what such a report imports next loads numpy as it comes.
        from damod.records import lean

        lean.load()
    return given


def usage(report: str, options: Sequence[Option], examples: Sequence[tuple[str, str]] = ()) -> list[str]:
    """The lines of ``damoctl report <report> --help``; `examples` are (command line, what it does)."""
    from damoctl.commands.report import TYPES
    from damoctl.flags.help import command_help

    about = TYPES[report][1]
    width = max((len(line) for line, _ in examples), default=0)
    text = "\n".join(f"  {line:<{width}}  {what}" for line, what in examples)
    return command_help(f"report {report}", f"{about[0].upper()}{about[1:]}.", text, options, []).split("\n")
