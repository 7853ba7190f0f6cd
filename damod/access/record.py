"""A record: the snapshots of one monitoring target over time, from a file or from a running kdamond.

Reports take records, whatever they came from; `from_live` turns what the daemon answers into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from damod.access.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Goal:
    """What the kernel tunes the intervals for: `access_bp` of the possible accesses in `aggrs` aggregations."""

    access_bp: float = 0
    aggrs: int = 0
    min_sample_us: int = 0
    max_sample_us: int = 0

    @property
    def active(self) -> bool:
        return self.aggrs > 0


@dataclass(frozen=True, slots=True)
class Intervals:
    """The monitoring intervals of a record as its owner set them, in microseconds."""

    sample_us: int
    aggr_us: int
    ops_update_us: int = 0
    goal: Goal = Goal()


@dataclass(frozen=True, slots=True)
class Record:
    """Snapshots of one (kdamond, context, scheme, target), oldest first.

    `intervals` is None where the recorder did not note them. `target_id` is a pid, the index of the target or what
    an old kernel called it. `filters` are the DAMOS filters whose passed bytes the regions carry, each a mapping as
    in a scheme's spec. `data_source` is "unknown" for records that do not say.
    """

    kdamond: int
    context: int
    scheme: int | None
    target_id: int | None
    intervals: Intervals | None
    snapshots: Sequence[Snapshot]
    filters: Sequence[Mapping[str, Any]] = field(default=())
    data_source: str = "unknown"


def age_us(record: Record, snapshot: Snapshot, *, compat: bool) -> int:
    """What one unit of age in a snapshot is, in us; damo (`compat`) takes the record's interval, though tuned since."""
    return record.intervals.aggr_us if compat and record.intervals is not None else snapshot.aggr_us


def from_live(snapshots: Iterable[Snapshot]) -> list[Record]:
    """One record per (kdamond, context, target), in that order, of snapshots that a daemon answered with.

    The record's intervals are those of its newest snapshot.
    """
    groups: dict[tuple[int, int, int], list[Snapshot]] = {}
    for snapshot in snapshots:
        groups.setdefault((snapshot.kdamond, snapshot.context, snapshot.target), []).append(snapshot)
    records = []
    for (kdamond, context, target), group in sorted(groups.items()):
        last = group[-1]
        records.append(
            Record(
                kdamond=kdamond,
                context=context,
                scheme=None,
                target_id=target if last.pid is None else last.pid,
                intervals=Intervals(last.sample_us, last.aggr_us, goal=_goal(last.intervals_goal)),
                snapshots=group,
                filters=last.filters,
                data_source=last.source,
            )
        )
    return records


def _goal(plain: Mapping[str, int] | None) -> Goal:
    if not plain:
        return Goal()
    return Goal(**{name: plain[name] for name in Goal.__slots__ if name in plain})
