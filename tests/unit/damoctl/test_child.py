"""Commands as monitoring targets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from damoctl.child import HeldChild, command_words
from damod.errors import NotFound, UsageError


def test_a_plain_command_is_run_without_a_shell() -> None:
    """The watched pid is the command itself, not a shell around it."""
    assert command_words("sleep '5'") == ["sleep", "5"]


def test_shell_syntax_goes_to_a_shell() -> None:
    """Redirections and pipes work as typed."""
    assert command_words("cat x | wc -l")[:2] == ["/bin/sh", "-c"]


@pytest.mark.parametrize(
    ("text", "error"), [("no-such-program-here x", NotFound), ("echo 'x", UsageError), ("", UsageError)]
)
def test_what_cannot_run_is_refused_before_forking(text: str, error: type[Exception]) -> None:
    """A typo is told at once and not by a child that died."""
    with pytest.raises(error):
        command_words(text)


def test_the_command_starts_only_when_released(tmp_path: Path) -> None:
    """Until release not even the first instruction has run; the pid stays the same through exec."""
    mark = tmp_path / "ran"
    child = HeldChild(["/bin/sh", "-c", f"echo $$ > {mark}"])
    assert not mark.exists()
    child.release()
    os.waitpid(child.pid, 0)
    assert mark.read_text().strip() == str(child.pid)


def test_a_dropped_child_never_runs(tmp_path: Path) -> None:
    """When DAMON refuses, the command has not run at all."""
    mark = tmp_path / "ran"
    child = HeldChild(["/bin/sh", "-c", f"touch {mark}"])
    child.drop()
    assert not mark.exists()
