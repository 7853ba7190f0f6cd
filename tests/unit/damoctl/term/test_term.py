"""Terminals and pipes: colour only where wanted, pager only where somebody looks."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from damoctl.term import heat
from damoctl.term.bars import bar
from damoctl.term.term import Term


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "choice", "no_color", "wanted"),
    [
        (Tty, "auto", "", True),
        (Tty, "auto", "1", False),
        (Tty, "never", "", False),
        (Tty, "always", "1", True),
        (io.StringIO, "auto", "", False),
        (io.StringIO, "always", "", True),
    ],
)
def test_color(
    stream: type[io.StringIO], choice: str, no_color: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colour is for terminals without NO_COLOR, unless the user says otherwise."""
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    assert Term.of(stream(), color=choice).color is wanted


def test_write_ends_with_newline() -> None:
    """Every line ends with a newline, the last one too; no lines print nothing."""
    out = io.StringIO()
    Term(out).write(str(number) for number in range(1200))
    assert out.getvalue() == "".join(f"{number}\n" for number in range(1200))
    Term(empty := io.StringIO()).write([])
    assert empty.getvalue() == ""


@pytest.mark.parametrize(("lines", "paged"), [(5, False), (50, True)])
def test_pager(lines: int, paged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, what does not fit goes through $PAGER, whole; what fits does not."""
    target = tmp_path / "out"
    monkeypatch.setenv("PAGER", f"{sys.executable} -c \"import sys; open('{target}', 'w').write(sys.stdin.read())\"")
    out = Tty()
    Term(out, height=10, tty=True, pager=True).write(str(number) for number in range(lines))
    wanted = "".join(f"{number}\n" for number in range(lines))
    assert target.exists() is paged
    assert (target.read_text() if paged else out.getvalue()) == wanted


def test_blocks_of_lines_are_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is how many lines there are, not in how many pieces they come."""
    seen = tmp_path / "seen"
    monkeypatch.setenv("PAGER", f"sh -c 'cat >{seen}'")
    Term(io.StringIO(), height=10, tty=True, pager=True).write(["a\nb\nc"] * 5)
    assert seen.read_text() == "a\nb\nc\n" * 5


def test_no_pager_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pager that does not exist is done without."""
    monkeypatch.setenv("PAGER", "/nowhere/less")
    out = Tty()
    Term(out, height=10, tty=True, pager=True).write(["x"] * 50)
    assert out.getvalue() == "x\n" * 50


def test_gone_reader_is_quiet() -> None:
    """``| head`` ends damoctl without a word."""
    script = (
        "import sys; from damoctl.term.term import Term; from damoctl.main import main;"
        "import damoctl.main as m;"
        "m.run = lambda argv: Term.of(sys.stdout).write('x' * 100 for _ in range(100000)) or 0;"
        "sys.exit(main([]))"
    )
    done = subprocess.run(
        f'{sys.executable} -c "{script}" | head -1', shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout == "x" * 100 + "\n"
    assert done.stderr == ""


def test_heat() -> None:
    """Digits carry damo's colours of their set; without colour they are bare."""
    assert heat.digits([0, 9, 9], "gray", color=False) == "099"
    assert (
        heat.digits([0, 9, 9], "gray", color=True)
        == "\x1b[48;5;232m\x1b[38;5;237m0\x1b[48;5;232m\x1b[38;5;255m99\x1b[0m"
    )
    assert heat.run(4, 3, "emotion", color=True) == "\x1b[48;5;26m\x1b[38;5;243m444\x1b[0m"
    assert heat.digits([], "flame", color=True) == ""
    assert all(len(part) == 10 for pair in heat.COLORSETS.values() for part in pair)


def test_bar() -> None:
    """A bar is as wide as said, whatever is in it."""
    assert bar(0, 4) == "|    |"
    assert bar(3, 4) == "|*** |"
