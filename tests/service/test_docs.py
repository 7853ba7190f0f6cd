"""Every example in README.md and docs/ works as printed."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from tests.doc_blocks import DOCUMENTS, ROOT, Block, blocks, check_words, complaints, pattern, play

NOT_RUN = [block for path in DOCUMENTS for block in blocks(path) if "not run" in block.marks]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_examples_work_as_printed(path: Path) -> None:
    """Each console block, in the order of the document, on a simulated kernel; the output is what is shown."""
    with tempfile.TemporaryDirectory(prefix="docs-") as directory:
        told = play(path, Path(directory))
    assert not told, "\n".join(told)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_nothing_escapes(path: Path) -> None:
    """What looks like an example is run, or is marked with who checks it or why nobody can."""
    told = complaints(path)
    assert not told, "\n".join(told)


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_not_run_here(block: Block) -> None:
    """So that the reasons are printed."""
    pytest.skip(f"{block} is not run: {block.marks['not run']}")


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_commands_in_sentences_exist(path: Path) -> None:
    """Each `damoctl COMMAND --option` in text and tables names a command and options that there are."""
    for words in re.findall(r"`(damoctl [^`]+)`", path.read_text()):
        check_words(words.split()[1:], f"{path.name}: {words}")


def test_every_page_is_in_the_readme() -> None:
    """The table at the end of the README links to each page of docs/."""
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", (ROOT / "README.md").read_text()))
    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS[1:]} <= linked


def test_links_lead_somewhere() -> None:
    """Each relative link of a document is to a file that is there."""
    for path in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_rules_of_comparing() -> None:
    """`...` is anything; numbers, where they vary, are any number and unit; everything else is what it is."""

    def same(shown: str, real: str, vary: bool = False) -> bool:
        return re.fullmatch(pattern(shown.splitlines(), numbers_vary=vary), real) is not None

    assert same("pid ...\n", "pid 17\n")
    assert not same("pid 17\n", "pid 18\n")
    assert same("a\n...\nb\n", "a\n1\n2\nb\n") and same("a\n...\nb\n", "a\nb\n")
    assert not same("a\nb\n", "a\nc\nb\n")
    assert same("0   addr 4.000 GiB    size 97.887 MiB\n", "0   addr 4.000 GiB size 1.500 KiB\n", vary=True)
    assert not same("0   addr 4.000 GiB\n", "0   addr four GiB\n", vary=True)
    assert not same("two words\n", "two other\n", vary=True)


def test_what_is_not_run_is_found(tmp_path: Path) -> None:
    """A command that nobody runs, a block without a mark, and a test that does not exist."""
    page = tmp_path / "page.md"
    page.write_text(
        "```\ndamoctl stop\n```\n\n    make test\n\n```yaml\na: 1\n```\n"
        "<!-- checked by: tests/no -->\n```\ndamoctl stop\n```\n<!-- not run -->\n```console\n$ x\n```\n"
    )
    told = complaints(page)
    assert [line.split(": ")[0] for line in told] == ["page.md:1", "page.md:7", "page.md:11", "page.md:15", "page.md:5"]


def test_a_wrong_example_is_told(tmp_path: Path) -> None:
    """Another output, a failure that is not shown, and a failure that is."""
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n$ echo one\ntwo\n$ false\n$ echo one\n...\n$ damoctl nonsense\ndamoctl: ...\n...\n```\n"
    )
    session = tmp_path / "session"
    session.mkdir()
    told = play(page, session)
    assert [line.split(": ")[1].split("\n")[0] for line in told] == ["$ echo one", "$ false"]
