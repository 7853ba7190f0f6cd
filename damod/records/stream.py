"""Reading `<name>.part`, the Arrow stream of a record that is being written or was interrupted.

The framing is taken apart here and not by Arrow, so that a torn tail or a flipped bit ends the record after the last
whole batch with a warning, and no length found in a damaged file is believed before it is compared with the file's.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from damod.errors import BadRecord
from damod.records import crc, schema
from damod.records.schema import RecordMeta, Series

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"\xff\xff\xff\xff"
"""How a message of an Arrow stream begins."""
_MAX_HEADER = 1 << 24
_MAX_BODY = 1 << 28
_PREFIX = struct.Struct("<II")


class StreamReader:
    """The batches of an open stream, up to what is whole when it is read.

    After `batches` is exhausted `warnings` tells what was missing or damaged and `series` is complete. Raises
    BadRecord if not even the schema can be read. `handle` stays the caller's.
    """

    def __init__(self, handle: int, name: str) -> None:
        import pyarrow as pa

        self.name = name
        self.warnings: list[str] = []
        self.ended = False
        self._handle = handle
        self._at = 0
        message = self._message()
        if not message:
            raise BadRecord(f"{name} has no readable beginning, so nothing of it can be read")
        self._schema = message
        try:
            with pa.ipc.open_stream(pa.py_buffer(message)) as stream:
                found = stream.schema
        except (pa.ArrowException, OSError, MemoryError, ValueError) as exc:
            raise BadRecord(f"{name} is no record: its schema cannot be read ({exc})") from exc
        metadata = (found.metadata or {}).get(schema.METADATA_KEY.encode())
        if metadata is None or not found.equals(schema.access_schema(), check_metadata=False):
            raise BadRecord(f"{name} is an Arrow stream, but not a record of damod")
        self.meta = RecordMeta.from_json(metadata, name)
        self._series = {series.key: series for series in self.meta.series}

    @property
    def series(self) -> list[Series]:
        """The series met so far, in order of appearance."""
        return list(self._series.values())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The whole batches, in order."""
        import pyarrow as pa

        count = 0
        while message := self._message():
            try:
                with pa.ipc.open_stream(pa.py_buffer(self._schema + message)) as stream:
                    batch, metadata = stream.read_next_batch_with_custom_metadata()
                facts = dict(metadata.items()) if metadata is not None else {}
                if text := facts.get(schema.SERIES_KEY.encode()):
                    import json

                    for plain in json.loads(text):
                        series = Series.from_plain(plain)
                        self._series[series.key] = series
            except (pa.ArrowException, OSError, MemoryError, ValueError, KeyError, TypeError, StopIteration) as exc:
                self.warnings.append(f"{self.name}: batch {count} is damaged and left out ({exc})")
            else:
                yield batch
            count += 1

    def _message(self) -> bytes:
        """The next whole message as it stands in the file; b"" if there is none. Damaged ones are skipped."""
        while True:
            prefix = os.pread(self._handle, 8, self._at)
            if not prefix:
                how = "is still being written" if _being_written(self._handle) else "was not finished"
                self.warnings.append(f"{self.name} {how}; what is whole of it is read")
                return b""
            length, body = self._lengths(prefix)
            if length < 0:
                self.warnings.append(
                    f"{self.name} ends with a torn or damaged batch at byte {self._at:,}; what is before it is read"
                )
                return b""
            if not length:
                self.ended = True
                return b""
            at, self._at = self._at, self._at + 8 + length + body
            message = os.pread(self._handle, 8 + length + body, at)
            if crc.intact(message):
                return message
            self.warnings.append(f"{self.name}: the batch at byte {at:,} is damaged and left out")
            if not at:
                return b""

    def _lengths(self, prefix: bytes) -> tuple[int, int]:
        """Lengths of header and body of the message at hand; 0 at the end of the stream, -1 if they cannot be."""
        if len(prefix) < 8:
            return -1, 0
        magic, length = _PREFIX.unpack(prefix)
        if magic != 0xFFFFFFFF or length > _MAX_HEADER:
            return -1, 0
        if not length:
            return 0, 0
        header = os.pread(self._handle, length, self._at + 8)
        body = _body_length(header) if len(header) == length else -1
        end = self._at + 8 + length + body
        if not 0 <= body <= _MAX_BODY or end > os.fstat(self._handle).st_size:
            return -1, 0
        return length, body


def _body_length(header: bytes) -> int:
    """`bodyLength` of a Message, a flatbuffers table (field 3); -1 if it cannot be one."""
    try:
        (root,) = struct.unpack_from("<I", header, 0)
        (back,) = struct.unpack_from("<i", header, root)
        table = root - back
        if table < 0:
            return -1
        (table_size,) = struct.unpack_from("<H", header, table)
        if table_size < 12:
            return 0
        (place,) = struct.unpack_from("<H", header, table + 10)
        return int(struct.unpack_from("<q", header, root + place)[0]) if place else 0
    except struct.error:
        return -1


def _being_written(handle: int) -> bool:
    """Whether somebody holds the lock of a file, as its writer does.

    Asked of /proc/locks (proc_locks(5)), since trying the lock would refuse it to a recovery that begins just then.
    """
    try:
        found = os.fstat(handle)
        with open("/proc/locks") as locks:
            return any(int(line.split()[5].rpartition(":")[2]) == found.st_ino for line in locks if " FLOCK " in line)
    except (OSError, ValueError, IndexError):
        return False
