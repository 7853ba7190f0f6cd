"""The examples that reports keep beside their options are command lines that they understand."""

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
    for line, _ in getattr(import_module(module), "EXAMPLES", ())
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


@pytest.mark.parametrize("name", report.TYPES)
def test_help_begins_with_examples(name: str) -> None:
    """What people look for first stands first."""
    out = io.StringIO()
    assert report.run([name, "--help"], Context(stdout=out)) == 0
    lines = out.getvalue().splitlines()
    assert lines[0].startswith(f"usage: damoctl report {name}")
    assert lines.index("examples:") < lines.index("options")
