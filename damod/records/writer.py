"""Writing a record: an Arrow stream `<name>.part` while it runs, sealed as Parquet `<name>` at the end.

    writer = RecordWriter(directory_fd, "damon.data", RecordMeta(kernel=..., wall_offset_ns=...))
    writer.append(snapshot)         # as they come
    writer.flush_if_due()           # at least once a second
    writer.seal()                   # or close(), and `seal` later, elsewhere

Memory is bounded by one batch, whatever the length of the recording. A full disk raises DiskFull; the file then ends
with its last whole batch, and appending may be tried again later. All files are reached through a directory handle,
created with O_EXCL and never through a link, since the directory may belong to somebody else than the writer.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from damod.access.snapshot import Snapshot
from damod.errors import Conflict, DamodError
from damod.records import batch, crc, schema
from damod.records.batch import Held
from damod.records.directory import Directory, refused
from damod.records.parquet import write_parquet
from damod.records.schema import RecordMeta, Series

if TYPE_CHECKING:
    pass

PART = ".part"
OLD = ".old"
ROWS_PER_BATCH = 1 << 16
"""A batch is written when it has so many rows; so no batch of ours is larger than a few MiB."""


class _Sink(io.RawIOBase):
    """Takes what Arrow writes, until it is all there."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self.data)
        self.data.clear()
        return taken


