"""What a recording spans: per series the time from its first to its last moment, and the stretches of its memory.

A stretch is a range of addresses that any snapshot watched; between stretches lies what no snapshot ever watched. The
heatmap finds its axes here, and `report record_info` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from damoctl.reports.frames import I64_MAX, Flags, Frame, Ints, Series, Source
from damoctl.reports.guide_compat import Space
from damod import units


class Stretch(NamedTuple):
    """Addresses from `start` to before `end`, and how hot: accesses that were seen per byte, summed over snapshots."""

    start: int
    end: int
    heat: float

    @property
    def size(self) -> int:
        return self.end - self.start


class Guide(NamedTuple):
    """What one series spans. `start_ns` is when the oldest region of its first snapshot began to look as it did.

    `noted` tells whether the recorder noted intervals; those that did not noted no indices either.
    """

    series: Series
    start_ns: int
    end_ns: int
    stretches: Sequence[Stretch]
    snapshots: int
    regions: int
    noted: bool = True

    @property
    def space(self) -> int:
        """Bytes of all stretches."""
        return sum(stretch.size for stretch in self.stretches)

    def to_plain(self) -> dict[str, Any]:
        return {
            **self.series.to_plain(),
            "time": {"start_ns": self.start_ns, "end_ns": self.end_ns},
            "nr_snapshots": self.snapshots,
            "nr_regions": self.regions,
            "regions": [{"start": stretch.start, "end": stretch.end} for stretch in self.stretches],
        }


class _Span:
    """A guide while frames come in."""

    def __init__(self, *, compat: bool = False) -> None:
        self.space = Space() if compat else None
        self.start_ns: int | None = None
        self.end_ns = 0
        self.snapshots = self.regions = 0
        self.runs: dict[tuple[int, int], float] = {}

    def add(self, frame: Frame) -> None:
        if not len(frame):
            return
        self.end_ns = max(self.end_ns, int(frame.end_ns.max()))
        self.snapshots += len(frame)
        self.regions += len(frame.start)
        if self.space is not None:
            self.space.add(frame)
        for low, high, heat in zip(*runs(frame), strict=True):
            self.runs[low, high] = self.runs.get((low, high), 0.0) + heat

    def stretches(self) -> list[Stretch]:
        if self.space is not None:
            return [Stretch(low, high, self._heat_in(low, high)) for low, high in self.space.stretches()]
        joined: list[list[float]] = []
        for (low, high), heat in sorted(self.runs.items()):
            if joined and low <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], high)
                joined[-1][2] += heat
            else:
                joined.append([low, high, heat])
        return [Stretch(int(low), int(high), heat / (high - low)) for low, high, heat in joined]

    def _heat_in(self, low: int, high: int) -> float:
        heat = sum(heat for (start, end), heat in self.runs.items() if start < high and low < end)
        return heat / (high - low) if high > low else 0.0


def first_moment(frame: Frame) -> int:
    """When the oldest region of the frame's first snapshot began to look as it does."""
    ages = frame.age[: frame.first[1]]
    oldest = max(int(ages.max()), 0) if len(ages) else 0
    return max(int(frame.start_ns[0]) - oldest * int(frame.aggr_us[0]) * 1000, -I64_MAX)


def breaks(frame: Frame) -> Flags:
    """Per region whether it does not begin where the region before it in the same snapshot ends."""
    found: Flags = np.ones(len(frame.start), dtype=bool)
    np.not_equal(frame.start[1:], frame.end[:-1], out=found[1:])
    inner = frame.first[1:-1]
    found[inner[inner < len(found)]] = True
    return found


def runs(frame: Frame) -> tuple[list[int], list[int], list[float]]:
    """The distinct runs of adjacent regions in all snapshots, as starts, ends, and size times samples in them."""
    mask = frame.end > frame.start
    if not mask.all():
        frame = frame.kept(mask)
    if not len(frame.start):
        return [], [], []
    heads = np.flatnonzero(breaks(frame))
    tails: Ints = np.append(heads[1:], len(frame.start)) - 1
    # sizes times samples of a whole snapshot fit 64 bits up to an address space of 2**55 bytes
    weight = np.add.reduceat(frame.sizes * frame.nr_accesses, heads).astype(np.float64)
    pairs, inverse = np.unique(np.stack((frame.start[heads], frame.end[tails]), axis=1), axis=0, return_inverse=True)
    heats = np.bincount(inverse.reshape(-1), weights=weight, minlength=len(pairs))
    return pairs[:, 0].tolist(), pairs[:, 1].tolist(), heats.tolist()


def compute(source: Source, *, compat: bool = False) -> list[Guide]:
    """The guides of all series, the one with the most memory first; with the stretches that damo finds (`compat`)."""
    spans: dict[Series, _Span] = {}
    for frame in source.frames(()):
        spans.setdefault(frame.series, _Span(compat=compat)).add(frame)
    # what only the first snapshot of each series is asked for is not read of the others
    missing = {series for series, span in spans.items() if span.snapshots}
    for frame in source.frames({"start_ns", "intervals", "age"}) if missing else ():
        if frame.series in missing and len(frame):
            missing.remove(frame.series)
            spans[frame.series].start_ns = first_moment(frame)
        if not missing:
            break
    guides = [
        Guide(
            series,
            span.start_ns,
            span.end_ns,
            span.stretches(),
            span.snapshots,
            span.regions,
            source.intervals(series) is not None,
        )
        for series, span in spans.items()
        if span.start_ns is not None
    ]
    return sorted(guides, key=lambda guide: guide.space, reverse=True)


def render(guides: Sequence[Guide], *, raw: bool, compat: bool, newest: bool = False) -> Iterator[str]:
    """The lines of ``--guide``. damo (`compat`) leaves out an unknown target, before 3.4 (`newest`) indices too."""

    for guide in guides:
        series = guide.series
        if guide.noted or not compat or newest:
            yield f"kdamond_idx: {series.kdamond}"
            yield f"context_idx: {series.context}"
        if series.scheme is not None:
            yield f"scheme_idx: {series.scheme}"
        if series.target_id is not None or not compat:
            yield f"target_id: {series.target_id}"
        begin, end = (units.time(value, raw=raw) for value in (guide.start_ns, guide.end_ns))
        yield f"time: [{begin}, {end}) ({units.time(guide.end_ns - guide.start_ns, raw=raw)})"
        for index, stretch in enumerate(guide.stretches):
            low, high = (units.size(value, raw=raw, digits=6) for value in stretch[:2])
            yield f"region\t{index:2d}: [{low}, {high}) ({units.size(stretch.size, raw=raw)})"
