"""Ring pages to columns in bulk: what `kernel.ring` does event by event, here for hundreds of thousands a second.

DAMON's events of one aggregation have all the same size and follow each other in a page, so a run of them, as
`kernel.pages` finds it in a few steps per page, is a strided table: numpy decodes many of them at once. `kernel.ring`
explains the surprises of the format; a test holds that both find the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from damod.kernel.events import INTERVALS, REGIONS, REGIONS_AND_PROBES, Format
from damod.kernel.interface import RawRing
from damod.kernel.pages import Drain, Run

Ints = npt.NDArray[np.int64]
Hits = npt.NDArray[np.uint8]

TRIED = "damos_before_apply"
_EVENTS = (REGIONS, REGIONS_AND_PROBES, TRIED)
# Pages taken in one read, of all CPUs together; a page becomes some 20 KiB on its way to the file.
_PAGES = 1024
_LEAST_PAGES = 32


class Tuned(NamedTuple):
    """A kdamond's new sampling interval, in force from `time_ns` on."""

    time_ns: int
    pid: int
    sample_us: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Region events in time order, one array per field. `scheme` is -1 where the event has none, `hits` is
    (rows, probes) or None."""

    time_ns: Ints
    pid: Ints
    context: Ints
    scheme: Ints
    target: Ints
    nr_regions: Ints
    start: Ints
    end: Ints
    nr_accesses: Ints
    age: Ints
    hits: Hits | None

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, which: Any) -> Rows:
        """The rows that a numpy index or mask chooses."""
        chosen = {name: getattr(self, name)[which] for name in _NAMES}
        return Rows(**chosen, hits=None if self.hits is None else self.hits[which])


_NAMES = ("time_ns", "pid", "context", "scheme", "target", "nr_regions", "start", "end", "nr_accesses", "age")
_NO_ROWS = Rows(**{name: np.empty(0, np.int64) for name in _NAMES}, hits=None)


def concat(parts: Sequence[Rows]) -> Rows:
    """The rows of several parts, one after the other. Where they have different numbers of probes, zeros fill up."""
    filled = [part for part in parts if len(part)]
    if len(filled) <= 1:
        return filled[0] if filled else _NO_ROWS
    columns = {name: np.concatenate([getattr(part, name) for part in filled]) for name in _NAMES}
    widest = max((part.hits.shape[1] for part in filled if part.hits is not None), default=0)
    if not widest:
        return Rows(**columns, hits=None)
    hits = np.zeros((len(columns["time_ns"]), widest), np.uint8)
    at = 0
    for part in filled:
        if part.hits is not None:
            hits[at : at + len(part), : part.hits.shape[1]] = part.hits
        at += len(part)
    return Rows(**columns, hits=hits)


class BulkDecoder:
    """Runs of events as rows."""

    def __init__(self) -> None:
        self._types: dict[tuple[int, int, int], np.dtype[Any]] = {}

    def rows(self, runs: Sequence[Run]) -> Rows:
        """The rows of runs, not yet in order."""
        groups: dict[tuple[int, int, int], list[Run]] = {}
        for run in runs:
            groups.setdefault((run.form.id, run.size, run.header), []).append(run)
        return concat([self._decode(group) for group in groups.values()])

    def _decode(self, group: Sequence[Run]) -> Rows:
        form, size, header = group[0].form, group[0].size, group[0].header
        table = np.frombuffer(
            b"".join([run.page[run.at : run.at + run.count * size] for run in group]), self._type(form, size, header)
        )
        sums = np.cumsum(table["word"] >> np.uint32(5), dtype=np.int64)
        counts = np.array([run.count for run in group])
        lasts = np.cumsum(counts) - 1
        # The running sum at the end of the run before is what each run's own base stands for.
        before = np.concatenate(([0], sums[lasts[:-1]]))
        bases = np.array([run.base_ns for run in group], np.int64) - before
        names = table.dtype.names or ()

        def column(name: str, missing: int) -> Ints:
            if name not in names:
                return np.full(len(table), missing, np.int64)
            return table[name].astype(np.int64)

        return Rows(
            time_ns=np.repeat(bases, counts) + sums,
            pid=column("common_pid", 0),
            context=column("context_idx", 0),
            scheme=column("scheme_idx", -1),
            target=column("target_idx" if "target_idx" in names else "target_id", 0),
            nr_regions=column("nr_regions", 0),
            start=column("start", 0),
            end=column("end", 0),
            nr_accesses=column("nr_accesses", 0),
            age=column("age", -1),
            hits=self._hits(table, size, header) if form.name == REGIONS_AND_PROBES else None,
        )

    def _hits(self, table: npt.NDArray[Any], size: int, header: int) -> Hits:
        """The bytes that each row's `__data_loc` word (length << 16 | offset in the payload) points at."""
        where = table["probe_hits"].astype(np.int64)
        raw = np.ndarray((len(table), size), np.uint8, table.tobytes())
        hits = np.zeros((len(table), int((where >> 16).max(initial=0))), np.uint8)
        for word in np.unique(where):
            rows = where == word
            begin, wide = header + int(word & 0xFFFF), int(word >> 16)
            hits[rows, :wide] = raw[rows, begin : begin + wide]
        return hits

    def _type(self, form: Format, size: int, header: int) -> np.dtype[Any]:
        """The numpy type of a record of `size` bytes, the first `header` of which are the ring's own."""
        key = form.id, size, header
        if key not in self._types:
            fields = [item for item in form.fields if not item.name.startswith("common_") or item.name == "common_pid"]
            self._types[key] = np.dtype(
                {
                    "names": ["word", *(item.name for item in fields)],
                    "formats": ["<u4", *(f"<{'i' if item.code.islower() else 'u'}{item.size}" for item in fields)],
                    "offsets": [0, *(header + item.offset for item in fields)],
                    "itemsize": size,
                }
            )
        return self._types[key]


