"""The emulator's own panics are no failure of a test, and nothing else is excused. Needs no guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm import guest
from tests.vm.guest import CannotBoot, Guest, GuestResult


def failing(monkeypatch: pytest.MonkeyPatch, consoles: Iterator[str]) -> list[Path]:
    """Make runs end with CannotBoot and these consoles, then well; the directories that were used."""
    used: list[Path] = []

    def once(self: Guest, argv: Any, timeout_s: float, env: Any, cwd: Path, out: Path) -> GuestResult:
        (out / "guest").mkdir(parents=True)
        used.append(out)
        for console in consoles:
            (out / "guest/console.log").write_text(console)
            raise CannotBoot("it did not boot")
        return GuestResult(0, out, 1.0, 2.0)

    monkeypatch.setattr(Guest, "_once", once)
    monkeypatch.setattr(guest, "require_tools", lambda: None)
    return used


def test_the_emulators_panic_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two such panics are kept aside, and the third run is the result."""
    used = failing(monkeypatch, iter(["Oops: int3: 0000", "Oops: int3: 0000"]))
    assert Guest().run(["true"], timeout_s=1, outdir=tmp_path / "out").returncode == 0
    assert len(used) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.panic1", "out.panic2"]


@pytest.mark.parametrize("consoles", [["Kernel panic: no init"], ["Oops: int3"] * 3])
def test_other_panics_and_too_many_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, consoles: list[str]
) -> None:
    """A guest that cannot boot for another reason, or three times in a row, fails the test."""
    failing(monkeypatch, iter(consoles))
    with pytest.raises(CannotBoot):
        Guest().run(["true"], timeout_s=1, outdir=tmp_path / "out")
