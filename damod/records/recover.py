"""Sealing what an interrupted recording left behind.

A `.part` is a readable record as it is; `recover` makes it a sealed one. It never touches a part that a recorder still
writes to.
"""

from __future__ import annotations

from pathlib import Path

from damod.errors import BadRecord, NotFound
from damod.records import writer
from damod.records.reader import open_record
from damod.records.writer import PART, Sealed

# Side files have parts too, of JSON lines; they are the recorder's to seal.
_SIDES = (".kdamonds", ".mem_footprint", ".vmas", ".proc_stats", ".profile", ".trace")


def recover(path: str | Path, *, existing: str = "old") -> list[Sealed]:
    """Seal the parts at a path: `<out>.part`, its `<out>`, or a directory and the segments in it.

    `existing` is as for `writer.seal`. Raises NotFound if there is none, Conflict if one is still written to.
    """
    parts = _parts(Path(path))
    if not parts:
        raise NotFound(f"nothing to recover at {path}: there is no {PART} file", hint="a sealed record needs no repair")
    return [_seal(part, existing) for part in parts]


def _parts(path: Path) -> list[Path]:
    if path.is_dir():
        found = [*path.glob(f"*{PART}"), *path.glob(f"*/*{PART}")]
        return sorted(item for item in found if item.is_file() and not item.stem.endswith(_SIDES))
    if path.name.endswith(PART):
        return [path] if path.is_file() else []
    part = path.with_name(path.name + PART)
    beside = sorted(path.parent.glob(f"{path.name}.????-??-??-??-??-??*/{path.name}{PART}"))
    return [item for item in (*beside, part) if item.is_file()]


def _seal(part: Path, existing: str) -> Sealed:
    name = part.name.removesuffix(PART)
    sealed = part.with_name(name)
    if sealed.is_file() and _same(sealed, part):
        # Interrupted between the rename of the sealed file and the removal of the part: nothing is left to do.
        existing = "replace"
    return writer.seal(part.parent, name, existing=existing)


def _same(sealed: Path, part: Path) -> bool:
    """Whether a sealed record came out of that very part."""
    try:
        with open_record(sealed) as one, open_record(part) as other:
            return bool(one.meta.id) and one.type == "parquet" and one.meta.id == other.meta.id
    except BadRecord:
        return False
