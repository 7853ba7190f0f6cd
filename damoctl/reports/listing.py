"""Records as they are: the classic raw listing and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from damod import units
from damod.access.record import Record


def raw_form(records: Sequence[Record], *, raw: bool, hits: bool = False) -> Iterator[str]:
    """The classic listing: hexadecimal addresses, samples, age in aggregation intervals (-1 if unknown).

    With `hits` those of the probes take the place of samples, behind the age.
    """
    for record in records:
        if not record.snapshots:
            continue
        base = record.snapshots[0].start_ns
        yield f"base_time_absolute: {units.time(base + record.snapshots[0].wall_offset_ns, raw=raw)}"
        yield f"data source: {record.data_source}"
        yield ""
        for snapshot in record.snapshots:
            start, end = snapshot.start_ns, snapshot.end_ns
            yield f"monitoring_start:    {units.time(start - base, raw=raw):>16}"
            yield f"monitoring_end:      {units.time(end - base, raw=raw):>16}"
            yield f"monitoring_duration: {units.time(end - start, raw=raw):>16}"
            yield f"target_id: {record.target_id}"
            regions = snapshot.regions
            yield f"nr_regions: {len(regions)}"
            if hits:
                yield "# start_addr     end_addr        length   age probe_hits"
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
        yield ""


def json_lines(records: Sequence[Record], *, raw: bool, compat: bool) -> Iterator[str]:
    """The records as a JSON list in damo's record format, one snapshot in memory at a time.

    The text is that of ``json.dumps(..., indent=4)`` of the whole list.
    """
    import json
    from dataclasses import replace

    from damod.records import damo_text
    from damod.records.damo_plain import to_plain

    def block(text: str, depth: int) -> str:
        return " " * depth + damo_text.indented(text, depth)

    if not records:
        yield "[]"
        return
    yield "["
    for index, record in enumerate(records):
        frame = block(json.dumps(to_plain(replace(record, snapshots=()), raw=raw), indent=4), 4)
        comma = "," if index < len(records) - 1 else ""
        if not record.snapshots:
            yield frame + comma
            continue
        # quotes inside of JSON strings are escaped, so this text is the key
        before, _, after = frame.partition('"snapshots": []')
        yield before + '"snapshots": ['
        last = len(record.snapshots) - 1
        for number, snapshot in enumerate(record.snapshots):
            yield block(damo_text.whole(snapshot, raw=raw, compat=compat), 12) + ("," if number < last else "")
        yield " " * 8 + "]" + after + comma
    yield "]"
