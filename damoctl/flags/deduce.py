"""What the positional argument is: a keyword, a pid, a command, or a whole set-up as text or file.

Nothing is started here: a command is only recognised and given back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from damoctl.flags.table import OPS
from damod.errors import NotFound, UsageError
from damod.near import near

# damod takes frames of a MiB, so nothing larger could be sent to it; compact JSON is a fraction of its text in a file.
_MAX_CHARACTERS = 4 << 20
KEYWORDS = ("paddr", "vaddr", "fvaddr", "ongoing")


class Command(NamedTuple):
    """A command line for /bin/sh that the caller shall start, and monitor."""

    text: str


class Deduced(NamedTuple):
    """One of: operations set, pid, command, document, or `ongoing` (what runs already)."""

    ops: str = ""
    pid: int | None = None
    command: Command | None = None
    document: Any = None
    ongoing: bool = False


def _yaml(text: str, where: str) -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Plain(base):  # type: ignore[misc]
        """YAML without the surprises of version 1.1: no `on`, no 1:30, no 012; a key twice is an error."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if str(key.value) in seen:
                    mark = key.start_mark
                    raise UsageError(f"{where}:{mark.line + 1}:{mark.column + 1}: key {key.value!r} is there twice")
                seen.add(str(key.value))
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    Plain.yaml_implicit_resolvers = {}
    for tag, pattern, first in (
        ("null", r"^(?:null|~|)$", ["n", "~", ""]),
        ("bool", r"^(?:true|false)$", list("tf")),
        ("int", r"^(?:0|-?[1-9][0-9]*)$", list("-0123456789")),
        ("float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$", list("-0123456789")),
    ):
        import re

        Plain.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    try:
        loader = Plain(text)
        root = loader.get_single_node()
        _without_aliases(root, where)
        return None if root is None else loader.construct_document(root)
    except RecursionError:
        raise UsageError(f"{where}: nested too deeply to be a set-up") from None
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{where}{at}: this is not YAML: {exc.problem}") from exc
    except (yaml.YAMLError, ValueError, LookupError) as exc:  # also a tag that its value belies, as in !!bool maybe
        raise UsageError(f"{where}: this is not YAML: {' '.join(str(exc).split())}") from exc


def _without_aliases(root: Any, where: str) -> None:
    """UsageError for an alias: a few lines of aliases of aliases are more values than any memory holds."""
    seen: set[int] = set()
    nodes = [] if root is None else [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            mark = node.start_mark
            raise UsageError(
                f"{where}:{mark.line + 1}:{mark.column + 1}: aliases (*name) of this are not taken",
                hint="write the value where it counts",
            )
        seen.add(id(node))
        if node.id == "sequence":
            nodes += node.value
        elif node.id == "mapping":
            nodes += [part for pair in node.value for part in pair]


def parse_document(text: str, where: str) -> Any:
    """JSON or YAML text as plain values. Raises UsageError with the place."""
    import json

    if len(text) > _MAX_CHARACTERS:
        raise UsageError(f"{where}: more than {_MAX_CHARACTERS:,} characters; this is no set-up")
    stripped = text.lstrip()
    if stripped[:1] in ("{", "["):
        try:
            return json.loads(text)
        except json.JSONDecodeError as exc:
            if where.endswith((".yaml", ".yml")):
                return _yaml(text, where)
            raise UsageError(f"{where}:{exc.lineno}:{exc.colno}: this is not JSON: {exc.msg}") from exc
        except RecursionError:
            raise UsageError(f"{where}: nested too deeply to be a set-up") from None
        except ValueError as exc:
            raise UsageError(f"{where}: this is not JSON: {exc}") from exc
    return _yaml(text, where)


def _looks_like_text(word: str) -> bool:
    return word.lstrip()[:1] in ("{", "[") or "\n" in word or word.startswith(("kdamonds:", "- "))


def read_document(word: str) -> Any:
    """The document that a word is, names, or (for ``-``) that comes on standard input."""
    if word == "-":
        return parse_document(sys.stdin.read(_MAX_CHARACTERS + 1), "standard input")
    if _looks_like_text(word):
        return parse_document(word, "the given text")
    try:
        with Path(word).open(encoding="utf-8") as file:
            return parse_document(file.read(_MAX_CHARACTERS + 1), word)
    except FileNotFoundError as exc:
        raise NotFound(
            f"{word} is neither a file nor JSON or YAML text", hint="give a file name, the text itself, or -"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"cannot read {word}: {exc}") from exc


def _which(name: str) -> str | None:
    from shutil import which

    return which(name)


def deduce(word: str, *, which: Callable[[str], str | None] = _which) -> Deduced:
    """What the word is. Raises UsageError or NotFound."""
    if word == "ongoing":
        return Deduced(ongoing=True)
    if word in OPS:
        return Deduced(ops=word)
    if word.isdecimal():
        return Deduced(pid=int(word))
    if word == "-" or _looks_like_text(word):
        return Deduced(document=read_document(word))
    first, *more = word.split() or [""]
    program = bool(first) and which(first) is not None
    if word.endswith((".json", ".yaml", ".yml")) and not (program and more and not Path(word).exists()):
        return Deduced(document=read_document(word))
    if program:
        return Deduced(command=Command(word))
    if Path(word).is_file():
        return Deduced(document=read_document(word))
    raise NotFound(
        f"{word!r} is no monitoring target: not paddr, vaddr or fvaddr, no pid, no command that is found, no file"
        + near(word, KEYWORDS),
        hint="a whole set-up may be given as JSON or YAML text, as a file, or as - for standard input",
    )
