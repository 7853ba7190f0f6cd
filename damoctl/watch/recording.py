"""A recording as a source: all of it is read before the screen opens, so that any moment of it is at hand.

Each target keeps at most a few million regions (`history.RECORD_REGIONS`); of longer recordings every n-th snapshot is
shown, and the screen says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from damoctl.named import all_located
from damoctl.reports import footprints, load
from damoctl.reports.frames import Series
from damoctl.watch.model import Model
from damoctl.watch.source import Seen, Update
from damoctl.watch.text import size
from damod.access.snapshot import Snapshot
from damod.errors import BadRecord, NoData, NotAllowed, NotFound
from damod.records.file import RecordFile
from damod.records.reader import open_record

if TYPE_CHECKING:
    from damoctl.context import Context

_BATCH = 256


class RecordSource:
    """The record(s) at some paths."""

    live = False

    def __init__(self, paths: Sequence[str], ctx: Context) -> None:
        given = list(paths) or [load.DEFAULT]
        self._ctx = ctx
        self.name = ", ".join(Path(path).name or path for path in given)
        self._paths = all_located(given, ctx)
        self._facts: list[tuple[str, str]] = []
        self._footprints: list[tuple[int, int, int]] = []

    def start(self, tell: Callable[[Update], None]) -> None:
        """Read all of it. Raises NotFound, BadRecord, ... ; NoData if there is nothing in it."""
        progress = load.Progress(self._ctx.stderr)
        with ExitStack() as stack:
            stack.callback(progress.clear)
            files = [stack.enter_context(open_record(path)) for path in self._paths]
            found = 0
            for file in files:
                seen: list[tuple[Series, Snapshot]] = []
                for series, snapshot in file.aggregations():
                    target_id = series.target if series.target_id is None else series.target_id
                    seen.append((Series(series.kdamond, series.context, series.scheme, target_id), snapshot))
                    if len(seen) >= _BATCH:
                        progress(sum(len(item.regions) for _, item in seen))
                        tell(Seen(seen))
                        found, seen = found + len(seen), []
                tell(Seen(seen))
                found += len(seen)
            if not found:
                raise NoData(f"{self.name} has no snapshots", hint="nothing was monitored, or the recording just began")
            progress.clear()
            self._warn(files)
            self._facts = _facts(files[0])
        self._footprints = _footprints(self._paths[0])

    def close(self) -> None:
        pass

    def aside(self, model: Model) -> Callable[[int], Iterable[tuple[str, str]]]:
        """What is told beside the regions at a moment: about the record, and the footprint then."""

        def told(time_ns: int) -> Iterable[tuple[str, str]]:
            target = model.chosen
            shot = target.shown if target is not None else None
            wall_ns = time_ns + (shot.wall_offset_ns if shot is not None else 0)
            yield from _then(self._footprints, wall_ns)
            yield from self._facts
            if target is not None:
                yield "snapshots", f"{len(target.history):,}"

        return told

    def _warn(self, files: Sequence[RecordFile]) -> None:
        for file in files:
            for warning in dict.fromkeys(file.warnings):
                self._ctx.note(f"damoctl: {warning}")


def _facts(file: RecordFile) -> list[tuple[str, str]]:
    meta = file.meta
    rows = [("kernel", meta.kernel)] if meta.kernel else []
    if meta.created_wall_ns:
        rows.append(("recorded", datetime.fromtimestamp(meta.created_wall_ns / 1e9).strftime("%Y-%m-%d %H:%M")))
    return [*rows, ("file", file.type)]


def _footprints(path: str) -> list[tuple[int, int, int]]:
    """(wall time in ns, rss, sys_used) from the side file; nothing where there is none, or none that can be read."""
    name = f"{path}.mem_footprint"
    try:
        entries = footprints.read(name)
        found = footprints.compute(entries, ("rss", "sys_used"), name)
        times = [int(entry["time"] * 1e9) for entry in entries]
    except (NotFound, NotAllowed, BadRecord, KeyError, TypeError, ValueError):
        return []
    return list(zip(times, found["rss"].values.tolist(), found["sys_used"].values.tolist(), strict=True))


def _then(entries: Sequence[tuple[int, int, int]], wall_ns: int) -> Iterable[tuple[str, str]]:
    """The footprint that is nearest to a time, within some seconds."""
    if not entries:
        return
    when, rss, used = min(entries, key=lambda entry: abs(entry[0] - wall_ns))
    if abs(when - wall_ns) < 10e9:
        if rss:
            yield "resident", size(rss)
        yield "used by the system", size(used)
