"""What is left of a policy on a kernel that lacks some of it, with `on_missing: skip`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damod.policy.text import path_of
from damod.spec.kdamond import Kdamond
from damod.spec.needs import Offer, needs

# Without these a scheme still does what it says, only less finely or at another pace; all else takes the scheme away.
_OPTIONAL = ("apply_interval_us", "goal_tuner", "fail_charge_num", "fail_charge_denom", "max_nr_snapshots")


def lacking(kdamonds: Sequence[Kdamond], features: Offer) -> list[tuple[str, str]]:
    """(feature, path) of what this kernel lacks."""
    return [(name, path) for name, path in needs(kdamonds) if not features.has(name)]


def reduce(kdamonds: Sequence[Kdamond], features: Offer) -> tuple[tuple[Kdamond, ...], list[str]]:
    """The kdamonds without what this kernel lacks, and a sentence for each thing left out.

    A goal goes alone if another one or a plain quota still limits its scheme; a filter never does, since a scheme
    without it would touch more. What has no default to fall back to (ops) stays, and fails later.
    """
    kept = tuple(kdamonds)
    told: list[str] = []
    # Paths count positions, so the last ones go first.
    for name, text in reversed(lacking(kdamonds, features)):
        path = path_of(text)
        if name.startswith("ops."):
            continue
        at = path.index("schemes") if "schemes" in path else None
        if at is None:
            kept = _changed(kept, path[1:], reset=True)
            told.append(f"{text} goes back to its default: this kernel lacks {name}")
            continue
        scheme = path[1 : at + 2]
        if not _exists(kept, scheme):
            continue
        if path[-1] in _OPTIONAL:
            kept = _changed(kept, path[1:], reset=True)
            told.append(f"{text} goes back to its default: this kernel lacks {name}")
            continue
        if "goals" in path:
            goal = path[1 : path.index("goals") + 2]
            if not _exists(kept, goal):
                continue
            without = _changed(kept, goal)
            if _at(without, scheme).quotas.active:
                kept = without
                told.append(f"{text} is left out: this kernel lacks {name}")
                continue
        kept = _changed(kept, scheme)
        told.append(f"kdamonds[{path[1]}] does without its scheme {path[at + 1]}: this kernel lacks {name}")
    return kept, told[::-1]


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        value = value[part] if isinstance(part, int) else getattr(value, part)
    return value


def _exists(value: Any, path: Sequence[str | int]) -> bool:
    try:
        _at(value, path)
    except IndexError:
        return False
    return True


def _changed(value: Any, path: Sequence[str | int], *, reset: bool = False) -> Any:
    """`value` with the item at `path` taken out of its list, or its field at the default."""
    part, rest = path[0], path[1:]
    if isinstance(part, int):
        inner = (_changed(value[part], rest, reset=reset),) if rest else ()
        return value[:part] + inner + value[part + 1 :]
    if rest:
        new = _changed(getattr(value, part), rest, reset=reset)
    else:
        new = type(value).model_fields[part].get_default()
    return value.model_copy(update={part: new})
