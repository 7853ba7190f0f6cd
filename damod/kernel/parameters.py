"""The parameters of DAMON's modules: what each means, how people write it, and what the kernel takes.

The kernel stores any number and looks at the whole only when the module is enabled or told to read them again: then
impossible ones are EINVAL, or older kernels switch the running module off without a word (**verified**: 7.3, 6.12). So
`problems` judges the whole before anything is written. Names and modes are those of six kernels' /sys/module, meanings
those of reclaim.rst, lru_sort.rst and stat.rst. A parameter that is not in the table, of a newer kernel or of another
module, is shown as it is and taken as a number, a flag or a text. Stdlib only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from damod import units

PREFIX = "damon_"
ENABLED, COMMIT, PID = "enabled", "commit_inputs", "kdamond_pid"
ABOUT = {
    "damon_stat": "how long memory has been idle, and its bandwidth; acts on nothing",
    "damon_reclaim": "reclaims memory that was not accessed for long",
    "damon_lru_sort": "moves hot and cold memory to their ends of the LRU lists",
}
"""The modules that every kernel so far may have."""


class Parameter(NamedTuple):
    """`kind` is us, ms, size, permil, bp, count, flag, pid, idle (percentiles, ms) or bandwidth.

    `since` is the first of the releases looked at (6.12, 6.16, 6.17, 6.18, 7.2, 7.3) that has it, "" if all with the
    module have; `result` says that the module writes it, not we.
    """

    name: str
    kind: str
    about: str
    since: str = ""
    result: bool = False


def _p(*row: Any) -> Parameter:
    return Parameter(*row)


_MONITORING = (
    _p("wmarks_interval", "us", "how often the watermarks are looked at while it sleeps"),
    _p("wmarks_high", "permil", "it sleeps while more memory than this is free"),
    _p("wmarks_mid", "permil", "it begins to work when less than this is free"),
    _p("wmarks_low", "permil", "it sleeps again when less than this is free"),
    _p("sample_interval", "us", "sampling interval"),
    _p("aggr_interval", "us", "aggregation interval"),
    _p("autotune_monitoring_intervals", "flag", "tune both intervals to what there is to see", "7.2"),
    _p("min_nr_regions", "count", "fewest regions (3 at least)"),
    _p("max_nr_regions", "count", "most regions"),
    _p("monitor_region_start", "size", "where the memory begins that it works on (0 and 0: all RAM)"),
    _p("monitor_region_end", "size", "where it ends"),
    _p("addr_unit", "count", "bytes per unit of the addresses and of the bytes_ counters", "6.18"),
)
_SWITCHES = (
    _p(ENABLED, "flag", "whether it runs"),
    _p(COMMIT, "flag", "Y: read the parameters again; N: done"),
)
_PID = _p(PID, "pid", "its kernel thread, -1 without one", "", True)
_RESET = _p("quota_reset_interval_ms", "ms", "the quotas count anew after this time")
_STAT_PID = _PID._replace(since="7.2")


def _counters(*rows: tuple[str, str]) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "size" if name.startswith("bytes_") else "count", about, "", True)
                 for name, about in rows)  # fmt: skip


_RECLAIM = (
    *_SWITCHES,
    _p("min_age", "us", "memory that was not accessed for so long is cold"),
    _p("quota_ms", "ms", "most time to spend (0: no limit)"),
    _p("quota_sz", "size", "most memory to reclaim (0: no limit)"),
    _RESET,
    _p("quota_mem_pressure_us", "us", "aim the quota at so much time stalled for memory (0: do not)"),
    _p("quota_autotune_feedback", "count", "your own feedback for the quota, 10,000 is as it should be (0: none)"),
    *_MONITORING,
    _p("skip_anon", "flag", "leave anonymous pages alone"),
    _PID,
    *_counters(
        ("nr_reclaim_tried_regions", "regions that it tried to reclaim"),
        ("bytes_reclaim_tried_regions", "how much that was"),
        ("nr_reclaimed_regions", "regions that it reclaimed"),
        ("bytes_reclaimed_regions", "how much that was"),
        ("nr_quota_exceeds", "how often a quota was used up"),
    ),
)
_LRU_SORT = (
    *_SWITCHES,
    _p("active_mem_bp", "bp", "aim the quota at this share of active memory (0: do not)", "7.2"),
    _p("filter_young_pages", "flag", "look at each page once more before moving it", "7.2"),
    _p("hot_thres_access_freq", "permil", "memory that is accessed more often is hot"),
    _p("cold_min_age", "us", "memory that was not accessed for so long is cold"),
    _p("quota_ms", "ms", "most time to spend (0: no limit)"),
    _RESET,
    *_MONITORING,
    _PID,
    *(
        counter
        for heat in ("hot", "cold")
        for counter in _counters(
            (f"nr_lru_sort_tried_{heat}_regions", f"{heat} regions that it tried to move"),
            (f"bytes_lru_sort_tried_{heat}_regions", "how much that was"),
            (f"nr_lru_sorted_{heat}_regions", f"{heat} regions that it moved"),
            (f"bytes_lru_sorted_{heat}_regions", "how much that was"),
            (f"nr_{heat}_quota_exceeds", "how often the quota was used up"),
        )
    ),
)
_STAT = (
    _SWITCHES[0],
    _STAT_PID,
    _p("aggr_interval_us", "us", "its aggregation interval, which it tunes itself", "6.18", True),
    _p("estimated_memory_bandwidth", "bandwidth", "bytes accessed per second, estimated", "", True),
    _p("memory_idle_ms_percentiles", "idle", "how long memory has been idle: percentiles 0 to 100 (negative: in use)",
       "", True),
)  # fmt: skip
TABLE: dict[str, dict[str, Parameter]] = {
    name: {row.name: row for row in rows}
    for name, rows in (("damon_stat", _STAT), ("damon_reclaim", _RECLAIM), ("damon_lru_sort", _LRU_SORT))
}


def full_name(name: str) -> str:
    """``damon_reclaim`` for ``reclaim``, which is what people type."""
    return name if name.startswith(PREFIX) else PREFIX + name


def of(module: str, name: str, text: str = "") -> Parameter:
    """The row of a parameter; one that is not in the table is made from what it holds."""
    known = TABLE.get(module, {}).get(name)
    if known:
        return known
    kind = "flag" if text in ("Y", "N") else "count" if text.isdecimal() else "text"
    return Parameter(name, kind, "")


def parse(row: Parameter, text: str) -> str:
    """What to write for a value as people write it (``30s``, ``100M``, ``5%``, ``yes``). ValueError if it is none."""
    if row.kind == "flag":
        return "Y" if units.parse_bool(text) else "N"
    if row.kind in ("us", "ms"):
        return _unsigned(units.parse_time(text, row.kind), text)
    if row.kind == "size":
        return _unsigned(units.parse_size(text), text)
    if row.kind in ("permil", "bp"):
        return _unsigned(units.parse_whole_share(text, row.kind), text)
    if row.kind == "count":
        return _unsigned(units.parse_count(text), text)
    if not text or "\n" in text:
        raise ValueError(f"{text!r} is no value")
    return text


def _unsigned(value: int, text: str) -> str:
    if not 0 <= value <= units.U64_MAX:
        raise ValueError(f"{text!r} is negative or too large")
    return str(value)


def value(row: Parameter, text: str) -> Any:
    """A parameter as JSON: a bool, a number, a list of numbers; the text where it is none of these."""
    if row.kind == "flag":
        return text in ("Y", "1")
    try:
        return [int(word) for word in text.split(",")] if row.kind == "idle" else int(text)
    except ValueError:
        return text


def shown(row: Parameter, text: str, *, raw: bool = False) -> str:
    """A parameter for people, with its unit; `raw` as the kernel prints it."""
    if raw or row.kind in ("flag", "pid", "text"):
        return text
    try:
        number = int(text.split(",")[-1])
    except ValueError:
        return text
    if row.kind in ("us", "ms"):
        return units.time(number * units.TIME_NS[row.kind])
    if row.kind == "size":
        return units.size(number)
    if row.kind in ("permil", "bp"):
        return units.share(number, row.kind)
    if row.kind == "bandwidth":
        return units.bandwidth(number)
    if row.kind == "idle":
        half = int(text.split(",")[text.count(",") // 2])
        return f"half of the memory for {idle(half)} or more, the coldest for {idle(number)}"
    return units.number(number)


def idle(ms: float) -> str:
    """An idle time; negative ones stand for memory in use, and for how long."""
    return units.time(ms * units.TIME_NS["ms"])


class Problem(NamedTuple):
    """What the kernel would not take, and of which parameter it is said."""

    parameter: str
    message: str


def problems(texts: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the parameters of a module as a whole, by the kernel's rules (damon_set_attrs() and what the
    modules' documents say). `texts` is as the kernel prints them."""
    numbers = {name: int(text) for name, text in texts.items() if text.isdecimal()}
    return list(_problems(numbers))


