"""Directories of YAML -> policies: layers, drop-ins, masks, and every problem with its place.

A file name counts once, in the last directory that has it; a link to /dev/null masks it. ``NAME.d/*.yaml`` beside
``NAME.yaml`` (in any of the directories, by the same rule) merges over it: maps key by key, lists of maps item by item,
other lists as a whole; null gives a key its default back. What is wrong with one file concerns that policy alone.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from damod.errors import UsageError
from damod.near import near
from damod.policy.document import Policy
from damod.policy.text import MAX_BYTES, Path, Place, Problem, parse, path_of, spelled
from damod.spec.filter import LAYER

SUFFIX = ".yaml"
_NUMBER = re.compile(r"^[0-9]+-")


@dataclass(frozen=True)
class Document:
    """One policy as its files say. `policy` is None if something is wrong, or if it is masked.

    `data` are the merged plain values, `places` where each key comes from; `files` all that was read.
    """

    name: str
    file: str
    files: tuple[str, ...] = ()
    masked: bool = False
    data: Any = None
    places: Mapping[Path, Place] = field(default_factory=dict)
    policy: Policy | None = None
    problems: tuple[Problem, ...] = ()

    def place(self, path: Path | str) -> Place:
        """Where a key stands, or the nearest one above it that is in a file."""
        at = path_of(path) if isinstance(path, str) else path
        while at and at not in self.places:
            at = at[:-1]
        return self.places.get(at) or Place(self.file, 1, 1)

    def of(self, path: Path | str) -> str:
        """``file:line`` of a key."""
        place = self.place(path)
        return f"{place.file}:{place.line}"


def policy_name(file: str) -> str:
    """``tiering`` of ``/etc/damo.d/50-tiering.yaml``."""
    return _NUMBER.sub("", File(file).name.removesuffix(SUFFIX))


def load(directories: Sequence[str]) -> list[Document]:
    """All policies of the directories (in rising precedence), in the order of their file names.

    Never raises for what is in the files; UsageError for a directory that is there and cannot be listed.
    """
    found: dict[str, str] = {}
    drop_ins: dict[str, dict[str, str]] = {}
    for directory in directories:
        for entry in _entries(directory):
            if entry.endswith(".d"):
                inside = f"{directory}/{entry}"
                for name in _entries(inside):
                    if _counts(name):
                        drop_ins.setdefault(entry.removesuffix(".d"), {})[name] = f"{inside}/{name}"
            elif _counts(entry):
                found[entry] = f"{directory}/{entry}"
    documents: list[Document] = []
    taken: dict[str, str] = {}
    for entry in sorted(found):
        if not entry.isprintable():
            # Bytes that are no UTF-8, or control characters: they would break logs and answers.
            shown = ascii(found[entry])[1:-1]
            problem = Problem(Place(shown, 1, 1), "", "the file's name has bytes that are no text; rename it")
            documents.append(Document(ascii(policy_name(entry))[1:-1], shown, problems=(problem,)))
            continue
        stem = entry.removesuffix(SUFFIX)
        over = drop_ins.get(stem, {})
        document = read(found[entry], [over[name] for name in sorted(over)])
        if document.name in taken:
            problem = Problem(
                Place(document.file, 1, 1), "", f"{taken[document.name]} is policy {document.name} already"
            )
            document = Document(f"{document.name} ({entry})", document.file, document.files, problems=(problem,))
        taken.setdefault(document.name, document.file)
        documents.append(document)
    return documents


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - names alone are wanted
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise UsageError(
            f"the policies in {directory} cannot be listed ({exc.strerror})", hint="what runs goes on", path=directory
        ) from exc


def _counts(name: str) -> bool:
    """Whether a file is meant: editors' and packagers' copies are not."""
    return name.endswith(SUFFIX) and not name.startswith((".", "#"))


def read(file: str, drop_ins: Iterable[str] = ()) -> Document:
    """One policy from its file and what merges over it."""
    name = policy_name(file)
    if _masked(file):
        return Document(name, file, masked=True)
    texts = []
    files = [file, *(path for path in drop_ins if not _masked(path))]
    for path in files:
        try:
            text = _bytes(path).decode()
        except UnicodeDecodeError as exc:
            problem = Problem(Place(path, 1, 1), "", f"no UTF-8 text ({exc.reason} at byte {exc.start})")
            return Document(name, file, tuple(files), problems=(problem,))
        except OSError as exc:
            problem = Problem(Place(path, 1, 1), "", f"cannot be read ({exc.strerror})")
            return Document(name, file, tuple(files), problems=(problem,))
        texts.append((path, text))
    return of_texts(name, texts)


def _bytes(path: str) -> bytes:
    """The beginning of a file, as far as it may be long. Only of a regular one: a pipe would keep us waiting."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
        return file.read(MAX_BYTES + 1)


def _masked(path: str) -> bool:
    return os.path.realpath(path) == os.devnull


