"""What is computed on columns is what loops over objects compute."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from damoctl.reports import guide, heatmap, nr_regions, spread, times, wss
from damoctl.reports.choose import Chooser, cut, temperatures
from damoctl.reports.frames import Held
from damod.access import measure, select
from damod.access.record import Intervals, Record
from damod.access.select import Selection
from damod.access.snapshot import Regions, Snapshot
from damod.errors import NoData
from tests.unit.damoctl.reports import slow

MS = 1_000_000


@st.composite
def region_columns(draw: st.DrawFn) -> Regions:
    """Regions by address, mostly adjacent, now and then with gaps; rarely overlapping."""
    at, rows = draw(st.integers(0, 40)), []
    for _ in range(draw(st.integers(0, 6))):
        at += draw(st.sampled_from((0, 0, 0, 7, 13, -3)))
        at = max(at, 0)
        end = at + draw(st.integers(1, 30))
        rows.append((at, end, draw(st.integers(0, 20)), draw(st.integers(-1, 5))))
        at = end
    columns = list(zip(*sorted(rows), strict=True)) or [(), (), (), ()]
    return Regions(*columns)


@st.composite
def records(draw: st.DrawFn, *, intervals: bool | None = None) -> Record:
    """Some snapshots in order of time, one after the other or with pauses, with or without intervals."""
    known = draw(st.booleans()) if intervals is None else intervals
    now, shots = draw(st.integers(0, 10)) * 100 * MS, []
    for _ in range(draw(st.integers(1, 5))):
        now += draw(st.sampled_from((0, 0, 250 * MS)))
        took = draw(st.sampled_from((100, 90, 130))) * MS
        sample, aggr = (5000, 100_000) if known else (0, 0)
        shots.append(Snapshot(0, 0, 0, now, now + took, 0, sample, aggr, draw(region_columns())))
        now += took
    return Record(0, 0, None, 0, Intervals(5000, 100_000) if known else None, shots)


RANGES = st.tuples(st.integers(0, 60), st.integers(1, 60)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=150)
@given(records(), st.tuples(st.integers(1, 5), st.integers(1, 7)), st.none() | RANGES, st.none() | RANGES)
def test_heatmap(
    record: Record,
    resol: tuple[int, int],
    addresses: tuple[int, int] | None,
    moments: tuple[int, int] | None,
) -> None:
    """Each pixel's heat is the mean over its time and addresses; nothing where nothing was watched; never negative."""
    source = Held([record], "x")
    (found,) = guide.compute(source)
    if not found.stretches:
        return
    span = addresses or (found.stretches[0].start, found.stretches[-1].end)
    when = (found.start_ns, found.end_ns)
    if moments is not None:
        when = (when[0] + moments[0] * 10 * MS, when[0] + moments[1] * 10 * MS)
        if when[0] >= found.end_ns:
            return
    options = heatmap.Options(resol=resol, time_range=(*when, 0), address_ranges=[(*span, 0)])
    expected = slow.heatmap(record, when, span, resol)
    try:
        (drawn,) = heatmap.compute(source, options)
    except NoData as exc:  # none of the addresses was ever watched
        assert "nothing was watched" in exc.message
        assert all(value is None for row in expected for value in row)
        return
    for row, wanted in zip(drawn.heat.tolist(), expected, strict=True):
        for pixel, value in zip(row, wanted, strict=True):
            if value is None:
                assert math.isnan(pixel)
            else:
                assert pixel >= 0
                assert math.isclose(pixel, value, rel_tol=1e-6, abs_tol=1e-6)


@settings(max_examples=100)
@given(records(), st.integers(0, 5), st.integers(1, 20))
def test_wss(record: Record, min_samples: int, min_size: int) -> None:
    """The working set is the bytes of regions with enough samples and bytes."""
    options = wss.Options(min_samples=min_samples, min_size=min_size)
    (found,) = wss.compute(Held([record], "x"), options)
    assert found.values.tolist() == slow.wss(record, min_samples, min_size)


@settings(max_examples=100)
@given(records(), st.sampled_from((1000, 150_000, 300_000)), st.integers(1, 30))
def test_joined_wss(record: Record, work_us: int, min_samples: int) -> None:
    """With a work time a byte's samples are those of all snapshots joined; the incomplete rest is dropped."""
    options = wss.Options(min_samples=min_samples, work_us=work_us)
    (found,) = wss.compute(Held([record], "x"), options)
    assert found.values.tolist() == slow.joined_wss(record, work_us, min_samples)


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 120))
def test_percentiles(values: list[int], point: int) -> None:
    """A percentile is the value at that share of the values in order."""
    assert spread.at_points(np.array(values), [point], by_time=False) == [slow.percentile(values, point)]


