"""Region events to whole aggregations, many at a time; the bulk twin of `kernel.aggregations.Aggregations`.

Regions of a target come in address order, so a start address that does not rise begins the next aggregation, and each
event says how many regions its target has. An aggregation that misses a region, or that a gap in the ring could have
glued together from two, is dropped and counted in `incomplete`.

The events of schemes (`damos_before_apply`) say nothing about how many come; there a falling address or a pause of a
sampling interval ends what a scheme tried at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from damod.recorder.bulk import Read, Rows, Tuned, concat

Key = tuple[int, int, int, int]
"""(kdamond's pid, context, scheme or -1, target)"""


class Intervals(NamedTuple):
    """A kdamond's intervals as it was started with; the kernel may tune them, keeping their ratio."""

    sample_us: int
    aggr_us: int


class Whole(NamedTuple):
    """One aggregation of which every region is there. `rows` are its regions by address."""

    key: Key
    start_ns: int
    end_ns: int
    sample_us: int
    aggr_us: int
    rows: Rows


class Assembler:
    """Puts rows together. `intervals` is by pid; a kdamond that is not in it is not recorded."""

    def __init__(self, intervals: Mapping[int, Intervals]) -> None:
        self.intervals = dict(intervals)
        self.incomplete = 0
        self._parts: dict[Key, Rows] = {}
        self._ended_ns: dict[Key, int | None] = {}
        self._sample_us: dict[int, int] = {}
        # What a change replaced, by series, until the lengths of the aggregations show that it has come.
        self._before: dict[Key, Intervals] = {}

    def given(self, pid: int, intervals: Intervals) -> None:
        """A kdamond has these intervals from now on; what the kernel made of others before no longer counts.

        Aggregations that ended before the change may still be in the ring: their length tells them.
        """
        if self.intervals.get(pid) != intervals:
            if pid in self.intervals:
                self._before |= {key: self.intervals[pid] for key in self._ended_ns if key[0] == pid}
            self.intervals[pid] = intervals
            self._sample_us.pop(pid, None)

    def feed(self, read: Read) -> list[Whole]:
        """The aggregations that became whole with this read, ordered by their end."""
        found: list[Whole] = []
        tuned = self._tunings(read.tuned)
        for key, rows in self._by_key(read.rows):
            held = self._parts.pop(key, None)
            if held is not None:
                rows = concat([held, rows])
            found += self._whole(key, rows, read.gaps, tuned.get(key[0], ()))
        for pid, changes in tuned.items():
            self._sample_us[pid] = changes[-1].sample_us
        if read.gaps:
            until = max(last for _, last in read.gaps)
            for key in [key for key, part in self._parts.items() if int(part.time_ns[0]) <= until]:
                self._drop(key)
        return sorted(found, key=lambda item: (item.end_ns, item.key))

    def flush(self, now_ns: int) -> list[Whole]:
        """What schemes tried and nothing followed for a sampling interval: it is whole by now."""
        found = []
        for key, rows in list(self._parts.items()):
            if key[2] >= 0 and now_ns - int(rows.time_ns[-1]) > self.intervals[key[0]].sample_us * 1000:
                del self._parts[key]
                found.append(self._one(key, rows, 0, len(rows), ()))
        return found

    def _tunings(self, tuned: Sequence[Tuned]) -> dict[int, list[Tuned]]:
        found: dict[int, list[Tuned]] = {}
        for item in tuned:
            if item.pid in self.intervals:
                found.setdefault(item.pid, []).append(item)
        return found

    def _by_key(self, rows: Rows) -> list[tuple[Key, Rows]]:
        if not len(rows):
            return []
        columns = (rows.pid, rows.context, rows.scheme, rows.target)
        if all(bool((column == column[0]).all()) for column in columns):
            key = tuple(int(column[0]) for column in columns)
            return [(key, rows)] if key[0] in self.intervals else []  # type: ignore[list-item]
        names, which = np.unique(np.stack(columns), axis=1, return_inverse=True)
        which = which.reshape(-1)
        return [
            ((int(name[0]), int(name[1]), int(name[2]), int(name[3])), rows.take(which == number))
            for number, name in enumerate(names.T)
            if int(name[0]) in self.intervals
        ]

    def _cuts(self, rows: Rows, *, loose: bool) -> list[int]:
        """Where aggregations begin, and the end of the last one."""
        broken = rows.start[1:] <= rows.start[:-1]
        if loose:
            pause_ns = self.intervals[int(rows.pid[0])].sample_us * 1000
            broken |= rows.time_ns[1:] - rows.time_ns[:-1] > pause_ns
        else:
            broken |= rows.nr_regions[1:] != rows.nr_regions[:-1]
        return [0, *(np.nonzero(broken)[0] + 1).tolist(), len(rows)]

    def _whole(self, key: Key, rows: Rows, gaps: Sequence[tuple[int, int]], tuned: Sequence[Tuned]) -> list[Whole]:
        found: list[Whole] = []
        cuts = self._cuts(rows, loose=key[2] >= 0)
        wanted = rows.nr_regions[cuts[:-1]].tolist()
        last = len(cuts) - 2
        for number, (begin, end) in enumerate(pairwise(cuts)):
            if key[2] >= 0:
                # Of a scheme: what comes last may go on.
                if number == last:
                    self._parts[key] = rows.take(slice(begin, end))
                else:
                    found.append(self._one(key, rows, begin, end, tuned))
                continue
            # Two aggregations whose addresses happen to rise on are told apart by the number of regions.
            size = max(wanted[number], 1)
            for at in range(begin, end, size):
                if end - at < size:
                    self._parts[key] = rows.take(slice(at, end))
                    if number != last:
                        self._drop(key)
                elif any(low <= int(rows.time_ns[at + size - 1]) and int(rows.time_ns[at]) <= up for low, up in gaps):
                    self._parts[key] = rows.take(slice(at, at + size))
                    self._drop(key)
                else:
                    found.append(self._one(key, rows, at, at + size, tuned))
        return found

    def _one(self, key: Key, rows: Rows, begin: int, end: int, tuned: Sequence[Tuned]) -> Whole:
        end_ns = int(rows.time_ns[begin])
        intervals = self._in_force(key, end_ns)
        sample_us = self._sample_us.get(key[0], intervals.sample_us)
        for change in tuned:
            if change.time_ns <= end_ns:
                sample_us = change.sample_us
        aggr_us = intervals.aggr_us * sample_us // intervals.sample_us
        start_ns = self._ended_ns.get(key)
        self._ended_ns[key] = end_ns
        if start_ns is None:
            start_ns = end_ns - aggr_us * 1000
        return Whole(key, start_ns, end_ns, sample_us, aggr_us, rows.take(slice(begin, end)))

    def _in_force(self, key: Key, end_ns: int) -> Intervals:
        """The intervals of an aggregation by its end; after a change the old ones while it lasts like those."""
        now, before, start_ns = self.intervals[key[0]], self._before.get(key), self._ended_ns.get(key)
        if before is None:
            return now
        if start_ns is not None:
            lasted_us = (end_ns - start_ns) / 1000
            if abs(lasted_us - before.aggr_us) < abs(lasted_us - now.aggr_us):
                return before
        del self._before[key]
        return now

    def _drop(self, key: Key) -> None:
        del self._parts[key]
        if key in self._ended_ns:
            self.incomplete += 1
        self._ended_ns[key] = None
