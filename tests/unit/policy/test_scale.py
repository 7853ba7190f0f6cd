"""A hundred policies cost little CPU time, and what does not change is not written."""

from __future__ import annotations

import time

import pytest

from tests.unit.policy.conftest import Site

TEXT = """\
description: number {number}
targets:
- paddr: all
kdamonds:
- contexts:
  - ops: paddr
    schemes:
    - action: stat
      access_pattern: {{nr_accesses: {{max: 0%}}, age: {{min: 2m}}}}
      quotas: {{sz_bytes: {size}M, reset_interval_ms: 1s}}
"""


def test_a_hundred_policies(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load, plan and apply in at most 2 s of CPU; a reload that changes one writes that one's file and commits it."""
    for number in range(100):
        site.put(f"p{number}.yaml", TEXT.format(number=number, size=1))
    begin = time.process_time()
    assert site.reload() == 100
    assert time.process_time() - begin <= 2
    assert {state.stage for state in site.policies.states.values()} == {"running"}
    pids = site.pids()
    written: list[str] = []
    real = site.kernel.damon.write
    monkeypatch.setattr(site.kernel.damon, "write", lambda path, value: (written.append(path), real(path, value)))
    site.put("p42.yaml", TEXT.format(number=42, size=2))
    assert site.reload() == 1
    (quota, state) = written
    assert quota.endswith("/quotas/bytes") and state == f"{quota.split('/contexts')[0]}/state"
    assert site.pids() == pids


def test_a_thousand_files_are_no_trouble(site: Site) -> None:
    """What does not fit is refused with a reason; the rest runs."""
    for number in range(1000):
        site.put(f"p{number:03}.yaml", TEXT.format(number=number, size=1).replace("enabled", "") + "enabled: false\n")
    site.put("one.yaml", TEXT.format(number=1, size=1))
    assert site.reload() == 1
    assert site.stage("one") == "running" and site.policies.summary() == "policies: 1000 disabled, 1 running"
