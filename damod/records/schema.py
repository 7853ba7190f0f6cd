"""What a record holds: the columns of its table, and the facts about the whole that travel in its metadata.

One row is one region at the end of one aggregation of one target. Rows of an aggregation are together, sorted by
address; aggregations are sorted by `end_ns`. No column has nulls: what is not known is -1 (or 0 for intervals). All
integers are signed, since Spark and Trino have no others. docs/record-format.md is this module for users.

numpy and pyarrow are imported inside functions: who only wants the names does not pay for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from damod.access.record import Goal, Intervals, Record
from damod.access.snapshot import Snapshot
from damod.errors import BadRecord

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
METADATA_KEY = "damod"
"""Key of the JSON text in the metadata of an Arrow stream or Parquet file: `RecordMeta.to_json`."""
SERIES_KEY = "damod.series"
"""Key in a batch's own metadata (Arrow stream only): series that are new with this batch, as a JSON list."""
CRC_KEY = "damod.crc32"
"""Key of the check sum (`crc`) in the metadata of a stream, of each of its batches and of a Parquet file."""

GROUPS_KEY = "damod.groups"
"""Key in the metadata of a Parquet file: [begin, end, CRC-32] of each row group's bytes in the file, as JSON."""


class Column(NamedTuple):
    """One column. `each` tells what has a value of its own: every region, or only the whole aggregation."""

    name: str
    type: str
    each: str
    about: str


COLUMNS: tuple[Column, ...] = (
    Column("start_ns", "int64", "aggregation", "start of the aggregation on the kernel's trace clock"),
    Column("end_ns", "int64", "aggregation", "its end, on the same clock"),
    Column("wall_ns", "int64", "aggregation", "its end as nanoseconds since 1970 (UTC)"),
    Column("kdamond", "int32", "aggregation", "index of the kdamond"),
    Column("context", "int32", "aggregation", "index of the context in the kdamond"),
    Column("scheme", "int32", "aggregation", "index of the scheme whose tried regions these are; -1: of none"),
    Column("target", "int32", "aggregation", "index of the target in the context"),
    Column("pid", "int32", "aggregation", "process id of the target; -1: none (physical memory) or not known"),
    Column("sample_us", "int64", "aggregation", "sampling interval in force, also a tuned one; 0: not known"),
    Column("aggr_us", "int64", "aggregation", "aggregation interval in force; 0: not known"),
    Column("lost", "int64", "aggregation", "trace events that the kernel lost since the aggregation before"),
    Column("damos_stats", "string", "aggregation", "the scheme's statistics as JSON; empty: not known"),
    Column("start", "int64", "region", "first address (bytes)"),
    Column("end", "int64", "region", "address after the last one"),
    Column("nr_accesses", "int32", "region", "samples in which it was accessed; -1: the aggregation has no region"),
    Column("age", "int32", "region", "aggregation intervals that it looked so; -1: not known"),
    Column("sz_filter_passed", "int64", "region", "bytes that passed the scheme's filters; -1: not known"),
    Column("probe_hits", "list<int32>", "region", "hits of each probe; empty: no probes"),
)
KEY = ("kdamond", "context", "scheme", "target")
"""Columns that tell series apart."""
EMPTY = -1
"""`nr_accesses` of the only row of an aggregation without regions."""


@cache
def access_schema() -> pa.Schema:
    """The Arrow schema of the table, without metadata."""
    import pyarrow as pa

    types = {
        "int32": pa.int32(),
        "int64": pa.int64(),
        "string": pa.string(),
        "list<int32>": pa.list_(pa.field("element", pa.int32(), nullable=False)),
    }
    return pa.schema([pa.field(column.name, types[column.type], nullable=False) for column in COLUMNS])


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of all aggregations of one (kdamond, context, scheme, target).

    `target_id` is what damo's formats call so: a pid, the index, or an address of an old kernel. `intervals` are those
    that were set; the rows have those in force.
    """

    kdamond: int
    context: int
    scheme: int | None
    target: int
    target_id: int | None = None
    pid: int | None = None
    ops: str = ""
    intervals: Intervals | None = None
    filters: Sequence[Mapping[str, Any]] = ()
    data_source: str = "unknown"

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The values of the `KEY` columns."""
        return self.kdamond, self.context, -1 if self.scheme is None else self.scheme, self.target

    def to_plain(self) -> dict[str, Any]:
        plain = asdict(self)
        plain["filters"] = [dict(item) for item in self.filters]
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Series:
        """The inverse of `to_plain`; unknown keys are ignored. Raises KeyError, TypeError."""
        known = {name: plain[name] for name in cls.__slots__ if name in plain}
        if known.get("intervals") is not None:
            known["intervals"] = Intervals(**{**known["intervals"], "goal": Goal(**known["intervals"]["goal"])})
        return cls(**known)

    @classmethod
    def of(cls, snapshot: Snapshot, *, scheme: int | None = None, target_id: int | None = None) -> Series:
        """The series that a live snapshot begins."""
        goal = snapshot.intervals_goal
        return cls(
            kdamond=snapshot.kdamond,
            context=snapshot.context,
            scheme=scheme,
            target=snapshot.target,
            target_id=target_id if target_id is not None else snapshot.target if snapshot.pid is None else snapshot.pid,
            pid=snapshot.pid,
            ops=snapshot.ops,
            intervals=Intervals(
                snapshot.sample_us,
                snapshot.aggr_us,
                goal=Goal(**{name: goal[name] for name in Goal.__slots__ if name in goal}) if goal else Goal(),
            )
            if snapshot.sample_us and snapshot.aggr_us
            else None,
            filters=tuple(snapshot.filters),
            data_source=snapshot.source,
        )

    def record(self, snapshots: Sequence[Snapshot]) -> Record:
        """The record of damod.access with these snapshots."""
        return Record(
            kdamond=self.kdamond,
            context=self.context,
            scheme=self.scheme,
            target_id=self.target_id,
            intervals=self.intervals,
            snapshots=snapshots,
            filters=[dict(item) for item in self.filters],
            data_source=self.data_source,
        )


@dataclass(frozen=True, slots=True)
class RecordMeta:
    """Facts about a whole record.

    `wall_offset_ns` added to a time of the trace clock is the time since 1970, as it was when the recording began;
    `kdamonds` is the spec as `.kdamonds` has it; `host` holds whatever else says where the record comes from
    (host name, machine, memory size, boot id, ...). `id` is unique to the recording.
    """

    kernel: str = ""
    wall_offset_ns: int = 0
    created_wall_ns: int = 0
    tool: str = ""
    id: str = ""
    host: Mapping[str, Any] = field(default_factory=dict)
    kdamonds: Sequence[Mapping[str, Any]] = ()
    series: Sequence[Series] = ()
    version: int = VERSION

    def to_json(self) -> str:
        plain = asdict(replace(self, series=()))
        plain["series"] = [series.to_plain() for series in self.series]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> RecordMeta:
        """The inverse of `to_json`; `name` of the file is for messages. Raises BadRecord."""
        try:
            plain = json.loads(text)
            version = plain["version"]
            if version > VERSION:
                raise BadRecord(
                    f"{name} has version {version} of the record format; this damoctl knows up to {VERSION}",
                    hint="read it with a newer damoctl, or with any Parquet reader",
                )
            known = {key: plain[key] for key in cls.__slots__ if key in plain}
            known["series"] = tuple(Series.from_plain(item) for item in plain.get("series", ()))
            return cls(**known)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise BadRecord(f"{name} is damaged: its metadata cannot be read ({exc})") from exc
