"""The fast way through damo's JSON records, where almost all of the text is regions.

damo (and we) write one value per line with an indent of 4, so that all regions of a snapshot have the same lines. The
arrays of regions are cut out of the text and read line by line in strides, as columns; what is left over is small
JSON. Text of any other layout is `Unusual`, and for damo_json to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from damod import units
from damod.access.snapshot import Regions
from damod.errors import BadRecord
from damod.records.holding import Holding

_OPEN = re.compile(rb'\n( *)"regions": \[(\]?)')
_FIELD = re.compile(rb' *"(\w+)": ')
_DIGITS = b"0123456789\n"
# Between two arrays of regions lie few lines; more of them are no record.
_MAX_BETWEEN = 1 << 24
_MAX_REGIONS = 1 << 27


class Unusual(Exception):
    """The text is not laid out as damo does; it may be a record all the same."""


def read(chunks: Iterator[bytes], held: Holding) -> tuple[Any, list[Regions]]:
    """The JSON value of a text, whose `regions` are indices into the list of regions, which hold numpy columns.

    Raises Unusual, and whatever `chunks` and `held` raise.
    """
    outline: list[bytes] = []
    found: list[Regions] = []
    window = b""
    for chunk in chunks:
        window += chunk
        known, told = len(found), len(outline)
        window = _cut(window, outline, found)
        held.snapshots(len(found) - known, sum(map(len, found[known:])))
        held.text(sum(map(len, outline[told:])))
    if _OPEN.search(window):
        raise Unusual("regions without end")
    outline.append(window)
    try:
        return json.loads(b"".join(outline)), found
    except (ValueError, RecursionError) as exc:
        raise Unusual(str(exc)) from exc


def _cut(window: bytes, outline: list[bytes], found: list[Regions]) -> bytes:
    """Take all whole arrays of regions out of the window; what is left of it."""
    at = 0
    while match := _OPEN.search(window, at):
        if match[2]:
            regions, end = Regions(), match.end()
        else:
            if match.end() + 1 >= len(window):
                break
            closing = b"\n" + match[1] + b"]"
            place = _find(window, closing, match.end())
            if place < 0:
                if len(window) - match.end() > _MAX_REGIONS:
                    raise Unusual("regions without end")
                break
            regions, end = _regions(window[match.end() : place], len(match[1])), place + len(closing)
        outline += [window[at : match.start()], b'"regions":%d' % len(found)]
        found.append(regions)
        at = end
    if match is None and len(window) - at > _MAX_BETWEEN:
        raise Unusual("more than a record's text between regions")
    return window[at:]


def _find(window: bytes, closing: bytes, at: int) -> int:
    """Where the closing bracket with its indent is, -1 if not there; brackets are rarer than newlines and blanks."""
    while (at := window.find(b"]", at)) >= 0:
        at += 1
        if window.endswith(closing, 0, at):
            return at - len(closing)
    return -1


def _regions(block: bytes, indent: int) -> Regions:
    """Columns of the lines between `[` and `]`."""
    lines = block.split(b"\n")[1:]
    last = b" " * (indent + 4) + b"}"
    try:
        stride = lines.index(last + b",") + 1
    except ValueError:
        stride = len(lines)
    count, rest = divmod(len(lines), stride)
    if rest or lines[-1] != last or lines[stride - 1 :: stride].count(last + b",") != count - 1:
        raise Unusual("regions of different shape")
    places: dict[bytes, int] = {}
    for place, line in enumerate(lines[:stride]):
        if field := _FIELD.match(line):
            if field[1] in places:
                raise Unusual(f"two {field[1]!r} in a region")
            places[field[1]] = place
    if not {b"start", b"end", b"samples", b"aggr_intervals"} <= set(places):
        raise Unusual("a region lacks something")

    def column(name: bytes) -> list[bytes]:
        return lines[places[name] :: stride]

    hits = column(b"probe_hits") if b"probe_hits" in places else []
    if hits and b"\n".join(hits).count(b"[]") != count:
        raise Unusual("probe hits")
    start, end = _integers(column(b"start"), "u8"), _integers(column(b"end"), "u8")
    if (end < start).any():
        raise BadRecord("a region ends below its start")
    return Regions(
        start=start,
        end=end,
        nr_accesses=_integers(column(b"samples"), "i8"),
        age=_integers(column(b"aggr_intervals"), "i8", null=True),
        sz_filter_passed=_sizes(column(b"sz_filter_passed")) if b"sz_filter_passed" in places else None,
    )


def _values(lines: list[bytes]) -> bytes:
    """What comes after the name, of lines that all have the same name, joined by newlines."""
    field = _FIELD.match(lines[0])
    if field is None:
        raise Unusual("a line without a name")
    prefix = b"\n" + field[0]
    joined = b"\n" + b"\n".join(lines)
    if joined.count(prefix) != len(lines):
        raise Unusual("regions of different order")
    return joined.replace(prefix, b"\n")[1:]


def _integers(lines: list[bytes], kind: str, *, null: bool = False) -> Any:
    """Numbers with or without quotes and commas; with `null` also a column of nothing but null, as -1."""
    import numpy as np

    text = _values(lines).translate(None, b'",')
    if text.translate(None, _DIGITS):
        if null and text.count(b"null") == len(lines) and not text.replace(b"null", b"").strip():
            return np.full(len(lines), -1, kind)
        raise Unusual("something that is no number")
    values = np.fromstring(text, kind, sep="\n")
    # Numbers that do not fit come out as the largest; the slow way has words for that.
    if len(values) != len(lines) or (len(values) and values.max() == np.iinfo(kind).max):
        raise Unusual("numbers that are empty or too large")
    return values


def _sizes(lines: list[bytes]) -> Any:
    import numpy as np

    values = _values(lines).translate(None, b'",')
    if nulls := values.count(b"null"):
        if nulls != len(lines) or values.replace(b"null", b"").strip():
            raise Unusual("passed bytes of some regions only")
        return None
    texts = values.split(b"\n")
    try:
        known = {text: units.parse_size(text.decode()) for text in set(texts)}
        return np.array([known[text] for text in texts], "i8")
    except (ValueError, OverflowError) as exc:
        raise Unusual(str(exc)) from exc
