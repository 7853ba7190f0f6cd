"""Joined snapshots see each byte as often accessed as the snapshots that they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from damod.access.record import Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.records.adjust import Adjusted, joined
from damod.records.file import as_lists
from damod.records.kinds import Columns
from damod.records.schema import Series


@st.composite
def snapshots(draw: st.DrawFn) -> list[Snapshot]:
    """Snapshots of 100 ms that follow each other, over a small space so that regions overlap in all ways."""
    made = []
    for index in range(draw(st.integers(1, 6))):
        edges = sorted(draw(st.sets(st.integers(0, 30), max_size=10)))
        edges = edges[: len(edges) // 2 * 2]
        count = len(edges) // 2
        samples = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
        ages = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
        regions = Regions(edges[::2], edges[1::2], samples, ages, [[value, 1] for value in samples] if count else None)
        start = index * 100_000_000
        made.append(Snapshot(0, 0, 0, start, start + 100_000_000, 0, 5000, 100_000, regions, lost=1))
    return made


def seen(regions: Regions) -> dict[int, int]:
    """Accesses by address."""
    return {
        at: count
        for low, high, count in zip(regions.start, regions.end, regions.nr_accesses, strict=True)
        for at in range(low, high)
    }


@given(given_=snapshots(), count=st.integers(1, 7))
def test_every_byte_keeps_its_accesses(given_: list[Snapshot], count: int) -> None:
    """Accesses by address add up, times join without a gap, and what looks the same is one region."""
    got = list(joined(given_, count * 100_000))
    assert len(got) == -(-len(given_) // count)
    for index, one in enumerate(got):
        group = given_[index * count : (index + 1) * count]
        wanted: dict[int, int] = {}
        for snapshot in group:
            for at, samples in seen(snapshot.regions).items():
                wanted[at] = wanted.get(at, 0) + samples
        regions = as_lists(one.regions)
        assert seen(regions) == wanted
        assert (one.start_ns, one.end_ns) == (group[0].start_ns, group[-1].end_ns)
        assert (one.aggr_us, one.lost) == (len(group) * 100_000, len(group))
        assert list(regions.start) == sorted(regions.start)
        assert all(low < high for low, high in zip(regions.start, regions.end, strict=True))
        if regions.probe_hits is not None:
            assert [row[0] for row in regions.probe_hits] == list(regions.nr_accesses)


def test_ages_are_those_of_the_last(tmp_path: Path) -> None:
    """An age counts the longer intervals now; the parts that the last snapshot does not cover are new."""
    one = Snapshot(0, 0, 0, 0, 100, 0, 5, 10, Regions([0, 10], [10, 20], [1, 1], [7, 7]))
    two = Snapshot(0, 0, 0, 100, 200, 0, 5, 10, Regions([0], [10], [1], [8]))
    (got,) = joined([one, two], 1)
    assert as_lists(got.regions) == Regions([0, 10], [10, 20], [2, 1], [4, 0])


def test_skip_and_intervals() -> None:
    """The first snapshots of each series are left out, and the series says the intervals that it has now."""
    record = Record(
        0, 0, None, 0, Intervals(5_000, 100_000),
        [
            Snapshot(0, 0, 0, at * 10**8, (at + 1) * 10**8, 0, 5_000, 100_000, Regions([0], [9], [at], [0]))
            for at in range(5)
        ],
    )  # fmt: skip
    adjusted = Adjusted(Columns([record, record], "x", "json"), aggr_us=200_000, skip=1)
    for one in adjusted.records():
        assert one.intervals == Intervals(5_000, 200_000)
        assert [item.regions.nr_accesses for item in one.snapshots] == [[3], [7]]


def test_one_series_alone_is_changed_once() -> None:
    """Who asks for the series one after the other gets what a whole pass has, without a pass of all for each."""
    shots = [
        Snapshot(0, 0, 0, at * 10**8, (at + 1) * 10**8, 0, 5000, 100_000, Regions([0], [4096], [at], [0]))
        for at in range(4)
    ]
    intervals = Intervals(5000, 100_000)
    source = Columns([Record(0, 0, None, number, intervals, shots) for number in range(3)], "x", "json")
    asked: list[int] = []
    real = source.aggregations

    def counted(of: Series | None = None) -> Iterator[tuple[Series, Snapshot]]:
        asked.append(1)
        return real(of)

    source.aggregations = counted  # type: ignore[method-assign]
    adjusted = Adjusted(source, aggr_us=200_000)
    alone = [(series.key, shot.end_ns) for series in adjusted.series for _, shot in adjusted.aggregations(series)]
    assert len(asked) == 3
    assert sorted(alone) == sorted((series.key, shot.end_ns) for series, shot in adjusted.aggregations())
