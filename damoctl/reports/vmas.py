"""Names of mappings: what the addresses of a virtual address space hold, from the side file `<record>.vmas`.

The file has the mappings of each process over time (formats.md 4.6); a name holds where any entry has it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damod.errors import BadRecord
from damod.records import side

if TYPE_CHECKING:
    from damoctl.reports.heatmap import Map

Named = tuple[int, int, str]


def read(record: str, target_id: int | None) -> list[Named]:
    """Mappings of a process (of the only one there is, if the record's target is no pid), by address.

    Neighbours of equal name are one. Empty where there is no side file. Raises BadRecord.
    """
    path = Path(f"{record}.vmas")
    if not path.is_file():
        return []
    entries = side.read(path, "mappings")
    try:
        by_pid: dict[Any, set[Named]] = {}
        for entry in entries:
            for process in entry["procvmas"]:
                found = by_pid.setdefault(process["pid"], set())
                found |= {(int(vma["start"]), int(vma["end"]), str(vma["name"])) for vma in process["vmas"]}
    except (ValueError, KeyError, TypeError) as exc:
        raise BadRecord(f"{path} is damaged: {exc}") from exc
    chosen = by_pid.get(target_id) or (next(iter(by_pid.values())) if len(by_pid) == 1 else set())
    return joined(sorted(chosen))


def joined(named: Sequence[Named]) -> list[Named]:
    """Mappings by address, those that touch or overlap and have the same name as one."""
    made: list[Named] = []
    for start, end, name in named:
        if name in ("", "0"):  # what the last field of a line of /proc/PID/maps is for anonymous memory
            name = "[anon]"
        if made and made[-1][2] == name and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end), name)
        else:
            made.append((start, end, name))
    return made


class Names:
    """The mappings of the processes of some records, each read when first asked for."""

    def __init__(self, records: Sequence[str]) -> None:
        self._records = records
        self._known: dict[int | None, Spaces] = {}

    def of(self, target_id: int | None) -> Spaces:
        """The mappings of a record's target."""
        if target_id not in self._known:
            found = [named for record in self._records for named in read(record, target_id)]
            self._known[target_id] = Spaces(joined(sorted(found)))
        return self._known[target_id]


class Spaces:
    """The mappings of one process, to be asked what a range of addresses is."""

    def __init__(self, named: Sequence[Named]) -> None:
        self._named = named
        self._starts = [start for start, _, _ in named]

    def name(self, start: int, end: int) -> str:
        """The name of what most of [start, end) is, and how many others are in it: ``[heap] +2``; ``-`` if none."""
        at = max(bisect_right(self._starts, start) - 1, 0)
        found: dict[str, int] = {}
        while at < len(self._named) and self._starts[at] < end:
            low, high, name = self._named[at]
            if (inside := min(high, end) - max(low, start)) > 0:
                found[name] = found.get(name, 0) + inside
            at += 1
        if not found:
            return "-"
        most = max(found, key=found.__getitem__)
        return most if len(found) == 1 else f"{most} +{len(found) - 1}"


def legend(drawn: Map, named: Sequence[Named]) -> Map:
    """The map with the names of what its addresses hold, as far as that is a column wide."""
    low, high = drawn.addresses
    least = (high - low) / drawn.heat.shape[1]
    inside = [(max(start, low), min(end, high), name) for start, end, name in named if start < high and low < end]
    return drawn._replace(names=[item for item in inside if item[1] - item[0] >= least])
