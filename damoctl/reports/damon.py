"""`report damon`: kdamonds as configured and as running; what they are, what their schemes did, where they looked.

Works on plain dicts, whose numbers are integers in the kernel's unit (from the daemon) or text with units (from a
file), so that neither pydantic nor the daemon is needed to print a file. The text is damo's, without its slips;
`compat` puts the slips back for programs that read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from damod import units

STAT_FIELDS = (
    "nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots",
    "max_nr_snapshots",
)  # fmt: skip
_DEFAULT_PRIMITIVES = {"page_table": True, "page_fault": False}


class Choice(NamedTuple):
    """What of the kdamonds to show."""

    params_only: bool = False
    omit_defaults: bool = False
    tried_regions: bool = True
    cpu_usage: bool = False
    raw: bool = False
    compat: bool = False
    newest: bool = False
    """With `compat`: as damo 3.4 writes, which tells the access sample control always."""


class Entry(NamedTuple):
    """One kdamond to show.

    `tried` has per scheme index the columns of its regions, or only their `total_bytes`. `drift` tells what somebody
    else has changed. `tuned` are the intervals in force where the kernel tunes them, in us.
    """

    number: int
    spec: Mapping[str, Any]
    name: str = ""
    tried: Mapping[int, Mapping[str, Any]] = {}
    cpu_percent: float | None = None
    tuned: Mapping[str, int] | None = None
    drift: Sequence[str] = ()


def compute(kdamonds: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Entries from what kdamonds.show answers, or from the bare kdamonds of a file."""
    entries = []
    for index, item in enumerate(kdamonds):
        if "spec" not in item:
            entries.append(Entry(index, item))
            continue
        tried = item.get("tried_regions") or {}
        cpu = item.get("cpu_percent")
        entries.append(
            Entry(
                int(item.get("index", index)),
                item["spec"],
                str(item.get("name") or ""),
                dict(enumerate(tried)) if isinstance(tried, list) else {int(key): one for key, one in tried.items()},
                None if cpu is None else float(cpu),
                item.get("tuned_intervals"),
                item.get("drift") or (),
            )
        )
    return entries


def _bool(value: object) -> bool:
    return units.parse_bool(value) if value is not None else False


class _Numbers:
    """The forms of numbers in this report; raw ones are plain integers of the field's unit."""

    def __init__(self, raw: bool) -> None:
        self.raw = raw

    def count(self, value: Any) -> str:
        return units.number(units.parse_count(value or 0), raw=self.raw)

    def size(self, value: Any) -> str:
        return units.size(units.parse_size(value or 0), raw=self.raw)

    def time(self, value: Any, unit: str) -> str:
        number = units.parse_time(value or 0, unit)
        if self.raw:
            return str(number)
        return "max" if number == units.U64_MAX else units.time(number * units.TIME_NS[unit])

    def share(self, value: Any, unit: str) -> str:
        return units.share(units.parse_share(value or 0, unit), unit, raw=self.raw)

    def rate(self, value: Any) -> str:
        if isinstance(value, str) and value.rstrip().endswith(("sample", "samples")):
            return value
        return units.percent(units.parse_share(value, "percent"), raw=self.raw)

    def age(self, value: Any) -> str:
        return value if isinstance(value, str) and "aggr_interval" in value else self.time(value, "us")

    def range(self, start: Any, end: Any) -> str:
        return (
            f"[{self.count(start)}, {self.count(end)}) ({self.size(units.parse_size(end) - units.parse_size(start))})"
        )


def _indent(lines: Iterable[str], depth: int = 1) -> Iterator[str]:
    for line in lines:
        yield f"{'    ' * depth}{line}"


