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
_DIGITS = (np.arange(10_000)[:, None] // np.array([1000, 100, 10, 1]) % 10 + ord("0")).astype(np.uint8)
# The same without leading zeros.
_WHOLE = np.where(np.arange(10_000)[:, None] >= np.array([1000, 100, 10, 0]), _DIGITS, np.uint8(0))
_UNITS = (b" KiB", b" MiB", b" GiB", b" TiB", b" PiB", b" EiB")
# The last is what as a float is 1 EiB.
_POWERS = np.array([1 << 10 * (number + 1) for number in range(5)] + [(1 << 60) + 128])
_TENS = np.array([10, 100, 1000])  # numbers of up to four digits
_BYTES = np.frombuffer(b" B".ljust(8, b"\0"), dtype=np.uint8)


def _endings() -> NDArray[np.uint8]:
    """``.366 GiB`` for each unit (0 is none) and each number of thousandths."""
    points = np.full((7, 1000, 8), ord("."), dtype=np.uint8)
    points[:, :, 1:4] = _DIGITS[:1000, 1:]
    for number, unit in enumerate(_UNITS, 1):
        points[number, :, 4:] = np.frombuffer(unit, dtype=np.uint8)
    return points.reshape(-1, 8)


_ENDS = _endings()
_EXACT = 2**53
# Stands in no UTF-8 text.
_END = 0xFF


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
    made: Glyphs = np.zeros((len(column), 12), dtype=np.uint8)
    # A unit is used strictly above its power; 0 is B.
    unit = np.searchsorted(_POWERS, column, "left")
    shift = unit * 10
    whole = column >> shift
    part = column - (whole << shift)
    if int(unit.max(initial=0)) > 4:
        # Times 1000 must fit 64 bits; of more bits the lowest only tell ties apart.
        spare = np.maximum(shift - 43, 0)
        lost = part - (part >> spare << spare)
        part = (part >> spare) | (lost != 0)
        shift = np.minimum(shift, 43)
    # Thousandths rounded to nearest, ties to even: exact, since a fraction of 2**shift is exact as a float too.
    scaled = part * 1000
    thousandths = scaled >> shift
    twice = (scaled - (thousandths << shift)) * 2
    thousandths += twice + (thousandths & 1) > (1 << shift)
    if int(thousandths.max(initial=0)) == 1000:
        over = thousandths == 1000
        whole += over
        thousandths[over] = 0
    made[:, :4] = _WHOLE[whole]
    made[:, 4:] = _ENDS[thousandths + unit * 1000]
    length = 8 + np.searchsorted(_TENS, whole, "right") + 1
    bare = unit == 0
    if bare.any():
        made[bare, 4:] = _BYTES
        length[bare] -= 6
    return padded(made, length, width)


def whole(column: Ints, width: int) -> Glyphs:
    """Plain integers, 0 and above, padded to `width`."""
    if int(column.max(initial=0)) < len(_WHOLE):
        return padded(_WHOLE[column], 1 + np.searchsorted(_TENS, column, "right"), width)
    texts = np.char.mod(b"%d", column)
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
    count, width = len(columns[0]), sum(column.shape[1] for column in columns)
    held = bytearray(count * (width + 1))
    matrix = np.frombuffer(held, dtype=np.uint8).reshape(count, width + 1)
    at = 0
    for column in columns:
        matrix[:, at : at + column.shape[1]] = column
        at += column.shape[1]
    matrix[:, -1] = ord("\n")
    there = first[1:] > first[:-1]
    matrix[first[1:][there] - 1, -1] = _END
    pieces = iter(held.translate(None, b"\0").split(bytes((_END,))))
    return [next(pieces).decode() if some else "" for some in there.tolist()]
