"""damo.d(5): the policy document out of its models, and what an option of damoctl says about the same value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from damoctl.flags.table import OPTIONS
from damod import __version__
from damod.policy.schema import schema
from install.man.roff import bold, heading, italic, literal, paragraph, plain, subheading, term, title

EXAMPLE = Path(__file__).parents[2] / "etc/damo.d/30-reclaim.yaml"

# Where in a kdamond's spec the options of a level begin.
_LEVELS = {"contexts": "ctx", "targets": "target", "schemes": "scheme", "probes": "probe"}


def page() -> Iterator[str]:
    """The whole page."""
    root = schema()
    yield title("damo.d", 5, __version__)
    yield heading("NAME")
    yield f"damo.d \\- {plain('policies of damod: what this machine is to keep to')}\n"
    yield heading("SYNOPSIS")
    yield f"{italic('/etc/damo.d/NAME.yaml')}, {italic('/etc/damo.d/NAME.d/*.yaml')}\n.br\n"
    yield f"{italic('/run/damo.d/')}, {italic('/usr/lib/damo.d/')}\n"
    yield heading("DESCRIPTION")
    yield paragraph(
        "Each file is a policy: which memory is monitored, how, and what is done to it. damod(8) applies all that are"
        " enabled when it starts and on `systemctl reload damod` (or `damoctl policy reload`), and from then on sees to"
        " it that the kernel keeps to them.\n\n"
        "A file in /etc/damo.d hides one of the same name in /run/damo.d, and that one in /usr/lib/damo.d. A link to"
        " /dev/null masks it. Files NAME.d/*.yaml merge over the policy NAME in the order of their names. A policy is"
        " called as its file, without a leading number and .yaml.\n\n"
        "A file that cannot be read or is wrong changes nothing about what runs, its own last good version included."
        " `damoctl policy check` tells what is wrong with file, line and column; `damoctl policy schema` prints a JSON"
        " Schema for editors. Policies that are shipped in /usr/lib/damo.d are disabled: `damoctl policy enable NAME`."
    )
    yield heading("EXAMPLE")
    yield literal(EXAMPLE.read_text())
    yield heading("KEYS")
    yield paragraph(
        "Numbers may have a unit: sizes `64 MiB`, times `1.5 s`, shares `4%`; `max` is the largest number. A bare"
        " number is in the unit that the key's name or type says."
    )
    for name, (model, at) in _models(root).items():
        yield subheading(name if name == "policy" else f"{name} ({model.get('title', '')})")
        if model.get("description"):
            yield paragraph(model["description"])
        for key, item in model.get("properties", {}).items():
            if not item.get("readOnly"):
                yield term(f"{bold(key + ':')} {italic(kind(item, root))}", _about(key, item, at))
    yield heading("SEE ALSO")
    yield f"{bold('damod')}(8), {bold('damoctl')}(1), {bold('damod.yaml')}(5)\n"


def _models(root: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], tuple[str, str]]]:
    """key path -> (model, (level, path below it)), each model once, in the order of the document."""
    found: dict[str, tuple[Mapping[str, Any], tuple[str, str]]] = {"policy": (root, ("", ""))}
    seen = {"SchemeStats"}
    pending: list[tuple[str, Mapping[str, Any], tuple[str, str]]] = [("", root, ("", ""))]
    while pending:
        name, model, (level, path) = pending.pop(0)
        for key, item in model.get("properties", {}).items():
            for ref in _refs(item):
                if ref in seen:
                    continue
                seen.add(ref)
                inner = root["$defs"][ref]
                at = (_LEVELS[key], "") if key in _LEVELS and name else (level, f"{path}{key}.")
                if key == "kdamonds":
                    at = ("kdamond", "")
                place = f"{name}.{key}" if name else key
                found[f"{place}: {ref}" if place in found else place] = (inner, at)
                pending.append((place, inner, at))
    return found


def _refs(item: Mapping[str, Any]) -> list[str]:
    refs = [item["$ref"].rpartition("/")[2]] if "$ref" in item else []
    for key in ("anyOf", "oneOf", "allOf"):
        for one in item.get(key, ()):
            refs += _refs(one)
    if isinstance(item.get("items"), Mapping):
        refs += _refs(item["items"])
    return refs


def kind(item: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """What may stand there, in a word or as the list of words."""
    if "x-unit" in item:
        return str(item["x-unit"])
    if "enum" in item:
        return "|".join(map(str, item["enum"]))
    if "const" in item:
        return str(item["const"])
    if "$ref" in item:
        return kind(root["$defs"][item["$ref"].rpartition("/")[2]], root)
    choices = [one for key in ("anyOf", "oneOf", "allOf") for one in item.get(key, ()) if one.get("type") != "null"]
    if choices:
        return "|".join(dict.fromkeys(kind(one, root) for one in choices))
    if item.get("type") == "array":
        inner = item.get("items")
        return f"list of {kind(inner, root)}" if isinstance(inner, Mapping) else "list"
    names = {"object": "keys", "boolean": "true|false", "integer": "number", "string": "text"}
    return names.get(str(item.get("type", "")), "value")


def _about(key: str, item: Mapping[str, Any], at: tuple[str, str]) -> str:
    told = [str(item.get("description", "")).rstrip(".")]
    level, path = at
    setting = [
        option
        for option in OPTIONS
        if option.level == level and not option.hidden and any(word.path == f"{path}{key}" for word in option.words)
    ]
    if setting:
        # The one that sets little else says it best.
        option = min(setting, key=lambda one: len(one.words))
        told += [] if told[0] else [option.about.rstrip(".")]
        told.append(f"As `{option.name}` of damoctl(1)")
    if "default" in item and item["default"] not in (None, "", [], {}):
        default = item["default"]
        told.append(f"Default: {str(default).lower() if isinstance(default, bool) else default}")
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in told if one)
