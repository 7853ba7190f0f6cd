"""Writing a record in any format: ours (parquet) or damo's (json, json_compressed, perf_script), whole or not at all.

Everything is written as a stream, one aggregation at a time. damo's formats have one clock: JSON gets wall time where
it is known, perf_script the trace clock (as perf has it). What a format cannot hold is lost: perf_script has neither
intervals nor filters, statistics, passed bytes and probe hits.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from damod import units
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, Conflict, DamodError, UsageError
from damod.records import damo_plain, damo_text, writer
from damod.records.damo_text import indented
from damod.records.directory import Directory, refused
from damod.records.file import RecordFile, as_lists
from damod.records.parquet import write_parquet
from damod.records.schema import Series

TYPES = ("parquet", "json_compressed", "json", "perf_script")


def write(
    record: RecordFile, path: str | Path, kind: str, *, mode: int | None = None, existing: str = "replace"
) -> int:
    """Write a record to a file of type `kind`, through a temporary file that is renamed; its size in bytes.

    `mode` is by default that of the file that it replaces, else 0o600. `existing` is "replace", "old" (kept as
    `<path>.old`) or "refuse". Raises Conflict, DiskFull and other errors of writing, BadRecord.
    """
    if kind not in TYPES:
        raise UsageError(f"there is no record format {kind!r}", hint=f"formats are: {', '.join(TYPES)}")
    # A link to a record stands for the record: the file behind it is what is replaced.
    path = Path(os.path.realpath(path))
    where = Directory(path.parent)
    temporary = f".{path.name}.{os.getpid()}.converting"
    handle = -1
    try:
        if where.exists(path.name):
            if existing == "refuse":
                raise Conflict(f"{path} is there already", hint="--force replaces it")
            if not path.is_file():
                raise DamodError(f"writing {path} failed: it is not a regular file")
            mode = path.stat().st_mode & 0o777 if mode is None else mode
        handle = where.create(temporary, 0o600 if mode is None else mode)
        if kind == "parquet":
            write_parquet(handle, record.meta, record.batches(), series=lambda: record.series)
        else:
            with open(handle, "wb", closefd=False) as file:
                for data in _texts(record, kind):
                    file.write(data)
        os.fsync(handle)
        size = os.fstat(handle).st_size
        if existing == "old" and where.exists(path.name):
            where.rename(path.name, path.name + writer.OLD)
        where.rename(temporary, path.name)
        where.sync()
        return size
    except OSError as exc:
        where.unlink(temporary)
        raise refused(exc, f"writing {path}") from exc
    except BaseException:
        where.unlink(temporary)
        raise
    finally:
        if handle >= 0:
            os.close(handle)
        where.close()


def _texts(record: RecordFile, kind: str) -> Iterator[bytes]:
    if kind == "perf_script":
        for line in perf_lines(record):
            yield line.encode()
    elif kind == "json":
        for text in json_text(record):
            yield text.encode()
    else:
        pack = zlib.compressobj()
        for text in json_text(record):
            yield pack.compress(text.encode())
        yield pack.flush()


def json_text(record: RecordFile) -> Iterator[str]:
    """The text of damo's JSON format, as damo lays it out; the record is gone through once for each series."""
    opening = "["
    for series in record.all_series():
        head = json.dumps(damo_plain.to_plain(series.record(()), raw=True), indent=4)
        before, middle, after = head.partition('"snapshots": []')
        yield opening + indented("\n" + before, 4)
        first = True
        for _, snapshot in record.aggregations(series):
            yield ('"snapshots": [' if first else ",") + indented("\n" + _snapshot_text(snapshot), 12)
            first = False
        yield (middle if first else "\n        ]") + indented(after, 4)
        opening = ","
    yield "\n]" if opening == "," else "[]"


def _snapshot_text(snapshot: Snapshot) -> str:
    """JSON of a snapshot with an indent of 4; percents and times of ages are left for the reader to work out."""
    regions = as_lists(snapshot.regions)
    plain = damo_plain.plain_snapshot(replace(snapshot, regions=Regions()), raw=True)
    plain["total_bytes"] = str(regions.total_bytes())
    # damo writes nanoseconds without a unit here and takes them for microseconds; with a unit everybody is right.
    plain["sample_interval_us"] = units.exact_time(snapshot.sample_us * 1000) if snapshot.sample_us else None
    # damo reads a record in which passed bytes are missing, and none in which they are null.
    return damo_text.with_regions(plain, regions, null_passed=False)


def perf_lines(record: RecordFile) -> Iterator[str]:
    """The lines that `perf script --ns` prints of DAMON's events.

    Where a snapshot does not start when the one before ended, damo's filler without a region says when it does.
    """
    _distinct(record)
    ended: dict[tuple[int, int, int, int], int] = {}
    tuned: dict[int, int] = {}
    for series, snapshot in record.aggregations():
        regions = as_lists(snapshot.regions)
        head = _event(series, snapshot)
        if ended.get(series.key) != snapshot.start_ns:
            yield f"{head(snapshot.start_ns)} nr_regions=1 0-0: -1 -1\n"
        ended[series.key] = snapshot.end_ns
        goal = series.intervals is not None and series.intervals.goal.active
        if goal and tuned.get(series.kdamond) != snapshot.sample_us:
            tuned[series.kdamond] = snapshot.sample_us
            yield (
                f"kdamond.{series.kdamond} 0 [000] {_seconds(snapshot.end_ns)}: "
                f"damon:damon_monitor_intervals_tune: sample_us={snapshot.sample_us}\n"
            )
        start = f"{head(snapshot.end_ns)} nr_regions={len(regions)}"
        if not len(regions):
            yield f"{head(snapshot.end_ns)} nr_regions=1 0-0: -1 -1\n"
        yield "".join(
            f"{start} {low}-{high}: {samples} {age}\n"
            for low, high, samples, age in zip(
                regions.start, regions.end, regions.nr_accesses, regions.age, strict=True
            )
        )


def _seconds(ns: int) -> str:
    return f"{ns // 1_000_000_000}.{ns % 1_000_000_000:09d}"


def _target_id(series: Series) -> int:
    return series.target if series.target_id is None else series.target_id


def _event(series: Series, snapshot: Snapshot) -> Callable[[int], str]:
    """What stands before `nr_regions` in the lines of a series, as a function of the time."""
    task = f"kdamond.{series.kdamond} {0 if snapshot.pid is None else snapshot.pid} [000]"
    if series.scheme is None:
        event = f"damon:damon_aggregated: target_id={_target_id(series)}"
    else:
        event = (
            f"damon:damos_before_apply: ctx_idx={series.context} scheme_idx={series.scheme} "
            f"target_idx={_target_id(series)}"
        )
    return lambda ns: f"{task} {_seconds(ns)}: {event}"


def _distinct(record: RecordFile) -> None:
    """BadRecord if the text could not tell two series apart."""
    seen: set[tuple[int, int, int, int]] = set()
    for series in record.all_series():
        scheme = -1 if series.scheme is None else series.scheme
        key = (series.kdamond, series.context if scheme >= 0 else 0, scheme, _target_id(series))
        if key in seen:
            raise BadRecord(
                f"{record.name} has several records of kdamond {series.kdamond}, target {_target_id(series)}, "
                "which perf_script cannot tell apart",
                hint="convert it to json or parquet",
            )
        seen.add(key)
