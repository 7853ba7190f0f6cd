"""Reader of damo's records: json, json_compressed (zlib of the same text) and perf_script text.

The type is told by the content, never by the name. Files are read as a stream: what is held is the columns of the
snapshots and a window of the text, never the whole text. Missing keys are tolerated as damo does (formats.md 4.1);
anything else that is wrong is a BadRecord that says what and where.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, BinaryIO

from damod import units
from damod.access.record import Goal, Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord
from damod.records import holding, perf_text
from damod.records.holding import Holding
from damod.records.json_text import Window

_CHUNK = 1 << 20
# Enough to tell the type of a file.
_HEAD = 1 << 12
# Texts of more digits are no times (and Python refuses to read thousands of digits).
_MOST_DIGITS = 40
# What a record has beside its snapshots, and how long each may be.
_FACTS = ("kdamond_idx", "context_idx", "intervals", "scheme_idx", "target_id", "scheme_filters", "data_source")
_MAX_FACT = 1 << 16


def read_stream(file: BinaryIO, name: str, *, compat: bool = False) -> list[Record]:
    """The records of an open file; `name` is for messages. Raises BadRecord, and NoMemory if they do not fit."""
    chunks = texts(file, name)
    head = next(chunks, b"")
    if not head:
        raise BadRecord(f"{name} is empty, so it has no records")
    chunks = _first(head, chunks)
    start = head.lstrip()[:1]
    if start in (b"[", b"{"):
        return _from_json(Window(chunks, name), compat=compat)
    if head.startswith(b"PERFILE2"):
        raise BadRecord(
            f"{name} is raw data of perf", hint=f"`perf script -i {name} > record.txt` makes text that can be read"
        )
    if b"damon" in head:
        return perf_text.read(chunks, name, holding.of_damo(name))
    raise BadRecord(f"{name} is not a record: neither JSON, nor zlib-compressed JSON, nor text of damon events")


def _first(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def compressed(head: bytes) -> bool:
    """Whether a file that begins so is of zlib."""
    return len(head) > 1 and head[:1] == b"\x78" and (head[0] << 8 | head[1]) % 31 == 0


def texts(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The text of an open file in pieces, inflated if it is compressed. Raises BadRecord where that fails."""
    data = file.read(_HEAD)
    if not compressed(data):
        while data:
            yield data
            data = file.read(_CHUNK)
        return
    inflate = zlib.decompressobj()
    try:
        while data:
            while text := inflate.decompress(data, _CHUNK):
                yield text
                data = inflate.unconsumed_tail
            # Pieces whose lines stay in the processor's cache while they are looked at.
            data = file.read(max(_CHUNK // 4, 1))
    except zlib.error as exc:
        raise BadRecord(f"{name} is damaged: decompression failed ({exc})") from exc
    if not inflate.eof:
        raise BadRecord(f"{name} is truncated: the compressed data stop in the middle")


def _from_json(window: Window, *, compat: bool) -> list[Record]:
    if window.peek() == "{":
        raise BadRecord(f"{window.name} is JSON but no list of records", hint="is it a .kdamonds file or a spec?")
    held = holding.of_damo(window.name)
    records = [_record(window, held, compat=compat) for _ in window.items()]
    if window.peek():
        raise window.bad("more text after the end")
    if not records:
        raise BadRecord(f"{window.name} has no records in it")
    return records


def _record(window: Window, held: Holding, *, compat: bool) -> Record:
    held.record()
    if window.peek() != "{":
        raise window.bad("something that is no record")
    found: dict[str, Any] = {}
    snapshots: list[tuple[Snapshot, int | None]] | None = None
    for key in window.members():
        if key == "snapshots":
            snapshots = []
            for _ in window.items():
                plain = window.value()
                try:
                    snapshots.append(_snapshot(plain, compat=compat))
                except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
                    raise BadRecord(
                        f"{window.name} is damaged: snapshot {len(snapshots)} lacks or garbles {_said(exc)}"
                    ) from exc
                held.snapshot(snapshots[-1][0])
        elif key in _FACTS:
            found[key] = window.value(_MAX_FACT)
        else:
            window.value()
    if snapshots is None or "target_id" not in found:
        raise BadRecord(f"{window.name} is JSON but no list of records", hint="is it a .kdamonds file or a spec?")
    try:
        return _joined(found, snapshots)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ZeroDivisionError) as exc:
        raise BadRecord(f"{window.name} is damaged: a record lacks or garbles {_said(exc)}") from exc


def from_outline(outline: Any, regions: Sequence[Regions], name: str, *, compat: bool = False) -> list[Record]:
    """The records of a JSON value whose snapshots have indices into `regions` for their regions."""
    if not isinstance(outline, list) or not all(isinstance(item, dict) for item in outline):
        raise BadRecord(f"{name} is JSON but no list of records", hint="is it a .kdamonds file or a spec?")
    if not outline:
        raise BadRecord(f"{name} has no records in it")
    records = []
    for found in outline:
        if "snapshots" not in found or "target_id" not in found:
            raise BadRecord(f"{name} is JSON but no list of records", hint="is it a .kdamonds file or a spec?")
        try:
            snapshots = [_snapshot(one, regions[one["regions"]], compat=compat) for one in found["snapshots"]]
            records.append(_joined(found, snapshots))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ZeroDivisionError) as exc:
            raise BadRecord(f"{name} is damaged: a record lacks or garbles {_said(exc)}") from exc
    return records