class Read(NamedTuple):
    """What was in the ring: rows in time order, tuned intervals, and `lost` events, all of them within `gaps`."""

    rows: Rows
    tuned: Sequence[Tuned] = ()
    lost: int = 0
    gaps: Sequence[tuple[int, int]] = ()


class BulkReader:
    """Reads a ring, without waiting; the bulk twin of `kernel.ring.RingReader`.

    A read is bounded, so that a ring that fills faster than we write does not fill our memory instead: `behind` says
    that there is more. What comes out is in time order also then: rows that a CPU with unread pages could still have
    older ones for are held back.
    """

    def __init__(self, raw: RawRing, header_page: str, formats: Iterable[Format]) -> None:
        self._drain = Drain(raw, header_page, [form for form in formats if form.name in (*_EVENTS, INTERVALS)])
        self._decoder = BulkDecoder()
        self._held = _NO_ROWS
        self._tuned: list[Tuned] = []

    @property
    def raw(self) -> RawRing:
        """The ring that is read."""
        return self._drain.raw

    @property
    def behind(self) -> bool:
        """Whether the last read left pages behind."""
        return bool(self._drain.behind)

    def read(self) -> Read:
        """What is there, up to a few MiB."""
        by_cpu, lost, gaps = self._drain.read(max(_LEAST_PAGES, _PAGES // max(len(self.raw.cpus), 1)))
        runs = [run for found in by_cpu.values() for run in found.runs]
        tuned = sorted([*self._tuned, *(item for run in runs if run.form.name == INTERVALS for item in _tuned(run))])
        rows = self._decoder.rows([run for run in runs if run.form.name != INTERVALS])
        horizon_ns = min((by_cpu[cpu].last_ns or 0 for cpu in self._drain.behind), default=None)
        rows, self._held = _cut(in_order(concat([self._held, rows])), horizon_ns)
        self._tuned = [] if horizon_ns is None else [item for item in tuned if item.time_ns > horizon_ns]
        return Read(rows, tuned[: len(tuned) - len(self._tuned)], lost, gaps)


def _tuned(run: Run) -> list[Tuned]:
    pids, samples = run.columns(("common_pid", "sample_us"))
    return [Tuned(run.time_ns(at), pids[at], samples[at]) for at in range(run.count)]


def in_order(rows: Rows) -> Rows:
    """The rows by time; those of equal time stay in their order."""
    times = rows.time_ns
    if len(times) > 1 and bool((times[1:] < times[:-1]).any()):
        return rows.take(np.argsort(times, kind="stable"))
    return rows


def _cut(rows: Rows, horizon_ns: int | None) -> tuple[Rows, Rows]:
    """The rows up to the horizon, and a copy of those after it (so that they do not hold the others)."""
    if horizon_ns is None or not len(rows):
        return rows, _NO_ROWS
    at = int(np.searchsorted(rows.time_ns, horizon_ns, side="right"))
    return rows.take(slice(0, at)), rows.take(np.arange(at, len(rows)))
