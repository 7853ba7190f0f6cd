"""Checks of the machine: daemon, kernel, interfaces, permissions, modules."""

from __future__ import annotations

from collections.abc import Iterator

from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import Finding

_NEEDED = {
    "CONFIG_DAMON": "DAMON itself",
    "CONFIG_DAMON_SYSFS": "the interface that damod uses",
    "CONFIG_DAMON_PADDR": "monitoring of physical memory",
    "CONFIG_DAMON_VADDR": "monitoring of processes",
}
_WANTED = {
    "CONFIG_TRACING": "snapshots and recordings read the trace ring; without it only tried_regions is left",
    "CONFIG_PSI": "quota goals and guards that look at memory pressure have nothing to look at",
    "CONFIG_MEMCG": "filters and goals by memory cgroup are refused",
    "CONFIG_PROC_EVENTS": "children of targets are looked for each second instead of being told",
}


def daemon(facts: Facts) -> Iterator[Finding]:
    """Whether there is one, and of the same version as this client."""
    if not facts.reached:
        yield Finding(
            "no-daemon", "error", "", f"no damod answers: {facts.unreachable}. What follows was read without one.",
            "`systemctl start damod`; `journalctl -u damod` says why it does not start",
        )  # fmt: skip
        return
    theirs = facts.status.get("daemon", {}).get("version", "")
    if theirs and facts.client and theirs != facts.client:
        yield Finding(
            "versions", "warning", "", f"damod is {theirs}, this damoctl is {facts.client}",
            "`systemctl restart damod` after an upgrade; kdamonds run on meanwhile",
        )  # fmt: skip
    for sentence in facts.untold:
        yield Finding("untold", "warning", "", f"the daemon did not tell everything: {sentence}", "ask again")


def kernel_config(facts: Facts) -> Iterator[Finding]:
    """Whether the kernel was built for it."""
    config = facts.survey.get("config")
    if config is None:
        yield Finding(
            "config-unknown", "note", "", "how this kernel was built is not told (no /proc/config.gz, no /boot/config)"
        )
        return
    for name, what in _NEEDED.items():
        if config.get(name, "n") == "n":
            yield Finding(
                "config", "error", "", f"this kernel ({facts.release}) was built without {name}: no {what}",
                "use a kernel with it; Debian's have it since 6.12",
            )  # fmt: skip
    for name, what in _WANTED.items():
        if config.get(name, "n") == "n":
            yield Finding("config", "warning", "", f"this kernel was built without {name}: {what}")


def sysfs(facts: Facts) -> Iterator[Finding]:
    """Whether DAMON's files are there."""
    trouble = facts.survey.get("sysfs")
    if facts.survey.get("denied"):
        yield Finding(
            "sysfs-unread", "note", "", "DAMON's files are for root to read, so kdamonds and modules are not known",
            "the same as root, or with a damod that answers",
        )  # fmt: skip
    elif trouble:
        yield Finding(
            "sysfs", "error", "", f"DAMON's interface cannot be used: {trouble}",
            "it is /sys/kernel/mm/damon/admin, there on kernels with CONFIG_DAMON_SYSFS, and for root",
        )  # fmt: skip


def tracefs(facts: Facts) -> Iterator[Finding]:
    """Whether monitoring can be seen without disturbing it."""
    events, trouble = facts.survey.get("events"), facts.survey.get("trace")
    if trouble or (events is not None and "damon_aggregated" not in events):
        why = trouble or "tracefs is not mounted, or has no events of DAMON"
        yield Finding(
            "tracefs", "error", "", f"damod cannot read the trace ring ({why}): no snapshots, streams or recordings",
            "`mount -t tracefs nodev /sys/kernel/tracing`",
        )  # fmt: skip


def permissions(facts: Facts) -> Iterator[Finding]:
    """Whether damod may do what it has to."""
    if not facts.reached or facts.kernel != "linux":
        return
    held = set(facts.survey.get("capabilities", ()))
    for name, what in (
        ("CAP_DAC_OVERRIDE", "write DAMON's files"),
        ("CAP_SYS_ADMIN", "see physical addresses and open the trace ring"),
    ):
        if name not in held and facts.survey.get("uid") != 0:
            yield Finding(
                "permissions", "error", "", f"damod runs without {name} and so may not {what}",
                "start it as its unit does: systemd/damod.service says which capabilities it needs",
            )  # fmt: skip


def modules(facts: Facts) -> Iterator[Finding]:
    """Modules that run, and so keep kdamonds from starting, or do nothing themselves."""
    for module in facts.modules:
        if not module["enabled"]:
            continue
        name, short = module["name"], module["name"].removeprefix("damon_")
        if name == "damon_stat":
            yield Finding(
                "module-on", "note", name,
                "it is on (Debian's kernels enable it from 6.17 on), so no kdamond starts beside it",
                "--take_over, or `on_conflict: take_over` in a policy, switches it off while damod needs DAMON",
            )  # fmt: skip
            continue
        whose = "damod's" if module["owner"] == "damod" else "not damod's"
        yield Finding(
            "module-on", "note", name, f"it is on ({whose}), so no kdamond starts beside it",
            f"`damoctl module {short} disable` when kdamonds are to run",
        )  # fmt: skip
        yield from _asleep(facts, name, module["parameters"])


def _asleep(facts: Facts, name: str, held: dict[str, str]) -> Iterator[Finding]:
    free = facts.free_permil
    try:
        high, low = int(held["wmarks_high"]), int(held["wmarks_low"])
    except (KeyError, ValueError):
        return
    if free is None or low <= free <= high:
        return
    why = f"more than wmarks_high ({high / 10:g} %)" if free > high else f"less than wmarks_low ({low / 10:g} %)"
    yield Finding(
        "module-asleep", "note", name, f"its watermarks keep it asleep: {free / 10:g} % of memory is free, {why}",
        f"as it is meant to be; `damoctl {name.removeprefix('damon_')} commit --wmarks` moves them",
    )  # fmt: skip


CHECKS = (daemon, kernel_config, sysfs, tracefs, permissions, modules)
