"""Health of a record: whether it is whole, without gaps and losses, and fine enough to be believed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from damoctl.diagnose.finding import Finding
from damoctl.diagnose.monitoring import NEARLY
from damod import units
from damod.records.file import RecordFile
from damod.records.writer import PART

FEW = 20
"""Fewer snapshots than these are no picture of anything; damo's wss skips so many."""
GAP = 4
"""So many times the usual time between two snapshots is a gap."""


@dataclass
class Tally:
    """What is counted of one series while the record streams by. Times in nanoseconds of the trace clock."""

    name: str
    snapshots: int = 0
    lost: int = 0
    last_end_ns: int | None = None
    spaces_ns: array[int] = field(default_factory=lambda: array("q"))
    aggr_us: int = 0
    most_regions: int = 0
    accessed: bool = False
    limit: int = 0

    def add(self, end_ns: int, aggr_us: int, lost: int, regions: int, accessed: bool) -> None:
        """Count one aggregation."""
        if self.last_end_ns is not None:
            self.spaces_ns.append(end_ns - self.last_end_ns)
        self.snapshots += 1
        self.lost += lost
        self.last_end_ns, self.aggr_us = end_ns, aggr_us
        self.most_regions = max(self.most_regions, regions)
        self.accessed = self.accessed or accessed

    def gaps(self) -> list[int]:
        """Times between snapshots that are far longer than the usual one, and than tuned intervals explain."""
        if not self.spaces_ns:
            return []
        usual = max(median(self.spaces_ns), self.aggr_us * 1000)
        return [space for space in self.spaces_ns if space > GAP * usual]


@dataclass
class Health:
    """What there is to say about a record file."""

    name: str
    type: str
    part: bool = False
    warnings: list[str] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)


def look(record: RecordFile) -> Health:
    """Read a record once, in the memory of a batch."""
    tallies: dict[tuple[int, int, int, int], Tally] = {}
    limits = _limits(record)
    for series, shot in record.aggregations():
        tally = tallies.get(series.key)
        if tally is None:
            name = f"kdamond {series.key[0]} target {series.key[3]}"
            tally = tallies[series.key] = Tally(name, limit=limits.get(series.key[0], 0))
        counts = shot.regions.nr_accesses
        accessed = bool(len(counts)) and max(counts) > 0
        tally.add(shot.end_ns, shot.aggr_us, shot.lost, len(shot.regions), accessed)
    part = record.name.endswith(PART) or Path(f"{record.name}{PART}").exists()
    return Health(record.name, record.type, part, list(record.warnings), list(tallies.values()))


def _limits(record: RecordFile) -> dict[int, int]:
    from damod.errors import SpecInvalid
    from damod.spec.kdamond import parse_kdamonds

    try:
        specs = parse_kdamonds(list(record.meta.kdamonds), template=True) if record.meta.kdamonds else ()
    except SpecInvalid:
        return {}
    return {index: spec.contexts[0].nr_regions.max for index, spec in enumerate(specs) if spec.contexts}


def judge(health: Health) -> Iterator[Finding]:
    """What is wrong with it."""
    name = Path(health.name).name
    if health.part:
        yield Finding(
            "record-unfinished", "warning", name, "it was not ended properly, or is still being written",
            f"`damoctl record recover {health.name}` makes it whole, if no recording runs",
        )  # fmt: skip
    for sentence in health.warnings:
        yield Finding("record-damaged", "warning", name, sentence)
    if not health.tallies:
        yield Finding(
            "record-empty", "error", name, "there is no aggregation in it",
            "the kdamond may not have lived for one aggregation interval; `damoctl diagnose` while it runs tells more",
        )  # fmt: skip
    for tally in health.tallies:
        yield from _judge(f"{name}: {tally.name}", tally)


def _judge(about: str, tally: Tally) -> Iterator[Finding]:
    if tally.snapshots < FEW:
        yield Finding(
            "record-short", "note", about, f"it has {tally.snapshots} snapshots only",
            "record for longer, or give `--skip 0` where a report leaves out the first 20",
        )  # fmt: skip
    if tally.lost:
        yield Finding(
            "record-lost", "warning", about, f"the kernel dropped {tally.lost:,} events before they were read",
            "aggregations are missing or incomplete there; a longer aggregation interval or fewer regions",
        )  # fmt: skip
    if gaps := tally.gaps():
        yield Finding(
            "record-gaps", "warning", about,
            f"{len(gaps):,} times nothing came for much longer than usual, {units.time(max(gaps))} at the longest",
            "the kdamond slept (watermarks, pause), the machine was suspended, or the recording was cut",
        )  # fmt: skip
    if not tally.aggr_us:
        yield Finding(
            "record-intervals", "warning", about, "it does not tell its intervals, so rates and ages are unknown",
            "records of damod have them; damo's of perf data do not",
        )  # fmt: skip
    if tally.limit and tally.most_regions >= tally.limit * NEARLY:
        yield Finding(
            "regions-full", "warning", about,
            f"it had {tally.most_regions:,} of at most {tally.limit:,} regions; what differs inside of one is not seen",
            "--monitoring_nr_regions_range with a larger maximum",
        )  # fmt: skip
    if not tally.accessed:
        yield Finding(
            "no-accesses", "warning", about, "it has no access at all, so heatmaps are blank",
            "--monitoring_intervals_autotune finds intervals in which accesses are seen; or the target was idle",
        )  # fmt: skip
