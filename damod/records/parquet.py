"""The sealed form of a record, a Parquet file: row groups with check sums, encodings that its first rows choose."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from damod.errors import BadRecord
from damod.records import crc, schema
from damod.records.schema import RecordMeta, Series

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 1 << 17


def write_parquet(
    handle: int, meta: RecordMeta, batches: Iterator[pa.RecordBatch], *, series: Callable[[], Sequence[Series]]
) -> int:
    """Write a whole Parquet file into an open file; how many rows. `series` is asked after the last batch.

    How columns are encoded is tried out on the first rows. Raises OSError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = _up_to(batches, ROWS_PER_GROUP)
    plain = schema.access_schema()
    file = _Summed(handle)
    writer = pq.ParquetWriter(
        file,
        plain,
        version="2.6",
        compression="zstd",
        compression_level=3,
        **_encodings(pa.Table.from_batches(held, plain)),
    )
    rows = 0
    groups = []
    done = False
    try:
        while held:
            table = pa.Table.from_batches(held, plain)
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            groups.append(file.take())
            rows += table.num_rows
            held = _up_to(batches, ROWS_PER_GROUP)
        facts = replace(meta, series=tuple(series())).to_json()
        writer.add_key_value_metadata(
            {schema.METADATA_KEY: facts, schema.GROUPS_KEY: json.dumps(groups), schema.CRC_KEY: crc.BLANK}
        )
        done = True
    finally:
        if done:
            writer.close()
        else:
            with contextlib.suppress(Exception):
                writer.close()
    place, footer = parquet_footer(handle)
    os.pwrite(handle, crc.stamp(footer), place)
    return rows


class _Summed(io.RawIOBase):
    """An open file to append to, which knows the check sum of what was written since it was last asked."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._begin = self._at = 0
        self._crc = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._crc = zlib.crc32(view, self._crc)
        size = len(view)
        while view:
            view = view[os.write(self._handle, view) :]
        self._at += size
        return size

    def take(self) -> tuple[int, int, int]:
        """Where what was written begins and ends, and its CRC-32; the next asks for what comes after."""
        taken = (self._begin, self._at, self._crc)
        self._begin, self._crc = self._at, 0
        return taken


def parquet_footer(handle: int) -> tuple[int, bytes]:
    """Where the footer of an open Parquet file begins, and the footer. Raises BadRecord."""
    size = os.fstat(handle).st_size
    end = os.pread(handle, 8, max(size - 8, 0))
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length > size - 12:
        raise BadRecord("it does not end as a Parquet file does")
    return size - 8 - length, os.pread(handle, length, size - 8 - length)


def _up_to(batches: Iterator[pa.RecordBatch], rows: int) -> list[pa.RecordBatch]:
    """The next batches with together at least that many rows, if there are."""
    found: list[pa.RecordBatch] = []
    have = 0
    for more in batches:
        found.append(more)
        have += more.num_rows
        if have >= rows:
            break
    return found


# Where boundaries rest, plain values repeat and compress best; where they move, bytes of equal weight side by side do;
# ages that count on are small differences. What is best for a workload, its first rows tell (docs/performance.md).
_CANDIDATES: Mapping[str, Sequence[str]] = {
    "start": ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"),
    "end": ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"),
    "nr_accesses": ("BYTE_STREAM_SPLIT", "PLAIN"),
    "age": ("DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "PLAIN"),
    "sz_filter_passed": ("PLAIN", "BYTE_STREAM_SPLIT"),
}


def _encodings(sample: pa.Table) -> dict[str, Any]:
    """Arguments of ParquetWriter: the smallest encoding for each column of the sample; dictionaries for the others."""
    import pyarrow.parquet as pq

    chosen = {}
    for name, candidates in _CANDIDATES.items():
        sizes = {}
        for encoding in candidates:
            buffer = io.BytesIO()
            pq.write_table(
                sample.select([name]),
                buffer,
                compression="zstd",
                compression_level=3,
                use_dictionary=False,
                column_encoding={name: encoding},
                write_statistics=False,
            )
            sizes[encoding] = buffer.tell()
        chosen[name] = min(sizes, key=lambda encoding: sizes[encoding])
    others = [column.name for column in schema.COLUMNS if column.name not in chosen and column.name != "probe_hits"]
    return {"use_dictionary": others, "column_encoding": chosen}
