"""A change to a running set-up: only what the user said, everything else as it is.

`partial` reads a command line into (spec path, value) pairs; `apply_partial` puts them into the kdamonds that run. A
scheme is meant by its place on the command line, or by --scheme: its index, or its action if only one scheme has it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from damoctl.flags.compile import Compiled, compile_words
from damoctl.flags.option import Option, Word
from damod.errors import UsageError
from damod.near import near

SCHEME = Option(
    ("--scheme",), "command", "The scheme to change: its index, or its action if only one has it.", (Word("scheme"),)
)
_STEP = re.compile(r"([a-z_]+)|\[(\d+)\]")
_STATUS = ("state", "pid")


def of_compiled(compiled: Compiled) -> dict[str, Any]:
    """``{"set": [(path, value), ...], "scheme": index, action or None}`` of a line compiled with `partial`.

    Raises UsageError for a line that gives a whole spec, or nothing.
    """
    if compiled.whole:
        raise UsageError("a whole spec replaces everything; there is nothing partial about it")
    changes: dict[str, Any] = {}
    for given in compiled.given:
        path = given.path
        # Filters and goals are one list however many options make it; the last entry has them all.
        changes.pop(path, None)
        changes[path] = given.value
    context = compiled.spec["kdamonds"][0]["contexts"][0]
    targets = context.get("targets", [])
    if compiled.line.rest and targets and targets[0].get("pid") is not None:
        changes["kdamonds[0].contexts[0].targets[0].pid"] = targets[0]["pid"]
    if compiled.line.rest:
        changes["kdamonds[0].contexts[0].ops"] = context["ops"]
    if not changes:
        raise UsageError("nothing is given that could change", hint="`damoctl help damon_param_options` lists options")
    name = compiled.line.last("--scheme")
    selector: int | str | None = (int(name) if name.isdecimal() else name) if name else None
    schemes = {path.split(".schemes[")[1].split("]")[0] for path in changes if ".schemes[" in path}
    if selector is not None and schemes - {"0"}:
        raise UsageError(f"--scheme {name} means one scheme, but the options make {len(schemes)}")
    return {"set": list(changes.items()), "scheme": selector}


def partial(argv: Sequence[str]) -> dict[str, Any]:
    """What a command line of group P and --scheme changes."""
    return of_compiled(compile_words(argv, own=(SCHEME,), partial=True))


def _scheme_index(schemes: Sequence[dict[str, Any]], selector: int | str) -> int:
    actions = [str(scheme.get("action", "stat")) for scheme in schemes]
    shown = ", ".join(f"{index} {action}" for index, action in enumerate(actions)) or "none"
    if isinstance(selector, int):
        if selector >= len(schemes):
            raise UsageError(f"there is no scheme {selector}; there are: {shown}")
        return selector
    found = [index for index, action in enumerate(actions) if action == selector]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"several schemes do {selector}: {', '.join(map(str, found))}", hint="give --scheme an index")
    raise UsageError(f"no scheme does {selector!r}{near(selector, actions)}; there are: {shown}")


def _steps(path: str) -> list[str | int]:
    return [name or int(index) for name, index in _STEP.findall(path)]


def _set(kdamonds: list[dict[str, Any]], path: str, value: Any) -> None:
    steps = _steps(path)[1:]
    at: Any = kdamonds
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        if isinstance(step, int):
            # A further scheme or target may be added, but not one after a hole.
            if step == len(at) and number >= 4:
                at.append({})
            elif step >= len(at):
                raise UsageError(f"{path}: there are only {len(at)} of them now")
            if last:
                at[step] = value
            at = at[step]
        elif last:
            at[step] = value
        else:
            if at.get(step) is None:
                at[step] = [] if isinstance(steps[number + 1], int) else {}
            at = at[step]


def apply_partial(running: Sequence[dict[str, Any]], change: dict[str, Any]) -> list[dict[str, Any]]:
    """The kdamonds as they shall be: plain dicts without status. The given ones stay as they are."""
    wanted = copy.deepcopy(list(running))
    if not wanted:
        raise UsageError("no kdamond runs that could be changed", hint="`damoctl start` starts one")
    for kdamond in wanted:
        for name in _STATUS:
            kdamond.pop(name, None)
        for context in kdamond.get("contexts", ()):
            for scheme in context.get("schemes", ()):
                scheme.pop("stats", None)
                (scheme.get("quotas") or {}).pop("effective_sz_bytes", None)
    selector = change.get("scheme")
    where = None if selector is None else _scheme_index(wanted[0]["contexts"][0].get("schemes", []), selector)
    for path, value in change["set"]:
        chosen = path if where is None else path.replace(".schemes[0]", f".schemes[{where}]", 1)
        _set(wanted, chosen, value)
        if chosen.endswith(".action") and ".schemes[" in chosen:
            _forget_destination(wanted, chosen, [one for one, _ in change["set"]])
    return wanted


def _forget_destination(wanted: list[dict[str, Any]], path: str, given: Sequence[str]) -> None:
    """A new action does not go where the old one went, unless the same words say so."""
    from damoctl.flags.table import MIGRATIONS

    scheme: Any = wanted
    for step in _steps(path)[1:-1]:
        scheme = scheme[step]
    fresh = {name.rsplit(".", 1)[1] for name in given if name.rsplit(".", 1)[1] in ("target_nid", "dests")}
    if scheme["action"] not in MIGRATIONS or fresh:
        for name in {"target_nid", "dests"} - fresh:
            scheme.pop(name, None)
