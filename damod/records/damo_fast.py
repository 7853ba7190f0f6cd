"""The fast way through damo's JSON records, where almost all of the text is regions.

damo (and we) write one value per line with an indent of 4, so that all regions have the same lines. Of a window of text
the ends of lines are looked up at once; the lists of regions are cut out and their fields read as columns, by the
places where their lines begin and end. What is left over is small JSON. Text of any other layout is `Unusual`, and for
damo_json to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damod import units
from damod.access.snapshot import Regions
from damod.errors import BadRecord
from damod.records import digits
from damod.records.digits import Places
from damod.records.holding import Holding

_OPEN = re.compile(rb'(?:\A|\n)( *)"regions": \[')
_FIELD = re.compile(rb'( *"(\w+)": ("?))([^"{]*?)(\3,?)')
_BRACES = re.compile(rb' *(?:\{|\},?|"\w+": \{)')
_NEEDED = {b"start", b"end", b"samples", b"aggr_intervals"}
_READ = _NEEDED | {b"sz_filter_passed"}
_NULL = b"null"
# Between two lists of regions lie few lines; more of them are no record.
_MAX_BETWEEN = 1 << 24
_MAX_REGIONS = 1 << 26
# Lines are longer than this on average.
_MIN_LINE = 8
# A region has fewer lines.
_MAX_LINES = 64
_I64_MAX = 2**63 - 1
# The least number of so many digits.
_LEAST = np.array([0, 0, *(10**count for count in range(1, 19))], dtype=np.uint64)


class Unusual(Exception):
    """The text is not laid out as damo does; it may be a record all the same."""


class _Field(NamedTuple):
    """A line of a region: which, what stands before its value and behind."""

    line: int
    before: bytes
    behind: bytes
    value: bytes


class _Shape(NamedTuple):
    """The lines of a region: how many, and the fields by name."""

    lines: int
    fields: dict[bytes, _Field]


def read(chunks: Iterator[bytes], held: Holding) -> tuple[Any, list[Regions]]:
    """The JSON value of a text, whose `regions` are indices into the list of regions, which hold numpy columns.

    Raises Unusual, and whatever `chunks` and `held` raise.
    """
    outline: list[bytes] = []
    found: list[Regions] = []
    window, enough = b"", 0
    for chunk in chunks:
        window += chunk
        if len(window) >= enough:
            known, told = len(found), len(outline)
            window = _cut(window, outline, found)
            held.snapshots(len(found) - known, sum(map(len, found[known:])))
            held.text(sum(map(len, outline[told:])))
            # A list that goes on is looked at again when there is twice as much of it.
            enough = 2 * len(window) if _OPEN.match(window) else 0
    window = _cut(window + b"\n", outline, found)
    if _OPEN.search(window):
        raise Unusual("regions without end")
    outline.append(window)
    try:
        return json.loads(b"".join(outline)), found
    except (ValueError, RecursionError) as exc:
        raise Unusual(str(exc)) from exc


def _cut(window: bytes, outline: list[bytes], found: list[Regions]) -> bytes:
    """Take all whole lists of regions out of the window; what is left of it begins with a line."""
    match = _OPEN.search(window)
    if match is None:
        if len(window) > _MAX_BETWEEN:
            raise Unusual("more than a record's text between regions")
        return window
    indent = len(match[1])
    lines = _Lines(window)
    opening, closing = b" " * indent + b'"regions": [', b" " * indent + b"]"
    opened, empty = lines.like(opening, (b"",)), lines.like(opening + b"]", (b"", b","))
    closed = lines.like(closing, (b"", b","))
    blocks: list[tuple[int, int]] = []
    at = 0
    for first, last in _pairs(opened, empty, closed):
        begin, end = int(lines.begins[first]), int(lines.begins[last])
        # What is behind the bracket stays where it is.
        behind = end + (len(closing) if last > first else len(opening) + 1)
        outline += [window[at:begin], b'"regions":%d' % (len(found) + len(blocks))]
        blocks.append((first + 1, max(last, first + 1)))
        at = behind
    found += _regions(lines, blocks, indent)
    rest = window[at:]
    if len(rest) > _MAX_REGIONS:
        raise Unusual("regions without end")
    last_open = int(opened[-1]) if len(opened) else -1
    if last_open >= 0 and int(lines.begins[last_open]) >= at:
        # So that it begins with the list that goes on.
        begin = int(lines.begins[last_open])
        outline.append(window[at:begin])
        return window[begin:]
    if len(rest) > _MAX_BETWEEN:
        raise Unusual("more than a record's text between regions")
    return rest


def _pairs(opened: Places, empty: Places, closed: Places) -> Iterator[tuple[int, int]]:
    """First and last line of each list of regions that has an end; both are the same for an empty one."""
    ends = np.searchsorted(closed, opened, "right")
    lists = [(first, int(closed[end]) if end < len(closed) else -1)
             for first, end in zip(opened.tolist(), ends.tolist(), strict=True)]  # fmt: skip
    before = -1
    for first, last in sorted([*lists, *((line, line) for line in empty.tolist())]):
        if first <= before:
            raise Unusual("regions in regions")
        if last < 0:
            return
        yield first, last
        before = last


class _Lines:
    """A window of text and where its whole lines begin and end."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.bytes = np.frombuffer(text, dtype=np.uint8)
        self.ends = np.flatnonzero(self.bytes == ord("\n"))
        if len(self.ends) * _MIN_LINE > len(text) + (1 << 12):
            raise Unusual("hardly any text in the lines")
        self.begins = np.empty_like(self.ends)
        self.begins[:1] = 0
        self.begins[1:] = self.ends[:-1] + 1
        self._lengths = self.ends - self.begins

    def __getitem__(self, line: int) -> bytes:
        return self.text[self.begins[line] : self.ends[line]]

    def like(self, text: bytes, behind: Sequence[bytes]) -> Places:
        """The lines that are this text, with one of some things behind."""
        whole = [text + tail for tail in behind]
        wanted = np.logical_or.reduce([self._lengths == len(one) for one in whole])
        return np.array([line for line in np.flatnonzero(wanted).tolist() if self[line] in whole], dtype=np.int64)

    def have(self, text: bytes, places: Places) -> bool:
        """Whether the same text stands at all the places."""
        size = len(text)
        if size < 8:
            return all(bool((self.bytes[places + index] == byte).all()) for index, byte in enumerate(text))
        if int(places.max()) + size > len(self.text):
            return False
        rows = np.ndarray(len(self.text) - size + 1, f"V{size}", self.text, 0, (1,))[places]
        for at in (*range(0, size - 8, 8), size - 8):
            word = int.from_bytes(text[at : at + 8], "little")
            if (np.ndarray(len(rows), "<u8", rows, at, (size,)) != np.uint64(word)).any():
                return False
        return True


