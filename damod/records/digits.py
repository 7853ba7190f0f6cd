"""Whole numbers that stand in text, read as columns: eight characters at a time, without an object for any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
_WORD = np.dtype("<u8")
# As many characters as are looked at, before the end of each number.
_REACH = 24
# With commas a word has six digits, without eight; more would not fit 64 bits.
_MOST_WITH, _MOST_WITHOUT = 23, 19


class NotNumbers(ValueError):
    """Something in a column is no whole number, or too long to be one of 64 bits."""


def _words(texts: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(texts), dtype=_WORD)


def _all(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes((byte,)) * 8, "little"))


# By how many of a word's characters belong to the number, which are its last: those, zeros before them, its commas.
_KEEP = _words([b"\0" * (8 - count) + b"\xff" * count for count in range(9)])
_ZEROS = _words([b"0" * (8 - count) + b"\0" * count for count in range(9)])
_COMMA_TO_ZERO = ord(",") ^ ord("0")
_COMMAS = _words(
    [bytes(_COMMA_TO_ZERO if 8 - place <= count and place in (0, 4) else 0 for place in range(8)) for count in range(9)]
)
_AT_COMMAS = _words([b"\x0f\0\0\0\x0f\0\0\0"])[0]
_ZERO, _HIGH, _LOW, _SIX = _all(ord("0")), _all(0xF0), _all(0x0F), _all(0x06)
_PAIRS, _FOURS = (np.uint64(mask) for mask in (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF))
_LAST = np.uint64(0xFFFFFFFF)


def column(text: bytes, ends: Places, lengths: Places) -> NDArray[np.uint64]:
    """The numbers of `lengths` characters that end before the places `ends`; of all or none thousands are set apart.

    Raises NotNumbers.
    """
    if not len(ends):
        return np.zeros(0, dtype=np.uint64)
    longest, places = int(lengths.max()), ends - _REACH
    if int(lengths.min()) < 1 or int(places.min()) < 0:
        raise NotNumbers("no digits")
    commas = longest > 3 and text[int(ends[lengths.argmax()]) - 4] == ord(",")
    if longest > (_MOST_WITH if commas else _MOST_WITHOUT) or (commas and not (lengths & 3).all()):
        raise NotNumbers("digits of another number, or too many")
    rows = np.ndarray(len(text) - _REACH + 1, f"V{_REACH}", text, 0, (1,))[places]
    words = rows.view(_WORD).reshape(-1, _REACH // 8)
    found, weight = _eight(words[:, 2], np.minimum(lengths, 8), commas=commas), 1
    for place in (1, 0):
        done = _REACH - 8 * (place + 1)
        weight *= 10**6 if commas else 10**8
        if longest > done:
            count = np.minimum(np.maximum(lengths - done, 0), 8)
            found += _eight(words[:, place], count, commas=commas) * np.uint64(weight)
    return found


def _eight(word: NDArray[Any], count: Places, *, commas: bool) -> NDArray[np.uint64]:
    """The number in the last `count` of eight characters, the first of which is the lowest byte of a word."""
    word = word & _KEEP.take(count) | _ZEROS.take(count)
    if commas:
        word ^= _COMMAS.take(count)
    wrong = ((word & _HIGH) ^ _ZERO) | (((word + _SIX) & _HIGH) ^ _ZERO)
    digits = word & _LOW
    if commas:
        wrong |= digits & _AT_COMMAS
    if wrong.any():
        raise NotNumbers("something that is no digit")
    pairs = (digits * np.uint64(10) + (digits >> np.uint64(8))) & _PAIRS
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & _FOURS
    return np.asarray((fours & _LAST) * np.uint64(1000 if commas else 10000) + (fours >> np.uint64(32)))
