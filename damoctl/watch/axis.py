"""The memory of a target as one line without gaps: the stretches that were ever watched, laid end to end.

A virtual address space is a few small stretches with terabytes between them; a picture of it needs the offsets along
this line, and people the addresses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from damoctl.reports.frames import Frame, Ints

Range = tuple[int, int]


class Axis:
    """`stretches` are [start, end) addresses, ascending, none touching another. Immutable."""

    def __init__(self, stretches: tuple[Range, ...] = ()) -> None:
        self.stretches = stretches
        self._starts: Ints = np.array([start for start, _ in stretches], dtype=np.int64)
        self._ends: Ints = np.array([end for _, end in stretches], dtype=np.int64)
        self._offsets: Ints = np.concatenate(([0], np.cumsum(self._ends - self._starts))).astype(np.int64)

    @property
    def total(self) -> int:
        """Bytes of all stretches."""
        return int(self._offsets[-1])

    def covers(self, start: Ints, end: Ints) -> bool:
        """Whether each of the regions lies inside of a stretch."""
        if not len(self.stretches):
            return not len(start)
        index = np.searchsorted(self._starts, start, "right") - 1
        return bool((index >= 0).all() and (end <= self._ends[index]).all())

    def with_runs(self, start: Ints, end: Ints) -> Axis:
        """The axis that has the regions too."""
        joined: list[list[int]] = []
        regions = zip(start.tolist(), end.tolist(), strict=True)
        for low, high in sorted({*self.stretches, *((low, high) for low, high in regions if low < high)}):
            if joined and low <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], high)
            else:
                joined.append([low, high])
        return Axis(tuple((low, high) for low, high in joined))

    def place(self, frame: Frame) -> Frame:
        """The frame with offsets for addresses. All of its regions have to be covered."""
        if not len(frame.start):
            return frame
        shift = (self._offsets[:-1] - self._starts)[np.searchsorted(self._starts, frame.start, "right") - 1]
        return replace(frame, start=frame.start + shift, end=frame.end + shift)

    def address(self, offset: int) -> int:
        """The address at an offset; of the place between two stretches that where the higher one begins."""
        if not self.stretches:
            return 0
        index = int(np.searchsorted(self._offsets[1:], offset, "right"))
        if index == len(self.stretches):
            return int(self._ends[-1]) + offset - self.total
        return int(self._starts[index]) + offset - int(self._offsets[index])

    def offset(self, address: int) -> int:
        """The offset of an address; of one between stretches that of the next stretch."""
        for (start, end), at in zip(self.stretches, self._offsets.tolist(), strict=False):
            if address < end:
                return int(at) + max(address - start, 0)
        return self.total

    def borders(self, low: int, high: int) -> list[int]:
        """Offsets between `low` and `high` at which one stretch follows another."""
        return [at for at in self._offsets[1:-1].tolist() if low < at < high]

    def pieces(self, low: int, high: int) -> list[Range]:
        """The address ranges of the offsets [low, high)."""
        found = []
        for (start, end), at in zip(self.stretches, self._offsets.tolist(), strict=False):
            first, last = max(low, at), min(high, at + end - start)
            if first < last:
                found.append((start + first - at, start + last - at))
        return found


class Mark(NamedTuple):
    """An address to be written above a column."""

    column: int
    address: int


def marks(axis: Axis, space: Range, columns: int, apart: int) -> list[Mark]:
    """Addresses to write above a picture: where stretches begin, and between them, at least `apart` columns apart."""
    low, high = space
    if high <= low or columns < 1:
        return []
    fixed = [0, *((border - low) * columns // (high - low) for border in axis.borders(low, high))]
    chosen: list[int] = []
    for column in sorted(set(fixed)):
        if not chosen or column - chosen[-1] >= apart:
            chosen.append(column)
    filled: list[int] = []
    for column, after in zip(chosen, [*chosen[1:], columns], strict=True):
        parts = max((after - column) // apart, 1)
        filled += [column + (after - column) * part // parts for part in range(parts)]
    return [
        Mark(column, axis.address(low + -(-column * (high - low) // columns)))
        for column in filled
        if column + apart <= columns + 1 or column == 0
    ]
