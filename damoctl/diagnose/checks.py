"""All checks, and the one function that runs them."""

from __future__ import annotations

from damoctl.diagnose import machine, monitoring, owners, quirks, schemes
from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import Finding, ordered

CHECKS = (*machine.CHECKS, *owners.CHECKS, *monitoring.CHECKS, *schemes.CHECKS, *quirks.CHECKS)


def judge(facts: Facts) -> list[Finding]:
    """Every finding, the worst first; that there is no daemon comes before all."""
    found = ordered(finding for check in CHECKS for finding in check(facts))
    return sorted(found, key=lambda finding: finding.code != "no-daemon")
