"""Whoever knows damo knows damoctl: every command, report and option of its command line, and a help for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

import pytest

from damoctl import examples, renamed
from damoctl.commands import args, policy, record, report
from damoctl.complete import _of_command
from damoctl.main import main
from damoctl.verbs import COMMANDS
from damod.errors import UsageError
from tests.doc_blocks import check_words
from tests.shared import shared

# Of damo's options, what is not here, and why.
REPLACED = {
    "report access --on_cache": "an experiment of damo's, hidden there: physical regions as sets of a cache",
    "report holistic --heatmap_time_last_n_sec": "hidden, for damo's own monitor; `damoctl monitor` needs none",
}


def cli() -> str:
    return (shared("damo") / "cli.md").read_text()


def commands() -> list[list[str]]:
    """The commands of cli.md's section 1, and the reports that stand below its table."""
    part = cli().partition("\n## 1. Overview\n")[2].partition("\n## ")[0]
    names = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
    kinds = re.findall(r"`(\w+)` \(", part.partition("`report` types:")[2])
    assert (len(names), len(kinds)) == (20, 14)
    return [[name] for name in names] + [["report", kind] for kind in kinds]


def options() -> Iterator[tuple[list[str], str]]:
    """(command, long option) for each row of each table of options in sections 5 to 8."""
    for title, body in re.findall(r"^### `damo ([^`]+)`.*?\n(.*?)(?=^### |^## |\Z)", cli(), re.MULTILINE | re.DOTALL):
        for names in re.findall(r"^\| `([^`]*--[^`]*)`", body, re.MULTILINE):
            for name in names.split(" / "):
                if name.startswith("--"):
                    yield title.split(), name.split()[0]


def every() -> list[list[str]]:
    """Everything of damoctl that has a help."""
    return [
        *([name] for name in COMMANDS),
        *(["report", kind] for kind in report.TYPES),
        *(["args", topic] for topic in args.TOPICS),
        *(["record", verb] for verb in record.TAKES),
        *(["policy", verb] for verb in policy.parser()._subparsers._group_actions[0].choices),  # type: ignore[union-attr]
        *(["module", name] for name in ("list", "stat", "reclaim", "lru_sort")),
    ]


def helped(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that ``damoctl WORDS --help`` prints; its exit status must be 0."""
    try:
        status = main([*words, "--help"])
    except SystemExit as exc:  # argparse's own end of a help
        status = int(exc.code or 0)
    out, err = capsys.readouterr()
    assert (status, err) == (0, ""), words
    return out.splitlines()


def test_every_command_of_damo_is_there() -> None:
    """By its name, or with what replaced it."""
    missing = [
        words for words in commands() if not (words[0] in COMMANDS if len(words) == 1 else words[1] in report.TYPES)
    ]
    assert not missing


def test_every_option_of_damo_is_there() -> None:
    """Each command takes each option that damo's takes, hidden ones too."""
    missing = []
    for words, name in options():
        option = " ".join([*words, name])
        if option in REPLACED:
            continue
        grammar = _of_command(COMMANDS[words[0]].module, [*words[1:], name])
        if name not in {spelling for known in grammar.options for spelling in known.names}:
            missing.append(option)
    assert not missing


@pytest.mark.parametrize("words", every(), ids=" ".join)
def test_every_help_fits_its_purpose(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no daemon, begins with the usage, shows examples before the options, and is at most 100 wide."""
    monkeypatch.setenv("DAMOD_SOCKET", "/nonexistent/damod.sock")
    monkeypatch.setenv("COLUMNS", "100")
    lines = helped(words, capsys)
    assert lines[0].startswith("usage: damoctl ")
    assert "examples:" in lines
    first = lines.index("examples:") + 1
    assert "damoctl " in lines[first]
    before = [line for line in lines[:first] if line.startswith(("options", "positional", "  -"))]
    assert not before
    assert max(map(len, lines)) <= 100, max(lines, key=len)


@pytest.mark.parametrize("name", sorted(renamed.TWINS))
def test_names_that_are_gone_say_what_to_use(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that names the twin, which exists."""
    assert main(name.split()) == UsageError.exit_status
    hint = capsys.readouterr().err
    assert renamed.TWINS[name] in hint
    twin = re.findall(r"`damoctl ([\w ]+)", renamed.TWINS[name])[0].split()
    assert twin[0] in COMMANDS
    if twin[0] == "report":
        assert twin[1] in report.TYPES


def test_the_options_in_examples_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """What a help shows first can be typed as it stands."""
    for words in every():
        lines = helped(words, capsys)
        for line in lines[lines.index("examples:") + 1 :]:
            if not line.startswith("  damoctl "):
                break
            command, *_ = re.split(r"\s{2,}|\s[|;]\s", re.sub(r'"[^"]*"', "X", line.strip()))
            check_words(command.split()[1:], f"{' '.join(words)}: {line}")


def test_the_examples_are_of_commands_that_exist() -> None:
    """Each begins with its own command, and is in no second place."""
    for command, text in examples.EXAMPLES.items():
        words = command.split()
        if words[0] == "report" and words[1:] and words[1] not in report.TYPES:
            continue
        assert words[0] in COMMANDS
        assert all(line.split()[0] == "damoctl" for line in text.splitlines())
        if command not in ("report", "args", "help"):
            assert all(line.startswith(f"  damoctl {command}") for line in text.splitlines())
        module = import_module(f"damoctl.commands.{COMMANDS[words[0]].module}")
        assert len(words) > 1 or not hasattr(module, "EXAMPLES")
