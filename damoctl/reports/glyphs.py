"""Columns of numbers as columns of text, all at once, without a Python object for any of the regions.

A column's texts are cells of equal width. Lines of text are the cells side by side in one buffer, which is the text
where every cell is filled, as nearly all are while texts keep within their columns' widths. Where one is not, a zero
byte stands for no character. The text is that of `damod.units`, to the character.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damoctl.reports.frames import Ints


class Cells(NamedTuple):
    """The texts of a column: `rows` of some bytes each (dtype V), of which most texts fill the first `width` exactly.

    `odd` tells which rows do not; None if all do.
    """

    rows: NDArray[np.void]
    width: int
    odd: NDArray[np.bool_] | None = None

    def narrow(self) -> NDArray[np.void]:
        """The first `width` bytes of each."""
        size = self.rows.dtype.itemsize
        if self.width == size:
            return self.rows
        part = np.dtype({"names": ["text"], "formats": [f"V{self.width}"], "offsets": [0], "itemsize": size})
        return np.asarray(self.rows.view(part)["text"])


# Little-endian words hold text as memory does, their lowest byte first.
_WORD, _HALF = np.dtype("<u8"), np.dtype("<u4")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
# A size in thousandths of its unit is at most that of 1024.
_MOST_WHOLE = 1024


def _words(texts: Sequence[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.frombuffer(b"".join(text.ljust(dtype.itemsize, b"\0") for text in texts), dtype=dtype)


# ``1`` to ``1024``, eight times how many digits that is, and the blanks that they leave in the last four of 12 bytes.
_WHOLE = _words([b"%d" % value for value in range(_MOST_WHOLE + 1)], _WORD)
_SHIFT = np.array([8 * len(str(value)) for value in range(_MOST_WHOLE + 1)], dtype=np.uint64)
_FILL = _words([b"\0" * len(str(value)) + b" " * (4 - len(str(value))) for value in range(_MOST_WHOLE + 1)], _WORD)
# ``.366 GiB`` for each unit (0 is B, which has no thousandths) and each number of thousandths.
_ENDS = _words(
    [b" B      " if unit == "B" else b".%03d %s" % (part, unit.encode()) for unit in _UNITS for part in range(1000)],
    _WORD,
)
# By the exponent of the size less one, as a double: 10 times the unit. A unit is used strictly above its power.
_EXPONENT_0 = 1023
_SHIFTS = np.array([max(exponent - _EXPONENT_0, 0) // 10 * 10 for exponent in range(_EXPONENT_0 + 64)])
_HALVES = (1 << _SHIFTS >> 1) - 1
_HALVES[_SHIFTS == 0] = 0
# Of 12 bytes the first n, as a word and a half.
_KEEP_WORD = _words([b"\xff" * min(n, 8) for n in range(13)], _WORD)
_KEEP_HALF = _words([b"\xff" * max(n - 8, 0) for n in range(13)], _HALF)


def known(values: Sequence[str], index: NDArray[Any], width: int) -> Cells:
    """In each row the text of that index, padded with blanks to `width`."""
    texts = [value.ljust(width).encode() for value in values]
    lengths = list(map(len, texts)) or [1]
    size, wanted = max(lengths), width or max(lengths)
    table = np.frombuffer(b"".join(text.ljust(size, b"\0") for text in texts), dtype=f"V{size}")
    odd = None
    if min(lengths) != wanted or size != wanted:
        odd = np.array([length != wanted for length in lengths]).take(index)
    return Cells(table.take(index), wanted, odd)


def distinct(column: Ints, show: Callable[[int], str], width: int) -> Cells:
    """Each distinct value as `show` has it; for columns with few of them."""
    if len(column) and (low := int(column.min())) >= 0 and (high := int(column.max())) - low < 1 << 16:
        places = column - low if low else column
        there = np.flatnonzero(np.bincount(places, minlength=high - low + 1))
        if len(there) == high - low + 1:
            return known([show(value) for value in range(low, high + 1)], places, width)
        place = np.zeros(high - low + 1, dtype=np.intp)
        place[there] = np.arange(len(there))
        return known([show(value) for value in (there + low).tolist()], place[places], width)
    values, index = np.unique(column, return_inverse=True)
    return known([show(value) for value in values.tolist()], index, width)


def sizes(column: Ints, width: int) -> Cells:
    """As `units.size`: ``1.366 GiB``, cut to thousandths as Python rounds them, padded to `width`.

    Sizes are whole numbers from 0 to below 2**53, so that they are exact as doubles.
    """
    exponent = (np.maximum(column, 1) - 1).astype(np.float64).view(np.int64) >> 52
    shift = _SHIFTS.take(exponent)
    # Thousandths rounded to nearest, ties to even.
    scaled = column * 1000
    thousandths = (scaled + _HALVES.take(exponent) + ((scaled >> shift) & 1)) >> shift
    whole = thousandths // 1000
    end = _ENDS.take(thousandths - whole * 1000 + shift * 100)
    digits = _SHIFT.take(whole)
    made = np.empty(len(column), dtype=[("word", _WORD), ("half", _HALF)])
    made["word"] = _WHOLE.take(whole) | end << digits
    made["half"] = end >> (64 - digits) | _FILL.take(whole)
    # What is written with a unit is eight characters longer than its whole part, in bytes two.
    length = (digits.view(np.int64) >> 3) + np.where(shift, 8, 2)
    most, odd = int(length.max(initial=1)), None
    if most > width:
        least = np.maximum(length, width)
        odd = least != (width or most)
        made["word"] &= _KEEP_WORD[least]
        made["half"] &= _KEEP_HALF[least]
    if width <= 12:
        return Cells(np.ndarray(len(column), f"V{max(most, width)}", made, 0, (12,)), width or most, odd)
    wider = np.full(len(column) * width, ord(" "), dtype=np.uint8)
    np.ndarray(len(column), "V12", wider, 0, (width,))[...] = made.view("V12")
    return Cells(wider.view(f"V{width}"), width)


def whole(column: Ints, width: int) -> Cells:
    """Plain integers, 0 and above, padded to `width`."""
    if len(column) and int(column.max()) < len(column):
        return known([str(value) for value in range(int(column.max()) + 1)], column, width)
    texts = np.char.ljust(np.char.mod(b"%d", column), width)
    size = texts.itemsize
    return Cells(texts.view(f"V{size}"), width or size, np.char.str_len(texts) != (width or size))


class Lines:
    """Makes texts of columns, again and again in one buffer: what is the same in all lines stands there already."""

    def __init__(self) -> None:
        self._line = b""
        self._held = bytearray()

    def text(self, columns: Sequence[Cells | str], first: Ints) -> list[str]:
        """The lines, each ended by a newline but the last, of the rows ``first[i]:first[i + 1]`` as one text per i.

        A column that is a str has this text in each row.
        """
        parts = [column.encode() if isinstance(column, str) else b" " * column.width for column in columns]
        line, count = b"".join(parts) + b"\n", int(first[-1])
        width = len(line)
        if line != self._line or len(self._held) < count * width:
            self._line, self._held = line, bytearray(line) * count
        at = 0
        for column, part in zip(columns, parts, strict=True):
            if not isinstance(column, str):
                np.ndarray(count, f"V{column.width}", self._held, at, (width,))[...] = column.narrow()
            at += len(part)
        with memoryview(self._held) as view:
            bounds = (first * width).tolist()
            made = [str(view[low : high - 1], "utf-8") if high > low else "" for low, high in pairwise(bounds)]
        odd = [column.odd for column in columns if not isinstance(column, str) and column.odd is not None]
        if odd:
            rows = np.flatnonzero(np.logical_or.reduce(odd))
            for index in np.unique(np.searchsorted(first, rows, "right") - 1).tolist():
                made[index] = _squeezed(columns, slice(int(first[index]), int(first[index + 1])))
        return made


def _squeezed(columns: Sequence[Cells | str], rows: slice) -> str:
    """The lines of some rows whose texts are of different width."""
    count = rows.stop - rows.start
    parts = [
        np.frombuffer(column.encode() * count, np.uint8)
        if isinstance(column, str)
        else np.ascontiguousarray(column.rows[rows]).view(np.uint8)
        for column in columns
    ]
    ends = np.full((count, 1), ord("\n"), dtype=np.uint8)
    matrix = np.hstack([*(part.reshape(count, -1) for part in parts), ends])
    return matrix.tobytes().translate(None, b"\0")[:-1].decode()
