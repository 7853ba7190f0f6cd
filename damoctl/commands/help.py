"""damoctl help: of a command, or the long lists of options and keywords that --help of a command leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.examples import of
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

NAME = "help"
HELP = "help on a command, long lists of options and keywords"

TOPICS = {
    "damon_param_options": "[all|monitoring|damos]: what to monitor and what to do (start, tune, record, args damon)",
    "access_filter_options": "which accesses to show (report access, record, args accesses_filter)",
    "access_format_options": "[options | record_format_keywords | snapshot_format_keywords |"
    " region_format_keywords]: how to show accesses (report access, args accesses_format)",
}
_CATEGORIES = ("all", "monitoring", "damos")
_LEVELS = ("record", "snapshot", "region")
_SUBTOPICS: dict[str, tuple[str, ...]] = {
    "damon_param_options": _CATEGORIES,
    "access_filter_options": (),
    "access_format_options": ("options", *(f"{level}_format_keywords" for level in _LEVELS)),
}


def subtopics(topic: str) -> tuple[str, ...]:
    """What may stand after a topic: parts of it, or the kinds of a command."""
    if topic in ("report", "args"):
        from importlib import import_module

        module = import_module(f"damoctl.commands.{topic}")
        return tuple(module.TYPES if topic == "report" else module.TOPICS)
    return _SUBTOPICS.get(topic, ())


def _one_of(words: Sequence[str], allowed: Sequence[str], topic: str) -> str:
    from damod.near import near

    if len(words) > 1:
        raise UsageError(f"help {topic} takes one word, not {' '.join(words)!r}")
    if words and words[0] not in allowed:
        raise UsageError(f"help {topic} knows {', '.join(allowed)}, not {words[0]!r}{near(words[0], allowed)}")
    return words[0] if words else allowed[0]


def _params(words: Sequence[str], width: int) -> str:
    from damoctl.flags.help import param_options

    return param_options(_one_of(words, _CATEGORIES, "damon_param_options"), width)


def _filters(words: Sequence[str], width: int) -> str:
    from damoctl.flags.access import FILTERS
    from damoctl.flags.help import options_help

    _one_of(words, ("options",), "access_filter_options")
    return options_help(FILTERS, width)


def _formats(words: Sequence[str], width: int) -> str:
    keywords = [f"{level}_format_keywords" for level in _LEVELS]
    what = _one_of(words, ["options", *keywords], "access_format_options")
    if what == "options":
        from damoctl.flags.access import FORMATS
        from damoctl.flags.help import options_help

        return options_help(FORMATS, width)
    from damoctl.reports import columns

    level = what.removesuffix("_format_keywords")
    keywords_of = {"record": columns.RECORD, "snapshot": columns.SNAPSHOT, "region": columns.REGION}[level]
    return "\n\n".join(f"{name}\n{keyword.about}" for name, keyword in keywords_of.items())


def _row(name: str, about: str, width: int) -> list[str]:
    from textwrap import wrap

    first = f"  {name:<{width}}  "
    return wrap(about, 98, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=False)


def _of_command(words: Sequence[str], ctx: Context) -> int:
    """What ``damoctl COMMAND ... --help`` prints; damo's old names are those of their commands."""
    from importlib import import_module

    from damoctl.verbs import COMMANDS

    module = import_module(f"damoctl.commands.{COMMANDS[words[0]].module}")
    status: int = module.run([*words[1:], "--help"], ctx)
    return status


def run(argv: list[str], ctx: Context) -> int:
    """Print a topic, or the topics."""
    from damoctl.verbs import COMMANDS

    topics = {"damon_param_options": _params, "access_filter_options": _filters, "access_format_options": _formats}
    words = [word for word in argv if word not in ("-h", "--help")]
    if words[:1] == [NAME]:
        words = words[1:]
    if not words:
        commands = {name: command.help for name, command in COMMANDS.items() if command.help}
        parts = ["usage: damoctl help <topic> | <command>", of(NAME)]
        for title, rows in (("topics", TOPICS), ("commands", commands)):
            width = max(map(len, rows))
            lines = [line for name, about in rows.items() for line in _row(name, about, width)]
            parts.append("\n".join([f"{title}:", *lines]))
        ctx.print("\n\n".join(parts))
        return 0
    if words[0] in COMMANDS:
        return _of_command(words, ctx)
    if words[0] not in topics:
        from damod.near import near

        raise UsageError(
            f"there is no help on {words[0]!r}{near(words[0], [*topics, *COMMANDS])}",
            hint=f"topics are {', '.join(topics)}, and every command",
        )
    ctx.print(topics[words[0]](words[1:], max(60, min(ctx.term.width, 100))))
    return 0
