"""What kernels are known to do that no file of theirs tells: a table by release, and whether it matters here and now.

Each row was seen in guests of that kernel, or is in the kernel's own documents. Between two of the kernels that were
looked at (6.12, 6.16, 6.17, 6.18, 7.2, 7.3) the border is where the later one is known to be otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import Finding, Level
from damod.kernel.features import release_key


class Quirk(NamedTuple):
    """Kernels from `since` until before `until` ("": all) do `what`, which shows as `symptom`.

    `bites` says whether something that runs now is concerned, and no other check tells it better; `change` names the
    kernel's change, as far as it is known.
    """

    code: str
    since: str
    until: str
    what: str
    symptom: str
    todo: str
    change: str
    bites: Callable[[Facts], bool]
    level: Level = "note"

    def of(self, version: tuple[int, int]) -> bool:
        """Whether kernels of that release have it."""
        return (not self.since or version >= release_key(self.since)) and (
            not self.until or version < release_key(self.until)
        )

    @property
    def releases(self) -> str:
        if self.since and self.until:
            return f"Linux {self.since} to before {self.until}"
        return f"before Linux {self.until}" if self.until else f"Linux {self.since or 'any'} and later"


def _never(_: Facts) -> bool:
    return False


def _refreshing(facts: Facts) -> bool:
    return len(facts.kdamonds) > 1 and any(seen.spec.refresh_ms for seen in facts.kdamonds)


def _foreign(facts: Facts) -> bool:
    return any(seen.name is None for seen in facts.kdamonds)


def _module_on(facts: Facts) -> bool:
    return any(module["enabled"] and "commit_inputs" in module["parameters"] for module in facts.modules)


TABLE: tuple[Quirk, ...] = (
    Quirk(
        "refresh-several", "6.17", "6.18",
        "refresh_ms of several kdamonds shares one request, until a fix in 6.17's stable series",
        "statistics of all but one kdamond stand still, or the kernel stumbles",
        "use refresh_ms (--refresh_stat) with one kdamond at most; damod brings its own up to date without it",
        "refresh_ms came with 6.17; its fix is in 6.17",
        _refreshing,
        "warning",
    ),
    Quirk(
        "commit-kills", "", "6.18",
        "a commit of impossible values is answered with success, and the kdamond stops",
        "a kdamond is gone after `commit`; `off` is then EPERM",
        "damod checks before, looks after each commit and starts it again; let no other tool write its files",
        "6.18 and 7.3 answer EINVAL",
        _foreign,
    ),
    Quirk(
        "state-busy", "", "6.16",
        "reading `state` is EBUSY while another command is under way, and commands wait for an aggregation",
        "other tools say that DAMON is busy or gone",
        "try again; damod waits for it",
        "6.16 serves commands at the next sample",
        _never,
    ),
    Quirk(
        "vaddr-migration", "", "6.17",
        "migrate_hot and migrate_cold are taken for virtual memory and do nothing",
        "sz_tried grows, sz_applied stays 0",
        "monitor physical memory (--ops paddr), or use Linux 6.17",
        "came with the several destinations (dests) in 6.17",
        _never,
    ),
    Quirk(
        "tried-numbers", "6.16", "7.2",
        "directories of tried_regions are counted twice: 1, 3, 5, ..., and go on from there",
        "tools that look for 0, 1, 2 find nothing",
        "damod lists the directory",
        "7.2 counts from 0 again",
        _never,
    ),
    Quirk(
        "module-commit", "", "7.3",
        "a module that finds its parameters wrong on commit_inputs switches itself off without a word",
        "damon_reclaim or damon_lru_sort is off after a commit",
        "change them with `damoctl module`, which checks before and puts back",
        "seen on 6.12; 7.3 answers EINVAL and lets it run",
        _module_on,
    ),
    Quirk(
        "stat-at-boot", "6.17", "",
        "Debian builds damon_stat to be on from boot, and the kernel starts no kdamond beside it",
        "starting a kdamond is EBUSY on an idle machine",
        "--take_over, or damon_stat.enabled=N on the kernel's command line",
        "CONFIG_DAMON_STAT_ENABLED_DEFAULT",
        _never,
    ),
    Quirk(
        "negative-idle", "7.2", "",
        "idle times of damon_stat are negative for memory in use, and tell for how long it has been",
        "tools that sort them see hot memory first",
        "`damoctl module stat read` knows",
        "stat.rst",
        _never,
    ),
)  # fmt: skip


def bites(facts: Facts) -> Iterator[Finding]:
    """Those that concern what runs now."""
    for quirk in known(facts):
        if quirk.bites(facts):
            message = f"{quirk.what} ({quirk.releases}): {quirk.symptom}"
            yield Finding(f"quirk-{quirk.code}", quirk.level, f"Linux {facts.release}", message, quirk.todo)


def known(facts: Facts) -> list[Quirk]:
    """All that this kernel's release is known for, whether it matters now or not."""
    return [quirk for quirk in TABLE if facts.release and quirk.of(facts.version)]


CHECKS = (bites,)
