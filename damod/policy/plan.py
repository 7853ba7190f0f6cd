"""What there is + what is wanted -> steps. Pure, and right after any number of the steps: planning again goes on.

Each step is a transaction of the owner. Steps that free something come first; what does not change has no step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from damod.spec.diff import Change
from damod.spec.kdamond import Kdamond


@dataclass(frozen=True)
class Running:
    """One kdamond that runs: the parameters it was given, and what somebody else has changed since."""

    spec: Kdamond
    drift: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Wish:
    """A set as it should run. `repair`: what somebody else changed is set again."""

    kdamonds: tuple[Kdamond, ...]
    take_over: bool = False
    repair: bool = True


@dataclass(frozen=True)
class Stop:
    """End a set, or (`index`) one of its kdamonds."""

    name: str
    index: int | None = None

    def __str__(self) -> str:
        return f"stop {_one(self.name, self.index)}"


@dataclass(frozen=True)
class Start:
    """Start all kdamonds of a set that does not run."""

    name: str
    kdamonds: tuple[Kdamond, ...] = field(repr=False)
    take_over: bool = False

    def __str__(self) -> str:
        return f"start {self.name}"


@dataclass(frozen=True)
class Add:
    """Start one kdamond of a set whose others run: it died, or is new."""

    name: str
    index: int
    kdamond: Kdamond = field(repr=False)

    def __str__(self) -> str:
        return f"start {_one(self.name, self.index)}"


@dataclass(frozen=True)
class Tune:
    """Give a whole running set its parameters, without a restart wherever the kernel allows."""

    name: str
    kdamonds: tuple[Kdamond, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"change {self.name}"


@dataclass(frozen=True)
class Repair:
    """Set again what somebody else changed."""

    name: str

    def __str__(self) -> str:
        return f"repair {self.name}"


Step = Stop | Start | Add | Tune | Repair
Observed = Mapping[str, Mapping[int, Running]]
"""Set -> index -> kdamond; of sets that policies own, nobody else's."""


def _one(name: str, index: int | None) -> str:
    return name if index is None else f"{name}[{index}]"


def plan(observed: Observed, wanted: Mapping[str, Wish], order: Sequence[str], keep: Sequence[str] = ()) -> list[Step]:
    """The steps from `observed` to `wanted`, whose sets are started in `order`; sets in `keep` are left as they are."""
    ends: list[Step] = [Stop(name) for name in sorted(observed) if name not in wanted and name not in keep]
    changes: list[Step] = []
    begins: list[Step] = []
    for name in order:
        if name in keep:
            continue
        wish, running = wanted[name], observed.get(name, {})
        if not any(index < len(wish.kdamonds) for index in running):
            # Nothing of it can stay (if there is anything, it is what an interrupted change left).
            ends += [Stop(name)] if running else []
            begins.append(Start(name, wish.kdamonds, wish.take_over))
            continue
        ends += [Stop(name, index) for index in sorted(running) if index >= len(wish.kdamonds)]
        missing = [index for index in range(len(wish.kdamonds)) if index not in running]
        begins += [Add(name, index, wish.kdamonds[index]) for index in missing]
        staying = {index: item for index, item in running.items() if index < len(wish.kdamonds)}
        if any(item.spec != wish.kdamonds[index] for index, item in staying.items()):
            # A change is of the whole set, so the missing ones are started before it.
            (begins if missing else changes).append(Tune(name, wish.kdamonds))
        elif wish.repair and any(item.drift for item in staying.values()):
            changes.append(Repair(name))
    return [*ends, *changes, *begins]
