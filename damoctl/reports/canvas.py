"""Heat drawn on pixels of time by addresses, a frame of a record at a time, for heatmaps and for `damoctl watch`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damoctl.reports.frames import Flags, Floats, Frame, Ints
from damod.errors import NoData

# At most so many pixels of snapshots by columns (or rows) are worked on at once (8 bytes each).
_PIXELS = 1 << 22


def heat_values(frame: Frame, *, known: bool, df_passed: bool) -> Floats:
    """Per region the access rate: in hz, or in samples where intervals are not known."""
    values = frame.nr_accesses.astype(np.float64)
    if known:
        values *= frame.per_region(1e6 / np.maximum(frame.aggr_us, 1))
    if df_passed:
        if frame.passed is None:
            raise NoData(
                "the record lacks the bytes that passed filters",
                hint="record with --snapshot and --snapshot_damos_filter",
            )
        values *= frame.passed / np.maximum(frame.sizes, 1)
    return values


class Strips(NamedTuple):
    """Snapshots as strips to draw: what regions tell holds from `begins` to `ends` of their strip, in ns.

    The regions of strip i are ``first[i]:first[i + 1]`` of the columns; `values` times `scale` of their strip is their
    heat.
    """

    first: Ints
    begins: Ints
    ends: Ints
    scale: Floats
    start: Ints
    end: Ints
    values: NDArray[Any]


def cut_in_strips(frame: Frame, before: int | None, *, known: bool, df_passed: bool) -> Strips:
    """One strip per snapshot; several where its regions hold since different times.

    A region holds as long as its age says, but not from before the end of the snapshot before (`before` for the first).
    Snapshots that follow on each other, as in a full recording, tell of themselves alone.
    """
    values: NDArray[Any] = frame.nr_accesses
    scale = 1e6 / np.maximum(frame.aggr_us, 1) if known else np.ones(len(frame))
    if df_passed:
        values, scale = heat_values(frame, known=known, df_passed=True), np.ones(len(frame))
    last = np.empty(len(frame), dtype=np.int64)
    last[1:] = frame.end_ns[:-1]
    last[0] = np.iinfo(np.int64).min if before is None else before
    if (last >= frame.start_ns).all():
        begins = np.maximum(last, frame.start_ns)
        return Strips(frame.first, begins, frame.end_ns, scale, frame.start, frame.end, values)
    old = np.maximum(frame.age.astype(np.int64), 0) * frame.per_region(frame.aggr_us * 1000)
    since = np.maximum(frame.per_region(frame.start_ns) - old, frame.per_region(last))
    snapshot = frame.snapshot()
    order = np.lexsort((frame.start, since, snapshot))
    since, snapshot = since[order], snapshot[order]
    change = np.flatnonzero((since[1:] != since[:-1]) | (snapshot[1:] != snapshot[:-1])) + 1
    heads = np.concatenate(([0], change)) if len(since) else change
    return Strips(
        np.append(heads, len(since)),
        since[heads],
        frame.end_ns[snapshot[heads]],
        scale[snapshot[heads]],
        frame.start[order],
        frame.end[order],
        values[order],
    )


def by_temperature(frame: Frame, weights: tuple[float, float]) -> Frame:
    """The regions of each snapshot in order of temperature, hottest first, as if their memory began at 0."""
    sample, aggr = (frame.per_region(np.maximum(column, 1)) for column in (frame.sample_us, frame.aggr_us))
    by_rate, by_age = weights
    heats = frame.nr_accesses * 100.0 * sample / aggr * by_rate + np.maximum(frame.age, 0) * aggr * by_age
    heats = np.where(frame.nr_accesses > 0, heats, -heats)
    order = np.lexsort((-heats, frame.snapshot()))
    sizes = frame.sizes[order]
    ends = np.cumsum(sizes) if len(sizes) else sizes
    if len(sizes):
        totals = np.concatenate(([0], ends))[frame.first[:-1]]
        ends = ends - frame.per_region(totals)
    return Frame(
        frame.series, frame.first, frame.start_ns, frame.end_ns, frame.sample_us, frame.aggr_us,
        ends - sizes, ends, frame.nr_accesses[order], frame.age[order],
        None if frame.passed is None else frame.passed[order], frame.wall_offset_ns,
    )  # fmt: skip


class Canvas:
    """A picture while frames are drawn on it, `resol` pixels of time by addresses.

    Drawing is in two steps. Along the addresses each snapshot becomes a row: a region adds its rate from its start on
    and takes it away from its end on, so only borders between different rates cost anything, and a running sum over
    the columns gives the integral. Along the time each row adds to the pixels that its window overlaps.
    """

    def __init__(self, times: tuple[int, int], addresses: tuple[int, int], resol: tuple[int, int]) -> None:
        self.times, self.addresses = times, addresses
        self.rows, self.columns = resol
        self._heat: Floats = np.zeros(resol)
        self._seen: Floats = np.zeros(resol)

    def add(self, strips: Strips) -> None:
        """Draw some strips."""
        low, high = self.times
        there = np.flatnonzero((strips.ends > low) & (strips.begins < high))
        if not len(there):
            return
        step = max(_PIXELS // max(self.columns + 2, self.rows), 1)
        for top in range(int(there[0]), int(there[-1]) + 1, step):
            bottom = min(top + step, int(there[-1]) + 1)
            part = slice(int(strips.first[top]), int(strips.first[bottom]))
            heat, seen = self._profile(
                strips.start[part], strips.end[part], strips.values[part],
                strips.first[top : bottom + 1] - strips.first[top],
            )  # fmt: skip
            heat *= strips.scale[top:bottom, None]
            self._blend(strips.begins[top:bottom], strips.ends[top:bottom], heat, seen)

    def _profile(self, start: Ints, end: Ints, values: NDArray[Any], first: Ints) -> tuple[Floats, Floats]:
        """Per strip and column the integral of the values over the addresses, in columns; and how much was watched."""
        rows = len(first) - 1
        joined: Flags = np.zeros(len(start) + 1, dtype=bool)
        np.equal(start[1:], end[:-1], out=joined[1:-1])
        joined[first] = False
        rise = values.copy()
        rise[1:] -= values[:-1] * joined[1:-1]
        up, down, heads = np.flatnonzero(rise), np.flatnonzero(~joined[1:]), np.flatnonzero(~joined[:-1])
        up_row, down_row, head_row = (np.searchsorted(first, places, "right") - 1 for places in (up, down, heads))
        heat = self._steps(start[up], rise[up], up_row, rows)
        heat -= self._steps(end[down], values[down], down_row, rows)
        seen = self._steps(start[heads], np.ones(len(heads)), head_row, rows)
        seen -= self._steps(end[down], np.ones(len(down)), down_row, rows)
        return heat.cumsum(axis=1)[:, : self.columns], seen.cumsum(axis=1)[:, : self.columns]

    def _steps(self, at: Ints, rise: NDArray[Any], row: Ints, rows: int) -> Floats:
        """Steps of height `rise` at addresses, so that the running sum over columns is the integral per column."""
        low, high = self.addresses
        unit = (high - low) / self.columns
        if not len(at):
            return np.zeros((rows, self.columns + 2))
        place = (np.clip(at, low, high) - low) / unit
        column = np.minimum(place.astype(np.int64), self.columns)
        rest = place - column
        index = row * (self.columns + 2) + column
        size = rows * (self.columns + 2)
        made = np.bincount(index, weights=rise * (1 - rest), minlength=size)
        made += np.bincount(index + 1, weights=rise * rest, minlength=size)
        return np.asarray(made.reshape(rows, self.columns + 2), dtype=np.float64)

    def _blend(self, begins: Ints, ends: Ints, heat: Floats, seen: Floats) -> None:
        """Add rows that hold from `begins` to `ends` to the pixels of time that they overlap."""
        low, high = self.times
        unit = (high - low) / self.rows
        first = (np.clip(begins, low, high) - low) / unit
        last = (np.clip(ends, low, high) - low) / unit
        above = max(int(first.min()), 0)
        below = min(int(np.ceil(last.max())), self.rows)
        if below <= above:
            return
        edges = np.arange(above, below)[:, None]
        share = np.minimum(last, edges + 1) - np.maximum(first, edges)
        np.maximum(share, 0, out=share)
        self._heat[above:below] += share @ heat
        self._seen[above:below] += share @ seen

    def heat(self, *, of_watched: bool = False) -> Floats:
        """The picture: NaN where nothing was watched. Running sums leave dust; below 1e-9 of the hottest is zero.

        The means are over whole pixels, or (`of_watched`) over what of them was watched.
        """
        found = np.where(self._seen > 1e-9, self._heat, np.nan)
        if of_watched:
            found /= np.maximum(self._seen, 1e-9)
        top = np.nanmax(found, initial=0.0)
        found[np.abs(found) <= top * 1e-9] = 0.0
        return np.asarray(np.maximum(found, 0.0))
