"""Records by name: what `damoctl record list` calls a recording may stand where a file may."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from damod.errors import DamodError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context


def located(path: str, ctx: Context) -> str:
    """The path, or where the recording of that name is; a file wins over a recording. Without a daemon it stays."""
    return _located(path, ctx) if _may_be_name(path) else path


def all_located(paths: Sequence[str], ctx: Context) -> list[str]:
    """`located` of each path."""
    return [located(path, ctx) for path in paths]


def _may_be_name(path: str) -> bool:
    if path in ("", "-") or "/" in path or os.path.lexists(path):
        return False
    # Of a recording that is rotated or still runs the file itself is not there.
    return not any(item == f"{path}.part" or item.startswith(f"{path}.2") for item in _names())


def _names() -> list[str]:
    try:
        return os.listdir()  # noqa: PTH208 - pathlib is slow to load
    except OSError:
        return []


def _located(name: str, ctx: Context) -> str:
    try:
        with ctx.client() as client:
            found = client.call("record.show", name=name)["recording"]
    except DamodError:
        return name
    directory, out = found.get("directory"), os.path.basename(found.get("out") or "")  # noqa: PTH119
    return os.path.join(directory, out) if directory and out else name  # noqa: PTH118
