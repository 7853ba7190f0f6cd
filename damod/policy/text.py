"""Strict YAML: text -> plain values, each key with its place; what YAML 1.1 would read otherwise is an error.

Anchors, aliases, merge keys and tags are not taken: a policy says what it says where it says it. Nothing of a file is
executed or constructed; sizes and depth are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 256 << 10
MAX_DEPTH = 32
MAX_NODES = 20_000

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where something stands. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file: the place, the key (``kdamonds[0].contexts``, "" for the whole), a sentence."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key + ': ' if self.key else ''}{self.message}"

    def to_wire(self) -> dict[str, Any]:
        """As msgpack-able data."""
        place = self.place
        return {
            "file": place.file,
            "line": place.line,
            "column": place.column,
            "key": self.key,
            "message": self.message,
        }


@dataclass(frozen=True)
class Text:
    """Plain values of one file, where each key (or list item) and each value stands, and what is wrong with it."""

    data: Any
    places: dict[Path, Place]
    problems: tuple[Problem, ...]


def spelled(path: Path) -> str:
    """``kdamonds[0].contexts[0].ops`` of a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def path_of(text: str) -> Path:
    """The inverse of `spelled`."""
    return tuple(int(number) if number else word for word, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", text))


# What YAML 1.1 readers take for a truth value, an octal number, base 60, a number with underscores, infinity.
_TRAPS = (
    (
        re.compile(r"(?i:on|off|yes|no|y|n)|True|TRUE|False|FALSE"),
        "is a truth value to some readers of YAML and a word to others; write true or false, or put it in quotes",
    ),
    (re.compile(r"[-+]?0[0-9_]+"), "is octal to some readers of YAML; write it without the leading 0, or in quotes"),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"),
        "is a number of base 60 to some; put it in quotes",
    ),
    (re.compile(r"[-+]?[0-9]+_[0-9_]*"), "is a number to some and a word to others; write it without underscores"),
    (re.compile(r"[-+]?\.(?i:inf|nan)"), "is no number that DAMON knows (the largest is max)"),
    (re.compile(r"<<"), "(a merge key) is not taken here; drop-in files do that"),
    (re.compile(r"0o[0-7]+|0b[01_]+"), "is a number to some and a word to others; write it in decimal"),
)
_INT, _FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,30})"), re.compile(r"-?(?:0|[1-9][0-9]{0,30})\.[0-9]{1,30}")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map", "timestamp", "value")
}
_MERGE = "tag:yaml.org,2002:merge"


def parse(text: str, file: str) -> Text:
    """Never raises for what is in `text`; then the problems say it, and `data` is what could be read of it."""
    import yaml

    def broken(line: int, column: int, message: str) -> Text:
        return Text(None, {}, (Problem(Place(file, line, column), "", message),))

    if len(text) > MAX_BYTES:
        return broken(1, 1, f"larger than {MAX_BYTES:,} bytes; this is no policy")
    if deep := _too_deep(text):
        return broken(deep, 1, f"nested deeper than {MAX_DEPTH} levels")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        said = " ".join(filter(None, [exc.context, exc.problem]))
        return broken(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, f"this is not YAML: {said}")
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        return broken(1, 1, f"this is not YAML: {' '.join(str(exc).split()) or type(exc).__name__}")
    reader = _Reader(file)
    data = reader.value(root, ()) if root is not None else {}
    return Text(data, reader.places, tuple(reader.problems))


def _too_deep(text: str) -> int:
    """The line on which nesting gets too deep for a recursive reader, 0 if it does not (over-estimated, cheaply)."""
    flow = 0
    for number, line in enumerate(text.splitlines(), start=1):
        flow += sum(map(line.count, "[{")) - sum(map(line.count, "]}"))
        opened = sum(map(line.count, "[{"))
        dashes = len(line) - len(line.lstrip(" -?:"))
        if flow > 4 * MAX_DEPTH or opened > 4 * MAX_DEPTH or dashes > 16 * MAX_DEPTH:
            return number
    return 0


class _Reader:
    """Walks composed nodes once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def _place(self, node: Any) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _tell(self, node: Any, path: Path, message: str) -> None:
        self.problems.append(Problem(self._place(node), spelled(path), message))

    def value(self, node: Any, path: Path) -> Any:
        self.places.setdefault(path, self._place(node))
        if id(node) in self._seen:
            self._tell(node, path, "aliases (*name) are not taken; write the value where it counts")
            return None
        self._seen.add(id(node))
        if len(path) > MAX_DEPTH or len(self._seen) > MAX_NODES:
            self._tell(node, path, f"more than {MAX_NODES:,} values or {MAX_DEPTH} levels; this is no policy")
            return None
        if node.tag not in _TAGS and not (node.id == "scalar" and node.tag == _MERGE):
            self._tell(node, path, f"tags ({node.tag}) are not taken")
            return None
        if node.id == "scalar":
            return self._scalar(node, path)
        if node.id == "sequence":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.id != "scalar" or key.tag not in (_TAGS | {_MERGE}):
                self._tell(key, path, "a key must be a word")
                continue
            word = str(key.value)
            if not key.style and self._trap(key, path):
                continue
            at = (*path, word)
            if word in found:
                first = self.places[at]
                self._tell(key, at, f"is there twice (first in line {first.line})")
                continue
            self.places[at] = self._place(key)
            found[word] = self.value(value, at)
        return found

    def _trap(self, node: Any, path: Path) -> bool:
        for pattern, why in _TRAPS:
            if pattern.fullmatch(node.value):
                self._tell(node, path, f"{node.value} {why}")
                return True
        return False

    def _scalar(self, node: Any, path: Path) -> Any:
        text = str(node.value)
        if node.style:  # quoted, or a block of text
            return text
        if self._trap(node, path):
            return None
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text) and abs(int(text)) < 2**63:
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text
