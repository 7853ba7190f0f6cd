"""argparse with our manners for commands with a handful of options: errors are UsageError, help shows examples first.

The DAMON options themselves come from the table in damoctl.flags, not from here.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from typing import NoReturn

from damoctl.examples import of
from damod.errors import UsageError

_WIDTH = 100


def _folded(about: str) -> Iterator[str]:
    """Paragraphs filled anew; indented lines stay lines, and go on below themselves where they are too long."""
    for line in re.sub(r"(?<=\S)\n(?=\S)", " ", about).split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        yield from textwrap.wrap(line, _WIDTH, subsequent_indent=indent) or [""]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises instead of exiting and keeps the layout of its examples."""

    def __init__(self, command: str, about: str, examples: str = "") -> None:
        text = "\n\n".join(filter(None, (of(command, examples), "\n".join(_folded(about)))))
        super().__init__(
            prog=f"damoctl {command}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def for_damo(self) -> None:
        """Take two options of damo's that have no effect: damod knows one interface, and its log has what it does."""
        self.add_argument("--damon_interface_DEPRECATED", choices=("sysfs", "debugfs", "auto"), help=argparse.SUPPRESS)
        self.add_argument("--debug_damon", action="store_true", help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.removeprefix('damoctl ')}: {message}", hint=f"{self.prog} --help")
