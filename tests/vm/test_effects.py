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


def test_hot_memory_is_moved(tmp_path: Path) -> None:
    """Tiering and interleaving do their work on the newest kernel, and that has nothing to complain of."""
    ran = run_pytest(
        Guest(kernel="newest", numa=NODES),
        ["tests/guest/test_tiering.py"],
        timeout_s=600,
        outdir=tmp_path / "out",
    )
    ran.check()
    assert ran.result.complaints == []


SLOWLY = pytest.mark.skipif(not SLOW, reason="takes long on an emulated processor (docs/effects.md): DAMOD_VM_SLOW=1")


@SLOWLY
def test_idle_memory_is_paged_out(tmp_path: Path) -> None:
    """Proactive reclaim on a machine that is nearly full: idle memory goes to swap, hot memory stays."""
    ran = run_pytest(
        Guest(kernel="newest", memory="768M"),
        ["tests/guest/test_reclaim.py::test_idle_memory_is_paged_out_and_hot_memory_stays"],
        timeout_s=600,
        outdir=tmp_path / "out",
    )
    ran.check()
    assert ran.result.complaints == []


@SLOWLY
def test_guard_shadow_and_lru_lists(tmp_path: Path) -> None:
    """The guard on real swap; the shadow beside what is then paged out and the LRU lists, as numbers."""
    ran = run_pytest(
        Guest(kernel="newest", numa=NODES),
        ["tests/guest/test_reclaim.py", "-k", "hurts or shadow or lru"],
        timeout_s=900,
        outdir=tmp_path / "out",
    )
    ran.check()
    assert ran.result.complaints == []
