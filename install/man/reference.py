"""What each command of damoctl takes, as values, out of the tables that parse it: nothing is written here twice.

A command declares its words either as an argparse parser (`parser()`) or as tables of `Option`; both become `Entry`.
Tables that several commands share are told once (`SHARED`), and named where they apply.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from damoctl import complete
from damoctl.flags import access
from damoctl.flags.help import remarks
from damoctl.flags.option import Option
from damoctl.flags.table import OPTIONS
from damoctl.verbs import COMMANDS, Command

SHARED: dict[str, Sequence[Option]] = {
    "DAMON PARAMETERS": OPTIONS,
    "ACCESS FILTERS": access.FILTERS,
    "ACCESS FORMATS": access.FORMATS,
}


class Entry(NamedTuple):
    """One option or place: its names, what follows them, and what it is for."""

    names: tuple[str, ...]
    words: str
    about: str


class Section(NamedTuple):
    """A command, or one of its verbs. `also` names shared tables whose options it takes too."""

    words: tuple[str, ...]
    about: str
    examples: str
    entries: tuple[Entry, ...]
    also: tuple[str, ...]


def commands() -> Iterator[Section]:
    """All commands with their verbs, in the order of the overview; damo's old names are left out."""
    for name, command in COMMANDS.items():
        if command.help:
            yield from _command(name, command)


def of_option(option: Option) -> Entry:
    """An option of a table."""
    said = remarks(option)
    return Entry(
        option.names,
        option.synopsis().removeprefix(option.names[0]).strip(),
        f"{option.about} ({said})" if said else option.about,
    )


def _command(name: str, command: Command) -> Iterator[Section]:
    module = import_module(f"damoctl.commands.{command.module}")
    if hasattr(module, "parser"):
        yield from _of_parser((name,), command.help, module.parser())
        return
    examples = getattr(module, "EXAMPLES", "")
    verbs = _verbs(module)
    # A word that is no verb, so that what stands before verbs is told, too.
    yield _of_tables((name,), f"{command.help}{_listed(verbs)}", examples)
    for verb, about in verbs.items():
        section = _of_tables((name, verb), about, "")
        if section.entries or section.also:
            yield section


def _verbs(module: Any) -> dict[str, str]:
    """The kinds of a command that has some (`report access`, `args damon`), with what is said about them."""
    for name in ("TYPES", "TOPICS"):
        found = getattr(module, name, {})
        if isinstance(found, dict):
            told = {word: value if isinstance(value, str) else value[1] for word, value in found.items()}
        else:
            told = dict.fromkeys(found, "")
        if told and module.__name__.rpartition(".")[2] in ("report", "args", "help"):
            return told
    return {}


def _listed(verbs: dict[str, str]) -> str:
    return f": {', '.join(verbs)}" if verbs else ""


def _of_tables(words: tuple[str, ...], about: str, examples: str) -> Section:
    grammar = complete._of_command(words[0], [*words[1:], ""])
    also = tuple(title for title, table in SHARED.items() if set(table) <= set(grammar.options))
    told = [option for title in also for option in SHARED[title]]
    entries = [of_option(option) for option in grammar.options if option not in told and not option.hidden]
    entries = [entry for entry in entries if entry.names[0] != "--help"]
    return Section(words, about, examples, tuple(entries), also)


def _of_parser(words: tuple[str, ...], about: str, parser: argparse.ArgumentParser) -> Iterator[Section]:
    description = parser.description or ""
    found = re.match(r"examples:\n(?P<examples>.*?)\n\n(?P<about>.*)", description, flags=re.S)
    entries, verbs = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            said = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for verb, of_verb in action.choices.items():
                verbs += list(_of_parser((*words, verb), said.get(verb, ""), of_verb))
        elif "--help" not in action.option_strings and action.help != argparse.SUPPRESS:
            entries.append(_of_action(action))
    told = found["about"] if found else description or about
    yield Section(words, told or about, found["examples"] if found else "", tuple(entries), ())
    yield from verbs


def _of_action(action: argparse.Action) -> Entry:
    formatter = argparse.HelpFormatter("damoctl")
    default = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    words = "" if action.nargs == 0 else formatter._format_args(action, str(default))
    if action.choices and action.metavar is None:
        words = "{" + ",".join(map(str, action.choices)) + "}"
    if isinstance(action.metavar, tuple):
        words = " ".join(action.metavar)
    names = tuple(action.option_strings) or ("",)
    return Entry(names, words, (action.help or "").replace("%(default)s", str(action.default)))


def shared() -> Iterable[tuple[str, tuple[Entry, ...]]]:
    """The tables that several commands take."""
    for title, table in SHARED.items():
        yield title, tuple(of_option(option) for option in table if not option.hidden)
