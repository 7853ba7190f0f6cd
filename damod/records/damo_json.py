"""Reader of damo's records: json, json_compressed (zlib of the same text) and perf_script text.

The type is told by the content, never by the name. Files are read as a stream: what is held is the columns of the
snapshots and a window of the text, never the whole text. Missing keys are tolerated as damo does (formats.md 4.1);
anything else that is wrong is a BadRecord that says what and where.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from damod import units
from damod.access.record import Goal, Intervals, Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, NotAllowed, NotFound

_CHUNK = 1 << 20
# Enough to tell the type of a file.
_HEAD = 1 << 12
# No single value (a snapshot, mostly) is larger; in a damaged file a lost bracket must not pull all of it into memory.
_MAX_VALUE = 1 << 28
# Texts of more digits are no times (and Python refuses to read thousands of digits).
_MOST_DIGITS = 40
# A parse error nearer than this to the end of the window may only mean that the rest is not read yet.
_TAIL = 1 << 16


def read(path: str | Path, *, compat: bool = False) -> list[Record]:
    """The records of a file, in its order; of a directory, as damo makes when it rotates, those of its damon.data.

    `compat` takes `sample_interval_us` in microseconds as damo reads it, not in the nanoseconds it writes.
    Raises NotFound, NotAllowed or BadRecord.
    """
    path = Path(path)
    if (path / "damon.data").is_file():
        path /= "damon.data"
    try:
        with path.open("rb") as file:
            return read_stream(file, str(path), compat=compat)
    except FileNotFoundError as exc:
        raise NotFound(f"no record {path}: there is no such file", hint="damoctl record makes one") from exc
    except IsADirectoryError as exc:
        raise BadRecord(f"{path} is a directory, not a record") from exc
    except PermissionError as exc:
        raise NotAllowed(f"reading {path} is not allowed to you", hint="records are private to who made them") from exc
    except OSError as exc:
        raise BadRecord(f"reading {path} failed: {exc.strerror or exc}") from exc


def read_stream(file: BinaryIO, name: str, *, compat: bool = False) -> list[Record]:
    """The records of an open file; `name` is for messages."""
    head = file.read(_HEAD)
    if not head:
        raise BadRecord(f"{name} is empty, so it has no records")
    chunks = _chunks(file, head)
    if head[:1] == b"\x78" and len(head) > 1 and (head[0] << 8 | head[1]) % 31 == 0:
        chunks = _inflated(chunks, name)
        head = next(chunks, b"")
        chunks = _first(head, chunks)
    start = head.lstrip()[:1]
    if start in (b"[", b"{"):
        return _from_json(_Window(chunks, name), compat=compat)
    if head.startswith(b"PERFILE2"):
        raise BadRecord(
            f"{name} is raw data of perf", hint=f"`perf script -i {name} > record.txt` makes text that can be read"
        )
    if b"damon" in head:
        return _from_text(chunks, name)
    raise BadRecord(f"{name} is not a record: neither JSON, nor zlib-compressed JSON, nor text of damon events")


def _first(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _chunks(file: BinaryIO, head: bytes) -> Iterator[bytes]:
    while head:
        yield head
        head = file.read(_CHUNK)


def _inflated(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    try:
        for chunk in chunks:
            data = inflate.decompress(chunk, _CHUNK)
            while data:
                yield data
                data = inflate.decompress(inflate.unconsumed_tail, _CHUNK) if inflate.unconsumed_tail else b""
    except zlib.error as exc:
        raise BadRecord(f"{name} is damaged: decompression failed ({exc})") from exc
    if not inflate.eof:
        raise BadRecord(f"{name} is truncated: the compressed data stop in the middle")


class _Window:
    """A moving window over JSON text, and just enough of a parser to take a list of objects apart value by value."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self.name = name
        self._chunks = chunks
        self._text = ""
        self._at = 0
        self._gone = 0
        self._done = False
        self._rest = b""
        self._decode = json.JSONDecoder().raw_decode

    def bad(self, what: str, at: int | None = None) -> BadRecord:
        """The error about something wrong at a place in the window."""
        return BadRecord(
            f"{self.name} is damaged: {what} at character {self._gone + (self._at if at is None else at):,}"
        )

    def truncated(self) -> BadRecord:
        return BadRecord(
            f"{self.name} is truncated: it ends in the middle, after {self._gone + len(self._text):,} characters"
        )

    def _fill(self) -> bool:
        """Read at least as much as there already is of the value at hand; false at the end of the file."""
        wanted = len(self._text) - self._at
        self._gone += self._at
        parts = [self._text[self._at :]]
        self._at = 0
        got = 0
        while not self._done and got <= wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._done = True
                break
            data = self._rest + chunk
            # a character of several bytes may be cut by the end of the chunk
            cut = len(data)
            while cut > len(data) - 4 and cut and data[cut - 1] & 0xC0 == 0x80:
                cut -= 1
            if cut and data[cut - 1] >= 0xC0:
                cut -= 1
            else:
                cut = len(data)
            self._rest = data[cut:]
            try:
                parts.append(data[:cut].decode())
            except UnicodeDecodeError as exc:
                self._text = "".join(parts)
                raise self.bad("bytes that are no text", len(self._text)) from exc
            got += len(parts[-1])
        self._text = "".join(parts)
        return got > 0

    def peek(self) -> str:
        """The next character that is no blank, without taking it; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def take(self, wanted: str) -> str:
        """The next character, which has to be one of `wanted`."""
        found = self.peek()
        if not found:
            raise self.truncated()
        if found not in wanted:
            raise self.bad(f"{found!r} where {' or '.join(wanted)} was due")
        self._at += 1
        return found

    def value(self) -> Any:
        """The next whole JSON value."""
        if not self.peek():
            raise self.truncated()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as exc:
                at = getattr(exc, "pos", self._at)
                if at < len(self._text) - _TAIL or isinstance(exc, RecursionError):
                    raise self.bad("no JSON", at) from exc
                if len(self._text) - self._at > _MAX_VALUE:
                    raise self.bad("a value without end") from exc
                if not self._fill():
                    if at < len(self._text.rstrip()) and not str(exc).startswith("Unterminated"):
                        raise self.bad("no JSON", at) from exc
                    raise self.truncated() from exc
                continue
            except ValueError as exc:
                raise self.bad(f"a number too long ({exc})") from exc
            if end == len(self._text) and self._fill():
                continue  # the value may go on
            self._at = end
            return value

    def items(self) -> Iterator[None]:
        """Stops before each element of the list that begins here; the caller takes the element."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield None
            if self.take(",]") == "]":
                return

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller takes the value behind each."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self.bad("a key that is no text")
            self.take(":")
            yield key
            if self.take(",}") == "}":
                return


