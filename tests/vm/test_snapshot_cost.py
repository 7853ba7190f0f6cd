"""Why snapshots come from the trace ring: what they cost there, and from tried_regions, on the same real kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vm.guest import CHECKOUT, Guest, compile_for_guest
from tests.vm.run_in_guest import project_python

pytestmark = pytest.mark.vm

PROGRAM = CHECKOUT / "tests/vm/programs/snapshot_cost.py"


def test_a_ring_snapshot_is_twenty_times_cheaper(kernel: str, tmp_path: Path) -> None:
    """With 1,000 regions, the median CPU time of a look at the ring is at most a twentieth of that of tried_regions."""
    python = project_python()
    compile_for_guest(python, CHECKOUT / "damod", CHECKOUT / "tests")
    ran = Guest(kernel=kernel).run([python, PROGRAM], timeout_s=300, outdir=tmp_path / "out").check()
    cost = json.loads(ran.stdout)
    assert cost["regions"] >= 1000
    assert cost["tried_regions_ms"] >= 20 * cost["ring_ms"], cost
