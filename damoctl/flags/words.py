"""A command line as a list of uses of options, in order and with positions, which argparse would lose.

The conventions are argparse's: unambiguous prefixes of long names, ``--name=word``, lists end at the next option,
``--`` ends the options, anything that begins like a number (``-5``, ``-5s``) is a word. All that is wrong is told at
once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from damoctl.flags.option import Option, Use, read_use
from damod.errors import UsageError
from damod.near import near

_NUMBER = re.compile(r"-\.?\d")


class Line(NamedTuple):
    """A tokenised command line: uses of options in order, and the words that belong to none."""

    uses: list[Use]
    rest: list[str]

    def of(self, *names: str) -> list[Use]:
        """The uses of some options."""
        return [use for use in self.uses if use.option.name in names]

    def has(self, name: str) -> bool:
        return any(use.option.name == name for use in self.uses)

    def last(self, name: str, default: str = "") -> str:
        """The first word of the last use of an option."""
        found = self.of(name)
        return found[-1].words[0] if found else default


def problems_error(what: str, problems: Sequence[str], hint: str = "", below: str = "") -> UsageError:
    """One error that tells all problems, each on a line of its own if there are several, and what stands `below`."""
    lines = "".join(f"\n  {problem}" for problem in problems)
    text = problems[0] if len(problems) == 1 else f"{len(problems)} problems in {what}:{lines}"
    return UsageError(text + below, hint=hint, problems=list(problems))


def by_name(options: Iterable[Option]) -> dict[str, Option]:
    """Every spelling -> its option."""
    return {name: option for option in options for name in option.names}


def _is_option(text: str, shorts: set[str]) -> bool:
    if len(text) < 2 or text[0] != "-" or _NUMBER.match(text) or " " in text.split("=")[0]:
        return False
    return text.startswith("--") or text[:2] in shorts


def find(name: str, names: dict[str, Option]) -> Option:
    """The option that a long name or an unambiguous prefix of one means. Raises ValueError."""
    if name in names:
        return names[name]
    found = {spelling: option for spelling, option in names.items() if name != "--" and spelling.startswith(name)}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"{name} may mean {', '.join(sorted(found))}")
    raise ValueError(f"there is no option {name}{near(name, names)}")


def parse(argv: Sequence[str], options: Iterable[Option], *, also: Callable[[Line], list[str]] | None = None) -> Line:
    """Tokenise. The words of options of level "command" are checked; those of the others have readers of their own.

    Raises UsageError with everything that is wrong; then `also` says what is wrong with the words that were understood.
    """
    names = by_name(options)
    shorts = {name for name in names if not name.startswith("--")}
    uses: list[Use] = []
    rest: list[str] = []
    problems: list[str] = []
    at = 0
    while at < len(argv):
        text, start = argv[at], at
        at += 1
        if text == "--":
            rest += argv[at:]
            break
        if not _is_option(text, shorts):
            if len(text) > 1 and text[0] == "-" and not _NUMBER.match(text) and " " not in text:
                problems.append(f"there is no option {text}")
            else:
                rest.append(text)
            continue
        name, equals, value = text.partition("=")
        if not text.startswith("--"):
            name, value = text[:2], text[2:].removeprefix("=")
            equals = value
        try:
            option = find(name, names)
        except ValueError as exc:
            problems.append(str(exc))
            while at < len(argv) and not _is_option(argv[at], shorts):
                at += 1
            continue
        words = [value] if equals else []
        if equals and not option.words:
            problems.append(f"{option.name} takes no word, not {value!r}")
            continue
        while not equals and len(words) < option.at_most and at < len(argv):
            if argv[at] == "--" or _is_option(argv[at], shorts):
                break
            words.append(argv[at])
            at += 1
        if len(words) < option.at_least:
            given = f"got {len(words)}: {' '.join(words)}" if words else "got none"
            problems.append(f"{option.synopsis()} needs {option.at_least} {_words(option.at_least)}, {given}")
            continue
        uses.append(Use(option, tuple(words), start))
    own = [use for use in uses if use.option.level == "command"]
    problems += [problem for use in own for problem in read_use(use)[1]]
    for option in dict.fromkeys(use.option for use in own if use.option.words and not use.option.repeat):
        times = sum(use.option is option for use in own)
        if times > 1:
            problems.append(f"{option.name} is given {times} times")
    if problems:
        problems += also(Line(uses, rest)) if also else []
        raise problems_error("the options", problems, hint="`--help` lists the options")
    return Line(uses, rest)


def _words(number: int) -> str:
    return "word" if number == 1 else "words"
