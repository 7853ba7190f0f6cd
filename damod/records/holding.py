"""What records cost that are held in memory as a whole: those of damo's formats, and whatever `records()` is asked for.

The sizes are of CPython objects, rounded up: a snapshot is a dozen of them, a region five numbers in arrays (or five
objects in lists).
"""

from __future__ import annotations

from damod.access.snapshot import Snapshot
from damod.room import Room

_RECORD, _SNAPSHOT, _REGION, _IN_LISTS = 2000, 1500, 40, 200


class Holding:
    """Counts records, snapshots and regions as they are read of `name`. Its methods raise NoMemory."""

    def __init__(self, name: str, hint: str) -> None:
        self._room = Room(f"reading {name}", hint)

    def record(self) -> None:
        self._room.take(_RECORD)

    def snapshots(self, snapshots: int, regions: int, *, lists: bool = False) -> None:
        """So many more of each; `lists` of Python objects instead of arrays."""
        self._room.take(snapshots * _SNAPSHOT + regions * (_IN_LISTS if lists else _REGION))

    def snapshot(self, snapshot: Snapshot) -> None:
        """One with all that hangs on it."""
        regions = snapshot.regions
        self.snapshots(1, len(regions))
        if regions.probe_hits is not None:
            self._room.take(sum(100 + 36 * len(row) for row in regions.probe_hits))
        if snapshot.stats is not None:
            self._room.take(150 * len(snapshot.stats))

    def text(self, characters: int) -> None:
        """JSON text that becomes dictionaries, lists and strings."""
        self._room.take(characters * 10)


def of_damo(name: str) -> Holding:
    """For a record of damo's formats."""
    return Holding(name, "all of such a record is held; a machine with more memory can convert it to parquet")
