"""Which kdamond is whose, what each is, and how it is doing. The half of owning DAMON that only looks.

`View` is the base of `owner.Owner`, which adds what changes things. It writes nothing of a kdamond but commands to our
own that bring their files up to date, and switches the modules back on that we had switched off once nothing of ours
runs any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from damod.daemon.slots import Owned, RuntimeDir, Slots
from damod.errors import DamodError, NotFound
from damod.kernel import features as feature_table
from damod.kernel import modules, paths, reader, tried
from damod.kernel.control import Control
from damod.kernel.features import Features
from damod.kernel.interface import Kernel
from damod.spec.base import human
from damod.spec.diff import Change, diff
from damod.spec.kdamond import Kdamond
from damod.spec.scheme import SchemeStats


@dataclass(frozen=True)
class Watched:
    """A kdamond that runs, as far as looking at what it sees needs. `target_pids` is empty for paddr."""

    slot: int
    pid: int
    ours: bool
    ops: str
    sample_us: int
    aggr_us: int
    nr_targets: int
    target_pids: tuple[int | None, ...]
    max_nr_regions: int
    probes: bool
    intervals_goal: Mapping[str, int] | None


class View:
    """The kdamonds of this machine, ours and others', as they are."""

    def __init__(self, kernel: Kernel, runtime_dir: Path) -> None:
        self.kernel = kernel
        self._dir = RuntimeDir(runtime_dir)
        self._slots = Slots()
        self._tried: Features | None = None
        self._problems: deque[str] = deque(maxlen=20)
        self._seen: dict[int, reader.Life] | None = None

    def show(self, *, stats: bool = True, tried_regions: bool = False, slot: int | None = None) -> list[dict[str, Any]]:
        """Every kdamond that runs, or the one in `slot`.

        {"index", "name" (None: not ours), "owner" ("damod" or "other"), "spec" (plain data with state, pid, stats),
        "tuned_intervals" ({"sample_us", "aggr_us"} or None), "tried_regions" (per scheme its "total_bytes" and the
        columns of `Regions`, or None), "cpu_ns" (CPU time used so far) at "time_ns" of a monotonic clock, "drift"}.
        Commands are given to our own kdamonds only; of others the files are read as they stand.
        """
        self._reap()
        lives = [life for life in self._lives() if life.on and slot in (None, life.slot)]
        if slot is not None and not lives:
            raise NotFound(f"kdamond {slot} does not run", hint="`damoctl status` lists those that do")
        rows = []
        for life in lives:
            try:
                rows.append(self._row(life, stats, tried_regions))
            except (NotFound, FileNotFoundError):
                continue  # ended while we looked
        self._reap()
        return rows

    def watched(self, slot: int | None = None, *, tuned: bool = True) -> list[Watched]:
        """Every kdamond that runs, or the one in `slot`, as a looker needs it. Reads only, except that (`tuned`) the
        kernel is asked for the intervals it has tuned, which waits for it."""
        self._reap()
        found = []
        for life in self._lives():
            if not life.on or life.pid is None or slot not in (None, life.slot):
                continue
            item = self._slots.owned.get(life.slot)
            try:
                (context,) = (item.now if item else reader.kdamond(self.kernel, life.slot)).contexts
                sample_us, aggr_us = context.intervals.sample_us, context.intervals.aggr_us
                goal = context.intervals.intervals_goal
                if goal.active and item and tuned:
                    sample_us, aggr_us = Control(self.kernel, self.features()).tuned_intervals(life.slot)
            except (NotFound, FileNotFoundError):
                continue  # ended while we looked
            found.append(
                Watched(
                    slot=life.slot,
                    pid=life.pid,
                    ours=item is not None,
                    ops=context.ops,
                    sample_us=sample_us,
                    aggr_us=aggr_us,
                    nr_targets=len(context.targets),
                    target_pids=() if context.ops == "paddr" else tuple(target.pid for target in context.targets),
                    max_nr_regions=context.nr_regions.max,
                    probes=bool(context.probes),
                    intervals_goal=goal.model_dump() if goal.active else None,
                )
            )
        if slot is not None and not found:
            raise NotFound(f"kdamond {slot} does not run", hint="`damoctl status` lists those that do")
        return found

    def scheme_stats(self) -> list[dict[str, Any]]:
        """What the schemes of every kdamond have done, and what it costs: less than `show`, for who asks often.

        {"kdamond", "name" (None: not ours), "pid", "cpu_ns", "ops", "sample_us", "aggr_us" (as in force), "schemes":
        [{"action", "stats" (as the kernel names them), "effective_quota_bytes"}]}. Others' are as the files stand.
        """
        self._reap()
        rows = []
        for life in self._lives():
            if not life.on or life.pid is None:
                continue
            item = self._slots.owned.get(life.slot) if self._is_ours(life) else None
            try:
                held = item.now if item else reader.kdamond(self.kernel, life.slot)
                (context,) = held.contexts
                spans = context.intervals.sample_us, context.intervals.aggr_us
                if item:
                    control = Control(self.kernel, self.features())
                    if context.schemes:
                        control.update_stats(life.slot)
                    if context.intervals.intervals_goal.active and control.features.has("update_tuned_intervals"):
                        spans = control.tuned_intervals(life.slot)
                schemes = reader.with_stats(self.kernel, life.slot, held).contexts[0].schemes
            except (NotFound, FileNotFoundError):
                continue  # ended while we looked
            rows.append(
                {
                    "kdamond": life.slot,
                    "name": item.name if item else None,
                    "pid": life.pid,
                    "cpu_ns": self.kernel.proc.cpu_ns(life.pid),
                    "ops": context.ops,
                    "sample_us": spans[0],
                    "aggr_us": spans[1],
                    "schemes": [
                        {
                            "action": scheme.action,
                            "stats": (scheme.stats or SchemeStats()).model_dump(),
                            "effective_quota_bytes": scheme.quotas.effective_sz_bytes,
                        }
                        for scheme in schemes
                    ],
                }
            )
        return rows

    def modules(self) -> dict[str, bool]:
        """DAMON's modules that this kernel has, and whether each is on."""
        return {module.name: module.enabled for module in modules.modules(self.kernel)}

    def status(self) -> dict[str, Any]:
        """How things are, by reading only.

        {"sets": names, "kdamonds": [{"index", "state", "pid", "name", "owner", "started_ns", "ops", "actions",
        "followed": number of processes watched, None unless children are followed}] (ours and others'),
        "slots": {"pool", "free"}, "modules": {name of an enabled one: its kdamond's pid or None}, "own_modules": names
        of those that damod was told to enable, "problems": sentences}.
        """
        self._reap()
        return {
            "sets": self._slots.names(),
            "kdamonds": [self._brief(life) for life in self._lives() if life.on],
            "slots": {"pool": self._slots.pool, "free": len(self._free())},
            "modules": {module.name: module.pid for module in modules.enabled(self.kernel)},
            "own_modules": list(self._slots.modules),
            "problems": self.problems(),
        }

    def problems(self) -> list[str]:
        """What the operator should know, oldest first: kdamonds that ended by themselves, files that were damaged."""
        return list(self._problems)

    def features(self) -> Features:
        """What this kernel has, as well as it can be told without writing."""
        return self._tried or feature_table.probe(self.kernel)

    def foreign(self) -> list[reader.Life]:
        """Kdamonds that run and are not ours."""
        return [life for life in self._lives() if life.on and not self._is_ours(life)]

    def _drifted(self, item: Owned) -> tuple[Change, ...]:
        try:
            held = reader.kdamond(self.kernel, item.slot)
        except FileNotFoundError:
            return ()
        return tuple(_drift(item.now, held, self.features()))

    def _lives(self) -> list[reader.Life]:
        if self._seen is not None:
            return list(self._seen.values())
        try:
            return reader.lives(self.kernel)
        except FileNotFoundError:
            return []  # no DAMON here, or the directories went while we looked

    def _is_ours(self, life: reader.Life) -> bool:
        item = self._slots.owned.get(life.slot)
        if item is None or life.pid is None or item.pid != life.pid:
            return False
        return item.pid_start == self.kernel.proc.start_time(life.pid)

    def _free(self) -> list[int]:
        if not self._slots.pool:
            return []
        used = {life.slot for life in self._lives() if life.on} | set(self._slots.owned)
        return [slot for slot in range(self._slots.pool) if slot not in used]

    def _own(self, item: Owned) -> None:
        self._slots = self._slots.with_slot(item)
        if self._seen is not None:
            self._seen[item.slot] = reader.Life(item.slot, item.pid is not None, item.pid)
        self._save()

    def ended_as_meant(self, name: str) -> None:
        """A set was to run as long as its targets: that it ended with them is no problem."""
        meant = f"of the set {name!r} has ended: its target is gone"
        for problem in [problem for problem in self._problems if meant in problem]:
            self._problems.remove(problem)

    def _disown(self, slot: int) -> None:
        self._slots = self._slots.without(slot)
        if self._seen is not None:
            self._seen[slot] = reader.Life(slot, False, None)
        self._save()

    def _save(self) -> None:
        self._dir.save(self._slots)

    def _reap(self) -> None:
        """Forget slots whose kdamond ended by itself, and modules of ours that are off; say why."""
        if self._slots.modules:
            self._reap_modules()
        if not self._slots.owned:
            return
        ours = {life.slot for life in self._lives() if self._is_ours(life)}
        for item in list(self._slots.owned.values()):
            if item.slot not in ours:
                self._lose(item)
        self._restore_modules_if_idle()

    def _lose(self, item: Owned) -> None:
        gone = [pid for pid, start in item.processes.items() if self.kernel.proc.start_time(pid) != start]
        why = "the kernel stopped it (see dmesg), or somebody else did"
        if item.targets and len(gone) == len(item.processes):
            why = f"its target is gone (pid {', '.join(map(str, gone))})"
        self._problems.append(f"kdamond {item.slot} (pid {item.pid}) of the set {item.name!r} has ended: {why}")
        self._disown(item.slot)

    def _reap_modules(self) -> None:
        on = {module.name for module in modules.enabled(self.kernel)}
        for name in self._slots.modules:
            if name not in on and name not in self._slots.switched_off:
                self._problems.append(
                    f"the module {name}, which damod had enabled, is off: somebody else disabled it, or the kernel did"
                    " (see dmesg)"
                )
                self.own_module(name, False)
        self._restore_modules_if_idle()

    def own_module(self, name: str, on: bool) -> None:
        """Remember that we were told to switch a module on (so it is ours, also after a restart), or off."""
        others = tuple(item for item in self._slots.modules if item != name)
        off = tuple(item for item in self._slots.switched_off if item != name)
        self._slots = replace(self._slots, modules=(*others, name) if on else others, switched_off=off)
        self._save()

    def own_modules(self) -> tuple[str, ...]:
        """The modules that we were told to switch on and that are on."""
        self._reap()
        return self._slots.modules

    def restore_modules(self) -> list[str]:
        """Switch on again what we had switched off, if nothing of ours runs any more; what was, as sentences."""
        before = self._slots.switched_off
        self._restore_modules_if_idle()
        on = {module.name for module in modules.enabled(self.kernel)} if before else set()
        return [f"{name} is on again" for name in before if name in on]

    def _restore_modules_if_idle(self) -> None:
        if not self._slots.owned and not set(self._slots.modules) - set(self._slots.switched_off):
            self._restore_modules()

    def _restore_modules(self) -> None:
        names, self._slots = self._slots.switched_off, replace(self._slots, switched_off=())
        if not names:
            return
        for name in names:
            try:
                modules.switch(self.kernel, name, True)
            except DamodError as exc:
                self._problems.append(f"{name} was switched off by damod and could not be switched on again: {exc}")
        self._save()

    def _brief(self, life: reader.Life) -> dict[str, Any]:
        item = self._slots.owned.get(life.slot) if self._is_ours(life) else None
        ops, actions = reader.brief(self.kernel, life.slot)
        return {
            "index": life.slot,
            "state": "on",
            "pid": life.pid,
            "name": item.name if item else None,
            "owner": "damod" if item else "other",
            "started_ns": item.started_ns if item else None,
            "ops": ops,
            "actions": actions,
            "followed": None if item is None or item.family is None else len(item.family),
        }

    def _tried_columns(self, slot: int, scheme: int) -> dict[str, Any]:
        columns = tried.read(self.kernel.damon, paths.tried_regions(slot, scheme)).columns()
        return {"total_bytes": reader.tried_bytes(self.kernel, slot, scheme), **columns}

    def _row(self, life: reader.Life, stats: bool, tried_regions: bool) -> dict[str, Any]:
        item = self._slots.owned.get(life.slot) if self._is_ours(life) else None
        held = reader.kdamond(self.kernel, life.slot)
        spec = item.now if item else held
        tuned, tried_columns = None, None
        schemes = any(context.schemes for context in held.contexts)
        goal = any(context.intervals.intervals_goal.active for context in held.contexts)
        if item:
            control = Control(self.kernel, self.features())
            if goal and control.features.has("update_tuned_intervals"):
                tuned = control.tuned_intervals(life.slot)
            if stats and schemes:
                control.update_stats(life.slot)
            if tried_regions and schemes:
                control.update_tried_regions(life.slot)
        elif goal:
            tuned = reader.intervals(self.kernel, life.slot)
        if stats:
            spec = reader.with_stats(self.kernel, life.slot, spec)
        if tried_regions:
            tried_columns = [self._tried_columns(life.slot, index) for index in range(len(held.contexts[0].schemes))]
        return {
            "index": life.slot,
            "name": item.name if item else None,
            "owner": "damod" if item else "other",
            "spec": human(spec.model_copy(update={"state": "on", "pid": life.pid})),
            "tuned_intervals": {"sample_us": tuned[0], "aggr_us": tuned[1]} if tuned else None,
            "tried_regions": tried_columns,
            "cpu_ns": self.kernel.proc.cpu_ns(life.pid) if life.pid else None,
            "time_ns": self.kernel.clock.monotonic_ns(),
            "drift": [str(change) for change in _drift(item.now, held, self.features())] if item else [],
        }


def _drift(ours: Kdamond, held: Kdamond, known: Features) -> list[Change]:
    """What somebody else has written into our kdamond's files. Tuned intervals, and bounds counted in them, move."""
    goal = any(context.intervals.intervals_goal.active for context in ours.contexts)
    moving = (".sample_us", ".aggr_us", ".access_pattern.")
    return [
        change
        for change in diff([reader.normalise(ours, known)], [reader.normalise(held, known)])
        if not (goal and any(part in change.path for part in moving))
    ]