def _regions(lines: _Lines, blocks: Sequence[tuple[int, int]], indent: int) -> list[Regions]:
    """The columns of lists of regions, given by their lines."""
    made = [Regions()] * len(blocks)
    by_shape: dict[Any, tuple[_Shape, list[int]]] = {}
    shape: _Shape | None = None
    for index, (first, last) in enumerate(blocks):
        if first == last:
            continue
        if shape is None or (last - first) % shape.lines:
            shape = _shape(lines, first, last, indent)
        by_shape.setdefault(shape.lines, (shape, []))[1].append(index)
    for shape, members in by_shape.values():
        try:
            columns = _columns(lines, [blocks[index] for index in members], shape, indent)
        except Unusual:
            # Lists whose lines look different one from the other; each by itself may be usual.
            if len(members) == 1:
                raise
            columns = []
            for index in members:
                columns += _columns(lines, [blocks[index]], _shape(lines, *blocks[index], indent), indent)
        for index, regions in zip(members, columns, strict=True):
            made[index] = regions
    return made


def _shape(lines: _Lines, first: int, last: int, indent: int) -> _Shape:
    """What the lines of the first region of a list are."""
    closer = b" " * (indent + 4) + b"}"
    fields: dict[bytes, _Field] = {}
    for line in range(first, min(last, first + _MAX_LINES)):
        text = lines[line]
        if match := _FIELD.fullmatch(text):
            if match[2] in fields:
                raise Unusual(f"two {match[2]!r} in a region")
            fields[match[2]] = _Field(line - first, match[1], match[5], match[4])
        elif not _BRACES.fullmatch(text):
            raise Unusual("a line that is no field of a region")
        elif text.startswith(closer):
            break
    else:
        raise Unusual("a region without end")
    count = line - first + 1
    if (last - first) % count or not fields.keys() >= _NEEDED:
        raise Unusual("regions that lack something, or of different shape")
    try:
        json.loads(lines.text[lines.begins[first] : lines.begins[line] + len(closer)])
    except ValueError as exc:
        raise Unusual(str(exc)) from exc
    return _Shape(count, fields)