def _from_json(window: _Window, *, compat: bool) -> list[Record]:
    if window.peek() == "{":
        raise BadRecord(f"{window.name} is JSON but no list of records", hint="is it a .kdamonds file or a spec?")
    records = [_record(window, compat=compat) for _ in window.items()]
    if window.peek():
        raise window.bad("more text after the end")
    if not records:
        raise BadRecord(f"{window.name} has no records in it")
    return records


def _record(window: _Window, *, compat: bool) -> Record:
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
        else:
            found[key] = window.value()
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
            replace(snapshot, kdamond=kdamond, context=context, sample_us=sample_us, aggr_us=aggr_us, filters=filters)
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


_EVENT = re.compile(
    r"(?:^\s*kdamond\.(?P<kdamond>\d+)[-\s].*?|)\s(?P<time>\d+\.\d+):\s+(?:damon:)?(?:"
    r"damon_aggregated:\s+target_id=(?P<target>\d+)|"
    r"damos_before_apply:\s+ctx_idx=(?P<context>\d+) scheme_idx=(?P<scheme>\d+) target_idx=(?P<index>\d+)"
    r") nr_regions=(?P<count>\d+) (?P<start>-?\d+)-(?P<end>-?\d+): (?P<samples>-?\d+) (?P<age>\d+|None|-1)"
)

_TUNED = re.compile(r"(?:^\s*kdamond\.(?P<kdamond>\d+)[-\s].*?|)damon_monitor_intervals_tune:\s+sample_us=(?P<us>\d+)")


class _Lines:
    """The snapshots of one target while its lines come in. `tuned` is each one's sampling interval, 0 if not told."""

    def __init__(self) -> None:
        self.tuned: list[int] = []
        self.ends: list[int] = []
        self.counts: list[int] = []
        self.columns: list[tuple[array[int], array[int], array[int], array[int]]] = []


def _from_text(chunks: Iterator[bytes], name: str) -> list[Record]:
    """Records from the lines that `perf script` or `trace-cmd report` print of DAMON's events."""
    found: dict[tuple[int, int, int | None, int], _Lines] = {}
    tuned: dict[int, int] = {}
    for number, line in enumerate(_text_lines(chunks, name), 1):
        match = _EVENT.search(line)
        if match is None:
            if told := _TUNED.search(line):
                tuned[int(told["kdamond"] or 0)] = int(told["us"])
            if "damon_aggregated:" in line or "damos_before_apply:" in line:
                raise BadRecord(f"{name}:{number}: this line of a DAMON event cannot be read: {line[:120]!r}")
            continue
        target = match["target"] or match["index"]
        kdamond = int(match["kdamond"] or 0)
        scheme = None if match["scheme"] is None else int(match["scheme"])
        key = (kdamond, int(match["context"] or 0), scheme, int(target))
        lines = found.setdefault(key, _Lines())
        seconds, _, fraction = match["time"].partition(".")
        end = int(seconds) * 1_000_000_000 + int(f"{fraction:0<9}"[:9])
        count = int(match["count"])
        # a snapshot is over when it has as many regions as it says; its lines may have different times
        if not lines.columns or len(lines.columns[-1][0]) >= lines.counts[-1]:
            lines.ends.append(end)
            lines.counts.append(count)
            lines.tuned.append(tuned.get(kdamond, 0))
            lines.columns.append((array("Q"), array("Q"), array("q"), array("q")))
        lines.ends[-1] = end
        low, high, samples = int(match["start"]), int(match["end"]), int(match["samples"])
        if samples < 0:
            lines.counts[-1] = 0  # damo's filler that only tells the time of the snapshot before
            continue
        try:
            for column, value in zip(
                lines.columns[-1],
                (low, high, samples, -1 if match["age"] == "None" else int(match["age"])),
                strict=True,
            ):
                column.append(value)
        except OverflowError as exc:
            raise BadRecord(f"{name}:{number}: a number of this line is beyond 64 bits: {line[:120]!r}") from exc
    if not found:
        raise BadRecord(f"{name} has no DAMON events in it")
    return [_timed(*key, lines) for key, lines in found.items()]


