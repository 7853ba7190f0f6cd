"""Checks of schemes: those that never match and why, those that try and apply nothing, and what limits them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from damoctl.diagnose import rest
from damoctl.diagnose.facts import Facts, Seen
from damoctl.diagnose.finding import Finding, Level
from damod import units
from damod.spec.filter import LAYER, AddrFilter, TargetFilter
from damod.spec.scheme import MIGRATIONS, Scheme
from damod.units import U32_MAX, U64_MAX

SETTLE_AGGRS = 5
"""A scheme gets its chance after so many aggregations, or turns of its own."""
ENOUGH_TRIED = 10
"""Regions tried without any success that are no chance any more."""
PAGE = 4096
_DAY_MS = 86_400_000


def _each(facts: Facts) -> Iterator[tuple[Seen, Scheme, str]]:
    for seen in facts.kdamonds:
        for index, scheme in enumerate(seen.schemes):
            yield seen, scheme, f"{seen.about} scheme {index} ({scheme.action})"


def _settled(seen: Seen, scheme: Scheme) -> bool:
    """Whether it has run long enough to be judged; of kdamonds of others that is not always known."""
    turn_us = max(scheme.apply_interval_us, seen.aggr_us)
    return seen.age_s is None or seen.age_s * 1e6 >= SETTLE_AGGRS * turn_us


def _told(seen: Seen) -> bool:
    """Whether the statistics are up to date: ours are, those of others if the kernel renews them by itself."""
    return seen.name is not None or bool(seen.spec.refresh_ms)


def never_tried(facts: Facts) -> Iterator[Finding]:
    """Schemes that have been tried on nothing so far, with the most likely reason."""
    for seen, scheme, about in _each(facts):
        if scheme.stats is None or scheme.stats.nr_tried or not _settled(seen, scheme):
            continue
        if not _told(seen):
            yield Finding(
                "untold-stats", "note", about, "what it has done is not known, since its owner does not ask the kernel",
                "`damoctl adopt` makes it damod's, which asks; or its owner sets refresh_ms",
            )  # fmt: skip
            continue
        for why in (_paused, _asleep, _outside, _unmatched, _no_quota):
            if found := why(facts, seen, scheme):
                level, reason, todo = found
                yield Finding("never-tried", level, about, f"it was tried on nothing so far: {reason}", todo)
                break
        else:
            yield Finding(
                "never-tried", "warning", about, "it was tried on nothing so far, and nothing here says why",
                "`damoctl report access` shows what the kdamond sees; the kernel's log (dmesg) may tell more",
            )  # fmt: skip


Reason = tuple[Level, str, str]


def _paused(_: Facts, seen: Seen, __: Scheme) -> Reason | None:
    why = rest.paused(seen)
    return ("note", *why) if why else None


def _asleep(facts: Facts, _: Seen, scheme: Scheme) -> Reason | None:
    why = rest.asleep(facts, scheme)
    return ("note", *why) if why else None


def _outside(_: Facts, seen: Seen, scheme: Scheme) -> Reason | None:
    """Filters of the core leave no region."""
    kept = [one for one in scheme.filters if LAYER[one.filter_type] == "core" and one.allow and one.matching]
    if not kept or not seen.snapshots:
        return None
    for one in kept:
        if isinstance(one, AddrFilter):
            low, high = one.address_range.start, one.address_range.end
            if any(
                start < high and end > low
                for shot in seen.snapshots
                for start, end in zip(shot.regions.start, shot.regions.end, strict=True)
            ):
                return None
        elif isinstance(one, TargetFilter):
            if one.damon_target_idx < len(seen.context.targets):
                return None
        else:
            return None
    return "warning", "its filters allow only memory that is not monitored", "give filters of the monitored addresses"


def _unmatched(_: Facts, seen: Seen, scheme: Scheme) -> Reason | None:
    """No region has the size, the access rate and the age that it wants."""
    if not seen.snapshots:
        return None
    pattern, samples = scheme.access_pattern, max(seen.aggr_us // max(seen.sample_us, 1), 1)
    rate_low = pattern.nr_accesses.min.samples(samples, upper=False)
    rate_high = pattern.nr_accesses.max.samples(samples, upper=True)
    if rate_low > samples:
        return (
            "warning", f"it wants {rate_low:,} accesses, but there are {samples:,} samples in an aggregation",
            "lower the access rate, or give it in percent",
        )  # fmt: skip
    age_low = pattern.age.min.aggrs(seen.aggr_us, upper=False)
    age_high = pattern.age.max.aggrs(seen.aggr_us, upper=True)
    columns = _columns(seen)
    if not columns[0]:
        return "warning", "there is nothing to monitor: its targets have no memory", "`damoctl report damon` shows them"
    bounds = ((pattern.sz_bytes.min, pattern.sz_bytes.max), (rate_low, rate_high), (age_low, age_high))
    fits = [[low <= value <= high for value in column] for column, (low, high) in zip(columns, bounds, strict=True)]
    if any(map(all, zip(*fits, strict=True))):
        return None
    sizes, rates, ages = columns
    aged = _age(seen.aggr_us)
    if not any(fits[0]):
        what = f"{_range(*bounds[0], units.size, U64_MAX)}, and regions now have {_span(sizes, units.size)}"
        return "warning", f"no region has the size that it wants: {what}", "--damos_sz_region"
    if not any(fits[1]):
        what = f"{_range(*bounds[1], _samples, U32_MAX)}, and regions now have {_span(rates, _samples)}"
        return "note", f"no region is accessed as often as it wants: {what} of {samples:,}", "--damos_access_rate"
    if not any(fits[2]):
        what = f"{_range(*bounds[2], aged, U32_MAX)}, and regions now are {_span(ages, aged)} old"
        young = seen.age_s is not None and seen.age_s * 1e6 < age_low * seen.aggr_us
        todo = "wait: it has not run for as long yet" if young else "--damos_age; what is often accessed stays young"
        return "note", f"no region has the age that it wants: {what}", todo
    return (
        "note", "no region has size, access rate and age all as it wants now, though each for itself is there",
        "`damoctl report access` shows the regions; wait, or widen the pattern",
    )  # fmt: skip


def _columns(seen: Seen) -> tuple[list[int], list[int], list[int]]:
    """Sizes, accesses and ages of all regions."""
    sizes: list[int] = []
    rates: list[int] = []
    ages: list[int] = []
    for shot in seen.snapshots or ():
        sizes += [end - start for start, end in zip(shot.regions.start, shot.regions.end, strict=True)]
        rates += shot.regions.nr_accesses
        ages += shot.regions.age
    return sizes, rates, ages


def _samples(number: float) -> str:
    return f"{int(number):,} accesses"


def _age(aggr_us: int) -> Callable[[float], str]:
    return lambda aggrs: units.time(int(aggrs) * aggr_us * 1000)


def _range(low: int, high: int, shown: Callable[[float], str], endless: int) -> str:
    if high >= endless:
        return f"{shown(low)} or more"
    return f"{shown(low)} to {shown(high)}" if low else f"{shown(high)} or less"


def _span(values: Iterable[int], shown: Callable[[float], str]) -> str:
    low, high = min(values), max(values)
    return shown(low) if low == high else f"{shown(low)} to {shown(high)}"


def _no_quota(_: Facts, __: Seen, scheme: Scheme) -> Reason | None:
    quota = scheme.quotas
    if 0 < quota.sz_bytes < PAGE:
        return "warning", f"its quota ({quota.sz_bytes} B) is less than a page", "--damos_quota_space"
    if quota.goals and quota.effective_sz_bytes < PAGE:
        tuned = f"its quota is tuned down to {units.size(quota.effective_sz_bytes)}, less than a page"
        return "note", f"{tuned}: its goals are reached, or it has not grown yet", "as goals are meant to work"
    return None


def nothing_applied(facts: Facts) -> Iterator[Finding]:
    """Schemes that try, and the kernel does nothing of it."""
    for seen, scheme, about in _each(facts):
        stats = scheme.stats
        if stats is None or scheme.action == "stat" or stats.nr_applied or stats.sz_applied:
            continue
        if why := _no_effect(facts, seen, scheme):
            yield Finding("no-effect", "warning", about, why, "use an action that works on this memory, or that kernel")
            continue
        if stats.nr_tried < ENOUGH_TRIED:
            continue
        tried = f"it was tried on {stats.nr_tried:,} regions ({units.size(stats.sz_tried)}) and applied to none"
        for reason in (_filtered, _no_swap, _no_node):
            if found := reason(facts, scheme):
                yield Finding("nothing-applied", "warning", about, f"{tried}: {found[0]}", found[1])
                break
        else:
            yield Finding(
                "nothing-applied", "warning", about, tried,
                "the pages may be pinned, locked, or not of a kind that the action can take; `damoctl report damon"
                " --damos_stats` again in a while tells whether it stays so",
            )  # fmt: skip


def _no_effect(facts: Facts, seen: Seen, scheme: Scheme) -> str:
    for item in facts.features.get("no_effect", ()):
        if (item["ops"], item["action"]) == (seen.context.ops, scheme.action):
            when = f"before Linux {item['since']}" if item["since"] else "in any kernel so far"
            return f"{scheme.action} has no effect on {seen.context.ops} memory {when}; this kernel takes it anyway"
    return ""


def _filtered(facts: Facts, scheme: Scheme) -> tuple[str, str] | None:
    stats = scheme.stats
    if not scheme.filters or stats is None or stats.sz_ops_filter_passed:
        return None
    if not facts.has("stats.sz_ops_filter_passed"):
        return None
    kinds = ", ".join(dict.fromkeys(one.filter_type for one in scheme.filters))
    return f"its filters ({kinds}) let no page pass", "the order of filters counts: the first that matches decides"


def _no_swap(facts: Facts, scheme: Scheme) -> tuple[str, str] | None:
    memory = facts.survey.get("memory")
    if scheme.action != "pageout" or not memory or memory["swap_free"]:
        return None
    full = "swap is full" if memory["swap_total"] else "this machine has no swap"
    return f"{full}, so anonymous memory cannot be paged out", "add swap (zram will do), or filter for file pages"


def _no_node(facts: Facts, scheme: Scheme) -> tuple[str, str] | None:
    nodes = facts.survey.get("nodes") or ()
    if scheme.action not in MIGRATIONS or len(nodes) > 1 or not nodes:
        return None
    return "this machine has one NUMA node, so there is nowhere to go", "a second node (CXL, or QEMU's -numa)"


def quotas(facts: Facts) -> Iterator[Finding]:
    """Quotas that cannot work as they are written, and those that hold a scheme back."""
    for seen, scheme, about in _each(facts):
        quota, stats = scheme.quotas, scheme.stats
        limited = bool(quota.time_ms or quota.sz_bytes or quota.goals)
        if not limited:
            continue
        if quota.reset_interval_ms > _DAY_MS:
            used_up = bool(stats and stats.qt_exceeds)
            so = (
                "it has been used up, so the scheme has stopped for good"
                if used_up
                else "once used up, it stops for good"
            )
            yield Finding(
                "quota-never-reset", "warning" if used_up else "note", about,
                f"its quota counts anew after {units.time(quota.reset_interval_ms * 1e6)} only: {so}",
                "--damos_quota_interval 1s",
            )  # fmt: skip
            continue
        if quota.time_ms and quota.reset_interval_ms and quota.time_ms >= quota.reset_interval_ms:
            yield Finding(
                "quota-time", "note", about,
                f"its time quota ({units.time(quota.time_ms * 1e6)}) is not less than its interval"
                f" ({units.time(quota.reset_interval_ms * 1e6)}), so it limits nothing",
                "--damos_quota_time",
            )  # fmt: skip
        if stats and stats.nr_tried and 0 < quota.sz_bytes < PAGE:
            yield Finding("quota-page", "warning", about, f"its quota ({quota.sz_bytes} B) is less than a page")
        if stats and stats.qt_exceeds and seen.age_s and quota.reset_interval_ms:
            windows = max(seen.age_s * 1000 / quota.reset_interval_ms, 1)
            if stats.qt_exceeds >= windows / 2:
                effective = f" (now {units.size(quota.effective_sz_bytes)})" if quota.effective_sz_bytes else ""
                yield Finding(
                    "quota-binds", "note", about,
                    f"its quota{effective} was used up {stats.qt_exceeds:,} times in about {windows:,.0f} intervals:"
                    " it is what limits the scheme",
                    "as a quota is meant to; a larger one does more at once",
                )  # fmt: skip


CHECKS = (never_tried, nothing_applied, quotas)