def of_texts(name: str, texts: Sequence[tuple[str, str]]) -> Document:
    """A policy from (file, text) of its file and its drop-ins."""
    file, files = texts[0][0], tuple(path for path, _ in texts)
    data: Any = {}
    places: dict[Path, Place] = {}
    problems: list[Problem] = []
    for path, text in texts:
        read_text = parse(text, path)
        problems += read_text.problems
        if read_text.data is not None and not isinstance(read_text.data, dict):
            problems.append(Problem(Place(path, 1, 1), "", "a policy is lines of `key: value`"))
        elif read_text.data is not None:
            data = _merged(data, read_text.data, (), places, read_text.places)
    if problems:
        return Document(name, file, files, data=data, places=places, problems=tuple(problems))
    document = Document(name, file, files, data=data, places=places)
    given = data.get("name", name)
    if given != name:
        told = f"{given!r} is not the name of the file, which makes this policy {name!r}; rename one of them"
        return replace(document, problems=(Problem(document.place(("name",)), "name", told),))
    try:
        policy = Policy.of({**data, "name": name})
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_input=True)
        found = [_problem(document, dict(error)) for error in errors if not _follows(error["loc"], errors)]
        return replace(document, problems=tuple(dict.fromkeys(found)))
    except (RecursionError, OverflowError, ValueError, TypeError, ZeroDivisionError) as exc:
        # A "before" validator met a value of a kind that it did not expect; the file is wrong, not the daemon.
        problem = Problem(document.place(()), "", f"this makes no policy: {' '.join(str(exc).split())}")
        return replace(document, problems=(problem,))
    return replace(document, policy=policy)


def _merged(old: Any, new: Any, path: Path, places: dict[Path, Place], of_new: Mapping[Path, Place]) -> Any:
    """`new` over `old`; `places` is brought up to date."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = dict(old)
        for key, value in new.items():
            at = (*path, key)
            if value is None and key in found:
                del found[key]
                _forget(places, at)
            else:
                found[key] = _merged(found.get(key), value, at, places, of_new)
        places.setdefault(path, of_new.get(path, Place("", 1, 1)))
        return found
    both = isinstance(old, list) and isinstance(new, list)
    if both and all(isinstance(item, dict) for item in [*old, *new]):
        items = [
            _merged(old[at] if at < len(old) else None, new[at], (*path, at), places, of_new)
            if at < len(new)
            else old[at]
            for at in range(max(len(old), len(new)))
        ]
        places.setdefault(path, of_new.get(path, Place("", 1, 1)))
        return items
    _forget(places, path)
    size = len(path)
    if isinstance(new, (dict, list)):
        places.update({at: place for at, place in of_new.items() if at[:size] == path})
    elif path in of_new:
        places[path] = of_new[path]
    return new


def _forget(places: dict[Path, Place], path: Path) -> None:
    size = len(path)
    if path in places:
        for at in [at for at in places if at[:size] == path]:
            del places[at]


# -- pydantic's errors in our words --------------------------------------------------------------------------------

_NAMED = re.compile(r"^([a-z_]+(?:\[\d+\])?(?:\.[a-z_]+(?:\[\d+\])?)*): (.*)$", re.DOTALL)


_KEYS, _LIST, _WHOLE, _TRUTH = "keys (`key: value`)", "a list (`- item`)", "a whole number", "true or false"
_TAKES = {
    "model_type": _KEYS, "model_attributes_type": _KEYS, "dict_type": _KEYS,
    "list_type": _LIST, "tuple_type": _LIST,
    "int_type": _WHOLE, "int_parsing": _WHOLE, "int_from_float": _WHOLE,
    "bool_type": _TRUTH, "bool_parsing": _TRUTH,
    "string_type": "text",
}  # fmt: skip
"""pydantic's kinds of errors about a type -> what is to be there, in a user's words."""


def _problem(document: Document, error: Mapping[str, Any]) -> Problem:
    at = _path(document, error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    kind = error["type"]
    if kind == "value_error" and not at:
        named = _NAMED.match(message)
        if named:
            at, message = path_of(named[1]), named[2]
    if kind == "extra_forbidden":
        known = sorted({name for model in _models(error["loc"][:-1]) for name in model.model_fields})
        message = f"there is no such key{near(str(at[-1]), known)}; allowed here: {', '.join(known)}"
    elif kind == "missing":
        message = "is missing"
    elif kind in ("literal_error", "union_tag_invalid"):
        context = error.get("ctx", {})
        allowed = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags") or ""))
        given = error.get("input")
        if kind == "union_tag_invalid":
            given = context.get("tag")
            at = (*at, "filter_type")
        message = f"{_short(given)} is none of {', '.join(allowed)}{near(str(given), allowed)}"
    elif kind in _TAKES:
        message = f"takes {_TAKES[kind]}, not {_short(error.get('input'))}"
    elif kind not in ("value_error", "union_tag_not_found"):
        message = f"{_short(error.get('input'))}: {message[:1].lower()}{message[1:]}"
    return Problem(document.place(at), spelled(at), message)


def _follows(loc: Sequence[str | int], errors: Sequence[Any]) -> bool:
    """Whether an error is only the consequence of others further down (a list without its wrong items is too short)."""
    return any(len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in errors)


def _path(document: Document, loc: Sequence[str | int]) -> Path:
    """The keys of a location in pydantic's sense, which also names the members of unions."""
    at: Path = ()
    for part in loc:
        union_member = part in LAYER and at and isinstance(at[-1], int)
        if (*at, part) in document.places or isinstance(part, int) or (part.isidentifier() and not union_member):
            at = (*at, part)
    return at


def _models(loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that can be at a location."""
    models: list[type[BaseModel]] = [Policy]
    for part in loc:
        fields = [model.model_fields[part] for model in models if isinstance(part, str) and part in model.model_fields]
        if fields:
            models = [model for info in fields for model in _within(info.annotation)]
        elif isinstance(part, str):
            # A union's member by its tag.
            models = [model for model in models if part in str(model.model_fields.get("filter_type", ""))] or models
    return models


def _within(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    if typing.get_origin(annotation) is typing.Literal:
        return []
    return [model for part in get_args(annotation) for model in _within(part)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
