"""Records in damo's own format, each odd in a way of its own, for comparing reports with the peer's.

They are written by the rules of its record files alone, so that nothing of damod's writers is in between, and are the
same bytes each time.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

Region = dict[str, Any]
MS = 1_000_000
GIB = 1 << 30
# Where the words of a time or size change.
_TIMES_NS = (
    1, 999, 1000, 15_100, 999_999, MS, 1_234_567, 999_999_999, 1000 * MS, 1_500 * MS, 59_999_999_999, 60_000 * MS,
    60_000_000_003, 60_300 * MS, 61_000 * MS, 3_599_999_999_999, 3_600_000 * MS, 3_600_000_000_003, 3_661_500 * MS,
    90_000_000 * MS,
)  # fmt: skip
_SIZES = (
    1, 1023, 1024, 1025, 10_239, 1_048_575, 1_048_576, 1_048_577, 2**30 - 1, 2**30, 2**30 + 1, 3 * 2**30 + 12_345,
    2**40, 2**40 + 1, 5 * 2**40 - 1, 2**50, 2**50 + 1, 2**60, 2**60 + 1, 2**64 - 2,
)  # fmt: skip
UPTIME_NS = 3_661_500 * MS
EPOCH_NS = 1_748_191_609_649_802_240


def _numbers(seed: int) -> Iterator[int]:
    """Numbers without end, 0 to 2**31 - 1."""
    while True:
        seed = (seed * 1103515245 + 12345) % 2**31
        yield seed >> 3


def region(start: int, end: int, samples: int, age: int | None, **more: Any) -> Region:
    """A region as record files have it."""
    return {
        "start": f"{start:,}",
        "end": f"{end:,}",
        "nr_accesses": {"samples": samples, "percent": None},
        "age": {"usec": None, "aggr_intervals": None if age is None else f"{age:,}"},
        **more,
    }


def snapshot(start_ns: int, end_ns: int, regions: Sequence[Region], **more: Any) -> dict[str, Any]:
    """A snapshot as record files have it."""
    return {"start_time": str(start_ns), "end_time": str(end_ns), "regions": list(regions), **more}


def record(
    snapshots: Sequence[dict[str, Any]],
    sample_us: int = 5000,
    aggr_us: int = 100_000,
    *,
    intervals: bool = True,
    goal: Sequence[int] = (0, 0, 0, 0),
    target_id: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A record as record files have it; `goal` is bp, aggregations, and sampling from and to in us."""
    bp, aggrs, least, most = goal
    return {
        "kdamond_idx": 0,
        "context_idx": 0,
        "intervals": {
            "sample_us": f"{sample_us}",
            "aggr_us": f"{aggr_us}",
            "ops_update_us": "1000000",
            "intervals_goal": {
                "access_bp": f"{bp:f}",
                "aggrs": f"{aggrs}",
                "min_sample_us": f"{least}",
                "max_sample_us": f"{most}",
            },
        }
        if intervals
        else None,
        "scheme_idx": 0,
        "target_id": target_id,
        "snapshots": list(snapshots),
        **more,
    }


def filter_of(kind: str, *, matching: bool = True, allow: bool = True, **more: Any) -> dict[str, Any]:
    """A scheme's filter as record files have it."""
    return {
        "filter_type": kind,
        "matching": matching,
        "allow": allow,
        "memcg_path": "",
        "address_range": {"start": "0", "end": "0"},
        "damon_target_idx": "0",
        "hugepage_size": ["0", "0"],
        **more,
    }


