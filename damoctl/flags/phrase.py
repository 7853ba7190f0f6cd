"""The little languages inside options: filters, quota goals, actions with destinations, region lists.

Each function takes the words of one use and gives plain spec values. They raise ValueError with the offending word,
what is allowed and what may have been meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from damoctl.flags.option import Word, read_word
from damoctl.flags.table import ACTIONS, FILTER_TYPES, GOAL_METRICS, MIGRATIONS, PROBE_FILTER_TYPES
from damod import units
from damod.near import near

VERDICTS = {"allow": True, "pass": True, "reject": False, "deny": False, "block": False}
_NOT = ("none", "non")
_MATCHING = {"matching": True, "nomatching": False}


def put(into: dict[str, Any], path: str, value: Any) -> None:
    """Set ``a.b.0`` in nested dicts and lists; a numbered step makes a list."""
    steps = path.split(".")
    last = steps[-1]
    at: Any = into
    for step, following in pairwise(steps):
        at = at.setdefault(step, [] if following.isdigit() else {})
    if isinstance(at, list):
        at.append(value)
    else:
        at[last] = value


def _options(kind: str, words: Sequence[str], at: int, wanted: Sequence[Word], into: dict[str, Any]) -> int:
    """Read the words that belong to a keyword; the index after them."""
    for number, word in enumerate(wanted):
        if at >= len(words):
            shown = " ".join(f"<{item.metavar}>" for item in wanted)
            raise ValueError(f"{kind} needs {shown}, got {' '.join(words[at - number : at]) or 'nothing'}")
        put(into, word.path, read_word(word, words[at]))
        at += 1
    return at


def _type(word: str, types: dict[str, tuple[Word, ...]]) -> str:
    if word not in types:
        raise ValueError(f"{word!r} is not a filter type ({', '.join(types)}){near(word, types)}")
    return word


def filters(words: Sequence[str], types: dict[str, tuple[Word, ...]] = FILTER_TYPES) -> list[dict[str, Any]]:
    """One or more filters in the new form, or one in the old form (``anon matching allow``)."""
    if len(words) > 1 and words[0] in types and words[1] in _MATCHING:
        return [_old_filter(words, types)]
    found, at = [], 0
    while at < len(words):
        allow = VERDICTS.get(words[at])
        if allow is None:
            known = [*types, *VERDICTS, *_NOT]
            if words[at] not in known:
                raise ValueError(
                    f"{words[at]!r} begins no filter: <allow|reject> [none] <type>, type one of "
                    f"{', '.join(types)}{near(words[at], known)}"
                )
            allow = False
        else:
            at += 1
        matching = not (at < len(words) and words[at] in _NOT)
        at += not matching
        if at >= len(words):
            raise ValueError(f"{' '.join(words)!r} ends before the filter's type ({', '.join(types)})")
        item: dict[str, Any] = {"filter_type": _type(words[at], types), "matching": matching, "allow": allow}
        at = _options(words[at], words, at + 1, types[words[at]], item)
        found.append(item)
    return found


def _old_filter(words: Sequence[str], types: dict[str, tuple[Word, ...]]) -> dict[str, Any]:
    item: dict[str, Any] = {"filter_type": words[0], "matching": _MATCHING[words[1]], "allow": False}
    at = _options(words[0], words, 2, types[words[0]], item)
    if at < len(words) and words[at] in VERDICTS:
        item["allow"] = VERDICTS[words[at]]
        at += 1
    if at < len(words):
        raise ValueError(
            f"{words[at]!r} is too much: the old form (<type> <matching|nomatching>) is one filter per option"
        )
    return item


def probe_filters(words: Sequence[str]) -> list[dict[str, Any]]:
    """Filters of a data attribute probe."""
    return filters(words, PROBE_FILTER_TYPES)


def goal(words: Sequence[str]) -> dict[str, Any]:
    """``<metric> <target value> [complement] [<option>...]``."""
    if words[0] not in GOAL_METRICS:
        raise ValueError(f"{words[0]!r} is not a metric ({', '.join(GOAL_METRICS)}){near(words[0], GOAL_METRICS)}")
    kind, wanted = GOAL_METRICS[words[0]]
    extra = list(words[2:])
    complement = "complement" in extra
    if complement:
        extra.remove("complement")
    item: dict[str, Any] = {
        "metric": words[0],
        "complement": complement,
        "target_value": read_word(Word("target value", kind), words[1]),
    }
    if words[0] == "user_input" and not extra:
        wanted = ()
    at = _options(words[0], extra, 0, wanted, item)
    if at < len(extra):
        raise ValueError(f"{extra[at]!r} is too much for {words[0]}")
    return item


def action(words: Sequence[str]) -> dict[str, Any]:
    """``pageout``, ``migrate_hot <nid>``, ``migrate_hot <nid> <weight> [<nid> <weight> ...]``."""
    name, *where = words
    if name not in ACTIONS:
        raise ValueError(f"{name!r} is not an action ({', '.join(ACTIONS)}){near(name, ACTIONS)}")
    if name not in MIGRATIONS:
        if where:
            raise ValueError(f"{name} takes no further word, not {' '.join(where)!r}; put a target first, or after --")
        return {"action": name}
    nodes = [read_word(Word("node id", "index"), word) for word in where]
    if not nodes:
        raise ValueError(f"{name} needs a node: {name} <nid>, or {name} <nid> <weight> [<nid> <weight> ...]")
    if len(nodes) == 1:
        return {"action": name, "target_nid": nodes[0]}
    if len(nodes) % 2:
        raise ValueError(f"{' '.join(words)!r} has a node without a weight")
    pairs = zip(nodes[::2], nodes[1::2], strict=True)
    return {"action": name, "dests": [{"id": nid, "weight": weight} for nid, weight in pairs]}


def regions(text: str) -> list[dict[str, Any]]:
    """``4096-8192 16K-1M``."""
    found = []
    for part in text.split():
        start, dash, end = part.partition("-")
        if not dash:
            raise ValueError(f"{part!r} is not <start>-<end>")
        found.append({"start": units.parse_size(start), "end": units.parse_size(end)})
    if not found:
        raise ValueError(f"{text!r} has no <start>-<end>")
    return found
