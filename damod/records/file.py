"""An open record, whatever it is: batches of rows in order of time, and snapshots made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from damod.access.record import Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord
from damod.records import batch, schema
from damod.records.holding import Holding
from damod.records.schema import RecordMeta, Series

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

INT = {"int32": "i4", "int64": "i8"}


class RecordFile:
    """An open record. Use as a context manager, or `close` it.

    `type` is one of the types above; `meta` the facts about the whole; `warnings` what was missing or damaged so far.
    """

    def __init__(self, name: str, kind: str, meta: RecordMeta) -> None:
        self.name = name
        self.type = kind
        self.meta = meta
        self.warnings: list[str] = []

    @property
    def series(self) -> Sequence[Series]:
        """Whose aggregations these are; complete at the latest after `batches` is exhausted."""
        return self.meta.series

    def all_series(self) -> Sequence[Series]:
        """`series`, certainly complete: the record is gone through once for it."""
        for _ in self.batches(["end_ns"]):
            pass
        return self.series

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows, sorted by `end_ns`, series and address, as Arrow record batches of bounded size.

        No aggregation is cut in two by the end of a batch. `columns` names those wanted (default: all). May be called
        again. Raises BadRecord where nothing is readable at all.
        """
        names = [column.name for column in schema.COLUMNS]
        wanted = names if columns is None else list(columns)
        if unknown := sorted(set(wanted) - set(names)):
            raise ValueError(f"a record has no column {', '.join(unknown)}")
        keys = ("end_ns", *schema.KEY)
        for rows in _whole(self._batches(list(dict.fromkeys([*wanted, *keys]))), keys):
            yield rows.select(wanted)

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError

    def columns(self, *names: str) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """`batches` as numpy arrays by column name; strings and lists are Python objects."""
        for rows in self.batches(names):
            yield {name: rows.column(name).to_numpy(zero_copy_only=False) for name in names}

    def aggregations(self, of: Series | None = None) -> Iterator[tuple[Series, Snapshot]]:
        """One snapshot after the other (`of` one series only), with numpy columns, in the order of `batches`."""
        keys = ("end_ns", *schema.KEY)
        for rows in self.batches():
            if of is not None:
                rows = _of(rows, of)
            known = {series.key: series for series in self.series}
            yield from snapshots_in(rows, aggregation_bounds(rows, keys), known)

    def records(self) -> list[Record]:
        """Everything as records of damod.access, with lists for columns: for small records, and damo's formats."""
        held = Holding(self.name, "a part of it takes less: `damoctl adjust` makes a record of one")
        found: dict[tuple[int, int, int, int], list[Snapshot]] = {}
        for series, snapshot in self.aggregations():
            held.snapshots(1, len(snapshot.regions), lists=True)
            found.setdefault(series.key, []).append(replace(snapshot, regions=as_lists(snapshot.regions)))
        return [series.record(found.get(series.key, [])) for series in self.series]

    def time_range(self) -> tuple[int, int]:
        """Start of the first and end of the last aggregation on the trace clock (ns). Raises BadRecord if empty."""
        low = high = None
        for part in self.columns("start_ns", "end_ns"):
            first, last = int(part["start_ns"].min()), int(part["end_ns"].max())
            low = first if low is None else min(low, first)
            high = last if high is None else max(high, last)
        if low is None or high is None:
            raise BadRecord(f"{self.name} has no aggregation in it")
        return low, high

    @property
    def probes(self) -> bool:
        """Whether regions may have hits of data attribute probes."""
        contexts = (context for kdamond in self.meta.kdamonds for context in kdamond.get("contexts", ()))
        return any(context.get("probes") for context in contexts)

    @property
    def lost(self) -> bool:
        """Whether the record tells of trace events that the kernel lost."""
        return self._exceeds("lost", 0)

    @property
    def stats(self) -> bool:
        """Whether the record has statistics of schemes."""
        return self._exceeds("damos_stats", "")

    def _exceeds(self, name: str, least: Any) -> bool:
        """Whether any value of a column is greater."""
        return any(part[name].max() > least for part in self.columns(name))

    def rest(self) -> None:
        """Give back memory that is needed for reading only, until it is read again."""

    def close(self) -> None:
        """Give back the file."""

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_lists(regions: Regions) -> Regions:
    """The same regions with Python lists for columns; addresses are unsigned again."""

    def values(column: Any) -> list[int]:
        return list(column.tolist() if hasattr(column, "tolist") else column)

    return Regions(
        values(regions.start),
        values(regions.end),
        values(regions.nr_accesses),
        values(regions.age),
        None if regions.probe_hits is None else [list(hits) for hits in regions.probe_hits],
        None if regions.sz_filter_passed is None else values(regions.sz_filter_passed),
    )


