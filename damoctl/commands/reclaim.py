"""damoctl reclaim: short for `damoctl module reclaim`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.commands import module

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser


def parser() -> Parser:
    """The command's words."""
    return module.parser_of("reclaim", "reclaim")


def run(argv: list[str], ctx: Context) -> int:
    """Do it."""
    return module.run_one("reclaim", "reclaim", argv, ctx)
