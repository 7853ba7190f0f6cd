"""Check sums inside what they cover, for formats that leave no room for one beside it.

Arrow trusts the lengths and offsets of a stream's messages, and Parquet those of a file's footer; a flipped bit there
can end the process. So both carry a tag `damod-crc32:xxxxxxxx` in their metadata, stamped after they were laid out, and
nothing is handed to a library before it was checked.
"""

from __future__ import annotations

import re
import zlib

BLANK = "damod-crc32:00000000"
"""The value to put into metadata before `stamp`."""
_TAG = re.compile(rb"damod-crc32:[0-9a-f]{8}")


def _sum(data: bytes, match: re.Match[bytes]) -> bytes:
    value = zlib.crc32(data[match.end() :], zlib.crc32(BLANK.encode(), zlib.crc32(data[: match.start()])))
    return b"damod-crc32:%08x" % value


def stamp(data: bytes) -> bytes:
    """The data with its tag filled in; unchanged if it has none."""
    match = _TAG.search(data)
    return data if match is None else data[: match.start()] + _sum(data, match) + data[match.end() :]


def intact(data: bytes) -> bool:
    """Whether the data have a tag, and are as they were when it was stamped."""
    match = _TAG.search(data)
    return match is not None and match[0] == _sum(data, match)
