"""Checks of who uses DAMON: kdamonds of others, policies that do not run, recordings, what the daemon noticed."""

from __future__ import annotations

from collections.abc import Iterator

from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import Finding, Level


def others(facts: Facts) -> Iterator[Finding]:
    """Kdamonds that damod did not start: they are left alone, and may be in the way."""
    for seen in facts.kdamonds:
        if seen.name is None:
            yield Finding(
                "foreign-kdamond", "note", seen.about,
                f"damod did not start it (pid {seen.spec.pid}), so damod shows it and never writes to it",
                "`damoctl adopt` makes it damod's as it is; or stop it the way it was started",
            )  # fmt: skip


def nonsense(facts: Facts) -> Iterator[Finding]:
    """Kdamonds that hold values which cannot work, as another program may have written them."""
    for about, what in facts.nonsense:
        yield Finding(
            "nonsense", "warning", about, f"its values make no sense: {what}", "stop it, and start it with right ones"
        )


def drift(facts: Facts) -> Iterator[Finding]:
    """Files of our kdamonds that somebody else wrote."""
    for seen in facts.kdamonds:
        for change in seen.drift:
            yield Finding(
                "drift", "warning", seen.about, f"somebody else changed its files: {change}",
                "a policy's are put back by damod; for a set by hand `damoctl tune` writes them again",
            )  # fmt: skip


def problems(facts: Facts) -> Iterator[Finding]:
    """What the daemon noticed since it started."""
    for sentence in facts.status.get("problems", ()):
        yield Finding("noticed", "warning", "", sentence)


_STAGES: dict[str, tuple[Level, str]] = {
    "invalid": ("error", "`damoctl policy check` shows each problem with file and line"),
    "refused": ("warning", "it is tried again when something changes; `damoctl policy reload` tries now"),
    "waiting": ("warning", "it is tried again by itself"),
    "rolled-back": ("warning", "its guard ended it; change its limits or what it does, then `damoctl policy reload`"),
    "stopped": ("note", "`damoctl policy reload` starts it again"),
    "unmet": ("note", "it is not meant for this machine as it is now"),
}


def policies(facts: Facts) -> Iterator[Finding]:
    """Policies that are enabled and do not run, or not as their files say."""
    for policy in facts.policies:
        about = f"policy {policy['name']}"
        if policy["stage"] in _STAGES:
            level, todo = _STAGES[policy["stage"]]
            why = f": {policy['reason']}" if policy["reason"] else ""
            yield Finding(f"policy-{policy['stage']}", level, about, f"{policy['stage']}{why}", todo)
        if policy.get("drift"):
            yield Finding(
                "policy-drift", "warning", about, f"the kernel has {len(policy['drift'])} other values than it says",
                "`damoctl policy verify` shows them",
            )  # fmt: skip


def recordings(facts: Facts) -> Iterator[Finding]:
    """Recordings of the daemon that failed, lost something or have trouble."""
    for one in facts.recordings:
        about = f"recording {one['name']}"
        if one["state"] in ("failed", "crashed", "interrupted", "aborted"):
            yield Finding(
                "recording-failed", "error", about, f"{one['state']}: {one['why'] or 'nobody knows why'}",
                "`damoctl record recover FILE` makes a whole record of what a .part holds",
            )  # fmt: skip
        if one["state"] == "no room":
            yield Finding(
                "recording-no-room", "error", about, "the disk is full; it waits for room and keeps what it can",
                "make room, or give `--keep_bytes` a limit",
            )  # fmt: skip
        if one["lost"]:
            yield Finding(
                "recording-lost", "warning", about,
                f"the kernel dropped {one['lost']:,} events before they were read, so aggregations are missing",
                "a longer aggregation interval or fewer regions; or give damod a CPU that keeps up",
            )  # fmt: skip
        for sentence in one["problems"]:
            yield Finding("recording-trouble", "warning", about, sentence)


CHECKS = (others, nonsense, drift, problems, policies, recordings)
