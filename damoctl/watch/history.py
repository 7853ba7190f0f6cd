"""What was seen of one target so far, in bounded memory.

A live view goes on for days, so that old snapshots are thinned: each time the budget is used up, every other snapshot
of the older half goes. Ages tell what was in the gaps (`reports.canvas.cut_in_strips`), so that old times get coarser
and not empty. A recording is thinned evenly instead.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from damoctl.reports import frames
from damoctl.reports.frames import Frame, Series, int64
from damoctl.watch.axis import Axis
from damod.access.record import Record
from damod.access.snapshot import Regions, Snapshot

LIVE_REGIONS = 1_000_000
"""32 bytes each: what a live view keeps per target."""
RECORD_REGIONS = 4_000_000
_BACK_NS = 60_000_000_000
_AT_ONCE = 1 << 18


class History:
    """Snapshots of one target, oldest first. `stride` tells that only every n-th of a recording is kept."""

    def __init__(self, series: Series, budget: int = LIVE_REGIONS, *, evenly: bool = False) -> None:
        self.series = series
        self._budget = budget
        self._evenly = evenly
        self._begin()

    def _begin(self) -> None:
        self.axis = Axis()
        self.stride = 1
        self.lost = 0
        self._seen = 0
        self._regions = 0
        self._start_ns = 0
        self._shots: list[Snapshot] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._shots)

    def add(self, snapshot: Snapshot) -> bool:
        """Take a snapshot that is newer than all before; False (and nothing is done) if it is not."""
        if self._ends and snapshot.end_ns <= self._ends[-1]:
            if self._evenly or snapshot.end_ns > self._ends[-1] - _BACK_NS:
                return False
            self._begin()  # another clock: the simulated kernel's begins anew with the daemon
        self.lost += snapshot.lost
        self._seen += 1
        if (self._seen - 1) % self.stride:
            return True
        own = snapshot.regions
        # copies, as those of a record are views of whole batches of it
        columns = [int64(column).copy() for column in (own.start, own.end, own.nr_accesses, own.age)]
        start, end, _, age = columns
        regions = Regions(*cast("list[Any]", columns))
        shot = replace(snapshot, regions=regions)
        if not self.axis.covers(start, end):
            self.axis = self.axis.with_runs(start, end)
        if not self._shots:
            oldest = int(age.max(initial=0))
            self._start_ns = snapshot.start_ns - oldest * snapshot.aggr_us * 1000
        self._shots.append(shot)
        self._ends.append(shot.end_ns)
        self._regions += len(regions)
        if self._regions > self._budget and len(self._shots) > 3:
            self._thin()
        return True

    def _thin(self) -> None:
        if self._evenly:
            self._shots = self._shots[::2]
            self.stride *= 2
        else:
            half = len(self._shots) // 2
            self._shots = [*self._shots[:half:2], *self._shots[half:]]
        self._ends = [shot.end_ns for shot in self._shots]
        self._regions = sum(len(shot.regions) for shot in self._shots)

    @property
    def newest(self) -> Snapshot | None:
        return self._shots[-1] if self._shots else None

    @property
    def span(self) -> tuple[int, int]:
        """From when the oldest region of the first snapshot looks as it did, to the end of the last, in ns."""
        return (self._start_ns, self._ends[-1]) if self._ends else (0, 0)

    @property
    def began_ns(self) -> int:
        """Start of the first snapshot."""
        return self._shots[0].start_ns if self._shots else 0

    def at(self, time_ns: int) -> Snapshot | None:
        """The snapshot that tells of a moment: the first one that ends at or after it, else the last."""
        if not self._shots:
            return None
        return self._shots[min(bisect_left(self._ends, time_ns), len(self._shots) - 1)]

    def frames(self, low_ns: int, high_ns: int) -> Iterator[tuple[Frame, int | None]]:
        """All snapshots that tell of [low, high), some at a time, each time with the end of the snapshot before.

        Addresses are offsets, and `nr_accesses` is times the sampling interval, so that `heatmap`'s rates come out as
        shares in millionths.
        """
        first = bisect_right(self._ends, low_ns)
        last = min(bisect_left(self._ends, high_ns) + 1, len(self._shots))
        while first < last:
            end, size = first, 0
            while end < last and (end == first or size + len(self._shots[end].regions) <= _AT_ONCE):
                size += len(self._shots[end].regions)
                end += 1
            yield self._frame(self._shots[first:end]), self._ends[first - 1] if first else None
            first = end

    def _frame(self, shots: Sequence[Snapshot]) -> Frame:
        series = self.series
        frame = frames.of_record(Record(series.kdamond, series.context, series.scheme, series.target_id, None, shots))
        placed = self.axis.place(frame)
        return replace(placed, nr_accesses=placed.nr_accesses * placed.per_region(np.maximum(placed.sample_us, 1)))
