"""The whole daemon on real kernels: what tests/guest shows, in a guest of each kernel with two NUMA nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.guest import Guest
from tests.vm.run_in_guest import run_pytest

pytestmark = pytest.mark.vm


def test_damod_on_the_real_kernel(kernel: str, tmp_path: Path) -> None:
    """Every test of tests/guest passes inside a guest, none is skipped, and the kernel has nothing to complain of."""
    ran = run_pytest(
        Guest(kernel=kernel, numa=("1G,cpus=0-1", "1G")),
        ["tests/guest"],
        timeout_s=900,
        outdir=tmp_path / "out",
    )
    ran.check()
    assert ran.result.complaints == []
