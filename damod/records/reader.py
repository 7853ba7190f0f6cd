"""Reading a record, whatever it is: `open_record` tells by the content, never by the name or the `file` program.

| content | type | how it is read |
|---|---|---|
| PAR1 ... PAR1 | parquet | by row groups; a damaged one is left out with a warning |
| Arrow stream | arrow | a `.part`, up to its last whole batch |
| zlib, JSON, text of events | json_compressed, json, perf_script | damo's records; held in memory as columns |
| PERFILE2 | perf_data | through `perf script`, if there is a perf |

Rotated segments (`<out>.<time>/<out>`) are read as the one record that they are parts of.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from heapq import merge
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from damod.access.record import Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, NotAllowed, NotFound
from damod.records import batch, crc, damo_json, holding, schema
from damod.records.holding import Holding
from damod.records.schema import RecordMeta, Series
from damod.records.stream import MAGIC, StreamReader
from damod.records.writer import PART, ROWS_PER_BATCH, parquet_footer

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

_CHUNK = 1 << 20
_SEGMENT = re.compile(r"^(?P<name>.+)\.\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d(?:\.\d+)?$")
_INT = {"int32": "i4", "int64": "i8"}


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

    def aggregations(self) -> Iterator[tuple[Series, Snapshot]]:
        """One snapshot after the other, with numpy columns, in the order of `batches`."""
        keys = ("end_ns", *schema.KEY)
        for rows in self.batches():
            known = {series.key: series for series in self.series}
            yield from _aggregations(rows, _bounds(rows, keys), known)

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


def _bounds(rows: pa.RecordBatch, keys: Sequence[str]) -> list[int]:
    """Where aggregations begin, and the number of rows."""
    import numpy as np

    count = rows.num_rows
    change = np.zeros(max(count - 1, 0), bool)
    for name in keys:
        values = rows.column(name).to_numpy()
        change |= values[1:] != values[:-1]
    return [0, *(np.flatnonzero(change) + 1).tolist(), count] if count else [0]


def _whole(batches: Iterator[pa.RecordBatch], keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that end with an aggregation; only one that was cut in two is copied."""
    import pyarrow as pa

    rest: pa.RecordBatch | None = None
    for rows in batches:
        if not rows.num_rows:
            continue
        bounds = _bounds(rows, keys)
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


