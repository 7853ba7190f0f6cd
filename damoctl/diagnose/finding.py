"""A finding: one sentence about what is so, one about what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""`error`: something cannot work; `warning`: something does not do what it is there for; `note`: worth knowing."""


class Finding(NamedTuple):
    """`code` is stable, for programs; `about` what it is about ("kdamond 0", "policy tiering", "" for the machine)."""

    code: str
    level: Level
    about: str
    message: str
    todo: str = ""

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; those of a level as they came."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def wrong(findings: Iterable[Finding]) -> bool:
    """Whether anything is wrong; notes are not."""
    return any(finding.level != "note" for finding in findings)
