"""Shell completion: what may stand where a word is being typed, from the tables that the commands themselves read.

`damoctl --cli_complete INDEX WORDS...` prints candidates a line each; the shells' scripts (`damoctl completion`) only
carry words there and back. No candidate means that the shell offers file names.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from importlib import import_module

from damoctl.flags.help import candidates
from damoctl.flags.option import Option, Word

BASH = """\
# bash completion of damoctl: source <(damoctl completion bash)
_damoctl() {
    mapfile -t COMPREPLY < <(damoctl --cli_complete "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null)
}
complete -o default -F _damoctl damoctl
"""
ZSH = """\
#compdef damoctl
# zsh completion of damoctl: source <(damoctl completion zsh)
_damoctl() {
    local -a found
    found=(${(f)"$(damoctl --cli_complete $((CURRENT - 1)) "${words[@]}" 2>/dev/null)"})
    if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _damoctl damoctl
"""
FISH = """\
# fish completion of damoctl: damoctl completion fish | source
function __damoctl
    set -l words (commandline -opc)
    damoctl --cli_complete (count $words) $words (commandline -ct) 2>/dev/null
end
complete -c damoctl -a '(__damoctl)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
_GLOBAL = (
    Option(("--socket",), "command", "Where damod listens.", (Word("path", "file"),)),
    Option(("--color",), "command", "Colours.", (Word("when", choices=("always", "never", "auto")),)),
    Option(("--json",), "command", "For programs."),
    Option(("--help", "-h"), "command", "Help."),
    Option(("--version",), "command", "Versions."),
)
_HELP = Option(("--help", "-h"), "command", "Help.")


def _of_parser(parser: argparse.ArgumentParser) -> tuple[list[Option], list[str]]:
    """The options of an argparse command, and what its first word may be."""
    options: list[Option] = []
    first: list[str] = []
    for action in parser._actions:
        choices = tuple(map(str, action.choices or ()))
        if action.option_strings:
            words = () if action.nargs == 0 else (Word("value", choices=choices),)
            options.append(Option(tuple(action.option_strings), "command", "", words))
        else:
            first += choices
    return options, first


def _of_command(name: str, rest: Sequence[str]) -> tuple[Iterable[Option], Iterable[str], Sequence[str]]:
    """Options, possible first words, and the words that they apply to."""
    from damoctl.flags import access
    from damoctl.flags.table import OPS, OPTIONS

    if name in ("start", "tune", "schemes"):
        own: tuple[Option, ...] = import_module(f"damoctl.commands.{name}").OWN
        return (*OPTIONS, *own, _HELP), OPS, rest
    if name in ("args", "report", "help"):
        module = import_module(f"damoctl.commands.{name}")
        kinds = {"args": "TOPICS", "report": "TYPES", "help": "TOPICS"}[name]
        if len(rest) < 2:
            return (_HELP,), getattr(module, kinds), rest
        if name == "help":
            return (), module.SUBTOPICS.get(rest[0], ()), rest[1:]
        tables = {
            ("args", "damon"): (*OPTIONS, *getattr(module, "DAMON_OWN", ())),
            ("args", "accesses_filter"): access.FILTERS,
            ("args", "accesses_format"): access.FORMATS,
        }
        table = tables.get((name, rest[0]), ())
        if name == "report" and rest[0] in module.TYPES:
            table = import_module(module.TYPES[rest[0]][0]).OPTIONS
            if rest[0] == "access":
                table = (*table, *access.FILTERS, *access.FORMATS)
        return (*table, _HELP), OPS if (name, rest[0]) == ("args", "damon") else (), rest[1:]
    module = import_module(f"damoctl.commands.{name}")
    if not hasattr(module, "parser"):
        return (_GLOBAL[2], _HELP), (), rest
    options, first = _of_parser(module.parser())
    return options, first, rest


def complete(words: Sequence[str]) -> list[str]:
    """Candidates for the last of the words that follow `damoctl`."""
    from damoctl.main import COMMANDS

    at = 0
    while at < len(words) - 1 and words[at].startswith("-"):
        at += 1 + (words[at] in ("--socket", "--color"))
    if at >= len(words) - 1:
        found = candidates(words, _GLOBAL)
        waits = len(words) > 1 and words[-2] in ("--socket", "--color")
        return found if found or waits else [name for name in COMMANDS if name.startswith(words[-1])]
    command = COMMANDS.get(words[at])
    if command is None:
        return []
    options, first, rest = _of_command(command.module, words[at + 1 :])
    found = candidates(rest, options)
    if len(rest) == 1 and not rest[0].startswith("-"):
        found = [word for word in first if word.startswith(rest[0])]
    return found


def main(argv: Sequence[str]) -> int:
    """Print candidates for ``INDEX damoctl WORDS...``; whatever is wrong prints nothing."""
    if len(argv) < 2 or not argv[0].isdecimal():
        return 2
    words = [*argv[2:], ""][: int(argv[0])]
    for word in complete(words or [""]):
        print(word)
    return 0