def state_line(entry: Entry, numbers: _Numbers, choice: Choice) -> str:
    """``state: on, pid: 777, stats refresh per: 1 s``."""
    spec, parts = entry.spec, []
    if not choice.params_only and spec.get("state") is not None:
        parts += [f"state: {spec['state']}", f"pid: {spec.get('pid')}"]
    if units.parse_time(spec.get("refresh_ms") or 0, "ms"):
        parts.append(f"stats refresh per: {numbers.time(spec['refresh_ms'], 'ms')}")
    if choice.cpu_usage and entry.cpu_percent is not None:
        parts.append(f"cpu usage: {entry.cpu_percent:.3f} %")
    return ", ".join(parts)


def _probe_filter(item: Mapping[str, Any], numbers: _Numbers) -> str:
    words = ["allow" if _bool(item.get("allow")) else "reject"]
    if not _bool(item.get("matching", True)):
        words.append("non")
    words.append(str(item["filter_type"]))
    if item.get("path"):
        words.append(str(item["path"]))
    if item.get("range_max") is not None:
        words.append(f"[{numbers.size(item['range_min'])}, {numbers.size(item['range_max'])}]")
    return " ".join(words)


def _probe(probe: Mapping[str, Any], numbers: _Numbers) -> str:
    filters = ", ".join(_probe_filter(item, numbers) for item in probe.get("filters") or ())
    preps = ", ".join(str(item["prep_action"]) for item in probe.get("preps") or ())
    shown = f"prep: {preps}, filter: {filters}" if preps else filters
    return f"- {shown} (weight: {numbers.count(probe.get('weight'))})"


def probe_line(probe: Mapping[str, Any], *, raw: bool) -> str:
    """``- allow anon (weight: 2)``."""
    return _probe(probe, _Numbers(raw))


def scheme_filter(item: Mapping[str, Any], numbers: _Numbers) -> str:
    """``reject none memcg /x/y``."""
    kind = str(item["filter_type"])
    words = ["allow" if _bool(item.get("allow", item.get("filter_pass"))) else "reject"]
    if not _bool(item.get("matching", True)):
        words.append("none")
    words.append(kind)
    if kind == "memcg":
        words.append(str(item.get("memcg_path")))
    elif kind == "addr":
        words.append(numbers.range(item["address_range"]["start"], item["address_range"]["end"]))
    elif kind == "target":
        words.append(numbers.count(item.get("damon_target_idx")))
    elif kind == "hugepage_size":
        low, high = item["hugepage_size"]
        words.append(f"[{numbers.size(low)}, {numbers.size(high)}]")
    elif kind == "probe_hits_wsum":
        low, high = item["probe_hits_wsum_range"]
        words.append(f"[{numbers.count(low)}, {numbers.count(high)}]")
    return " ".join(words)


def _intervals(spec: Mapping[str, Any], numbers: _Numbers) -> Iterator[str]:
    def time(name: str, default: int) -> str:
        return numbers.time(spec.get(name, default), "us")

    line = (
        f"sample {time('sample_us', 5000)}, aggr {time('aggr_us', 100_000)}, update {time('ops_update_us', 1_000_000)}"
    )
    goal = spec.get("intervals_goal") or {}
    if not units.parse_count(goal.get("aggrs") or 0):
        yield f"intervals: {line}"
        return
    yield "intervals"
    yield f"    {line}"
    yield (
        f"    target {numbers.share(goal.get('access_bp'), 'bp')} accesses per {numbers.count(goal['aggrs'])} aggrs, "
        f"[{numbers.time(goal.get('min_sample_us'), 'us')}, {numbers.time(goal.get('max_sample_us'), 'us')}] "
        "sampling interval"
    )


def _target(index: int, target: Mapping[str, Any], numbers: _Numbers) -> Iterator[str]:
    yield f"target {index}"
    if target.get("pid") is not None:
        yield f"    pid: {target['pid']}"
    if _bool(target.get("obsolete")):
        yield "    (obsolete)"
    for region in target.get("regions") or ():
        yield f"    region {numbers.range(region['start'], region['end'])}"


