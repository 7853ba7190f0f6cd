"""argparse with our manners for commands with a handful of options: errors are UsageError, help shows examples first.

The DAMON options themselves come from the table in damoctl.flags, not from here.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

from damod.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises instead of exiting and keeps the layout of its examples."""

    def __init__(self, command: str, about: str, examples: str = "") -> None:
        text = f"examples:\n{examples.rstrip()}\n\n{about}" if examples else about
        super().__init__(
            prog=f"damoctl {command}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.removeprefix('damoctl ')}: {message}", hint=f"{self.prog} --help")
