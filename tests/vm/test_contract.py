"""The contract suite on real kernels: what the simulated kernel was tested for holds on Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.guest import Guest
from tests.vm.run_in_guest import run_pytest

pytestmark = pytest.mark.vm


def test_the_contract_holds_on_linux(kernel: str, tmp_path: Path) -> None:
    """Every contract test passes inside a guest, none is skipped, and the kernel has nothing to complain of."""
    ran = run_pytest(
        Guest(kernel=kernel, env={"DAMOD_CONTRACT": "linux"}),
        ["tests/contract"],
        timeout_s=900,
        outdir=tmp_path / "out",
    )
    ran.check()
    assert ran.result.complaints == []
