"""Shell completion: what may stand where a word is being typed, from the tables that the commands themselves read.

`damoctl --cli_complete INDEX WORDS...` prints candidates a line each, and `:file` where file names are wanted; the
shells' scripts (`damoctl completion`) only carry words there and back. Names of policies, recordings, sets and kdamonds
are asked of the daemon, which has a third of a second and is not missed where there is none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from damoctl.flags.help import awaited, candidates
from damoctl.flags.option import Option, Word

if TYPE_CHECKING:
    from damod.rpc.client import Client

FILES = ":file"
BASH = """\
# bash completion of damoctl: source <(damoctl completion bash)
_damoctl() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :file ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        else
            COMPREPLY+=("$line")
        fi
    done < <(damoctl --cli_complete "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null)
}
complete -F _damoctl damoctl
"""
ZSH = """\
#compdef damoctl
# zsh completion of damoctl: source <(damoctl completion zsh), or as _damoctl in a directory of $fpath
_damoctl() {
    local -a found
    local line files
    for line in ${(f)"$(damoctl --cli_complete $((CURRENT - 1)) "${(@Q)words}" 2>/dev/null)"}; do
        if [[ $line == :file ]]; then files=1; else found+=("$line"); fi
    done
    (( $#found )) && compadd -- $found
    [[ -n $files ]] && _files
    (( $#found )) || [[ -n $files ]]
}
if [[ $funcstack[1] == _damoctl ]]; then _damoctl "$@"; else compdef _damoctl damoctl; fi
"""
FISH = """\
# fish completion of damoctl: damoctl completion fish | source
function __damoctl
    set -l words (commandline -opc)
    for line in (damoctl --cli_complete (count $words) $words (commandline -ct) 2>/dev/null)
        if test "$line" = :file
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c damoctl -f -a '(__damoctl)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
# What a person waits for after Tab without noticing.
_PATIENCE_S = 0.3


def _status(client: Client) -> Mapping[str, Any]:
    found: Mapping[str, Any] = client.call("daemon.status")
    return found


# kind of a Word, or metavar of an argparse argument -> its names as the daemon has them now
LIVE: dict[str, Callable[[Client], Iterable[Any]]] = {
    "set": lambda client: _status(client)["sets"],
    "kdamond": lambda client: (item["index"] for item in _status(client)["kdamonds"]),
    "policy": lambda client: (item["name"] for item in client.call("policy.list")["policies"]),
    "recording": lambda client: (item["name"] for item in client.call("record.list")["recordings"]),
}
_GLOBAL = (
    Option(("--socket",), "command", "Where damod listens.", (Word("path", "file"),)),
    Option(("--color",), "command", "Colours.", (Word("when", choices=("always", "never", "auto")),)),
    Option(("--json",), "command", "For programs."),
    Option(("--help", "-h"), "command", "Help."),
    Option(("--version",), "command", "Versions."),
)
_HELP = Option(("--help", "-h"), "command", "Help.")


class Grammar(NamedTuple):
    """What may follow: options, and what the words that belong to none are (the last one's may be repeated)."""

    options: Sequence[Option]
    places: Sequence[Word] = ()
    words: Sequence[str] = ()


def _word(action: argparse.Action) -> Word:
    """An argument of argparse as our tables have it; a metavar like FILE or POLICY is its kind."""
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    kind = metavar.lower()
    return Word(metavar, kind if kind == "file" or kind in LIVE else "text", "", tuple(map(str, action.choices or ())))


def _of_parser(parser: argparse.ArgumentParser, words: Sequence[str]) -> Grammar:
    """The grammar of an argparse command; a verb's own, once it stands there."""
    options: list[Option] = []
    places: list[Word] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            if len(words) > 1 and words[0] in action.choices:
                return _of_parser(action.choices[words[0]], words[1:])
            places.append(Word("verb", choices=tuple(action.choices)))
        elif action.option_strings:
            count = action.nargs if isinstance(action.nargs, int) else 1
            more = action.nargs in ("+", "*")
            names, hidden = tuple(action.option_strings), action.help == argparse.SUPPRESS
            options.append(Option(names, "command", "", (_word(action),) * count, more=more, hidden=hidden))
        else:
            places.append(_word(action))
    return Grammar(options, places, words)


def _options(module: Any) -> tuple[Option, ...]:
    """A command's own tables of options."""
    tables = getattr(module, "TABLES", (getattr(module, "OPTIONS", ()),))
    return tuple(option for table in tables for option in table)


def _form(name: str) -> tuple[Option, ...]:
    from damoctl.commands import args

    return args.form_own(name)


def _of_command(name: str, rest: Sequence[str]) -> Grammar:
    """What may stand after a command's name, given what stands there."""
    from damoctl.flags import access
    from damoctl.flags.table import OPS, OPTIONS

    spec = Word("target", "file", choices=OPS)
    if name in ("start", "tune", "schemes"):
        own: tuple[Option, ...] = import_module(f"damoctl.commands.{name}").OWN
        return Grammar((*OPTIONS, *own, _HELP), (spec,), rest)
    if name == "record":
        from damoctl.commands import record

        if len(rest) > 1 and rest[0] in record.TAKES:
            kind = record.TAKES[rest[0]]
            return Grammar((_GLOBAL[2],), (Word(kind, kind),) if kind else (), rest[1:])
        spec = spec._replace(choices=(*OPS, *record.TAKES))
        return Grammar((*OPTIONS, *record.OWN, *access.FILTERS, _HELP), (spec,), rest)
    if name in ("args", "report", "help"):
        module = import_module(f"damoctl.commands.{name}")
        kinds = {"args": "TOPICS", "report": "TYPES", "help": "TOPICS"}[name]
        if len(rest) < 2:
            from damoctl.verbs import COMMANDS

            more = [word for word in COMMANDS if COMMANDS[word].help] if name == "help" else ()
            return Grammar((_HELP,), (Word("topic", choices=(*getattr(module, kinds), *more)),), rest)
        if name == "help":
            return Grammar((), (Word("topic", choices=tuple(module.subtopics(rest[0]))),), rest[1:])
        tables = {
            ("args", "damon"): (*OPTIONS, *getattr(module, "DAMON_OWN", ())),
            ("args", "accesses_filter"): (*access.FILTERS, *_form("--format")),
            ("args", "accesses_format"): (*access.FORMATS, *_form("--output_format")),
        }
        table = tables.get((name, rest[0]), ())
        if name == "report" and rest[0] in module.TYPES:
            table = _options(import_module(module.TYPES[rest[0]][0]))
            if rest[0] == "access":
                table = (*table, *access.FILTERS, *access.FORMATS)
        return Grammar((*table, _HELP), (spec,) if (name, rest[0]) == ("args", "damon") else (), rest[1:])
    module = import_module(f"damoctl.commands.{name}")
    if name == "module" and len(rest) > 1 and rest[0] != "list":
        return _of_parser(module.parser_of(rest[0].removeprefix("damon_"), f"module {rest[0]}"), rest[1:])
    if not hasattr(module, "parser"):
        return Grammar(_options(module) or (_GLOBAL[2], _HELP), (), rest)
    return _of_parser(module.parser(), rest)


def _place(grammar: Grammar) -> Word | None:
    """What the last word is if it belongs to no option."""
    known = {name: option for option in grammar.options for name in option.names}
    count, at, words = 0, 0, grammar.words
    while at < len(words) - 1:
        option = known.get(words[at].partition("=")[0])
        count += option is None and not words[at].startswith("-")
        at += 1 + (option.at_least if option and "=" not in words[at] else 0)
    return grammar.places[min(count, len(grammar.places) - 1)] if grammar.places else None


def _names(word: Word, last: str, socket: str | None) -> list[str]:
    """What the daemon, or a shell for files, can put in a place."""
    if word.kind == "file":
        return [FILES]
    if word.kind not in LIVE:
        return []
    from damod.rpc.client import Client

    try:
        with Client(socket, _PATIENCE_S) as client:
            names = list(dict.fromkeys(map(str, LIVE[word.kind](client))))
    except Exception:
        # Nobody wants to hear of anything while typing.
        return []
    return [name for name in names if name.startswith(last)]


def _joined(words: Sequence[str]) -> list[str]:
    """Words as the shell has them: bash tears ``--option=value`` into three, and others leave it one."""
    found: list[str] = []
    for word in words:
        if word == "=" and found and found[-1].startswith("--"):
            continue
        name, equals, value = word.partition("=")
        found += [name, value] if equals and name.startswith("--") else [word]
    if words and words[-1] == "=":
        found.append("")
    return found


def complete(words: Sequence[str]) -> list[str]:
    """Candidates for the last of the words that follow `damoctl`."""
    prefix = ""
    if words and words[-1].startswith("--") and "=" in words[-1]:
        prefix = words[-1].partition("=")[0] + "="
    return [word if word == FILES else prefix + word for word in _complete(_joined(words))]


def _complete(words: Sequence[str]) -> list[str]:
    from damoctl.verbs import COMMANDS

    at = 0
    while at < len(words) - 1 and words[at].startswith("-"):
        at += 1 + (words[at] in ("--socket", "--color"))
    if at >= len(words) - 1:
        found = candidates(words, _GLOBAL)
        wanted = awaited(words, _GLOBAL)
        if wanted is not None:
            return found or _names(wanted, words[-1], None)
        return found or [name for name in COMMANDS if name.startswith(words[-1])]
    command = COMMANDS.get(words[at])
    if command is None:
        return []
    # --socket and --color may stand anywhere.
    socket = next((words[i + 1] for i, word in enumerate(words[:-2]) if word == "--socket"), None)
    grammar = _of_command(command.module, words[at + 1 :])
    grammar = grammar._replace(options=(*grammar.options, *_GLOBAL[:2]))
    last = grammar.words[-1]
    word = awaited(grammar.words, grammar.options)
    found = candidates(grammar.words, grammar.options)
    if word is None and not last.startswith("-"):
        word = _place(grammar)
        found = [choice for choice in word.choices if choice.startswith(last)] if word else []
    return found + (_names(word, last, socket) if word else [])


def main(argv: Sequence[str]) -> int:
    """Print candidates for ``INDEX damoctl WORDS...``; whatever is wrong prints nothing."""
    if len(argv) < 2 or not argv[0].isdecimal():
        return 2
    words = [*argv[2:], ""][: int(argv[0])]
    for word in complete(words or [""]):
        print(word)
    return 0