def _said(exc: Exception) -> str:
    return f"{exc.args[0]!r}" if isinstance(exc, KeyError) else str(exc)


def _integer(value: Any) -> int:
    """A count or address as JSON number or comma text; sizes with units too."""
    if type(value) is int:
        return value
    if isinstance(value, str):
        try:
            return int(value.replace(",", ""))
        except ValueError:
            return units.parse_size(value)
    return units.parse_count(value)


def _us(value: Any) -> int:
    return int(value) if _bare(value) else _told_us(value)


# The same interval stands in each snapshot.
@lru_cache(64)
def _told_us(value: Any) -> int:
    return int(units.parse_time_ns(value, "us") / 1000)


def _ns(value: Any) -> int:
    return int(value) if _bare(value) else int(units.parse_time_ns(value, "ns"))


def _bare(value: Any) -> bool:
    """Whether a time is a number in the unit that is meant, as it is in files; fractions are slow."""
    return type(value) is str and value.isascii() and value.isdecimal() and len(value) < _MOST_DIGITS


def _bp(value: Any) -> float:
    share = float(units.parse_share(value, "bp"))
    return int(share) if share.is_integer() else share


def _snapshot(plain: Mapping[str, Any], known: Regions | None = None, *, compat: bool) -> tuple[Snapshot, int | None]:
    """A snapshot of a record, and the sampling interval it had if it says so; indices and intervals come later.

    `known` are its regions if they were read already.
    """
    start, end = _ns(plain["start_time"]), _ns(plain["end_time"])
    if end < start:
        raise ValueError(f"its time: it ends ({end:,}) before it starts ({start:,})")
    interval = plain.get("sample_interval_us")
    if interval is not None:
        # damo writes plain nanoseconds under this name (formats.md 4.1) and reads microseconds back
        interval = _us(interval) if compat or not str(interval).isdigit() else int(interval) // 1000
    stats = plain.get("damos_stats")
    return (
        Snapshot(
            kdamond=0,
            context=0,
            target=0,
            start_ns=start,
            end_ns=end,
            wall_offset_ns=0,
            sample_us=0,
            aggr_us=0,
            regions=_regions(plain["regions"]) if known is None else known,
            source="record",
            stats=None if stats is None else {name: _integer(value) for name, value in stats.items()},
        ),
        interval,
    )


