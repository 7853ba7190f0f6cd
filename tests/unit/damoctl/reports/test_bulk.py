"""Large records look the same on columns as region by region."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damoctl.reports import access, bulk, glyphs, options
from damoctl.reports.frames import Held
from damoctl.term.term import Term
from damod import units
from damod.access.record import Intervals, Record
from damod.access.snapshot import Regions, Snapshot

GIB = 1 << 30
SIZES = st.integers(0, 1 << 52) | st.integers(0, 1 << 21) | st.integers(0, 52).map(lambda shift: 1 << shift)


@settings(max_examples=300)
@given(st.lists(SIZES, min_size=1, max_size=20), st.integers(0, 14))
def test_sizes(values: list[int], width: int) -> None:
    """Sizes made as glyphs are those of `units.size`, to the character, also where Python rounds ties to even."""
    cells = glyphs.sizes(np.array(values), width)
    assert glyphs.Lines().text([cells], np.arange(len(values) + 1)) == [
        units.size(value).ljust(width) for value in values
    ]


def test_size_ties() -> None:
    """Half a thousandth is rounded to the even neighbour, as Python's format does with exact halves."""
    values = np.array([(1 << 30) + (1 << 30) * k // 2000 + d for k in range(1, 2000, 2) for d in (-1, 0, 1)])
    lines = glyphs.Lines().text([glyphs.sizes(values, 0)], np.arange(len(values) + 1))
    assert lines == [units.size(value) for value in values.tolist()]


# Ages of a few seconds, of days (temperatures times bytes need more than 64 bits), and of any length.
AGES = st.integers(0, 300) | st.sampled_from((2_000_000, 30_000_000, 2**31 - 1))


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Snapshots of a few regions, with gaps and repeated temperatures; rarely overlapping or empty."""
    shots, now = [], 10**9
    for _ in range(draw(st.integers(1, 4))):
        at, rows = draw(st.sampled_from((0, 4 * GIB, 1 << 46))), []
        for _ in range(draw(st.integers(0, 8))):
            at += draw(st.sampled_from((0, 0, 0, 4096, 30 * GIB, -4096 if rows else 0)))
            end = at + draw(st.sampled_from((4096, 8192, 12345678, GIB, 1 << 43)))
            rows.append((at, end, draw(st.integers(0, 20)), draw(AGES)))
            at = end
        columns = list(zip(*sorted(rows), strict=True)) or [(), (), (), ()]
        aggr = draw(st.sampled_from((100_000, 100_000, 3_000_000)))
        shots.append(Snapshot(0, 0, 0, now, now + aggr * 1000, 7, aggr // 20, aggr, Regions(*columns)))
        now += aggr * 1000
    return Record(0, 0, None, 5, Intervals(5000, 100_000), shots)


WORDS = st.sampled_from(
    (
        {},
        {"style": [["recency-percentiles"]]},
        {"style": [["temperature-sz-hist"]]},
        {"sort_regions_by": [["age", "temperature"]], "sort_regions_dsc": [["temperature"]]},
        {"raw_number": [[]]},
        {"json": [[]]},
        {"json": [[]], "raw_number": [[]], "access_rate": [[5, 100]]},
        {"raw_form": [[]]},
        {"raw_form": [[]], "sz_region": [[4096, 8192]]},
        {"style": [["cold"]]},
        {"style": [["simple-boxes"]], "address": [[0, 5 * GIB]]},
        {"region_box": [[]], "region_box_values": [["size", "none", "age"]]},
        {"total_sz_only": [[]]},
        {"access_rate": [[5, 100]], "address": [[0, 5 * GIB], [6 * GIB, 2**64 - 1]]},
        {"sz_region": [[4096, 8192]]},
        {"snapshot_idx": [[1, 2]]},
        {"temperature": [[-(10**15), -1]]},
        {"snapshot_heatmap_static": [[]]},
        {"format": [["set", "region", "<index>|<end address>|<access rate>|<temperature>|<filters passed bytes>|<x>"],
                    ["append", "snapshot_tail", "<number of regions> <abs end time> <positive access samples ratio>"],
                    ["set", "record_head", "<duration> <abs start time>"]]},
    )
)  # fmt: skip


@pytest.mark.parametrize("width", [0, 3, 6])
def test_texts_wider_than_their_column(width: int) -> None:
    """A text that is too long makes its line longer, and leaves all other lines as they are."""
    values = [7, 1234567, 42, 123, 99999, 5]
    known = glyphs.known(["a", "bcdefgh", "µ"], np.array([0, 1, 2, 2, 1, 0]), width)
    columns = [glyphs.whole(np.array(values), width), " and ", known, "|"]
    first = np.array([0, 1, 1, 3, 5, 6])
    lines = [
        f"{value:<{width or 1}} and {text:<{width or 1}}|"
        for value, text in zip(values, ("a", "bcdefgh", "µ", "µ", "bcdefgh", "a"), strict=True)
    ]
    wanted = ["\n".join(lines[low:high]) for low, high in itertools.pairwise(first.tolist())]
    maker = glyphs.Lines()
    assert [maker.text(columns, first) for _ in range(2)] == [wanted, wanted]


@settings(max_examples=250)
@given(st.lists(records(), min_size=1, max_size=2), WORDS, st.booleans())
def test_same_text(found: list[Record], words: dict[str, list[list[object]]], color: bool) -> None:
    """Every line of every template, sorted, filtered and coloured, is the same both ways; errors too."""
    from dataclasses import replace

    from damod.errors import DamodError

    chosen = options.from_words(words)
    found = [replace(record, target_id=index) for index, record in enumerate(found)]
    term = Term(io.StringIO(), color=color)
    try:
        wanted = "\n".join(access.render(access.compute(found, chosen), term))
    except DamodError as exc:
        with pytest.raises(type(exc)) as raised:
            bulk.outlines(Held(found, "x"), chosen)
        assert raised.value.message == exc.message
        return
    source = Held(found, "x")
    outlines = bulk.outlines(source, chosen)
    templates = bulk.layout(outlines, chosen)
    assert bulk.can(chosen, templates)
    assert "\n".join(bulk.render(source, outlines, templates, chosen, term)) == wanted
