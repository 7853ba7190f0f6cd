"""The whole daemon on real kernels: what tests/guest shows, in a guest of each kernel with two NUMA nodes.

Following children has guest tests too, but an emulated processor does not keep up with them reliably: they run where
DAMOD_VM_SLOW=1 says so, and are told as skipped elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vm.conftest import kernel_names
from tests.vm.guest import Guest
from tests.vm.run_in_guest import run_pytest

pytestmark = pytest.mark.vm

TESTS = ("session", "others", "trouble", "keywords", "modules", "diagnose")


def test_damod_on_the_real_kernel(kernel: str, tmp_path: Path) -> None:
    """Every test passes inside a guest, none is skipped, and the kernel has nothing to complain of."""
    ran = run_pytest(
        Guest(kernel=kernel, numa=("1G,cpus=0-1", "1G")),
        [f"tests/guest/test_{name}.py" for name in TESTS],
        timeout_s=900,
        outdir=tmp_path / "out",
    )
    ran.check()
    assert ran.result.complaints == []


def test_recordings_on_the_real_kernel(kernel: str, tmp_path: Path) -> None:
    """The same for recordings: none of the kernel's aggregations is missing, crashes cost less than a second.

    On the newest kernel only, since CI has forty minutes; DAMOD_VM_SLOW=1 takes them all.
    """
    if kernel != kernel_names()[-1] and not os.environ.get("DAMOD_VM_SLOW"):
        pytest.skip(f"takes three minutes, and the newest kernel does it, too: DAMOD_VM_SLOW=1 runs it on {kernel}")
    words = ["tests/guest/test_record.py", "-k", "not crashes_on_real_damon or recorder"]
    ran = run_pytest(Guest(kernel=kernel), words, timeout_s=900, outdir=tmp_path / "out")
    ran.check()
    assert ran.result.complaints == []


@pytest.mark.skipif(
    not os.environ.get("DAMOD_VM_SLOW"),
    reason="not shown to pass reliably on an emulated processor yet (docs/kernels.md): DAMOD_VM_SLOW=1 runs it",
)
@pytest.mark.parametrize("words", ["test_children.py", "test_stairs.py", "test_record.py -k crashes_on_real_damon"])
def test_slow_things_on_the_real_kernel(kernel: str, words: str, tmp_path: Path) -> None:
    """The same for what needs a processor that keeps up.

    A daemon that is killed leaves its tracing on, and the next one's makes the kernel patch itself under load: of three
    guests in which that was done again and again, two met the emulator's own panic (docs/kernels.md).
    """
    ran = run_pytest(Guest(kernel=kernel), f"tests/guest/{words}".split(), timeout_s=900, outdir=tmp_path / "out")
    ran.check()
    assert ran.result.complaints == []


def test_replay_on_the_real_kernel(tmp_path: Path) -> None:
    """On the newest kernel a replayed record, recorded again, looks like the original (r >= 0.9)."""
    ran = run_pytest(Guest(), ["tests/guest/test_replay.py"], timeout_s=900, outdir=tmp_path / "out")
    print((tmp_path / "out/replay.txt").read_text())
    ran.check()
    assert ran.result.complaints == []
