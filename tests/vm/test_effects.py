"""What the shipped policies, the guard and the shadow do, in guests with a slow second node: docs/effects.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vm.guest import Guest
from tests.vm.run_in_guest import run_pytest

pytestmark = pytest.mark.vm
NODES = ("2G,cpus=0-1", "1G")
SLOW = os.environ.get("DAMOD_VM_SLOW", "")


def test_hot_memory_is_moved_and_a_policy_that_hurts_is_rolled_back(tmp_path: Path) -> None:
    """Tiering, interleaving and the guard do their work on the newest kernel, and that has nothing to complain of."""
    ran = run_pytest(
        Guest(kernel="newest", numa=NODES),
        ["tests/guest/test_tiering.py", "tests/guest/test_reclaim.py::test_a_policy_that_hurts_is_rolled_back"],
        timeout_s=600,
        outdir=tmp_path / "out",
    )
    ran.check()
    assert ran.result.complaints == []


@pytest.mark.skipif(not SLOW, reason="not seen to pass on an emulated processor (docs/effects.md): DAMOD_VM_SLOW=1")
def test_idle_memory_is_paged_out(kernel: str, tmp_path: Path) -> None:
    """Reclaim, the guard and the shadow on real swap."""
    ran = run_pytest(
        Guest(kernel=kernel, numa=NODES), ["tests/guest/test_reclaim.py"], timeout_s=900, outdir=tmp_path / "out"
    )
    ran.check()
    assert ran.result.complaints == []
