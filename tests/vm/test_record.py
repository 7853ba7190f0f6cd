"""Recordings on real kernels: tests/guest/test_record.py, inside a guest of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.guest import Guest
from tests.vm.run_in_guest import run_pytest

pytestmark = pytest.mark.vm


def test_recordings_of_real_damon(kernel: str, tmp_path: Path) -> None:
    """Every recording test passes inside a guest, and the kernel has nothing to complain of."""
    ran = run_pytest(Guest(kernel=kernel), ["tests/guest/test_record.py"], timeout_s=900, outdir=tmp_path / "out")
    ran.check()
    assert ran.result.complaints == []
