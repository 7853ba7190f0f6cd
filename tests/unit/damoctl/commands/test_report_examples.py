"""The examples that the help of each report begins with are command lines that it understands."""

from __future__ import annotations

import io
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from damod.errors import DamodError, Internal, UsageError

EXAMPLES = [
    line
    for name, (module, _) in report.TYPES.items()
    if name != "damon"
    for line, _ in import_module(module).EXAMPLES
    if line.startswith("damoctl report")
]


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without record and daemon each example fails for want of these, never for its words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAMOD_SOCKET", str(tmp_path / "nobody"))
    try:
        report.run(shlex.split(line)[2:], Context(stdout=io.StringIO(), stderr=io.StringIO()))
    except DamodError as exc:
        assert not isinstance(exc, (UsageError, Internal)), exc.message


@pytest.mark.parametrize("name", [name for name in report.TYPES if name != "damon"])
def test_help_begins_with_examples(name: str) -> None:
    """What people look for first stands first."""
    out = io.StringIO()
    assert report.run([name, "--help"], Context(stdout=out)) == 0
    assert out.getvalue().splitlines()[:3] == [f"usage: damoctl report {name} [options]", "", "examples:"]
