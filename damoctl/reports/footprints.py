"""`report footprints`: how much memory the processes had, and the system used, while a recording ran.

The numbers are in the side file `<record>.mem_footprint`, one entry per second or so (formats.md 4.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from damoctl.reports.spread import Look, Values, lines
from damod import units
from damod.errors import BadRecord
from damod.records import side

METRICS = ("vsz", "rss", "sys_used")
_PAGE = 4096


def read(path: str) -> list[Mapping[str, Any]]:
    """The entries of a side file. Raises NotFound, NotAllowed or BadRecord."""
    found = side.read(path, "footprints", "damoctl record writes them beside each record")
    if not isinstance(found, list):
        raise BadRecord(f"{path} is JSON but no list of footprints")
    return found


def without_processes(entries: Sequence[Any]) -> bool:
    """Whether no entry is of a process, as where physical memory was monitored: then vsz and rss say nothing."""
    return not any(
        item.get("pid") is not None
        for entry in entries
        for item in (entry.get("footprints") or () if isinstance(entry, dict) else ())
        if isinstance(item, dict)
    )


def compute(entries: Sequence[Mapping[str, Any]], metrics: Sequence[str], name: str) -> dict[str, Values]:
    """Each metric in bytes over time: vsz and rss summed over processes, sys_used of the whole system."""
    try:
        return {
            metric: Values(None, np.array([_value(entry["footprints"], metric) for entry in entries], dtype=np.int64))
            for metric in metrics
        }
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise BadRecord(f"{name} is damaged: an entry lacks or garbles {exc}") from exc


def _value(footprints: Sequence[Mapping[str, Any]], metric: str) -> int:
    if metric == "sys_used":
        return sum(
            (units.parse_count(item["footprint"]["total"]) - units.parse_count(item["footprint"]["free"])) * 1024
            for item in footprints
            if item["pid"] is None
        )
    field = "size" if metric == "vsz" else "resident"
    return sum(
        units.parse_count(item["footprint"][field]) * _PAGE
        for item in footprints
        if item["pid"] is not None and item["footprint"]
    )


def render(found: Mapping[str, Values], look: Look) -> Iterator[str]:
    """The lines of the report."""
    for metric, item in found.items():
        yield f"# <percentile> <{metric}>"
        if not len(item.values):
            yield "# no sample"
            continue
        yield f"# avr:\t{units.size(int(item.values.sum()) / len(item.values), raw=look.raw)}"
        yield from lines(item.values, look, lambda value: units.size(value, raw=look.raw))