def _columns(lines: _Lines, blocks: Sequence[tuple[int, int]], shape: _Shape, indent: int) -> list[Regions]:
    """The columns of lists of regions that all have one shape. Raises Unusual if they have not."""
    counts = [(last - first) // shape.lines for first, last in blocks]
    heads = np.concatenate([np.arange(first, last, shape.lines) for first, last in blocks])
    bounds = np.concatenate(([0], np.cumsum(counts)))
    tails = heads + shape.lines - 1
    brace = b" " * (indent + 4) + b"}"
    comma = np.ones(len(heads), dtype=np.int64)
    comma[bounds[1:] - 1] = 0
    begins, ends = lines.begins[tails], lines.ends[tails]
    if (ends - begins != len(brace) + comma).any() or not lines.have(brace, begins):
        raise Unusual("regions of different shape")
    if (lines.bytes[ends[comma > 0] - 1] != ord(",")).any():
        raise Unusual("regions of different shape")
    fields = shape.fields
    for name in fields.keys() - _READ:
        field = fields[name]
        # Values that nobody reads may be anything, but for hits, of which there are none.
        text = field.before + b"[]" if name == b"probe_hits" else field.before.rstrip(b'"')
        if not lines.have(text, lines.begins[heads + field.line]):
            raise Unusual("regions of different shape, or with hits of probes")
    start, end, samples = (_integers(lines, heads, fields[name]) for name in (b"start", b"end", b"samples"))
    if (end < start).any():
        raise BadRecord("a region ends below its start")
    age = _integers(lines, heads, fields[b"aggr_intervals"], null=True)
    if int(samples.max()) > _I64_MAX or int(age.max()) > _I64_MAX:
        raise Unusual("too large numbers")
    samples, age = samples.view(np.int64), age.view(np.int64)
    passed = _sizes(lines, heads, fields[b"sz_filter_passed"]) if b"sz_filter_passed" in fields else None
    columns = {"start": start, "end": end, "nr_accesses": samples, "age": age}
    if passed is not None:
        columns["sz_filter_passed"] = passed
    cuts = list(pairwise(bounds.tolist()))
    parts: dict[str, list[Any]] = {name: [one[low:high] for low, high in cuts] for name, one in columns.items()}
    return [Regions(**dict(zip(parts, part, strict=True))) for part in zip(*parts.values(), strict=True)]


def _places(lines: _Lines, heads: Places, field: _Field) -> tuple[Places, Places]:
    """Where the values of a field begin and end; what stands before and behind them is always the same."""
    begins = lines.begins[heads + field.line]
    ends = lines.ends[heads + field.line] - len(field.behind)
    after = begins + len(field.before)
    if (ends < after).any() or not (lines.have(field.before, begins) and lines.have(field.behind, ends)):
        raise Unusual("regions of different shape")
    return after, ends


def _integers(lines: _Lines, heads: Places, field: _Field, *, null: bool = False) -> NDArray[Any]:
    """Numbers with or without quotes and commas, of 64 bits; with `null` also a column of nothing but null, as -1."""
    begins, ends = _places(lines, heads, field)
    if null and field.value == _NULL:
        if (ends - begins != len(_NULL)).any() or not lines.have(_NULL, begins):
            raise Unusual("some ages only")
        return np.full(len(heads), -1, dtype=np.int64)
    lengths = ends - begins
    try:
        found = digits.column(lines.text, ends, lengths)
    except digits.NotNumbers as exc:
        raise Unusual(str(exc)) from exc
    # JSON's own numbers begin with a zero only if they are nothing else.
    if not field.behind.startswith(b'"') and (found < _LEAST.take(np.minimum(lengths, 19))).any():
        raise Unusual("numbers that begin with zeros")
    return found


def _sizes(lines: _Lines, heads: Places, field: _Field) -> NDArray[np.int64] | None:
    """Sizes as `units.parse_size` reads them; None for a column of nothing but null."""
    begins, ends = _places(lines, heads, field)
    if field.value == _NULL:
        if (ends - begins != len(_NULL)).any() or not lines.have(_NULL, begins):
            raise Unusual("passed bytes of some regions only")
        return None
    texts = [lines.text[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    try:
        known = {text: units.parse_size(text.decode()) for text in set(texts)}
        return np.array([known[text] for text in texts], "i8")
    except (ValueError, OverflowError) as exc:
        raise Unusual(str(exc)) from exc
