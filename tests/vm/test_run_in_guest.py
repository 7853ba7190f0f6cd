"""pytest inside a guest: what it finds there reaches the host test by test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.guest import Guest, GuestResult
from tests.vm.run_in_guest import Case, GuestTests, run_pytest

INSIDE = '''
import os
import pytest

def test_passes():
    """The guest is root and knows it is a guest."""
    assert os.geteuid() == 0 and os.environ["DAMOD_GUEST"] == "1"

def test_fails():
    assert 1 == 2, "a reason to see on the host"

@pytest.mark.skip(reason="not today")
def test_skips():
    pass
'''


def run_of(tmp_path: Path, *cases: Case, returncode: int = 0) -> GuestTests:
    return GuestTests(GuestResult(returncode, tmp_path, boot_s=1, total_s=2), cases)


def test_all_passed_is_fine(tmp_path: Path) -> None:
    """A run whose tests all passed raises nothing."""
    run_of(tmp_path, Case("a", "passed"), Case("b", "passed")).check()


def test_a_failure_is_named_with_its_text(tmp_path: Path) -> None:
    """The host's failure reads like the guest's."""
    with pytest.raises(AssertionError, match=r"(?s)1 of 2 .*FAILED b\nwhy"):
        run_of(tmp_path, Case("a", "passed"), Case("b", "failed", "why"), returncode=1).check()


def test_skipping_in_the_guest_is_failing(tmp_path: Path) -> None:
    """A guest exists so that its tests run; those that may skip say so."""
    run = run_of(tmp_path, Case("a", "skipped", "no DAMON"))
    run.check(may_skip=True)
    with pytest.raises(AssertionError, match="SKIPPED a"):
        run.check()


def test_no_tests_at_all_is_failing(tmp_path: Path) -> None:
    """A selection that matches nothing, or a pytest that died, does not pass for success."""
    with pytest.raises(AssertionError, match="status 5 and 0 tests"):
        run_of(tmp_path, returncode=5).check()


@pytest.mark.vm
def test_outcomes_travel_from_a_real_guest(tmp_path: Path) -> None:
    """One passed, one failed with its message, one skipped, each under its own name."""
    inside = tmp_path / "test_inside.py"
    inside.write_text(INSIDE)
    run = run_pytest(Guest(memory="1G"), [str(inside)], timeout_s=180, outdir=tmp_path / "out")
    outcomes = {case.name.rpartition("::")[2]: case for case in run.cases}
    assert {name: case.outcome for name, case in outcomes.items()} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_skips": "skipped",
    }
    assert "a reason to see on the host" in outcomes["test_fails"].text
    assert run.result.returncode == 1
    with pytest.raises(AssertionError, match="2 of 3"):
        run.check()