def _walk(
    seed: int, count: int, base: int, *, start_ns: int, duration_ns: int = 100 * MS, most: int = 20, gaps: bool = True
) -> list[dict[str, Any]]:
    """Snapshots one after the other, whose regions split and move a little, with gaps that move too."""
    draw = _numbers(seed)
    found = []
    for index in range(count):
        regions: list[Region] = []
        at = base
        for part in range(6 + next(draw) % 7):
            size = (1 + next(draw) % 900) * 4096 * (1 + 40 * (part % 3))
            samples = next(draw) % (most + 1) if (part + index // 7) % 3 == 0 else 0
            regions.append(region(at, at + size, samples, next(draw) % (index + 2)))
            at += size
            if gaps and part in (2, 5):
                at += 64 << (20 + 8 * (part == 5))
        begin = start_ns + index * duration_ns
        found.append(snapshot(begin, begin + duration_ns, regions))
    return found


def _made() -> dict[str, Any]:
    whole = [region(0x1000, 0x1000 + 10 * GIB, 0, 7)]
    spread = [
        region(4 * GIB, 5 * GIB, 0, 3000),
        region(5 * GIB, 5 * GIB + 8192, 20, 0),
        region(5 * GIB + 8192, 6 * GIB, 3, 12),
        region(6 * GIB, 6 * GIB + 4096, 0, 0),
        region(9 * GIB, 9 * GIB + 123 * 4096, 1, 600),
        region(9 * GIB + 123 * 4096, 70 * GIB, 0, 79_999),
    ]
    passed = [
        {**item, "sz_filter_passed": f"{size:,}"}
        for item, size in zip(spread, (0, 8192, 300 * 4096, 0, 4096, 12 * GIB), strict=True)
    ]
    stats = {
        "nr_tried": "1,234", "sz_tried": "5,000,000,000", "nr_applied": "12", "sz_applied": "4096",
        "sz_ops_filter_passed": "1,048,577", "qt_exceeds": "3",
    }  # fmt: skip
    at = EPOCH_NS
    tuned_ns = [100, 100, 400, 380, 1600, 1600, 90]
    ends = [at + sum(tuned_ns[: index + 1]) * MS for index in range(len(tuned_ns))]
    tuned = [
        snapshot(end - took * MS, end, item["regions"])
        for end, took, item in zip(ends, tuned_ns, _walk(3, 7, GIB, start_ns=at), strict=True)
    ]
    hits = [{**item, "probe_hits": [index % 4, 3 * index]} for index, item in enumerate(spread)]
    top = 2**64 - 4096
    return {
        "spread": [record([snapshot(at, at + 100 * MS, spread)])],
        "one": [record([snapshot(at, at + 100 * MS, whole)])],
        "two": [record([snapshot(at, at + 100 * MS, spread), snapshot(at + 100 * MS, at + 200 * MS, spread[1:5])])],
        "warm": [record([snapshot(at, at + 1000 * MS, [
            region(0, 4096, 1, 5), region(4096, 8192, 2, 5), region(8192, 1 << 20, 0, 5),
            region(1 << 20, 2 << 20, 199, 1),
        ])], 5000, 1_000_000)],
        "short": [record(_walk(10, 3, 0x5555_0000_0000, start_ns=UPTIME_NS, most=20), target_id=1234)],
        "pair": [
            record(_walk(11, 2, GIB, start_ns=UPTIME_NS, most=20), target_id=100),
            {**record(_walk(12, 1, GIB, start_ns=UPTIME_NS), 10_000, 200_000, target_id=101), "kdamond_idx": 1},
        ],
        "walk": [record(_walk(1, 30, 0x5555_0000_0000, start_ns=UPTIME_NS), target_id=1234)],
        "many": [record(_walk(2, 210, 0x7F00_0000_0000, start_ns=UPTIME_NS, gaps=False), target_id=0)],
        "targets": [
            record(_walk(4, 26, GIB, start_ns=UPTIME_NS), target_id=100),
            record(_walk(5, 24, 3 * GIB, start_ns=UPTIME_NS + 30 * MS), target_id=101),
            {**record(_walk(6, 22, 7 * GIB, start_ns=UPTIME_NS, duration_ns=200 * MS), 10_000, 200_000, target_id=100),
             "kdamond_idx": 1},
        ],
        "bare": [record(_walk(7, 30, GIB, start_ns=UPTIME_NS), intervals=False, target_id=7, scheme_idx=None)],
        "ageless": [record([
            snapshot(UPTIME_NS + index * 100 * MS, UPTIME_NS + (index + 1) * 100 * MS,
                     [region(0, 1 << 20, index % 20, None), region(1 << 20, 9 << 20, 0, None)])
            for index in range(25)
        ], target_id=3)],
        "passed": [record([snapshot(at, at + 100 * MS, passed, damos_stats=stats)], scheme_filters=[
            filter_of("anon"), filter_of("memcg", matching=False, allow=False, memcg_path="/a/b"), filter_of("addr"),
            filter_of("hugepage_size", hugepage_size=["4096", "2097152"]), filter_of("young", allow=False),
        ])],
        "rejected": [record([
            snapshot(at, at + 100 * MS, [{**item, "sz_filter_passed": "0"} for item in spread])
        ], scheme_filters=[filter_of("anon")])],
        "tuned": [record(tuned, goal=(400, 3, 5000, 10_000_000))],
        "intervals": [record([
            {**item, "sample_interval_us": 5000 * (1 + index % 3)} for index, item in enumerate(tuned)
        ], goal=(400, 3, 5000, 10_000_000), data_source="damon_stat")],
        "hits": [record([snapshot(at, at + 100 * MS, hits)])],
        "high": [record([snapshot(at, at + 100 * MS, [
            region(0, 4096, 3, 5), region(2**63 - 4096, 2**63 + GIB, 0, 10**9), region(2**63 + GIB, top, 20, 2**31 - 1),
        ])])],
        "units": [record([
            snapshot(end - took, end, [region(0, size, 3, 1 + index)])
            for index, (took, size, end) in enumerate(
                zip(_TIMES_NS, _SIZES, accumulate(_TIMES_NS, initial=UPTIME_NS), strict=False))
        ], 1000, 1_000_000)],
        "empty": [record([snapshot(at, at + 100 * MS, []), snapshot(at + 100 * MS, at + 200 * MS, spread)])],
        "nothing": [record([])],
        "holes": [record([
            snapshot(UPTIME_NS + index * 1000 * MS, UPTIME_NS + index * 1000 * MS + 100 * MS, item["regions"])
            for index, item in enumerate(_walk(8, 24, GIB, start_ns=0))
        ], target_id=0)],
    }  # fmt: skip


def text(snapshots: Sequence[dict[str, Any]], target_id: int) -> str:
    """Snapshots as lines of `perf script`."""
    return "".join(
        f"kdamond.0 1234 [001] {int(item['end_time']) / 1e9:.6f}: damon:damon_aggregated: target_id={target_id}"
        f" nr_regions={len(item['regions'])} {found['start'].replace(',', '')}-{found['end'].replace(',', '')}:"
        f" {found['nr_accesses']['samples']} {found['age']['aggr_intervals'].replace(',', '')}\n"
        for item in snapshots
        for found in item["regions"]
    )


def _footprints(processes: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    names = ("size", "resident", "shared", "trs", "lrs", "drs", "dt")
    system = ("total", "free", "available", "buffers", "cached")
    return [
        {
            "time": 1_700_000_000.5 + index,
            "footprints": [
                *(
                    {
                        "pid": 100 + number,
                        "footprint": dict(zip(names, (pages, pages // 3, 9, 8, 0, 7, 0), strict=True)),
                    }
                    for number, pages in enumerate(sizes)
                ),
                {
                    "pid": None,
                    "footprint": dict(zip(system, (8_000_000, 5_000_000 - 4321 * index, 6, 5, 4), strict=True)),
                },
            ],
        }
        for index, sizes in enumerate(processes)
    ]


def _trace() -> str:
    """Lines of trace-cmd, as damo saves them."""
    events = (
        "100.100000: damon_aggregated:     target_id=0 nr_regions=2 4096-8192: 0 5",
        "100.100001: damon_aggregated:     target_id=0 nr_regions=2 8192-1056768: 7 0",
        "100.100002: damos_before_apply:   ctx_idx=0 scheme_idx=1 target_idx=0 nr_regions=2 4096-8192: 0 5",
        "100.200000: damon_monitor_intervals_tune: sample_us=7000",
        "100.200001: damos_esz:            ctx_idx=0 scheme_idx=0 esz=4096",
        "100.200002: damos_stat_after_apply_interval: ctx_idx=0 scheme_idx=0 nr_tried=3 sz_tried=12288 nr_applied=2"
        " sz_applied=8192 sz_ops_filter_passed=4096 qt_exceeds=1 nr_snapshots=9",
    )
    head = (
        "damo_report_trace_output_format_version: 0", "damo_report_trace_output_time: 1700000000.5",
        "damo_report_trace_output_tracer: trace-cmd",
    )  # fmt: skip
    return "".join(f"{line}\n" for line in (*head, *(f"       kdamond.0-1234  [001]   {event}" for event in events)))


def _probed() -> dict[str, Any]:
    """A kdamond with two probes, as `<record>.kdamonds` has it."""

    def wants(kind: str, weight: int) -> dict[str, Any]:
        item = {
            "filter_type": kind,
            "matching": True,
            "allow": True,
            "path": None,
            "range_min": None,
            "range_max": None,
        }
        return {"preps": [], "filters": [item], "weight": weight}

    return {
        "state": "on", "pid": "123", "refresh_ms": 0,
        "contexts": [{
            "ops": "paddr", "addr_unit": "1 B", "targets": [{"pid": None, "obsolete": False, "regions": []}],
            "intervals": {
                "sample_us": "5 ms", "aggr_us": "100 ms", "ops_update_us": "1 s",
                "intervals_goal": {"access_bp": "0 %", "aggrs": "0", "min_sample_us": "0 ns", "max_sample_us": "0 ns"},
            },
            "nr_regions": {"min": "10", "max": "1,000"},
            "probes": [wants("anon", 2), wants("pgidle_unset", 1)],
            "sample_control": {"primitives_enabled": {"page_table": True, "page_fault": False}, "sample_filters": []},
            "pause": False,
            "schemes": [],
        }],
    }  # fmt: skip


def write(directory: Path) -> None:
    """All records, as NAME.data, and `walk.data.mem_footprint`, `walk.txt` (text of perf) and `walk.json`."""
    made = _made()
    for name, content in made.items():
        packed = zlib.compress(json.dumps(content, indent=4).encode())
        (directory / f"{name}.data").write_bytes(packed)
    walk = made["walk"]
    (directory / "walk.json").write_text(json.dumps(walk, indent=4))
    (directory / "walk.txt").write_text(text(walk[0]["snapshots"], 1234))
    (directory / "walk.trace").write_text(_trace())
    (directory / "hits.data.kdamonds").write_text(json.dumps([_probed()], indent=4))
    draw = _numbers(9)
    sizes = [[20_000 + next(draw) % 9000, 300 + next(draw) % 50][: 1 + index % 2] for index in range(33)]
    (directory / "walk.data.mem_footprint").write_text(json.dumps(_footprints(sizes), indent=4))
