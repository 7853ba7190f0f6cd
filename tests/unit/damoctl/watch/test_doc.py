"""docs/watch.md says what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from damoctl.commands import monitor, watch
from damoctl.flags import recording, words
from damoctl.watch.keys import help_lines

ROOT = Path(__file__).parents[4]
DOC = (ROOT / "docs" / "watch.md").read_text()


def test_the_table_of_keys() -> None:
    """Each key of the help, in its order, with its words."""
    table = re.findall(r"^\| `(.+?)` \| (.+) \|$", DOC, re.MULTILINE)
    assert table == help_lines()


def examples() -> list[str]:
    """The commands in the document and in the help texts."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL))
    lines = [*blocks.splitlines(), *watch.EXAMPLES.splitlines(), *monitor.EXAMPLES.splitlines()]
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("line", examples())
def test_examples_are_commands(line: str) -> None:
    """Options and their values exist; what comes after two blanks is said about it."""
    argv = shlex.split(re.split(r"\s{2,}", line)[0], comments=True)
    assert argv[0] == "damoctl"
    if argv[1:3] == ["report", "heatmap"]:
        from damoctl.commands import report_heatmap

        words.parse(argv[3:], [*recording.COMMON, *report_heatmap.OPTIONS])
    else:
        module = {"watch": watch, "monitor": monitor}[argv[1]]
        module.parser().parse_args(argv[2:])


def test_the_picture_is_there() -> None:
    """And it is one."""
    (name,) = re.findall(r"!\[.*\]\((.+)\)", DOC)
    assert (ROOT / "docs" / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_sorts_are_said_twice() -> None:
    """The command's choices are the model's, which it does not load to say them."""
    from damoctl.watch.regions import SORTS

    assert watch.SORTS == SORTS