class RecordWriter:
    """One record (or one segment of a rotated one) while it is written. One thread at a time.

    `directory` is a handle (borrowed) or a path, `name` a plain file name in it. Raises Conflict when `<name>.part` is
    there already: another recording runs, or one was interrupted and wants `recover`.
    """

    def __init__(
        self,
        directory: int | str | Path,
        name: str,
        meta: RecordMeta,
        *,
        mode: int = 0o600,
        flush_s: float = 1.0,
        sync_s: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        import pyarrow as pa

        if not name or "/" in name or name in (".", ".."):
            raise DamodError(f"{name!r} is no file name")
        self.name = name
        self.meta = meta if meta.id else replace(meta, id=uuid.uuid4().hex)
        self.rows = self.snapshots = self.bytes = self.lost = 0
        self._mode, self._flush_s, self._sync_s, self._clock = mode, flush_s, sync_s, clock
        self._held: list[Held] = []
        self._held_rows = 0
        self._held_since = self._synced = clock()
        self._series = {series.key: series for series in self.meta.series}
        self._new_series: list[Series] = []
        self._directory = Directory(directory)
        self._fd = -1
        try:
            self._fd = self._directory.create(name + PART, mode)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sink = _Sink()
            plain = schema.access_schema().with_metadata(
                {schema.METADATA_KEY: self.meta.to_json(), schema.CRC_KEY: crc.BLANK}
            )
            self._stream = pa.ipc.new_stream(
                self._sink, plain, options=pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
            )
            # Arrow writes the schema along with the first batch, but a part without any is to be a record too.
            self._stream.write_batch(pa.RecordBatch.from_pylist([], schema=plain))
            self._sink.take()
            self._write(crc.stamp(plain.serialize().to_pybytes()))
        except FileExistsError as exc:
            self._directory.close()
            raise Conflict(
                f"cannot record to {name}: {name}{PART} is there, another recording's or an interrupted one's",
                hint=f"`damoctl record recover {name}{PART}` seals an interrupted one",
            ) from exc
        except BaseException as exc:
            if self._fd >= 0:
                self._directory.unlink(name + PART)
            self._close_files()
            if isinstance(exc, OSError):
                raise refused(exc, f"creating {name}{PART}") from exc
            raise

    @property
    def part(self) -> str:
        """Name of the file that is written to."""
        return self.name + PART

    def add_series(self, series: Series) -> None:
        """Say more about a series than its first snapshot can tell (set intervals, filters, target id)."""
        self._series[series.key] = series
        self._new_series.append(series)

    def append(self, snapshot: Snapshot, *, scheme: int | None = None, target_id: int | None = None) -> None:
        """Add one aggregation of one target; written at the latest with the next `flush`.

        The columns of its regions may be numpy arrays, arrays or lists. `scheme` is whose tried regions they are.
        Raises DiskFull and other errors of writing, and BadRecord for values that do not fit.
        """
        key = (snapshot.kdamond, snapshot.context, -1 if scheme is None else scheme, snapshot.target)
        if key not in self._series:
            self.add_series(Series.of(snapshot, scheme=scheme, target_id=target_id))
        if not self._held:
            self._held_since = self._clock()
        self._held.append(batch.hold(snapshot, key))
        self._held_rows += self._held[-1].rows
        if self._held_rows >= ROWS_PER_BATCH:
            self.flush()
        else:
            self.flush_if_due()

    def flush_if_due(self) -> bool:
        """Flush if the oldest snapshot waits for `flush_s`; whether it did."""
        if self._held and self._clock() - self._held_since >= self._flush_s:
            self.flush()
            return True
        return False

    def flush(self) -> None:
        """Write everything appended so far. After DiskFull it is kept in memory and written by the next flush."""
        if not self._held:
            return
        done = 0
        try:
            for group in batch.groups(self._held, ROWS_PER_BATCH):
                self._write_batch(group)
                done += len(group)
        finally:
            self._held_rows -= sum(item.rows for item in self._held[:done])
            del self._held[:done]

    def discard(self) -> int:
        """Forget what could not be written (after DiskFull, to stay small); how many aggregations that were."""
        count = len(self._held)
        self._held, self._held_rows = [], 0
        return count

    def close(self) -> None:
        """Flush, end the stream and leave `<name>.part` as it is, for `seal` or `recover`."""
        if self._fd < 0:
            return
        try:
            self.flush()
            self._stream.close()
            self._write(self._sink.take())
            os.fsync(self._fd)
        except OSError as exc:
            raise refused(exc, f"writing {self.part}") from exc
        finally:
            self._close_files(directory=False)

    def seal(self, *, existing: str = "old") -> Sealed:
        """`close`, then make it Parquet (`seal` of this module). The directory handle is done with."""
        try:
            self.close()
            return seal(self._directory.fd, self.name, existing=existing, mode=self._mode)
        finally:
            self._directory.close()

    def _write_batch(self, held: Sequence[Held]) -> None:
        # Kdamonds' aggregations overlap in time; within a batch they are put into order.
        rows = batch.build(sorted(held, key=lambda item: item.order))
        metadata = {schema.CRC_KEY: crc.BLANK}
        if self._new_series:
            metadata[schema.SERIES_KEY] = json.dumps([series.to_plain() for series in self._new_series])
        self._stream.write_batch(rows, custom_metadata=metadata)
        try:
            self._write(crc.stamp(self._sink.take()))
            if self._clock() - self._synced >= self._sync_s:
                self._synced = self._clock()
                os.fdatasync(self._fd)
        except OSError as exc:
            raise refused(exc, f"writing {self.part}") from exc
        self._new_series.clear()
        self.rows += sum(item.rows for item in held)
        self.snapshots += len(held)
        self.lost += sum(item.lost for item in held)

    def _write(self, data: bytes) -> None:
        """Append all or nothing. Raises OSError."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self.bytes)
            os.lseek(self._fd, self.bytes, os.SEEK_SET)
            raise
        self.bytes += len(data)

    def _close_files(self, *, directory: bool = True) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if directory:
            self._directory.close()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._directory.close()


class Sealed(NamedTuple):
    """What `seal` made: rows and size of the file, and what was wrong with the stream it was made of."""

    name: str
    rows: int
    bytes: int
    warnings: Sequence[str] = ()


def seal(
    directory: int | str | Path,
    name: str,
    *,
    existing: str = "old",
    mode: int | None = None,
) -> Sealed:
    """Turn `<name>.part` into Parquet `<name>`: whole or not at all, in bounded memory; the part is then removed.

    What of an interrupted part is readable is what gets into the file. `existing` says what happens to a `<name>` that
    is there: "old" keeps it as `<name>.old`, "replace" does not keep it, "refuse" raises Conflict. `mode` is by default
    that of the part. Raises Conflict while a writer has the part, BadRecord if nothing in it is readable, DiskFull.
    """
    from damod.records import stream

    where = Directory(directory)
    part, temporary = name + PART, f".{name}.sealing"
    source = target = -1
    try:
        try:
            source = where.open(part)
        except OSError as exc:
            raise refused(exc, f"opening {part}") from exc
        try:
            fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Conflict(f"{part} is still written to", hint="stop the recording first") from exc
        if existing == "refuse" and where.exists(name):
            raise Conflict(f"{name} is there already", hint="--force replaces it")
        reader = stream.StreamReader(source, part)
        try:
            where.unlink(temporary)
            target = where.create(temporary, os.fstat(source).st_mode if mode is None else mode)
            rows = write_parquet(target, reader.meta, batch.in_order(reader.batches()), series=lambda: reader.series)
            size = os.fstat(target).st_size
            os.fsync(target)
            if existing == "old" and where.exists(name):
                where.rename(name, name + OLD)
            where.rename(temporary, name)
            where.unlink(part)
            where.sync()
        except OSError as exc:
            where.unlink(temporary)
            raise refused(exc, f"sealing {name}") from exc
        except BaseException:
            where.unlink(temporary)
            raise
        return Sealed(name, rows, size, reader.warnings)
    finally:
        for handle in (source, target):
            if handle >= 0:
                os.close(handle)
        where.close()