def _goal(index: int, goal: Mapping[str, Any], numbers: _Numbers) -> str:
    words = [f"goal {index}: metric {goal['metric']}"]
    if _bool(goal.get("complement")):
        words.append("(complement)")
    where = [] if goal.get("nid") is None else [f"nid {numbers.count(goal['nid'])}"]
    if goal.get("memcg_path"):
        where.append(f"memcg {goal['memcg_path']}")
    if where:
        words.append(f"({', '.join(where)})")
    words.append(f"target {numbers.count(goal['target_value'])} current {numbers.count(goal.get('current_value'))}")
    return " ".join(words)


def _quotas(quotas: Mapping[str, Any], numbers: _Numbers, choice: Choice) -> Iterator[str]:
    yield "quotas"
    yield (
        f"    {numbers.time(quotas.get('time_ms'), 'ms')} / {numbers.size(quotas.get('sz_bytes'))} / "
        f"{numbers.size(quotas.get('effective_sz_bytes'))} "
        f"per {numbers.time(quotas.get('reset_interval_ms', 'max'), 'ms')}"
    )
    if units.parse_count(quotas.get("fail_charge_denom") or 0):
        ratio = f"{numbers.count(quotas.get('fail_charge_num'))}/{numbers.count(quotas['fail_charge_denom'])}"
        yield f"    fail charge ratio: {ratio}{'/' if choice.compat else ''}"
    goals = quotas.get("goals") or ()
    for index, goal in enumerate(goals):
        yield f"    {_goal(index, goal, numbers)}"
    tuner = quotas.get("goal_tuner", "consist")
    if goals or tuner != "consist":
        yield f"    goal tuner: {tuner}"
    weights = quotas.get("weights") or {}
    shown = (
        f"{name} {numbers.share(weights.get(f'{name}_permil'), 'permil')}" for name in ("sz", "nr_accesses", "age")
    )
    yield f"    priority: {', '.join(shown)}"


def _statistics(stats: Mapping[str, Any], numbers: _Numbers, choice: Choice) -> Iterator[str]:
    passed = numbers.size(stats.get("sz_ops_filter_passed"))
    yield "statistics"
    yield f"    tried {numbers.count(stats.get('nr_tried'))} times ({numbers.size(stats.get('sz_tried'))})"
    yield f"    applied {numbers.count(stats.get('nr_applied'))} times ({numbers.size(stats.get('sz_applied'))})"
    yield f"    {passed} passed filters"
    yield f"    quota exceeded {numbers.count(stats.get('qt_exceeds'))} times"
    if choice.compat:
        yield f"    {passed}"
    snapshots, most = numbers.count(stats.get("nr_snapshots")), numbers.count(stats.get("max_nr_snapshots"))
    yield f"    tried {snapshots} snapshots (max {most})"


