"""Records as they are: the classic raw listing and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from damod import units
from damod.access.record import Record
from damod.access.snapshot import Snapshot

Shown = tuple[Record, Iterable[Snapshot]]
"""A record and its snapshots, which need not be held."""


def raw_form(records: Iterable[Shown], *, raw: bool, hits: bool = False) -> Iterator[str]:
    """The classic listing: hexadecimal addresses, samples, age in aggregation intervals (-1 if unknown).

    With `hits` those of the probes take the place of samples, behind the age.
    """
    shown = False
    for record, snapshots in records:
        base: int | None = None
        for snapshot in snapshots:
            if base is None:
                base, shown = snapshot.start_ns, True
                yield f"base_time_absolute: {units.time(base + snapshot.wall_offset_ns, raw=raw)}"
                yield f"data source: {record.data_source}"
                yield ""
            start, end = snapshot.start_ns, snapshot.end_ns
            yield f"monitoring_start:    {units.time(start - base, raw=raw):>16}"
            yield f"monitoring_end:      {units.time(end - base, raw=raw):>16}"
            yield f"monitoring_duration: {units.time(end - start, raw=raw):>16}"
            yield f"target_id: {record.target_id}"
            regions = snapshot.regions
            yield f"nr_regions: {len(regions)}"
            if hits:
                yield "# start_addr     end_addr        length    age probe_hits"
                rows = regions.probe_hits or [()] * len(regions)
                for low, high, age, row in zip(regions.start, regions.end, regions.age, rows, strict=True):
                    size = units.size(high - low, raw=raw)
                    yield f"{low:012x}-{high:012x} ({size:>12}) {age:5d} {' '.join(map(str, row))}".rstrip()
                yield ""
                continue
            yield "# start_addr     end_addr        length  nr_accesses   age"
            for low, high, samples, age in zip(
                regions.start, regions.end, regions.nr_accesses, regions.age, strict=True
            ):
                yield f"{low:012x}-{high:012x} ({units.size(high - low, raw=raw):>12}) {samples:11d} {age:5d}"
            yield ""
    if shown:
        yield ""


def json_lines(
    records: Iterable[Shown], *, raw: bool, totals: Sequence[Sequence[int]] | None = None, newest: bool = False
) -> Iterator[str]:
    """The records as a JSON list in damo's record format, one snapshot in memory at a time.

    With the `totals` of each snapshot of each record, as damo prints it, 3.4 if `newest`.

    The text is that of ``json.dumps(..., indent=4)`` of the whole list.
    """
    import json
    from dataclasses import replace
    from functools import partial

    from damod.records import damo_text
    from damod.records.damo_plain import to_plain

    frame_of: Callable[..., dict[str, Any]] = to_plain
    if totals is not None:
        from damoctl.reports.json_compat import plain_record, plain_shot

        frame_of = partial(plain_record, newest=newest)

    def block(text: str, depth: int) -> str:
        return " " * depth + damo_text.indented(text, depth)

    before = ""
    for index, (record, snapshots) in enumerate(records):
        yield before + "," if before else "["
        head = block(json.dumps(frame_of(replace(record, snapshots=()), raw=raw), indent=4), 4)
        # quotes inside of JSON strings are escaped, so this text is the key
        opening, _, after = head.partition('"snapshots": []')
        before = ""
        for number, snapshot in enumerate(snapshots):
            yield before + "," if before else opening + '"snapshots": ['
            if totals is None:
                text = damo_text.whole(snapshot, raw=raw)
            else:
                text = json.dumps(plain_shot(record, snapshot, totals[index][number], raw=raw), indent=4)
            before = block(text, 12)
        if before:
            yield before
        before = " " * 8 + "]" + after if before else head
    if before:
        yield before
    yield "]" if before else "[]"
