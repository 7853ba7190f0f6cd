"""damo's JSON, read in strides, is what the slow reader makes of it; anything odd is left to that one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from damod.access.record import Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord
from damod.records import damo_fast, damo_json, damo_plain, digits, holding
from damod.records.file import as_lists

NUMBERS = st.integers(0, 10**12) | st.integers(0, 2**63 - 1) | st.sampled_from([0, 9, 10, 999, 1000, 999_999, 10**6])


@settings(max_examples=300)
@given(st.lists(NUMBERS, min_size=1, max_size=30), st.booleans())
@example([2**60, 10**18 - 1, 0], True)
def test_digits(values: list[int], commas: bool) -> None:
    """Numbers with and without commas are read as they are, or refused as too long."""
    texts = [f"{value:,}" if commas else str(value) for value in values]
    text, ends = b" " * 24, []
    for one in texts:
        text += one.encode() + b"; "
        ends.append(len(text) - 2)
    lengths = np.array([len(one) for one in texts])
    try:
        found = digits.column(text, np.array(ends), lengths)
    except digits.NotNumbers:
        assert max(values) >= 10**18
    else:
        assert found.tolist() == values


@settings(max_examples=500)
@given(st.lists(st.text("0123456789,-. +", min_size=1, max_size=25), min_size=1, max_size=3))
def test_no_digits(texts: list[str]) -> None:
    """What is read at all is written so: digits, in thousands if there is any comma."""
    text, ends = b" " * 24, []
    for one in texts:
        text += one.encode()
        ends.append(len(text))
    try:
        found = digits.column(text, np.array(ends), np.array([len(one) for one in texts])).tolist()
    except digits.NotNumbers:
        return
    commas = any("," in one for one in texts)
    for one, value in zip(texts, found, strict=True):
        zeros = one.lstrip("0,") if value else one[-1]
        assert zeros == (f"{value:,}" if commas else str(value))


def text_of(records: list[Record], *, raw: bool) -> str:
    return json.dumps([damo_plain.to_plain(record, raw=raw) for record in records], indent=4)


@st.composite
def recordings(draw: st.DrawFn) -> list[Record]:
    """A few snapshots of a few regions: some empty, some without ages or with passed bytes."""
    found = []
    for target in range(draw(st.integers(1, 2))):
        shots = []
        for number in range(draw(st.integers(0, 4))):
            count = draw(st.integers(0, 4))
            start = sorted(draw(st.lists(st.integers(0, 2**40), min_size=count, max_size=count)))
            known = draw(st.booleans())
            regions = Regions(
                start,
                [at + draw(st.sampled_from([0, 4096, 123_456_789])) for at in start],
                [draw(st.sampled_from([0, 7, 20, 1234])) for _ in start],
                [draw(st.sampled_from([0, 12, 123_456])) if known else -1 for _ in start],
                None,
                [draw(st.sampled_from([0, 4096, 4097])) for _ in start] if draw(st.booleans()) else None,
            )
            begin = 10**9 + number * 10**8
            shots.append(Snapshot(0, 0, target, begin, begin + 10**8, 0, 5000, 100_000, regions, source="record"))
        found.append(Record(0, 0, None, target, Intervals(5000, 100_000), shots))
    return found


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    file = io.BytesIO(text)
    while part := file.read(size):
        yield part


def plain(records: list[Record]) -> Any:
    return [(record.target_id, [(shot.start_ns, shot.end_ns, as_lists(shot.regions)) for shot in record.snapshots])
            for record in records]  # fmt: skip


def fast(text: bytes, size: int) -> list[Record]:
    outline, regions = damo_fast.read(pieces(text, size), holding.of_damo("x"))
    return damo_json.from_outline(outline, regions, "x")


@settings(max_examples=200)
@given(recordings(), st.booleans(), st.integers(50, 4000))
def test_both_ways_agree(records: list[Record], raw: bool, size: int) -> None:
    """However the text is cut into pieces, the columns are those that were written."""
    text = text_of(records, raw=raw).encode()
    slow = plain(damo_json.read_stream(io.BytesIO(text), "x"))
    assert plain(fast(text, size)) == slow


@settings(max_examples=1500)
@given(recordings(), st.data())
def test_damaged_text_is_left_to_the_slow_way(records: list[Record], data: st.DataObject) -> None:
    """A text with a byte changed is either not read the fast way, or as the slow way reads it.

    Where that sees damage, the fast way may not: in lines that it skips. Then it reads what was written.
    """
    whole = text_of(records, raw=True).encode()
    text = bytearray(whole)
    at = data.draw(st.integers(0, len(text) - 1))
    change = data.draw(st.sampled_from(["drop", "put", "set"]))
    byte = data.draw(st.sampled_from(b'0123456789,":{}[]\n -n.'))
    if change == "drop":
        del text[at]
    elif change == "put":
        text.insert(at, byte)
    else:
        text[at] = byte
    try:
        found = plain(fast(bytes(text), 700))
    except (damo_fast.Unusual, BadRecord):
        return
    try:
        wanted = plain(damo_json.read_stream(io.BytesIO(bytes(text)), "x"))
    except BadRecord:
        wanted = plain(damo_json.read_stream(io.BytesIO(whole), "x"))
    assert found == wanted


@pytest.mark.parametrize("text", [b"\n" * 100_000, b'    "regions": [\n' * 1000, b'\n"regions": [\n]\n', b"{}"])
def test_hostile_text(text: bytes) -> None:
    """Text that only looks like a record is refused, or is whatever JSON it is."""
    try:
        outline, regions = damo_fast.read(pieces(text, 5000), holding.of_damo("x"))
    except damo_fast.Unusual:
        return
    assert (outline, regions) == ({}, [])
