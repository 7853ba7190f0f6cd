"""What damo 3.4 printed in a guest for some 950 command lines, on records made here, is what we print with --compat.

`peer/answers.json` has its answers without colours, longer ones as the SHA-256 of their text; `python -m
tests.peer.keep` makes it from a guest. Where damo fails, we have to say what is wrong, or to answer.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from damod.errors import Internal
from tests.peer import grid, ours, records

ANSWERS = json.loads((Path(__file__).parent / "peer" / "answers.json").read_text())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("records")
    records.write(made)
    return made


@pytest.mark.parametrize("line", [line for line, answer in ANSWERS.items() if answer.get("fails") is None])
def test_same(line: str, directory: Path) -> None:
    """The text is damo's, colours and one newline at the end apart."""
    wanted = ANSWERS[line]
    found = ours.answer(line, str(directory))
    text = ours.bare(found.out).removesuffix("\n")
    if line in grid.OTHERWISE:
        assert found.status or text != wanted.get("out"), f"this is damo's by now, not {grid.OTHERWISE[line]}"
        return
    assert found.status == 0, found.err
    if "out" in wanted:
        assert text.removesuffix("\n") == wanted["out"].removesuffix("\n")
    else:
        texts = text, text.removesuffix("\n")
        assert wanted["sha256"] in [hashlib.sha256(text.encode()).hexdigest() for text in texts]


@pytest.mark.parametrize("line", [line for line, answer in ANSWERS.items() if answer.get("fails") is not None])
def test_where_it_fails(line: str, directory: Path) -> None:
    """An answer, or a sentence about what is wrong; never a bug's."""
    found = ours.answer(line, str(directory))
    assert found.status != Internal("").exit_status, found.err
    assert found.status == 0 or found.err.startswith("damoctl: ")


def test_all_lines_are_answered() -> None:
    """The file has an answer to each line of the grid, and to no other."""
    assert set(ANSWERS) == set(grid.lines())