def _regions(regions: Sequence[Mapping[str, Any]]) -> Regions:
    starts = _column("Q", [region["start"] for region in regions], _integer)
    ends = _column("Q", [region["end"] for region in regions], _integer)
    samples = _column("q", [region["nr_accesses"]["samples"] for region in regions], _integer)
    ages = _column("q", [region["age"]["aggr_intervals"] for region in regions], _age)
    passed = [region.get("sz_filter_passed") for region in regions]
    hits = [region.get("probe_hits") for region in regions]
    for low, high in zip(starts, ends, strict=True):
        if high < low:
            raise ValueError(f"a region: it ends ({high:,}) below its start ({low:,})")
    return Regions(
        starts,
        ends,
        samples,
        ages,
        probe_hits=[[_integer(hit) for hit in row] for row in hits if row] if all(hits) and hits else None,
        sz_filter_passed=None if None in passed or not passed else _column("Q", passed, units.parse_size),
    )


def _column(kind: str, values: Sequence[Any], read: Callable[[Any], int]) -> array[int]:
    """A column of 64-bit numbers: a Python int object per value would take four times the memory.

    JSON numbers and texts of digits and commas, as damo writes, are read all at once; anything else one by one by
    `read`.
    """
    try:
        if values and type(values[0]) is int:
            return array(kind, values)
        made = array(kind, map(int, " ".join(values).replace(",", "").split(" ")))
    except (TypeError, ValueError):
        made = array(kind)
    return made if len(made) == len(values) else array(kind, map(read, values))


def _age(count: Any) -> int:
    return -1 if count is None else _integer(count)


def _joined(found: Mapping[str, Any], snapshots: Sequence[tuple[Snapshot, int | None]]) -> Record:
    """The record, with its indices and the intervals in force put into each snapshot."""
    intervals = _intervals(found.get("intervals"))
    kdamond = _integer(found.get("kdamond_idx") or 0)
    context = _integer(found.get("context_idx") or 0)
    scheme, target = found.get("scheme_idx"), found["target_id"]
    filters = found.get("scheme_filters") or []
    ready = []
    for snapshot, sample in snapshots:
        sample_us, aggr_us = _in_force(intervals, snapshot, sample)
        ready.append(
            replace(
                snapshot,
                kdamond=kdamond,
                context=context,
                sample_us=sample_us,
                aggr_us=aggr_us,
                filters=filters,
                sample_noted=sample is not None,
            )
        )
    return Record(
        kdamond=kdamond,
        context=context,
        scheme=None if scheme is None else _integer(scheme),
        target_id=None if target is None else _integer(target),
        intervals=intervals,
        snapshots=ready,
        filters=[dict(item) for item in filters],
        data_source=str(found.get("data_source") or "unknown"),
    )


def _intervals(plain: Mapping[str, Any] | None) -> Intervals | None:
    if plain is None:
        return None
    goal = plain.get("intervals_goal") or {}
    sample, aggr = _us(plain["sample_us"]), _us(plain["aggr_us"])
    if sample <= 0 or aggr <= 0:
        raise ValueError("its intervals: they are not above zero")
    return Intervals(
        sample_us=sample,
        aggr_us=aggr,
        ops_update_us=_us(plain.get("ops_update_us", 0)),
        goal=Goal(
            access_bp=_bp(goal.get("access_bp", 0)),
            aggrs=_integer(goal.get("aggrs", 0)),
            min_sample_us=_us(goal.get("min_sample_us", 0)),
            max_sample_us=_us(goal.get("max_sample_us", 0)),
        ),
    )


def _in_force(intervals: Intervals | None, snapshot: Snapshot, sample_us: int | None) -> tuple[int, int]:
    """Sampling and aggregation interval of a snapshot: where the kernel tunes them, they are not those of the record.

    Without a note of the tuned one, a snapshot that took a tenth more or less than the set interval tells it.
    """
    if intervals is None:
        return 0, 0
    sample, aggr = intervals.sample_us, intervals.aggr_us
    if not intervals.goal.active:
        return sample, aggr
    if sample_us:
        return sample_us, sample_us * aggr // sample
    took = (snapshot.end_ns - snapshot.start_ns) // 1000
    if took and abs(took - aggr) * 10 >= aggr:
        return max(took * sample // aggr, 1), took
    return sample, aggr
