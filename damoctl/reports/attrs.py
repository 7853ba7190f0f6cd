"""`report attrs`: regions by the hits of data attribute probes, instead of by their accesses.

The machinery is that of `report access`; here is what differs: how hot a region is (weighted hits, and age), the probes
that the hits are of, and the layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from damoctl.reports.styles import DF_TYPE, TIME, Facts, Templates, lines, templates
from damod import units
from damod.access.record import Record
from damod.access.select import take
from damod.access.snapshot import Regions, Snapshot
from damod.errors import BadRecord, NoData, UsageError
from damod.records import side

WEIGHTS = (100, 100, 0)
"""Of weighted probe hits, age (us) and size (bytes) in the temperature."""
MIN_CHARS = {
    "<index>": 3,
    "<start address>": 12,
    "<end address>": 11,
    "<size>": 11,
    "<age>": 13,
    "<filters passed bytes>": 11,
    "<filters passed type>": 10,
}
SORT_KEYS = ("address", "probe_hits_wsum", "age", "size", "temperature")
Key = tuple[int, int]


class Probed(NamedTuple):
    """The probes of each (kdamond, context), as specs have them; `otherwise` those of contexts that are not named."""

    contexts: Mapping[Key, Sequence[Mapping[str, Any]]]
    otherwise: Sequence[Mapping[str, Any]] = ()

    def of(self, key: Key) -> Sequence[Mapping[str, Any]]:
        return self.contexts.get(key, self.otherwise)

    def weights(self, key: Key, count: int) -> list[int]:
        """The weight of each of `count` probes; where none has any (kernels before 7.3) all count alike."""
        known = [units.parse_count(probe.get("weight") or 0) for probe in self.of(key)]
        found = (known + [0] * count)[:count]
        return found if any(found) else [1] * count

    def sums(self, snapshot: Snapshot, regions: Regions) -> list[int]:
        """Per region its hits, weighted."""
        hits = regions.probe_hits
        if hits is None:
            return [0] * len(regions)
        weights = self.weights((snapshot.kdamond, snapshot.context), max(map(len, hits), default=0))
        return [sum(map(int.__mul__, map(int, row), weights)) for row in hits]

    def temperatures(self, snapshot: Snapshot, regions: Regions, weights: tuple[int, int, int]) -> list[int]:
        """Weighted hits, age and size by their weights; below zero where no probe hit."""
        by_hits, by_age, by_size = weights
        aggr = snapshot.aggr_us
        found = []
        for hits, age, start, end in zip(
            self.sums(snapshot, regions), regions.age, regions.start, regions.end, strict=True
        ):
            heat = hits * by_hits + max(age, 0) * aggr * by_age + (end - start) * by_size
            found.append(heat if hits else -heat)
        return found

    def idle_us(self, snapshot: Snapshot, regions: Regions) -> list[int]:
        """Per region how long no probe has hit: 0 where one has, else its age and one aggregation."""
        aggr = snapshot.aggr_us
        return [
            0 if hits else (max(age, 0) + 1) * aggr
            for hits, age in zip(self.sums(snapshot, regions), regions.age, strict=True)
        ]


def of_kdamonds(kdamonds: Sequence[Mapping[str, Any]], indices: Sequence[int] | None = None) -> Probed:
    """The probes in specs of kdamonds, whose indices are those of the list unless given."""
    found = {
        (kdamond if indices is None else indices[kdamond], number): context.get("probes") or ()
        for kdamond, spec in enumerate(kdamonds)
        for number, context in enumerate(spec.get("contexts", ()))
    }
    # A record's index is that of a slot of damod's, and its file only has the kdamond that was recorded.
    return Probed(found, next(iter(found.values())) if len(found) == 1 else ())


def beside(path: str) -> Probed | None:
    """The probes in ``<record>.kdamonds``; None without that file. Raises BadRecord."""
    file = Path(f"{path}.kdamonds")
    if path == "-" or not file.is_file():
        return None
    found = side.read(file, "kdamonds")
    try:
        return of_kdamonds(found["kdamonds"] if isinstance(found, dict) else found)
    except (KeyError, TypeError, AttributeError) as exc:
        raise BadRecord(f"{file} is damaged: {exc}") from exc


def check(records: Sequence[Record]) -> None:
    """NoData if no snapshot has probe hits."""
    shots = [shot for record in records for shot in record.snapshots]
    if shots and not any(shot.regions.probe_hits for shot in shots):
        raise NoData(
            "no probe hits: the kdamond has no data attribute probes, or the record is older than they are",
            hint="`damoctl start --probe --probe_filter allow anon` has one (Linux 7.2); `damoctl report access` shows"
            " accesses",
        )


class Adjustment(NamedTuple):
    """Scale `what` ("size", or "probe_hits" of the probe of an index, None: of all) by a ratio: `by` "df_passed" is the
    share of bytes that passed the filters, "probe_hits_rate" the share of samples that hit the probe `of`."""

    what: str
    probe: int | None
    by: str
    of: int | None


def adjustment(words: Sequence[str]) -> Adjustment:
    """``<size|probe_hits> [probe idx] <df_passed|probe_hits_rate> [probe idx]``. Raises UsageError."""
    rest = list(words)
    found: list[Any] = []
    for names in (("size", "probe_hits"), ("df_passed", "probe_hits_rate")):
        if not rest or rest[0] not in names:
            raise UsageError(
                f"--adjust_region {' '.join(words)}: {' or '.join(names)} is missing",
                hint="<size|probe_hits> [probe idx] <df_passed|probe_hits_rate> [probe idx]",
            )
        found.append(rest.pop(0))
        found.append(int(rest.pop(0)) if rest and rest[0].isdecimal() else None)
    made = Adjustment(*found)
    if rest or (made.what == "size" and made.probe is not None) or (made.by == "df_passed" and made.of is not None):
        raise UsageError(f"--adjust_region {' '.join(words)}: too many words")
    if made.by == "probe_hits_rate" and made.of is None:
        raise UsageError(f"--adjust_region {' '.join(words)}: the rate of which probe?", hint="add its index, from 0")
    return made


def adjusted(record: Record, adjustments: Sequence[Adjustment], *, compat: bool = False) -> Record:
    """The record with its regions scaled. NoData where a snapshot lacks what the ratio is of.

    Regions of no size are gone, but for damo (`compat`).
    """
    if not adjustments:
        return record
    shots = []
    for shot in record.snapshots:
        regions = shot.regions
        for one in adjustments:
            regions = _scaled(shot, regions, one, compat=compat)
        shots.append(replace(shot, regions=regions))
    return replace(record, snapshots=shots)


def _scaled(shot: Snapshot, regions: Regions, how: Adjustment, *, compat: bool) -> Regions:
    passed, hits = regions.sz_filter_passed, regions.probe_hits
    if how.by == "df_passed":
        if passed is None:
            raise NoData("--adjust_region df_passed: it is not known how many bytes passed the filters")
        ratios = [part / (end - start) for part, start, end in zip(passed, regions.start, regions.end, strict=True)]
    else:
        most = max(shot.aggr_us // shot.sample_us, 1)
        ratios = [row[_probe(how.of, row)] / most for row in hits or ()]
    if how.what == "size":
        ends = [
            start + int((end - start) * ratio)
            for start, end, ratio in zip(regions.start, regions.end, ratios, strict=True)
        ]
        kept = [
            index for index, (start, end) in enumerate(zip(regions.start, ends, strict=True)) if start < end or compat
        ]
        return take(replace(regions, end=ends), kept)
    made = []
    for row, ratio in zip(hits or (), ratios, strict=True):
        chosen = range(len(row)) if how.probe is None else (_probe(how.probe, row),)
        made.append([int(value * ratio) if index in chosen else value for index, value in enumerate(row)])
    return replace(regions, probe_hits=made)


def _probe(index: int | None, row: Sequence[int]) -> int:
    if index is None or index >= len(row):
        raise NoData(f"--adjust_region: there is no probe {index}", hint=f"probes are 0 to {len(row) - 1}")
    return index


def legend(known: Facts) -> str:
    """The names of the columns that regions have."""
    return f"#   size         address     {'  df-passed  ' if known.filtered else ''}  age           probe_hits"


def layout(style: str, known: Facts, *, total_sz_only: bool) -> Templates:
    """The templates of a style: as of `report access`, but for what a region and the head of its list look like."""
    made = templates(style, known._replace(probed=False), total_sz_only=total_sz_only)
    if style != "detailed" or total_sz_only:
        return made
    passed = "  <filters passed bytes>" if known.filtered else ""
    return made._replace(
        snapshot_head=lines(
            known.several_snapshots and TIME,
            "heatmap: <heatmap>",
            "probes",
            "<probes>",
            "intervals: <snapshot intervals>",
            known.filtered and DF_TYPE,
            known.filtered and "df-pass: <filters passed heatmap>",
            legend(known),
        ),
        region=f"<index> <size>  <start address>{passed}  <age> <probe hits>",
    )
