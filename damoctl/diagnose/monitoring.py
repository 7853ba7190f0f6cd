"""Checks of monitoring itself: whether something is seen, as finely as it could be, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator

from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import Finding
from damoctl.diagnose.rest import sleeping

NEARLY = 0.95
"""This share of the most regions counts as all of them."""
COSTLY = 0.05
"""Of one CPU; DAMON is meant to take less."""
_SURE_S = 10.0


def blind(facts: Facts) -> Iterator[Finding]:
    """Kdamonds that run and tell nothing, where they should."""
    for seen in facts.kdamonds:
        if seen.snapshots is not None or not seen.blind:
            continue
        if why := sleeping(facts, seen):
            yield Finding("not-monitoring", "note", seen.about, f"it monitors nothing now: {why[0]}", why[1])
        else:
            yield Finding(
                "no-snapshot", "warning", seen.about, f"nothing is seen of it: {seen.blind}",
                "a long aggregation interval takes that long; else its target may have no memory, or be asleep",
            )  # fmt: skip


def regions(facts: Facts) -> Iterator[Finding]:
    """Numbers of regions outside of or at their bounds."""
    for seen in facts.kdamonds:
        if not seen.snapshots:
            continue
        count = sum(len(one.regions) for one in seen.snapshots)
        low, high = seen.context.nr_regions.min, seen.context.nr_regions.max
        if count > high:
            yield Finding(
                "regions-above", "warning", seen.about,
                f"it has {count:,} regions, above the most that are allowed ({high:,})",
                "more mappings or ranges than regions cannot be fewer; --monitoring_nr_regions_range",
            )  # fmt: skip
        elif count >= high * NEARLY:
            yield Finding(
                "regions-full", "warning", seen.about,
                f"it has {count:,} of at most {high:,} regions, so what differs inside of one is not seen",
                "--monitoring_nr_regions_range with a larger maximum, if its CPU time allows",
            )  # fmt: skip
        elif count < low and _grown(seen.age_s, seen.aggr_us):
            yield Finding(
                "regions-below", "note", seen.about,
                f"it has {count:,} regions, fewer than the least that are wanted ({low:,})",
                "small targets have no more to split; else look at `damoctl report nr_regions` of a recording",
            )  # fmt: skip


def _grown(age_s: float | None, aggr_us: int) -> bool:
    return age_s is not None and age_s * 1e6 > 20 * aggr_us


def accesses(facts: Facts) -> Iterator[Finding]:
    """Kdamonds that see no access at all for long."""
    for seen in facts.kdamonds:
        if not seen.snapshots or not seen.age_s or seen.age_s < _SURE_S:
            continue
        if not any(any(one.regions.nr_accesses) for one in seen.snapshots if len(one.regions)):
            yield Finding(
                "no-accesses", "note", seen.about, "it sees no access at all now",
                "idle memory looks so; else the sampling interval is too short to catch any: try"
                " --monitoring_intervals_autotune",
            )  # fmt: skip


def cost(facts: Facts) -> Iterator[Finding]:
    """Kdamonds that take more CPU time than monitoring should."""
    for seen in facts.kdamonds:
        if seen.cpu_s is None or not seen.ran_s or seen.ran_s < _SURE_S:
            continue
        share = seen.cpu_s / seen.ran_s
        if share > COSTLY:
            yield Finding(
                "costly", "warning", seen.about, f"it has taken {share:.0%} of a CPU since it started",
                "longer intervals, fewer regions, or --monitoring_intervals_autotune; for schemes a time quota",
            )  # fmt: skip


CHECKS = (blind, regions, accesses, cost)
