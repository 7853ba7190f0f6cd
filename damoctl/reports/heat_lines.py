"""`<heatmap>` of many snapshots at once: what `measure.heat_line` and `columns` make of one, to the character.

A row of heat is the integral of temperature over bytes, asked at the borders of its columns: what was summed up before
a border, and the region that lies across it. Sums are whole numbers of 64 bits that may wrap, since only what a column
has more than the one before counts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from damoctl.reports.choose import temperatures
from damoctl.reports.frames import Flags, Floats, Frame, Ints
from damoctl.reports.options import Options
from damoctl.term import heat as colors
from damod import units

_told = lru_cache(1 << 10)(units.size)
# No sum of a column may need more, or it could not be told from another that differs by 2**64.
_BITS = 62


class _Cells(NamedTuple):
    """Columns of all snapshots that have bytes: which of its snapshot, whose, and their mean temperature."""

    number: Ints
    snapshot: Ints
    value: Floats


def texts(frame: Frame, options: Options, *, color: bool) -> list[str | None]:
    """`<heatmap>` of each snapshot of a frame; None where it has to be made from the snapshot alone."""
    width, count = options.heatmap_width, len(frame)
    made: list[str | None] = [None] * count
    if options.heatmap_static or not len(frame.start):
        return made
    span = frame.sums(frame.sizes)
    fits = _plain(frame, span, width)
    found = _cells(frame, span, fits, options)
    if found is None:
        return made
    bounds = np.searchsorted(found.snapshot, np.arange(count + 1))
    there = np.flatnonzero(np.diff(bounds) > 0)
    lowest = np.minimum.reduceat(found.value, bounds[there])
    highest = np.maximum.reduceat(found.value, bounds[there])
    unit = (highest - lowest) / 9
    unit = np.where(unit != 0, unit, np.where(highest != 0, highest / 9, 1.0))
    each = np.repeat(np.arange(len(there)), np.diff(bounds)[there])
    levels = ((found.value - lowest[each]) / unit[each]).astype(np.int64)
    gaps = np.diff(found.number, prepend=0) - 1
    gaps[bounds[there]] = 0
    digits, shades = (levels + ord("0")).astype(np.uint8).tobytes().decode(), levels.tolist()
    cuts = np.flatnonzero(gaps)
    cut_bounds, widths = np.searchsorted(cuts, bounds).tolist(), gaps[cuts].tolist()
    places, edges, spans = cuts.tolist(), bounds.tolist(), span.tolist()
    raw, colorset = options.raw, options.heatmap_colorset
    for index, low, high in zip(there.tolist(), lowest.tolist(), highest.tolist(), strict=True):
        drawn, at, right = [], edges[index], edges[index + 1]
        for cut in range(cut_bounds[index], cut_bounds[index + 1] + 1):
            stop = places[cut] if cut < cut_bounds[index + 1] else right
            drawn.append(colors.digits(shades[at:stop], colorset, color=True) if color else digits[at:stop])
            if stop < right:
                drawn.append("[...]" if widths[cut] > 4 else "." * widths[cut])
            at = stop
        least, most = units.number(low, raw=raw), units.number(high, raw=raw)
        column = _told(spans[index] / width, raw=raw)
        made[index] = f"{''.join(drawn)}\n# min/max temperatures: {least}, {most}, column size: {column}"
    return made


def _plain(frame: Frame, span: Ints, width: int) -> Flags:
    """Which snapshots have regions, none of which overlap, at offsets that leave room for multiplication."""
    first, regions = frame.first, np.diff(frame.first)
    before = frame.start[1:] < frame.end[:-1]
    inner = first[1:-1]
    before[inner[(inner > 0) & (inner < len(frame.start))] - 1] = False
    fits = (regions > 0) & (span > 0) & (span < 2**52 // max(width, 1))
    reach = np.zeros(len(frame), dtype=np.int64)
    there = regions > 0
    reach[there] = frame.end[first[1:][there] - 1] - frame.start[first[:-1][there]]
    fits &= (reach >= 0) & (reach < 2**62 // max(width, 1))
    if before.any():
        fits[np.searchsorted(first, np.flatnonzero(before), "right") - 1] = False
    return np.asarray(fits)


def _cells(frame: Frame, span: Ints, fits: Flags, options: Options) -> _Cells | None:
    """The columns of the snapshots that fit; None if there are none, or temperatures are too great for 64 bits."""
    width = options.heatmap_width
    heats = temperatures(frame, options.weights)
    sizes, start, shot = frame.sizes, frame.start, frame.snapshot()
    if not fits.all() or not sizes.all():
        rows = np.flatnonzero(fits[shot] & (sizes > 0))
        heats, sizes, start, shot = heats[rows], sizes[rows], start[rows], shot[rows]
    if not len(start):
        return None
    low = start - frame.start[np.minimum(frame.first[:-1], len(frame.start) - 1)][shot]
    spans = span[shot]
    scaled = low * width
    first, last = scaled // spans, (scaled + (sizes - 1) * width) // spans
    # A region brings those columns that the one before it does not reach into.
    first[1:] = np.where(shot[1:] == shot[:-1], np.maximum(first[1:], last[:-1] + 1), first[1:])
    brings = last - first + 1
    owner = np.repeat(np.arange(len(start)), brings)
    number = np.arange(len(owner)) + np.repeat(first - (np.cumsum(brings) - brings), brings)
    whose = shot[owner]
    # Column k begins at the k-th of `width` parts of the span, at a whole byte.
    inside = np.maximum(-(-number * span[whose] // width) - low[owner], 0)
    covered = _grown(np.ones(1, dtype=np.int64), sizes, owner, inside)
    room = _BITS - int(covered.max()).bit_length()
    most = int(max(heats.max(), -heats.min())).bit_length()
    if most <= room:
        weight = _grown(heats, sizes, owner, inside).astype(np.longdouble)
    elif most <= 2 * room:
        # In two parts: above and below 2**room.
        high = heats >> room
        weight = np.ldexp(_grown(high, sizes, owner, inside).astype(np.longdouble), room)
        weight += _grown(heats - (high << room), sizes, owner, inside)
    else:
        return None
    return _Cells(number, whose, (weight / covered).astype(np.float64))


def _grown(heats: Ints, sizes: Ints, owner: Ints, inside: Ints) -> Ints:
    """By how much the sum of heat times bytes grows in each column, from `inside` its owner to where the next is."""
    before = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(heats * sizes, out=before[1:])
    at = np.empty(len(owner) + 1, dtype=np.int64)
    at[:-1] = before[owner] + (heats[owner] if len(heats) > 1 else heats) * inside
    at[-1] = before[-1]
    return np.diff(at)