def _aggregations(
    rows: pa.RecordBatch, bounds: Sequence[int], known: dict[tuple[int, int, int, int], Series]
) -> Iterator[tuple[Series, Snapshot]]:
    columns: dict[str, Any] = {
        column.name: rows.column(column.name).to_numpy() for column in schema.COLUMNS if column.type in _INT
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


class _Parquet(RecordFile):
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
            except (pa.ArrowException, OSError, MemoryError, ValueError) as exc:
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
            if column.name in columns and column.type in _INT:
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


class _Stream(RecordFile):
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


class _Columns(RecordFile):
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


class _Segments(RecordFile):
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


def open_record(path: str | Path, *, compat: bool = False) -> RecordFile:
    """The record at a path: a file of any type above, a directory of rotated segments, or `-` for standard input.

    Of `<out>` that is not there, its `<out>.part` or the segments beside it are read. `compat` reads damo's
    `sample_interval_us` as damo does. Raises NotFound, NotAllowed or BadRecord.
    """
    if str(path) == "-":
        return _open(_spooled(sys.stdin.buffer), "standard input", compat=compat)
    path = Path(path)
    try:
        parts = _parts(path)
        if not parts:
            raise NotFound(f"no record {path}: there is no such file", hint="damoctl record makes one")
        if parts == [path]:
            return _open_file(path, compat=compat)
        opened: list[RecordFile] = []
        try:
            for part in parts:
                opened.append(_open_file(part, compat=compat))
                opened[-1].rest()
        except BaseException:
            for record in opened:
                record.close()
            raise
        return opened[0] if len(opened) == 1 else _Segments(opened, str(path))
    except PermissionError as exc:
        raise NotAllowed(f"reading {path} is not allowed to you", hint="records are private to who made them") from exc
    except OSError as exc:
        raise BadRecord(f"reading {path} failed: {exc.strerror or exc}") from exc


def _parts(path: Path) -> list[Path]:
    """The files that make up the record at `path`, in order."""
    if path.is_dir():
        own = _segment(path)
        if own is not None:
            return [own]
        found = [part for item in _rotated(path) if (part := _segment(item)) is not None]
        if not found:
            raise BadRecord(f"{path} is a directory without a record in it")
        if len({_stem(item) for item in found}) > 1:
            raise BadRecord(f"{path} has segments of several recordings", hint="name one: <directory>/<name>")
        return found
    if path.exists() or path.is_symlink():
        return [path]
    beside = [item for item in _rotated(path.parent) if _stem(item / "x") == path.name]
    found = [part for item in beside if (part := _segment(item)) is not None]
    running = path.with_name(path.name + PART)
    return [*found, running] if running.is_file() else found


def _stem(segment: Path) -> str:
    match = _SEGMENT.match(segment.parent.name)
    return match["name"] if match else ""


def _rotated(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(item for item in directory.iterdir() if _SEGMENT.match(item.name) and item.is_dir())


def _segment(directory: Path) -> Path | None:
    """The record in the directory of a segment, None if there is none."""
    match = _SEGMENT.match(directory.name)
    for name in [match["name"]] if match else ["damon.data"]:
        for file in (directory / name, directory / (name + PART)):
            if file.is_file():
                return file
    return None


def _open_file(path: Path, *, compat: bool) -> RecordFile:
    file = path.open("rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        with file:
            return _open(_spooled(file), str(path), compat=compat)
    return _open(file, str(path), compat=compat)


def _spooled(source: BinaryIO) -> BinaryIO:
    """What cannot be read twice, as a file that can."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(source, file, _CHUNK)
    file.seek(0)
    return file


def _open(file: BinaryIO, name: str, *, compat: bool) -> RecordFile:
    try:
        head = file.read(8)
        file.seek(0)
        if head[:4] == b"PAR1":
            return _Parquet(file, name)
        if head[:4] == MAGIC:
            return _Stream(file, name)
        kind = "perf_data" if head == b"PERFILE2" else _text_kind(file, head)
        records = _from_perf(file, name) if kind == "perf_data" else _from_damo(file, name, compat=compat)
        file.close()
        return _Columns(records, name, kind)
    except BaseException:
        file.close()
        raise


def _text_kind(file: BinaryIO, head: bytes) -> str:
    if head[:1] == b"\x78" and len(head) > 1 and (head[0] << 8 | head[1]) % 31 == 0:
        return "json_compressed"
    text = file.read(4096).lstrip()
    file.seek(0)
    return "json" if text[:1] in (b"[", b"{") else "perf_script"


def _from_damo(file: BinaryIO, name: str, *, compat: bool) -> list[Record]:
    if _text_kind(file, file.read(8)) != "perf_script":
        from damod.records import damo_fast

        file.seek(0)
        with contextlib.suppress(damo_fast.Unusual, zlib.error, BadRecord):
            outline, regions = damo_fast.read(_inflated(file), holding.of_damo(name))
            return damo_json.from_outline(outline, regions, name, compat=compat)
    file.seek(0)
    return damo_json.read_stream(file, name, compat=compat)


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """The text of a json or json_compressed file. Raises zlib.error, Unusual if it stops in the middle."""
    first = file.read(1)
    file.seek(0)
    if first != b"\x78":
        while data := file.read(_CHUNK):
            yield data
        return
    inflate = zlib.decompressobj()
    # Pieces whose lines stay in the processor's cache while they are looked at.
    while chunk := file.read(_CHUNK // 4):
        while data := inflate.decompress(chunk, _CHUNK):
            yield data
            chunk = inflate.unconsumed_tail
    if not inflate.eof:
        from damod.records import damo_fast

        raise damo_fast.Unusual("the compressed data stop in the middle")


def _from_perf(file: BinaryIO, name: str) -> list[Record]:
    """The records in raw data of perf, through `perf script`."""
    perf = shutil.which("perf")
    if perf is None:
        raise BadRecord(
            f"{name} is raw data of perf, and there is no perf here to read it",
            hint="install perf, or run `perf script -i FILE > record.txt` where it was made",
        )
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [perf, "script", "--force", "--ns", "-i", f"/proc/self/fd/{file.fileno()}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[file.fileno()],
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            return damo_json.read_stream(cast("BinaryIO", process.stdout), name)
        except BadRecord as exc:
            process.kill()
            process.wait()
            errors.seek(0)
            said = errors.read(400).decode(errors="replace").strip().splitlines()
            if not said:
                raise
            raise BadRecord(f"`perf script` could not read {name}: {said[-1]}") from exc
        finally:
            process.kill()
            process.wait()
            cast("BinaryIO", process.stdout).close()


def _line(exc: BaseException) -> str:
    """The first line of what a library says."""
    return (str(exc) or type(exc).__name__).splitlines()[0][:160]