@settings(max_examples=50)
@given(st.lists(records(), min_size=1, max_size=3))
def test_targets_are_summed(given_records: list[Record]) -> None:
    """Working sets of several targets are added snapshot by snapshot; region counts stay apart."""
    targets = [replace(record, target_id=index) for index, record in enumerate(given_records)]
    source = Held(targets, "x")
    each = [slow.wss(record, 1, 1) for record in targets]
    longest = max(map(len, each))
    total = [sum(values[index] for values in each if index < len(values)) for index in range(longest)]
    (found,) = wss.compute(source, wss.Options())
    if len(targets) > 1:
        assert (found.target_id, found.values.tolist()) == (0, total)
    assert [(item.target_id, item.values.tolist()) for item in nr_regions.compute(source)] == [
        (record.target_id, [len(shot.regions) for shot in record.snapshots]) for record in targets
    ]


SELECTIONS = st.builds(
    Selection,
    sizes=st.none() | RANGES,
    rates=st.none() | st.tuples(st.integers(0, 50), st.integers(50, 100)),
    ages_us=st.none() | st.tuples(st.integers(0, 2), st.integers(2, 6)).map(lambda p: (p[0] * 100_000, p[1] * 100_000)),
    addresses=st.sampled_from(((), ((5, 40),), ((0, 11), (30, 31), (50, 2**64 - 1)))),
    snapshot_sizes=st.just(()) | st.lists(RANGES, max_size=2),
    snapshot_times=st.sampled_from(((), ((0, 900 * MS),), ((0, 300 * MS), (800 * MS, 2**64)))),
    snapshot_indices=st.just(()) | st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3)), max_size=1),
    temperatures=st.sampled_from(((), ((0, 10**12),), ((-(10**12), -1), (700, 2000)))),
    weights=st.sampled_from(((0, 100, 100), (1, 10, 0))),
)


def _chosen(record: Record, selection: Selection, compat: bool) -> list[tuple[int, list[tuple[int, ...]]]]:
    """What damod.access.select keeps: per snapshot left its start and its regions."""
    kept, _ = select.apply(record, selection, compat=compat)
    return [
        (
            shot.start_ns,
            list(zip(shot.regions.start, shot.regions.end, shot.regions.nr_accesses, shot.regions.age, strict=True)),
        )
        for shot in kept.snapshots
    ]


@settings(max_examples=200)
@given(records(intervals=True), SELECTIONS, st.booleans())
def test_filters(record: Record, selection: Selection, compat: bool) -> None:
    """Filters keep the same regions on columns as one region at a time, also in parts of a record."""
    (frame,) = Held([record], "x").frames()
    chooser = Chooser(selection, compat=compat)
    middle = len(frame) // 2
    found = []
    for part in (frame.slice(0, middle), frame.slice(middle, len(frame))):
        kept, snapshots = chooser(part)
        for index in np.flatnonzero(snapshots):
            rows = slice(int(kept.first[index]), int(kept.first[index + 1]))
            columns = (kept.start[rows], kept.end[rows], kept.nr_accesses[rows], kept.age[rows])
            found.append((int(kept.start_ns[index]), list(zip(*(column.tolist() for column in columns), strict=True))))
    assert found == _chosen(record, selection, compat)


@settings(max_examples=100)
@given(records(intervals=True), SELECTIONS)
def test_times(record: Record, selection: Selection) -> None:
    """Times are those of the snapshots that have a region left, joined where they touch."""
    wanted: list[list[int]] = []
    ends = {shot.start_ns: shot.end_ns for shot in record.snapshots}
    for start, regions in _chosen(record, selection, compat=False):
        if regions and wanted and wanted[-1][1] == start:
            wanted[-1][1] = ends[start]
        elif regions:
            wanted.append([start, ends[start]])
    found = times.compute(Held([record], "x"), selection)
    assert [list(span) for span in found] == wanted


@settings(max_examples=100)
@given(records(intervals=True), st.booleans())
def test_temperatures(record: Record, compat: bool) -> None:
    """Temperatures of a frame are those of its snapshots."""
    (frame,) = Held([record], "x").frames()
    wanted = [
        heat
        for shot in record.snapshots
        for heat in measure.temperatures(shot.regions, 5000, 100_000, (1, 100, 7), compat=compat)
    ]
    assert temperatures(frame, (1, 100, 7), compat=compat).tolist() == wanted


@settings(max_examples=100)
@given(records())
def test_guide(record: Record) -> None:
    """Stretches are the bytes that any region ever covered, as few and long as possible."""
    (found,) = guide.compute(Held([record], "x"))
    covered = {
        byte
        for shot in record.snapshots
        for start, end in zip(shot.regions.start, shot.regions.end, strict=True)
        for byte in range(start, end)
    }
    assert {byte for stretch in found.stretches for byte in range(stretch.start, stretch.end)} == covered
    for before, after in zip(found.stretches, found.stretches[1:], strict=False):
        assert before.end < after.start


def test_cut_in_order() -> None:
    """A region that several ranges cut gives its parts in order."""
    regions = Regions((0, 50), (50, 60), (1, 2), (0, 0))
    record = Record(0, 0, None, 0, None, [Snapshot(0, 0, 0, 0, 1, 0, 0, 0, regions)])
    (frame,) = Held([record], "x").frames()
    kept = cut(frame, [(10, 20), (30, 55)])
    assert (kept.start.tolist(), kept.end.tolist()) == ([10, 30, 50], [20, 50, 55])
    assert kept.first.tolist() == [0, 3]
