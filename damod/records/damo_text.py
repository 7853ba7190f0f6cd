"""Snapshots as text of damo's JSON, laid out as by ``json.dumps(..., indent=4)``, which takes 20 us for a region."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from damod import units
from damod.access import measure
from damod.access.snapshot import Regions, Snapshot
from damod.records import damo_plain

# The same ages and sizes come again in each snapshot.
_time, _size = (lru_cache(1 << 14)(told) for told in (units.exact_time, units.exact_size))
_REGION = """
        {{
            "start": "{:,}",
            "end": "{:,}",
            "nr_accesses": {{
                "samples": {},
                "percent": {}
            }},
            "age": {{
                "usec": {},
                "aggr_intervals": {}
            }},
            "probe_hits": {}{}
        }}""".format


def whole(snapshot: Snapshot, *, raw: bool) -> str:
    """The text of `damo_plain.plain_snapshot`; regions are lists."""
    regions, sample, aggr = snapshot.regions, snapshot.sample_us, snapshot.aggr_us
    plain = damo_plain.plain_snapshot(replace(snapshot, regions=Regions()), raw=raw)
    total = regions.total_bytes()
    plain["total_bytes"] = f"{total}" if raw else _size(total)
    known = set(regions.nr_accesses)
    shares = dict.fromkeys(known, "null")
    if sample and aggr:
        for samples in known:
            share = measure.percent(samples, sample, aggr)
            shares[samples] = json.dumps(int(share) if share == int(share) else share)
    ages = set(regions.age)
    times = {age: f'"{_time(age * aggr * 1000)}"' if age >= 0 and aggr else "null" for age in ages}
    return with_regions(plain, regions, shares, times, null_passed=True)


def with_regions(
    plain: Mapping[str, Any],
    regions: Regions,
    shares: Mapping[int, str] | None = None,
    times: Mapping[int, str] | None = None,
    *,
    null_passed: bool,
) -> str:
    """The text of `plain`, a snapshot whose ``regions`` are an empty list, with the regions put in.

    `shares` and `times` are percents by samples and ages by aggregation intervals; None leaves them for the reader to
    work out. Passed bytes that are not known are left out, or `null_passed`.
    """
    before, middle, after = json.dumps(plain, indent=4).partition('"regions": []')
    if not len(regions):
        return before + middle + after
    count = len(regions)
    hits: Iterable[str] = ["[]"] * count
    if regions.probe_hits is not None:
        hits = (indented(json.dumps(list(row), indent=4), 12) for row in regions.probe_hits)
    passed: Iterable[str] = [',\n            "sz_filter_passed": null' if null_passed else ""] * count
    if regions.sz_filter_passed is not None:
        sizes = map(_size, regions.sz_filter_passed)
        passed = (f',\n            "sz_filter_passed": "{size}"' for size in sizes)
    nulls: Sequence[str] = ["null"] * count
    ages = {age: "null" if age < 0 else f'"{age:,}"' for age in set(regions.age)}
    texts = map(
        _REGION,
        regions.start,
        regions.end,
        regions.nr_accesses,
        nulls if shares is None else map(shares.__getitem__, regions.nr_accesses),
        nulls if times is None else map(times.__getitem__, regions.age),
        map(ages.__getitem__, regions.age),
        hits,
        passed,
    )
    return f'{before}"regions": [{",".join(texts)}\n    ]{after}'


def indented(text: str, spaces: int) -> str:
    """All lines but the first, moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)
