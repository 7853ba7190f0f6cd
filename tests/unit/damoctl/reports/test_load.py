"""Records are found by what a user names, and who waits sees that something goes on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damoctl.reports.load import Progress
from tests.bench import recordings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_after_a_second() -> None:
    """Nothing is shown in the first second, then how far it is, and nothing is left in the end."""
    now, stream = [0.0], Terminal()
    progress = Progress(stream, lambda: now[0])
    progress(1000)
    assert stream.getvalue() == ""
    now[0] = 1.5
    progress(500)
    assert stream.getvalue().endswith("1,500 regions read")
    progress.clear()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_no_progress_over_what_is_printed() -> None:
    """Once text goes to the same terminal, what was shown is taken away and nothing more comes."""
    now, stream = [0.0], Terminal()
    progress = Progress(stream, lambda: now[0])
    now[0] = 1.5
    progress(500)
    progress.end()
    now[0] = 9.0
    progress(1)
    assert stream.getvalue().endswith("500 regions read\r\x1b[K")


def test_no_progress_into_a_file() -> None:
    """A log or a pipe sees no progress."""
    now, stream = [0.0], io.StringIO()
    progress = Progress(stream, lambda: now[0])
    now[0] = 9.0
    progress(1)
    progress.clear()
    assert stream.getvalue() == ""


def shown(*words: str) -> str:
    out = io.StringIO()
    report.run([*words], Context(stdout=out, stderr=io.StringIO()))
    return out.getvalue()


def test_rotated_segments_are_one_record(tmp_path: Path) -> None:
    """Segments in directories of their own are read as the one record that they are parts of, in every report."""
    for index, name in enumerate(("2026-01-01-00-00-00", "2026-01-01-01-00-00")):
        directory = tmp_path / f"damon.data.{name}"
        directory.mkdir()
        recordings.write(directory / "damon.data", 5 + index, 20)
    for path in (tmp_path, tmp_path / "damon.data"):
        plain = json.loads(shown("record_info", "--json", "--input", str(path)))
        assert [item["nr_snapshots"] for item in plain] == [11]
        assert json.loads(shown("wss", "--json", "--input", str(path)))[0]["nr_values"] == 11


@pytest.mark.parametrize("name", ["heatmap", "wss", "nr_regions", "times", "record_info"])
def test_json_of_every_report(name: str, tmp_path: Path) -> None:
    """Every report prints its value as JSON."""
    path = recordings.write(tmp_path / "damon.data", 5, 20)
    assert json.loads(shown(name, "--json", "--input", str(path)))