def _problems(numbers: Mapping[str, int]) -> Iterator[Problem]:
    def both(low: str, high: str) -> bool:
        return low in numbers and high in numbers and numbers[low] > numbers[high]

    if numbers.get("min_nr_regions", 3) < 3:
        yield Problem("min_nr_regions", f"{numbers['min_nr_regions']} is below 3, the fewest that DAMON works with")
    if both("min_nr_regions", "max_nr_regions"):
        low, high = numbers["min_nr_regions"], numbers["max_nr_regions"]
        yield Problem("min_nr_regions", f"{low:,} is above max_nr_regions ({high:,})")
    if both("sample_interval", "aggr_interval"):
        sample, aggr = (units.time(numbers[name] * 1000) for name in ("sample_interval", "aggr_interval"))
        yield Problem("sample_interval", f"{sample} is above aggr_interval ({aggr})")
    for name in ("wmarks_high", "wmarks_mid", "wmarks_low", "hot_thres_access_freq"):
        if numbers.get(name, 0) > 1000:
            yield Problem(name, f"{numbers[name]:,} is above 1,000 thousandths")
    if numbers.get("active_mem_bp", 0) > 10_000:
        yield Problem("active_mem_bp", f"{numbers['active_mem_bp']:,} is above 10,000 (the whole)")
    for lower, upper in (("wmarks_mid", "wmarks_high"), ("wmarks_low", "wmarks_mid")):
        if both(lower, upper):
            share, other = (units.share(numbers[name], "permil") for name in (lower, upper))
            yield Problem(lower, f"{share} is above {upper} ({other})")
    start, end = numbers.get("monitor_region_start", 0), numbers.get("monitor_region_end", 0)
    if (start or end) and start >= end:
        yield Problem("monitor_region_start", f"{start:,} is not below monitor_region_end ({end:,})")
    unit = numbers.get("addr_unit", 1)
    if not unit or (unit & (unit - 1) and unit <= 4096):
        yield Problem("addr_unit", f"{unit:,} is no power of two")
    quota = [name for name in ("quota_ms", "quota_sz") if numbers.get(name)]
    if quota and not numbers.get(_RESET.name, 1):
        yield Problem(_RESET.name, f"0 makes {quota[0]} without meaning; 0 for {quota[0]} is no limit")