def _tried_regions(columns: Mapping[str, Any], intervals: Mapping[str, Any], numbers: _Numbers) -> Iterator[str]:
    starts, ends = columns.get("start") or (), columns.get("end") or ()
    yield f"tried regions ({numbers.size(columns.get('total_bytes', sum(ends) - sum(starts)))})"
    sample = units.parse_time(intervals.get("sample_us", 5000), "us")
    aggr = units.parse_time(intervals.get("aggr_us", 100_000), "us")
    most = max(aggr // max(sample, 1), 1)
    rows = zip(starts, ends, columns.get("nr_accesses") or (), columns.get("age") or (), strict=True)
    for start, end, accesses, age in rows:
        rate, time = numbers.rate(accesses * 100 / most), numbers.time(age * aggr, "us")
        yield f"    {numbers.range(start, end)} access {rate} age {time}"


def _scheme(
    index: int, scheme: Mapping[str, Any], entry: Entry, intervals: Mapping[str, Any], numbers: _Numbers, choice: Choice
) -> Iterator[str]:
    yield f"scheme {index}"
    action = str(scheme.get("action", "stat"))
    where = f" to node {scheme.get('target_nid')}" if action in ("migrate_hot", "migrate_cold") else ""
    apply_us = units.parse_time(scheme.get("apply_interval_us") or 0, "us")
    yield f"    action: {action}{where} per {numbers.time(apply_us, 'us') if apply_us else 'aggr interval'}"
    hide = choice.omit_defaults
    pattern = scheme.get("access_pattern") or {}
    lines = [
        f"{name}: [{form(bounds.get('min', 0))}, {form(bounds.get('max', 'max'))}]"
        for name, key, form in (
            ("sz", "sz_bytes", numbers.size),
            ("nr_accesses", "nr_accesses", numbers.rate),
            ("age", "age", numbers.age),
        )
        for bounds in [pattern.get(key) or {}]
        if not (hide and form(bounds.get("min", 0)) == form(0) and form(bounds.get("max", "max")) == form("max"))
    ]
    if lines:
        yield "    target access pattern"
        yield from _indent(lines, 2)
    for dest in scheme.get("dests") or ():
        yield f"    dest {dest['id']} weight {numbers.count(dest.get('weight'))}"
    quotas = list(_quotas(scheme.get("quotas") or {}, numbers, choice))
    if not (hide and quotas == list(_quotas({}, numbers, choice))):
        yield from _indent(quotas)
    marks = scheme.get("watermarks") or {}
    if not (hide and marks.get("metric", "none") == "none"):
        yield "    watermarks"
        yield f"        metric {marks.get('metric', 'none')}, interval {numbers.time(marks.get('interval_us'), 'us')}"
        yield "        " + ", ".join(
            numbers.share(marks.get(f"{name}_permil"), "permil") for name in ("high", "mid", "low")
        )
    for number, item in enumerate(scheme.get("filters") or ()):
        yield f"    filter {number}"
        yield f"        {scheme_filter(item, numbers)}"
    if units.parse_count(scheme.get("max_nr_snapshots") or 0) and choice.params_only and not choice.compat:
        yield f"    max snapshots: {numbers.count(scheme['max_nr_snapshots'])}"
    if choice.params_only:
        return
    if scheme.get("stats") is not None:
        yield from _indent(_statistics(scheme["stats"], numbers, choice))
    if choice.tried_regions:
        yield from _indent(_tried_regions(entry.tried.get(index, {}), entry.tuned or intervals, numbers))


def _sample_control(control: Mapping[str, Any], *, always: bool) -> Iterator[str]:
    enabled = control.get("primitives_enabled") or _DEFAULT_PRIMITIVES
    filters = control.get("sample_filters") or ()
    names = [name for name in ("page_table", "page_fault") if _bool(enabled.get(name))]
    if names == ["page_table"] and not filters and not always:
        return
    yield "access sample control"
    yield f"enabled primitives: {', '.join(names)}"
    if filters:
        yield "Filters"
    for item in filters:
        words = ["allow" if _bool(item.get("allow")) else "reject"]
        words += [] if _bool(item.get("matching", True)) else ["none"]
        words += [str(item["filter_type"]), str(item.get("cpumask") or item.get("tid_arr") or "")]
        yield f"- {' '.join(words).rstrip()}"


def _context(index: int, ctx: Mapping[str, Any], entry: Entry, numbers: _Numbers, choice: Choice) -> Iterator[str]:
    yield f"context {index}"
    other_unit = units.parse_size(ctx.get("addr_unit") or 1) != 1
    yield f"    ops: {ctx.get('ops', 'paddr')}" + (f" addr_unit {numbers.size(ctx['addr_unit'])}" if other_unit else "")
    if ctx.get("probes"):
        yield "    probes"
        yield from _indent(_probe(probe, numbers) for probe in ctx["probes"])
    if _bool(ctx.get("pause")):
        yield "    pause: True"
    for number, target in enumerate(ctx.get("targets", ({},))):
        yield from _indent(_target(number, target, numbers))
    intervals = ctx.get("intervals") or {}
    yield from _indent(_intervals(intervals, numbers))
    if entry.tuned and not choice.compat and not choice.params_only:
        now = (numbers.time(entry.tuned[name], "us") for name in ("sample_us", "aggr_us"))
        yield "    tuned intervals: sample {}, aggr {}".format(*now)
    bounds = ctx.get("nr_regions") or {}
    yield f"    nr_regions: [{numbers.count(bounds.get('min', 10))}, {numbers.count(bounds.get('max', 1000))}]"
    for number, scheme in enumerate(ctx.get("schemes") or ()):
        yield from _indent(_scheme(number, scheme, entry, intervals, numbers, choice))
    yield from _indent(_sample_control(ctx.get("sample_control") or {}, always=choice.newest))


def render(entries: Sequence[Entry], choice: Choice, modules: Mapping[str, bool] | None = None) -> Iterator[str]:
    """The indented text; `modules` (name -> on) are DAMON's kernel modules, told at the end."""
    numbers = _Numbers(choice.raw)
    for entry in entries:
        # The set that `start` makes without a name needs none here either; the text stays damo's.
        shown = entry.name not in ("", "adhoc") and not choice.compat and not choice.params_only
        named = f" ({entry.name})" if shown else ""
        yield f"kdamond {entry.number}{named}"
        state = state_line(entry, numbers, choice)
        if state:
            yield f"    {state}"
        if entry.drift and not choice.compat and not choice.params_only:
            yield "    changed by somebody else"
            yield from _indent(entry.drift, 2)
        for index, ctx in enumerate(entry.spec.get("contexts") or ()):
            yield from _indent(_context(index, ctx, entry, numbers, choice))
    if not choice.params_only:
        for name in sorted(modules or {}):
            yield f"{name}: {'on' if modules and modules[name] else 'off'}"


def render_summary(entries: Sequence[Entry], choice: Choice) -> Iterator[str]:
    """One line per kdamond."""
    numbers = _Numbers(choice.raw)
    for entry in entries:
        yield f"{entry.number}\t{state_line(entry, numbers, choice)}"


def compute_stats(entries: Sequence[Entry], fields: Sequence[str] = ()) -> list[tuple[dict[str, int], dict[str, int]]]:
    """Where each scheme is, and its statistics as numbers (sizes in bytes)."""
    found = []
    for entry in entries:
        for number, ctx in enumerate(entry.spec.get("contexts") or ()):
            for index, scheme in enumerate(ctx.get("schemes") or ()):
                stats = scheme.get("stats") or {}
                values = {
                    name: (units.parse_size if name.startswith("sz_") else units.parse_count)(stats.get(name) or 0)
                    for name in (fields or STAT_FIELDS)
                }
                found.append(({"kdamond": entry.number, "context": number, "scheme": index}, values))
    return found


def render_stats(stats: Sequence[tuple[Mapping[str, int], Mapping[str, int]]], *, raw: bool = False) -> Iterator[str]:
    """``name: value`` lines per scheme; a single field is a bare value."""
    numbers = _Numbers(raw)
    for where, values in stats:
        if len(stats) > 1:
            yield f"kdamond {where['kdamond']} / context {where['context']} / scheme {where['scheme']}"
        shown = {
            name: (numbers.size if name.startswith("sz_") else numbers.count)(value) for name, value in values.items()
        }
        if len(shown) == 1:
            yield from shown.values()
            continue
        yield from (f"{name}: {value}" for name, value in shown.items())
        yield ""


def plain_stats(stats: Sequence[tuple[Mapping[str, int], Mapping[str, int]]], *, raw: bool = False) -> list[Any]:
    """The JSON of the statistics."""
    numbers = _Numbers(raw)
    return [
        [
            dict(where),
            {
                name: (numbers.size if name.startswith("sz_") else numbers.count)(value)
                for name, value in values.items()
            },
        ]
        for where, values in stats
    ]
