"""`report profile` runs perf on the times of a pattern."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damod.errors import NoData, NotFound
from tests.shared import shared


def perf(tmp_path: Path) -> Path:
    """A program that writes down how it was called and ends with 3."""
    path = tmp_path / "perf"
    path.write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word"; done > {tmp_path}/called\nexit 3\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_perf_gets_the_times(tmp_path: Path) -> None:
    """perf is given the profile and the times; its exit status is that of the report."""
    profile = tmp_path / "profile"
    profile.touch()
    words = ["profile", "--inputs", str(shared("damo", "records", "damon.data")), str(profile)]
    status = report.run([*words, "--perf_path", str(perf(tmp_path))], Context(stdout=io.StringIO()))
    assert status == 3
    called = (tmp_path / "called").read_text().splitlines()
    assert called == ["report", "-i", str(profile), "--time", "539.809434,596.606619"]


def test_what_is_missing(tmp_path: Path) -> None:
    """No profile, no perf, no matching time: each is told."""
    record = str(shared("damo", "records", "damon.data"))
    ctx = Context(stdout=io.StringIO())
    with pytest.raises(NotFound, match="no profile"):
        report.run(["profile", "--inputs", record, str(tmp_path / "none")], ctx)
    profile = tmp_path / "profile"
    profile.touch()
    with pytest.raises(NotFound, match="cannot run"):
        report.run(["profile", "--inputs", record, str(profile), "--perf_path", str(tmp_path / "none")], ctx)
    with pytest.raises(NoData, match="no snapshot"):
        report.run(["profile", "--inputs", record, str(profile), "--address", "0", "1"], ctx)
