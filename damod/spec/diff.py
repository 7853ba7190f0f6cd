"""What differs between two specs, as a list of changes for people and programs.

Items of lists are compared by their position, as the kernel does on a commit. What only a running kernel knows (state,
pid, stats, effective quota) is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from damod.spec.base import Spec, Unit, human, unit_of
from damod.spec.kdamond import Kdamond
from damod.spec.scheme import Quota, Scheme

# (model, field) that a running kernel fills in.
STATUS_FIELDS = {(Kdamond, "state"), (Kdamond, "pid"), (Scheme, "stats"), (Quota, "effective_sz_bytes")}


@dataclass(frozen=True)
class Change:
    """One field, or a whole item that came or went (then the other side is None). Values are in human spelling."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None and isinstance(self.new, dict):
            return f"{self.path}: added ({_brief(self.new)})"
        if self.new is None and isinstance(self.old, dict):
            return f"{self.path}: removed ({_brief(self.old)})"
        return f"{self.path}: {_shown(self.old)} -> {_shown(self.new)}"

    def to_wire(self) -> dict[str, Any]:
        """The change as msgpack-able data."""
        return {"path": self.path, "old": self.old, "new": self.new}


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _brief(item: dict[str, Any]) -> str:
    """The plain fields of an item, enough to know which one is meant."""
    return ", ".join(
        f"{name} {_shown(value)}" for name, value in item.items() if not isinstance(value, (dict, list, type(None)))
    )


def _differ(old: Any, new: Any, path: str, unit: Unit | None) -> Iterator[Change]:
    if isinstance(old, Spec) and type(old) is type(new):
        for name, info in type(old).model_fields.items():
            if (type(old), name) not in STATUS_FIELDS:
                yield from _differ(getattr(old, name), getattr(new, name), f"{path}.{name}", unit_of(info))
    elif isinstance(old, tuple) and isinstance(new, tuple) and not unit:
        for index in range(max(len(old), len(new))):
            at = f"{path}[{index}]"
            if index >= len(old):
                yield Change(at, None, human(new[index]))
            elif index >= len(new):
                yield Change(at, human(old[index]), None)
            else:
                yield from _differ(old[index], new[index], at, None)
    elif old != new:
        yield Change(path, human(old, unit), human(new, unit))


def diff(old: Sequence[Kdamond], new: Sequence[Kdamond]) -> list[Change]:
    """The changes that make `new` out of `old`, in the order of the spec."""
    return list(_differ(tuple(old), tuple(new), "kdamonds", None))
