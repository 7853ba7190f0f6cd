"""Columns of numbers as columns of text, all at once: matrices of bytes in which 0 stands for no character.

A line is its columns side by side; dropping the zeros of the whole matrix gives the text. So a hundred thousand regions
become text without a Python object for any of them. The text is that of `damod.units`, to the character.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from damoctl.reports.frames import Ints

Glyphs = NDArray[np.uint8]
_DIGITS = np.array([f"{value:04d}" for value in range(10_000)], dtype="S4").view(np.uint8).reshape(-1, 4)
# the same without leading zeros
_LEADING = np.array([b"\0" * (4 - len(str(value))) + str(value).encode() for value in range(10_000)], dtype="S4")
_WHOLE = np.frombuffer(b"".join(bytes(item).ljust(4, b"\0") for item in _LEADING), dtype=np.uint8).reshape(-1, 4)
_UNITS = ((60, b" EiB"), (50, b" PiB"), (40, b" TiB"), (30, b" GiB"), (20, b" MiB"), (10, b" KiB"))
_EXACT = 2**53


def literal(text: str, count: int) -> Glyphs:
    """The same text in each row."""
    row = np.frombuffer(text.encode(), dtype=np.uint8)
    return np.broadcast_to(row, (count, len(row)))


def known(values: Sequence[str], index: NDArray[np.intp] | Ints, width: int) -> Glyphs:
    """In each row the text of that index, padded with blanks to `width`."""
    table = np.array([value.ljust(width).encode() for value in values], dtype="S")
    return np.asarray(table[index].view(np.uint8).reshape(len(index), -1))


def distinct(column: Ints, show: Callable[[int], str], width: int) -> Glyphs:
    """Each distinct value as `show` has it; for columns with few of them."""
    if len(column) and (low := int(column.min())) >= 0 and (high := int(column.max())) - low < 1 << 16:
        there = np.flatnonzero(np.bincount(column - low, minlength=high - low + 1))
        place = np.zeros(high - low + 1, dtype=np.intp)
        place[there] = np.arange(len(there))
        return known([show(value) for value in (there + low).tolist()], place[column - low], width)
    values, index = np.unique(column, return_inverse=True)
    return known([show(value) for value in values.tolist()], index, width)


def sizes(column: Ints, width: int) -> Glyphs:
    """As `units.size`: ``1.366 GiB``, cut to thousandths as Python rounds them, padded to `width`."""
    count = len(column)
    made: Glyphs = np.zeros((count, 12), dtype=np.uint8)
    length = np.full(count, 12)
    rest = np.ones(count, dtype=bool)
    for shift, unit in _UNITS:
        rows = np.flatnonzero(rest & (column > (1 << shift)))
        if not len(rows):
            continue
        rest[rows] = False
        values = column[rows]
        whole, part = values >> shift, values & ((1 << shift) - 1)
        # thousandths rounded to nearest, ties to even: exact, since a fraction of 2**shift is exact as a float too
        bits = min(shift, 43)  # times 1000 must fit 64 bits; of more bits the lowest only tell ties apart
        if shift > bits:
            part = part >> (shift - bits) | (part & ((1 << (shift - bits)) - 1) != 0)
        scaled = part * 1000
        thousandths, left, half = scaled >> bits, scaled & ((1 << bits) - 1), 1 << (bits - 1)
        thousandths += (left > half) | ((left == half) & (thousandths & 1 == 1))
        whole += thousandths == 1000
        thousandths[thousandths == 1000] = 0
        made[rows, :4] = _WHOLE[whole]
        made[rows, 4] = ord(".")
        made[rows, 5:8] = _DIGITS[thousandths, 1:]
        made[rows, 8:] = np.frombuffer(unit, dtype=np.uint8)
        length[rows] = 8 + np.searchsorted((10, 100, 1000), whole, "right") + 1
    rows = np.flatnonzero(rest)
    if len(rows):
        values = column[rows]
        made[rows, :4] = _WHOLE[values]
        made[rows, 4:6] = np.frombuffer(b" B", dtype=np.uint8)
        length[rows] = 3 + np.searchsorted((10, 100, 1000), values, "right")
    return padded(made, length, width)


def whole(column: Ints, width: int) -> Glyphs:
    """Plain integers, 0 and above, padded to `width`."""
    texts = np.char.mod(b"%d", column) if len(column) else np.zeros(0, dtype="S1")
    length = np.char.str_len(texts)
    return padded(texts.view(np.uint8).reshape(len(column), -1), length, width)


def padded(made: Glyphs, length: Ints | NDArray[np.intp], width: int) -> Glyphs:
    """The rows with blanks behind, up to `width` characters; `length` is how many characters each has."""
    if not width:
        return made
    most = max(width - int(length.min()), 0) if len(length) else 0
    blanks = np.where(np.arange(most) < (width - length)[:, None], ord(" "), 0).astype(np.uint8)
    return np.hstack((made, blanks))


def text(columns: Sequence[Glyphs], first: Ints) -> list[str]:
    """The lines, each ended by a newline but the last, of the rows ``first[i]:first[i + 1]`` as one text per i."""
    count = len(columns[0])
    matrix = np.hstack([*columns, literal("\n", count)])
    mask = matrix != 0
    ends = np.concatenate(([0], np.cumsum(mask.sum(axis=1))))[first]
    whole_text = matrix[mask].tobytes().decode()
    return [
        whole_text[low : max(high - 1, low)] for low, high in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]
