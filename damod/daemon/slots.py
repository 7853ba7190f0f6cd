"""Whose kdamond is which: the slots of the pool that are in use, kept in a file that outlives the daemon.

`slots.json` in the runtime directory is written whole and renamed into place, so that there is always one that makes
sense. It is gone after a reboot with /run, as are the kdamonds.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from damod.errors import DamodError, UsageError
from damod.spec.base import human
from damod.spec.kdamond import Kdamond, Target, parse_kdamonds

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_VERSION = 1


def check_name(name: str) -> None:
    """Raise UsageError if this cannot be the name of a set."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a set of kdamonds",
            hint="1 to 64 of the characters A-Z a-z 0-9 . _ -",
        )


@dataclass(frozen=True)
class Owned:
    """A slot that is ours: the `index`-th kdamond of the set `name`, which is a policy's or was started by hand.

    `pid` is None between the decision to start and the kernel's answer. `pid_start` and `targets` (pid -> start time)
    tell a process from a later one with the same number. `family` is None unless descendants of the targets are
    targets too; then it is all of them that live, likewise.
    """

    slot: int
    name: str
    index: int
    spec: Kdamond
    pid: int | None = None
    pid_start: int | None = None
    started_ns: int = 0
    targets: dict[int, int | None] = field(default_factory=dict)
    policy: bool = False
    family: dict[int, int | None] | None = None

    @property
    def now(self) -> Kdamond:
        """The spec with the targets as they are now: those given that live, then their descendants."""
        if self.family is None:
            return self.spec
        (context,) = self.spec.contexts
        given = [target for target in context.targets if target.pid in self.family]
        pids = {target.pid for target in given}
        born = [Target(pid=pid) for pid in self.family if pid not in pids]
        return self.spec.model_copy(update={"contexts": (context.model_copy(update={"targets": (*given, *born)}),)})

    @property
    def processes(self) -> dict[int, int | None]:
        """pid -> start time of those that are watched now."""
        return self.targets if self.family is None else self.family

    def to_json(self) -> dict[str, Any]:
        """Plain data for slots.json."""
        return {
            "name": self.name,
            "index": self.index,
            "spec": human(self.spec),
            "pid": self.pid,
            "pid_start": self.pid_start,
            "started_ns": self.started_ns,
            "targets": {str(pid): start for pid, start in self.targets.items()},
            "policy": self.policy,
            "family": None if self.family is None else {str(pid): start for pid, start in self.family.items()},
        }

    @classmethod
    def from_json(cls, slot: int, data: dict[str, Any]) -> Owned:
        """The inverse of `to_json`. Raises what wrong data raises."""
        (spec,) = parse_kdamonds([data["spec"]])
        return cls(
            slot=slot,
            name=str(data["name"]),
            index=int(data["index"]),
            spec=spec,
            pid=data["pid"],
            pid_start=data["pid_start"],
            started_ns=int(data["started_ns"]),
            targets={int(pid): start for pid, start in data["targets"].items()},
            policy=bool(data.get("policy", False)),
            family=None if data.get("family") is None else {int(pid): at for pid, at in data["family"].items()},
        )


@dataclass(frozen=True)
class Slots:
    """All that is remembered: our slots, the size of the pool we allocated (0: none), modules we switched off and those
    that we were told to switch on."""

    pool: int = 0
    owned: dict[int, Owned] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def with_slot(self, item: Owned) -> Slots:
        return replace(self, owned={**self.owned, item.slot: item})

    def without(self, slot: int) -> Slots:
        return replace(self, owned={key: item for key, item in self.owned.items() if key != slot})

    def of(self, name: str) -> list[Owned]:
        """The slots of a set in the order of its spec."""
        return sorted((item for item in self.owned.values() if item.name == name), key=lambda item: item.index)

    def names(self) -> list[str]:
        return sorted({item.name for item in self.owned.values()})


class RuntimeDir:
    """The directory with the file. Whoever uses it holds `daemon.lock.RuntimeLock` on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Text of what was saved last, by slot: of many slots one changes at a time.
        self._texts: dict[int, tuple[Owned, str]] = {}

    @property
    def file(self) -> Path:
        return self.path / "slots.json"

    def load(self) -> Slots:
        """What was saved last; empty if nothing was. Raises ValueError if the file makes no sense."""
        try:
            text = self.file.read_text()
        except FileNotFoundError:
            return Slots()
        try:
            data = json.loads(text)
            if data["version"] != _VERSION:
                raise ValueError(f"version {data['version']} instead of {_VERSION}")
            owned = {int(slot): Owned.from_json(int(slot), item) for slot, item in data["slots"].items()}
            return Slots(int(data["pool"]), owned, tuple(data["switched_off"]), tuple(data.get("modules", ())))
        except (ValueError, KeyError, TypeError, AttributeError, DamodError) as exc:
            raise ValueError(f"{self.file} cannot be read: {exc}") from exc

    def save(self, slots: Slots) -> None:
        """Write all of it so that after a crash there is either the old file or the new one."""
        known = {slot: text for slot, text in self._texts.items() if slots.owned.get(slot) is text[0]}
        self._texts = {
            slot: known.get(slot) or (item, json.dumps(item.to_json())) for slot, item in sorted(slots.owned.items())
        }
        modules = {"switched_off": list(slots.switched_off), "modules": list(slots.modules)}
        head = json.dumps({"version": _VERSION, "pool": slots.pool, **modules})
        items = ",\n".join(f'"{slot}": {text}' for slot, (_, text) in self._texts.items())
        partial = self.file.with_suffix(".json.part")
        with open(partial, "w") as out:
            out.write(f'{head[:-1]}, "slots": {{\n{items}\n}}}}\n')
            out.flush()
            os.fsync(out.fileno())
        partial.rename(self.file)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
