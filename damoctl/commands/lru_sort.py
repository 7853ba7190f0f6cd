"""damoctl lru_sort: short for `damoctl module lru_sort`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.commands import module

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser


def parser() -> Parser:
    """The command's words."""
    return module.parser_of("lru_sort", "lru_sort")


def run(argv: list[str], ctx: Context) -> int:
    """Do it."""
    return module.run_one("lru_sort", "lru_sort", argv, ctx)
