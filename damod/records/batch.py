"""From snapshots to rows: Arrow record batches of the access table, built column by column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from damod.access.snapshot import Snapshot
from damod.errors import BadRecord
from damod.records import schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_I32_MAX = 2**31 - 1


class Held(NamedTuple):
    """A snapshot in the batch to come: a value for each column of the aggregation, an array for each of its regions."""

    values: Sequence[int]
    stats: str
    columns: Sequence[np.ndarray[Any, Any]]
    probe_hits: Sequence[Sequence[int]] | None

    @property
    def rows(self) -> int:
        return len(self.columns[0])

    @property
    def order(self) -> tuple[int, ...]:
        """Aggregations are sorted by this: when they ended, then whose they are."""
        return (self.values[1], *self.values[3:7])

    @property
    def lost(self) -> int:
        return self.values[-1]


SCALARS = tuple(column.name for column in schema.COLUMNS if column.each == "aggregation" and column.type != "string")
_NARROW = {column.name for column in schema.COLUMNS if column.type == "int32"}
_PER_REGION = ("start", "end", "nr_accesses", "age", "sz_filter_passed")


def hold(snapshot: Snapshot, key: tuple[int, int, int, int]) -> Held:
    """A snapshot of the series `key`, checked. Raises BadRecord for values that do not fit."""
    import numpy as np

    regions = snapshot.regions
    count = len(regions)
    if count:
        passed = regions.sz_filter_passed
        columns = [
            _addresses(regions.start),
            _addresses(regions.end),
            _counts(regions.nr_accesses, "nr_accesses"),
            _counts(regions.age, "age"),
            np.broadcast_to(np.int64(-1), count) if passed is None else _addresses(passed),
        ]
    else:
        columns = [np.array([value], "i8") for value in (0, 0, schema.EMPTY, -1, -1)]
    if any(len(column) != max(count, 1) for column in columns):
        raise BadRecord("a snapshot has columns of different length")
    values = (
        snapshot.start_ns,
        snapshot.end_ns,
        snapshot.end_ns + snapshot.wall_offset_ns,
        *key,
        -1 if snapshot.pid is None else snapshot.pid,
        snapshot.sample_us,
        snapshot.aggr_us,
        snapshot.lost,
    )
    stats = "" if snapshot.stats is None else json.dumps(dict(snapshot.stats), separators=(",", ":"))
    return Held(values, stats, columns, regions.probe_hits)


def in_order(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows with the aggregations in order, where two neighbouring batches overlap in time.

    Several kdamonds' aggregations come in the order in which they were complete, not in that in which they ended.
    """
    import numpy as np
    import pyarrow as pa

    held: pa.RecordBatch | None = None
    for rows in batches:
        if not rows.num_rows:
            continue
        if held is None:
            held = rows
            continue
        if _end_ns(held)[-1] > _end_ns(rows)[0]:
            both = pa.concat_batches([held, rows])
            keys = [both.column(name).to_numpy() for name in ("start", *reversed(schema.KEY), "end_ns")]
            both = both.take(pa.array(np.lexsort(keys)))
            held, rows = both.slice(0, held.num_rows), both.slice(held.num_rows)
        yield held
        held = rows
    if held is not None:
        yield held


def _end_ns(rows: pa.RecordBatch) -> Any:
    return rows.column("end_ns").to_numpy()


def _addresses(values: Sequence[int]) -> np.ndarray[Any, Any]:
    """Addresses or sizes as signed 64 bits; those above 2^63 wrap, and come back when read as unsigned."""
    import numpy as np

    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iu":
            array = np.array([int(value) for value in values], "u8")
        return array.view("i8") if array.dtype == np.uint64 else array.astype("i8", copy=False)
    except (OverflowError, ValueError, TypeError) as exc:
        raise BadRecord(f"an address is no number of 64 bits: {exc}") from exc


def _counts(values: Sequence[int], what: str) -> np.ndarray[Any, Any]:
    import numpy as np

    array = np.asarray(values)
    if array.dtype.kind not in "iu" or (len(array) and (int(array.max()) > _I32_MAX or int(array.min()) < -1)):
        raise BadRecord(f"{what} of a region is not between 0 and {_I32_MAX:,}")
    return array


def groups(held: Iterable[Held], most: int) -> Iterator[list[Held]]:
    """Consecutive snapshots that make a batch each: as soon as there are `most` rows."""
    group: list[Held] = []
    rows = 0
    for item in held:
        group.append(item)
        rows += item.rows
        if rows >= most:
            yield group
            group, rows = [], 0
    if group:
        yield group


def build(held: Sequence[Held], columns: Sequence[str] | None = None) -> pa.RecordBatch:
    """The rows of some aggregations, in the order given; only with the columns named (default: all)."""
    import numpy as np
    import pyarrow as pa

    fields = list(schema.access_schema())
    if columns is not None:
        fields = [schema.access_schema().field(name) for name in columns]
    counts = np.array([item.rows for item in held])
    try:
        scalars = np.array([item.values for item in held], "i8")
    except OverflowError as exc:
        raise BadRecord(f"a time or index of a snapshot is beyond 64 bits: {exc}") from exc
    narrow = scalars[:, [place for place, name in enumerate(SCALARS) if name in _NARROW]]
    if narrow.size and (int(narrow.max()) > _I32_MAX or int(narrow.min()) < -_I32_MAX - 1):
        raise BadRecord(f"an index or a pid of a snapshot is beyond {_I32_MAX:,}")

    def column(name: str) -> Any:
        if name in SCALARS:
            return np.repeat(scalars[:, SCALARS.index(name)], counts)
        if name in _PER_REGION:
            place = _PER_REGION.index(name)
            return np.concatenate([item.columns[place] for item in held])
        if name == "probe_hits":
            return _probe_hits(held, counts)
        if any(item.stats for item in held):
            return pa.array(np.repeat(np.array([item.stats for item in held], object), counts), pa.string())
        return pa.array([""], pa.string()).take(pa.array(np.zeros(int(counts.sum()), "i4")))

    arrays = []
    for field in fields:
        made = column(field.name)
        if not isinstance(made, pa.Array):
            made = pa.array(made.astype(field.type.to_pandas_dtype(), copy=False))
        arrays.append(made)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _probe_hits(held: Sequence[Held], counts: np.ndarray[Any, Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    kind = schema.access_schema().field("probe_hits").type
    lengths: list[Any] = []
    values: list[Any] = []
    for item, count in zip(held, counts, strict=True):
        if item.probe_hits is None:
            lengths.append(np.zeros(count, "i4"))
        else:
            lengths.append(np.fromiter(map(len, item.probe_hits), "i4", int(count)))
            values.append(np.fromiter(chain.from_iterable(item.probe_hits), "i4"))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype("i4")
    flat = np.concatenate(values) if values else np.zeros(0, "i4")
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.int32()), type=kind)