def _text_lines(chunks: Iterator[bytes], name: str) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > _CHUNK:
            raise BadRecord(f"{name} is not a record: a line without end")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _timed(kdamond: int, context: int, scheme: int | None, target: int, lines: _Lines) -> Record:
    """A record whose snapshots start where the one before ended; the first takes the mean time of the others."""
    ends = lines.ends
    mean = (ends[-1] - ends[0]) // (len(ends) - 1) if len(ends) > 1 else 0
    snapshots = []
    start = ends[0] - mean
    for end, columns, sample_us in zip(ends, lines.columns, lines.tuned, strict=True):
        if len(columns[0]):
            snapshots.append(
                Snapshot(
                    kdamond=kdamond,
                    context=context,
                    target=0,
                    start_ns=start,
                    end_ns=end,
                    wall_offset_ns=0,
                    sample_us=sample_us,
                    # the kernel tunes both together, and an aggregation took as long as its interval
                    aggr_us=(end - start) // 1000 if sample_us else 0,
                    regions=Regions(*columns),
                    source="record",
                )
            )
        start = end
    return Record(kdamond, context, scheme, target, None, snapshots)


def to_plain(record: Record, *, raw: bool, compat: bool = False) -> dict[str, Any]:
    """A record as JSON-able data in damo's format; `raw` writes times as plain numbers, as damo's files do."""

    def us(value: int) -> str:
        return str(value) if raw else units.exact_time(value * 1000)

    intervals = record.intervals
    return {
        "kdamond_idx": record.kdamond,
        "context_idx": record.context,
        "intervals": None
        if intervals is None
        else {
            "sample_us": us(intervals.sample_us),
            "aggr_us": us(intervals.aggr_us),
            "ops_update_us": us(intervals.ops_update_us),
            "intervals_goal": {
                "access_bp": units.share(_exact(intervals.goal.access_bp), "bp", raw=raw),
                "aggrs": units.number(intervals.goal.aggrs, raw=raw),
                "min_sample_us": us(intervals.goal.min_sample_us),
                "max_sample_us": us(intervals.goal.max_sample_us),
            },
        },
        "scheme_idx": record.scheme,
        "target_id": record.target_id,
        "scheme_filters": [dict(item) for item in record.filters],
        "snapshots": [plain_snapshot(snapshot, raw=raw, compat=compat) for snapshot in record.snapshots],
        "data_source": record.data_source,
    }


def _exact(value: float) -> Any:
    from fractions import Fraction

    return Fraction(value)


def plain_snapshot(snapshot: Snapshot, *, raw: bool, compat: bool = False) -> dict[str, Any]:
    """A snapshot of `to_plain`. Access rates are in percent, which damo (`compat`) cuts to whole numbers."""
    from damod.access import measure

    time: Callable[[int], str] = str if raw else units.exact_time

    regions, sample, aggr, offset = snapshot.regions, snapshot.sample_us, snapshot.aggr_us, snapshot.wall_offset_ns
    if sample and aggr:
        shares: list[float | None] = [
            int(share) if share == int(share) else share
            for share in measure.percents(regions.nr_accesses, sample, aggr, compat=compat)
        ]
    else:
        shares = [None] * len(regions)
    return {
        "start_time": time(snapshot.start_ns + offset),
        "end_time": time(snapshot.end_ns + offset),
        "regions": [
            {
                "start": f"{regions.start[index]:,}",
                "end": f"{regions.end[index]:,}",
                "nr_accesses": {"samples": regions.nr_accesses[index], "percent": shares[index]},
                "age": {
                    "usec": units.exact_time(age * aggr * 1000) if age >= 0 and aggr else None,
                    "aggr_intervals": f"{age:,}" if age >= 0 else None,
                },
                "probe_hits": list(regions.probe_hits[index]) if regions.probe_hits else [],
                "sz_filter_passed": None
                if regions.sz_filter_passed is None
                else units.exact_size(regions.sz_filter_passed[index]),
            }
            for index, age in enumerate(regions.age)
        ],
        "total_bytes": f"{regions.total_bytes()}" if raw else units.exact_size(regions.total_bytes()),
        "damos_stats": None if snapshot.stats is None else {name: str(value) for name, value in snapshot.stats.items()},
        "sample_interval_us": (str(sample * 1000) if raw else units.exact_time(sample * 1000)) if sample else None,
    }