def aggregation_bounds(rows: pa.RecordBatch, keys: Sequence[str]) -> list[int]:
    """Where aggregations begin, and the number of rows."""
    import numpy as np

    count = rows.num_rows
    change = np.zeros(max(count - 1, 0), bool)
    for name in keys:
        values = rows.column(name).to_numpy()
        change |= values[1:] != values[:-1]
    return [0, *(np.flatnonzero(change) + 1).tolist(), count] if count else [0]


def _of(rows: pa.RecordBatch, series: Series) -> pa.RecordBatch:
    """Only the rows of a series."""
    import numpy as np
    import pyarrow as pa

    own = [rows.column(name).to_numpy() == value for name, value in zip(schema.KEY, series.key, strict=True)]
    return rows.filter(pa.array(np.logical_and.reduce(own)))


def _whole(batches: Iterator[pa.RecordBatch], keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that end with an aggregation; only one that was cut in two is copied."""
    import pyarrow as pa

    rest: pa.RecordBatch | None = None
    for rows in batches:
        if not rows.num_rows:
            continue
        bounds = aggregation_bounds(rows, keys)
        first = 0
        if rest is not None:
            if all(rest.column(name)[-1] == rows.column(name)[0] for name in keys):
                first = bounds[1]
                rest = pa.concat_batches([rest, rows.slice(0, first)])
                if first == rows.num_rows:
                    continue
            yield rest
        if bounds[-2] > first:
            yield rows.slice(first, bounds[-2] - first)
        rest = rows.slice(bounds[-2])
    if rest is not None:
        yield rest


def snapshots_in(
    rows: pa.RecordBatch, bounds: Sequence[int], known: dict[tuple[int, int, int, int], Series]
) -> Iterator[tuple[Series, Snapshot]]:
    columns: dict[str, Any] = {
        column.name: rows.column(column.name).to_numpy() for column in schema.COLUMNS if column.type in INT
    }
    hits = rows.column("probe_hits")
    stats = rows.column("damos_stats")
    for low, high in pairwise(bounds):
        one = {name: int(columns[name][low]) for name in batch.SCALARS}
        key = (one["kdamond"], one["context"], one["scheme"], one["target"])
        scheme = None if one["scheme"] < 0 else one["scheme"]
        series = known.setdefault(key, Series(one["kdamond"], one["context"], scheme, one["target"]))
        regions = Regions()
        if columns["nr_accesses"][low] != schema.EMPTY:
            part = hits.slice(low, high - low)
            passed = columns["sz_filter_passed"][low:high]
            regions = Regions(
                columns["start"][low:high].view("u8"),
                columns["end"][low:high].view("u8"),
                columns["nr_accesses"][low:high],
                columns["age"][low:high],
                part.to_pylist() if len(part.flatten()) else None,
                None if passed[0] == -1 else passed,
            )
        text = stats[low].as_py()
        yield (
            series,
            Snapshot(
                kdamond=one["kdamond"],
                context=one["context"],
                target=one["target"],
                start_ns=one["start_ns"],
                end_ns=one["end_ns"],
                wall_offset_ns=one["wall_ns"] - one["end_ns"],
                sample_us=one["sample_us"],
                aggr_us=one["aggr_us"],
                regions=regions,
                ops=series.ops or "paddr",
                pid=None if one["pid"] < 0 else one["pid"],
                source="record",
                lost=one["lost"],
                filters=series.filters,
                stats=json.loads(text) if text else None,
            ),
        )
