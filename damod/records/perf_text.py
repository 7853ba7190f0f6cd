"""Records from the text of DAMON's events, as `perf script` and `trace-cmd report` print it.

A line is a region. Text has neither the intervals nor when a snapshot began: each begins where the one before ended.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping

from damod.access.record import Record
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord
from damod.records.holding import Holding

# A line is much shorter.
_MAX_LINE = 1 << 20
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


def read(chunks: Iterator[bytes], name: str, held: Holding) -> list[Record]:
    """Records from the lines that `perf script` or `trace-cmd report` print of DAMON's events."""
    found: dict[tuple[int, int, int | None, int], _Lines] = {}
    tuned: dict[int, int] = {}
    for number, line in _text_lines(chunks, name):
        try:
            if match := _EVENT.search(line):
                _take(match, found, tuned, held)
            elif told := _TUNED.search(line):
                tuned[int(told["kdamond"] or 0)] = int(told["us"])
            elif "damon_aggregated:" in line or "damos_before_apply:" in line:
                raise ValueError("this line of a DAMON event cannot be read")
        except ValueError as exc:
            raise BadRecord(f"{name}:{number}: {exc}: {line[:120]!r}") from exc
    if not found:
        raise BadRecord(f"{name} has no DAMON events in it")
    return [_timed(*key, lines) for key, lines in found.items()]


def _take(
    match: re.Match[str],
    found: dict[tuple[int, int, int | None, int], _Lines],
    tuned: Mapping[int, int],
    held: Holding,
) -> None:
    """Add a line's region to the snapshots of its target. Raises ValueError for numbers that cannot be, NoMemory."""
    kdamond, context, target = (int(match[name] or 0) for name in ("kdamond", "context", "target"))
    scheme = None if match["scheme"] is None else int(match["scheme"])
    key = (kdamond, context, scheme, int(match["index"] or target))
    if key not in found:
        held.record()
        found[key] = _Lines()
    lines = found[key]
    seconds, _, fraction = match["time"].partition(".")
    end = int(seconds) * 1_000_000_000 + int(f"{fraction:0<9}"[:9])
    low, high, samples, count = (int(match[name]) for name in ("start", "end", "samples", "count"))
    age = -1 if match["age"] == "None" else int(match["age"])
    if end >= 1 << 63 or low < 0 or max(low, high) >= 1 << 64 or max(samples, age) >= 1 << 63:
        raise ValueError("a number of this line is beyond 64 bits")
    if high < low:
        raise ValueError("a region ends below its start")
    # a snapshot is over when it has as many regions as it says; its lines may have different times
    if not lines.columns or len(lines.columns[-1][0]) >= lines.counts[-1]:
        lines.ends.append(end)
        lines.counts.append(count)
        lines.tuned.append(tuned.get(kdamond, 0))
        lines.columns.append((array("Q"), array("Q"), array("q"), array("q")))
        held.snapshots(1, 0)
    lines.ends[-1] = end
    if samples < 0:
        lines.counts[-1] = 0  # damo's filler that only tells the time of the snapshot before
        return
    held.snapshots(0, 1)
    for column, value in zip(lines.columns[-1], (low, high, samples, age), strict=True):
        column.append(value)


def _text_lines(chunks: Iterator[bytes], name: str) -> Iterator[tuple[int, str]]:
    """The lines that may be of DAMON, and their numbers: what else perf recorded may be much more."""
    number, rest = 1, b""
    for chunk in chunks:
        block, _, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > _MAX_LINE:
            raise BadRecord(f"{name} is not a record: a line without end")
        if b"damo" in block:
            for at, line in enumerate(block.split(b"\n"), number):
                if b"damo" in line:
                    yield at, line.decode(errors="replace")
        number += block.count(b"\n") + 1
    yield number, rest.decode(errors="replace")


def _timed(kdamond: int, context: int, scheme: int | None, target: int, lines: _Lines) -> Record:
    """A record whose snapshots start where the one before ended; the first takes the mean time of the others."""
    ends = lines.ends
    mean = max(ends[-1] - ends[0], 0) // (len(ends) - 1) if len(ends) > 1 else 0
    snapshots = []
    start = ends[0] - mean
    for end, columns, sample_us in zip(ends, lines.columns, lines.tuned, strict=True):
        start = min(start, end)  # a clock that steps back
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
