"""The kinds of open records: a sealed one, one that is written, one of damo's, and segments of one after the other."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from heapq import merge
from typing import TYPE_CHECKING, Any, BinaryIO

from damod.access.record import Record
from damod.errors import BadRecord
from damod.records import batch, crc, schema
from damod.records.file import INT, RecordFile, as_lists
from damod.records.holding import Holding
from damod.records.parquet import parquet_footer
from damod.records.schema import RecordMeta, Series
from damod.records.stream import StreamReader
from damod.records.writer import ROWS_PER_BATCH

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_CHUNK = 1 << 20


def _filled_up(rows: pa.RecordBatch, columns: Sequence[str], known: dict[str, int]) -> pa.RecordBatch:
    """The rows with these columns, those of one known value among them."""
    import pyarrow as pa

    fields = [schema.access_schema().field(name) for name in columns]
    arrays = [
        _constant(known[field.name], field.type).slice(0, rows.num_rows)
        if field.name in known
        else rows.column(field.name)
        for field in fields
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


@lru_cache(16)
def _constant(value: int, kind: pa.DataType) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    return pa.array(np.full(ROWS_PER_BATCH, value, kind.to_pandas_dtype()))


class Parquet(RecordFile):
    def __init__(self, file: BinaryIO, name: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            _, footer = parquet_footer(file.fileno())
        except BadRecord as exc:
            raise BadRecord(
                f"{name} is truncated: it does not end as a Parquet file does", hint="was it cut short when copied?"
            ) from exc
        if schema.CRC_KEY.encode() not in footer:
            raise BadRecord(f"{name} is a Parquet file, but not a record of damod")
        if not crc.intact(footer):
            raise BadRecord(f"{name} is damaged: the check sum of its footer is wrong")
        try:
            parquet = pq.ParquetFile(file)
            found, facts = parquet.schema_arrow, parquet.metadata.metadata or {}
        except (pa.ArrowException, OSError, MemoryError, ValueError) as exc:
            raise BadRecord(f"{name} is damaged: its footer cannot be read ({_line(exc)})") from exc
        super().__init__(name, "parquet", RecordMeta.from_json(facts.get(schema.METADATA_KEY.encode(), b""), name))
        if not found.remove_metadata().equals(schema.access_schema()):
            raise BadRecord(f"{name} has other columns than a record of damod")
        self._file = file
        self._parquet: pq.ParquetFile | None = parquet
        self._sums = json.loads(facts.get(schema.GROUPS_KEY.encode(), b"[]"))
        self._intact: set[int] = set()

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        parquet = self._read()
        groups = parquet.num_row_groups
        readable = 0
        for group in range(groups):
            try:
                if group not in self._intact:
                    self._check(group)
                    self._intact.add(group)
                # What is the same in all rows, as most columns are, is not decoded.
                known = self._constants(group, columns)
                read = [name for name in columns if name not in known] or list(columns[:1])
                for rows in parquet.iter_batches(ROWS_PER_BATCH, row_groups=[group], columns=read):
                    yield _filled_up(rows, columns, known)
                readable += 1
            except MemoryError:
                raise  # the check sums are right, so it is no damage
            except (pa.ArrowException, OSError, ValueError) as exc:
                self.warnings.append(f"{self.name}: part {group} of {groups} is damaged and left out ({_line(exc)})")
        if groups and not readable:
            raise BadRecord(f"{self.name} is damaged: no part of it can be read")

    def _exceeds(self, name: str, least: Any) -> bool:
        # The footer is sure to be whole, and knows the greatest value of each part.
        facts = self._read().metadata
        place = [column.name for column in schema.COLUMNS].index(name)
        found = [facts.row_group(group).column(place).statistics for group in range(facts.num_row_groups)]
        if all(item is not None and item.has_min_max for item in found):
            return any(item.max > least for item in found)
        return super()._exceeds(name, least)

    def _constants(self, group: int, columns: Sequence[str]) -> dict[str, int]:
        """The columns of numbers that have one value in all rows of a group, by the statistics in the footer."""
        facts = self._read().metadata.row_group(group)
        found = {}
        for place, column in enumerate(schema.COLUMNS):
            if column.name in columns and column.type in INT:
                known = facts.column(place).statistics
                if known is not None and known.has_min_max and known.min == known.max:
                    found[column.name] = known.min
        return found

    def _check(self, group: int) -> None:
        """ValueError if the bytes of a row group are not those that were written."""
        begin, end, wanted = self._sums[group]
        value = 0
        while begin < end:
            data = os.pread(self._file.fileno(), min(end - begin, _CHUNK), begin)
            if not data:
                raise ValueError("the file is shorter")
            value = zlib.crc32(data, value)
            begin += len(data)
        if value != wanted:
            raise ValueError("its check sum is wrong")

    def _read(self) -> pq.ParquetFile:
        if self._parquet is None:
            import pyarrow.parquet as pq

            self._file.seek(0)
            self._parquet = pq.ParquetFile(self._file)
        return self._parquet

    def rest(self) -> None:
        # The footer of an hour takes megabytes, and a week has 168 of them.
        self._parquet = None

    def close(self) -> None:
        self._parquet = None
        self._file.close()


class Stream(RecordFile):
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._reader = StreamReader(file.fileno(), name)
        super().__init__(name, "arrow", self._reader.meta)

    @property
    def series(self) -> Sequence[Series]:
        return self._reader.series

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        self._reader = StreamReader(self._file.fileno(), self.name)
        self.warnings = self._reader.warnings
        for rows in batch.in_order(self._reader.batches()):
            yield rows.select(list(columns))

    def close(self) -> None:
        self._file.close()


class Columns(RecordFile):
    """damo's records: held in memory as columns, put into the order of time here."""

    def __init__(self, records: Sequence[Record], name: str, kind: str) -> None:
        counts: dict[tuple[int, int, int], int] = {}
        series, self._snapshots = [], []
        for record in records:
            scheme = -1 if record.scheme is None else record.scheme
            place = (record.kdamond, record.context, scheme)
            # damo's formats have no index of the target: the order of appearance is.
            target = counts[place] = counts.get(place, -1) + 1
            one = Series(
                record.kdamond,
                record.context,
                record.scheme,
                target,
                record.target_id,
                None,
                "",
                record.intervals,
                tuple(record.filters),
                record.data_source,
            )
            series.append(one)
            ordered = sorted(record.snapshots, key=lambda snapshot: snapshot.end_ns)
            self._snapshots.append(
                [(one.key, item if item.target == target else replace(item, target=target)) for item in ordered]
            )
        self._held: list[batch.Held] | None = None
        super().__init__(name, kind, RecordMeta(series=tuple(series)))

    def records(self) -> list[Record]:
        held = Holding(self.name, "convert it to parquet, of which reports hold a part at a time")
        for own in self._snapshots:
            held.snapshots(0, sum(len(snapshot.regions) for _, snapshot in own), lists=True)
        return [
            series.record([replace(snapshot, regions=as_lists(snapshot.regions)) for _, snapshot in own])
            for series, own in zip(self.meta.series, self._snapshots, strict=True)
        ]

    @property
    def lost(self) -> bool:
        return any(snapshot.lost for own in self._snapshots for _, snapshot in own)

    @property
    def stats(self) -> bool:
        return any(snapshot.stats is not None for own in self._snapshots for _, snapshot in own)

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self._held is None:
            ordered = merge(*self._snapshots, key=lambda item: (item[1].end_ns, item[0]))
            self._held = [batch.hold(snapshot, key) for key, snapshot in ordered]
        for group in batch.groups(self._held, ROWS_PER_BATCH):
            yield batch.build(group, columns)


class Segments(RecordFile):
    """Parts of one recording, one after the other."""

    def __init__(self, parts: Sequence[RecordFile], name: str) -> None:
        self._parts = parts
        super().__init__(name, parts[0].type, parts[0].meta)

    @property
    def series(self) -> Sequence[Series]:
        return list({series.key: series for part in self._parts for series in part.series}.values())

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        self.warnings = []
        for part in self._parts:
            yield from part._batches(columns)
            self.warnings += part.warnings
            part.rest()

    def _exceeds(self, name: str, least: Any) -> bool:
        for part in self._parts:
            found = part._exceeds(name, least)
            part.rest()
            if found:
                return True
        return False

    def close(self) -> None:
        for part in self._parts:
            part.close()


def _line(exc: BaseException) -> str:
    """The first line of what a library says."""
    return (str(exc) or type(exc).__name__).splitlines()[0][:160]
