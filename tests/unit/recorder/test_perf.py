"""perf as a child: its file is whole when it was stopped, and its troubles are told, never raised."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from damod.recorder.perf import PROFILE_WORDS, Perf
from damod.recorder.place import Place

GOOD = """#!/bin/sh
# As perf does, the end of the file is written after SIGINT.
trap 'echo end; exit 0' INT
echo "$@"
while :; do sleep 0.05; done
"""
BAD = "#!/bin/sh\necho 'Error:' >&2\necho 'Access to performance monitoring is limited.' >&2\nexit 255\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    handle = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Place(handle, "x.data", 0o640, None)
    os.close(handle)


def program(folder: Path, text: str) -> str:
    """A perf of our own."""
    path = folder / "perf"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def until(met: object, timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not met():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_file_is_whole_after_stop(place: Place, tmp_path: Path) -> None:
    """perf gets an open file and no name, and is waited for."""
    perf = Perf(place, "x.data.profile", PROFILE_WORDS, program(tmp_path, GOOD))
    out = tmp_path / "x.data.profile"
    until(lambda: out.stat().st_size)
    perf.check()
    perf.stop()
    assert out.read_text().splitlines() == ["record -a -k CLOCK_MONOTONIC -o -", "end"]
    assert out.stat().st_mode & 0o777 == 0o640
    assert perf.problem == ""


def test_a_missing_perf_is_told(place: Place, tmp_path: Path) -> None:
    """Without the program there is a sentence with the way out, and no empty file."""
    perf = Perf(place, "x.data.profile", PROFILE_WORDS, "/no/such/perf")
    assert "/no/such/perf" in perf.problem
    assert "install" in perf.problem
    assert not (tmp_path / "x.data.profile").exists()
    perf.stop()


def test_a_perf_that_fails_is_told_in_its_words(place: Place, tmp_path: Path) -> None:
    """When perf ends by itself, its own first sentence is passed on."""
    perf = Perf(place, "x.data.profile", PROFILE_WORDS, program(tmp_path, BAD))

    def ended() -> bool:
        perf.check()
        return bool(perf.problem)

    until(ended)
    assert "Access to performance monitoring is limited." in perf.problem
    assert "255" in perf.problem
    perf.stop()
