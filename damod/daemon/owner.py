"""Owning DAMON without breaking anyone: sets of kdamonds over a pool of slots. Synchronous; one thread calls it.

DAMON's sysfs is one global tree, and `nr_kdamonds` cannot be written while any kdamond runs. So damod allocates a pool
of slots once, when it takes the idle interface; then starting, changing or stopping one set never disturbs another.

- Ours is a slot that `slots.json` names, as long as the same kernel thread runs in it. After a crash or an upgrade the
  next damod finds them there and goes on: same pid, ages kept (`adopt_running`).
- Somebody else's kdamond is never written to, and `nr_kdamonds` is never written while one runs, unless the operator
  says `take_over` (stop it, take the interface) or `adopt` (make it ours as it is).
- Directories that are allocated but idle belong to nobody: any DAMON tool throws them away, and so do we, with a note.
- Two damods with one runtime directory exclude each other by a lock (daemon.lock). With different ones, each sees the
  other's kdamonds as somebody else's and refuses to start; that is all a kernel can tell.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import Any

from damod.daemon.changes import anew, check_obsolete, family_of, need_processes, with_goals
from damod.daemon.commits import Commits
from damod.daemon.slots import Owned, check_name
from damod.errors import Conflict, DamodError, FeatureMissing, NotFound, UsageError
from damod.kernel import places, reader
from damod.kernel.control import COMMIT_GOALS, Control, need_damon
from damod.kernel.features import Features
from damod.kernel.writer import Write, notes, resolve, writes
from damod.policy.plan import Running
from damod.spec.diff import Change, diff
from damod.spec.kdamond import Kdamond
from damod.spec.needs import check
from damod.spec.scheme import SchemeStats


class Owner(Commits):
    """The kdamonds of this machine, ours and others': starts, changes and ends ours.

    The caller holds the lock of `runtime_dir` and calls `adopt_running` before anything else.
    """

    # -- sets ------------------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        kdamonds: Sequence[Kdamond],
        *,
        take_over: bool = False,
        include_child_tasks: bool = False,
        dry_run: bool = False,
        policy: bool = False,
    ) -> dict[str, Any]:
        """Start a set: all of its kdamonds or none. With `include_child_tasks`, `follow` adds descendants of targets.

        `policy`: the set is the policy's of that name, not somebody's by hand.

        Returns {"name", "kdamonds": [{"index", "pid", "state"}], "notes"}; a dry run has "writes" per kdamond instead
        and touches nothing. Raises SpecInvalid/UsageError, NotFound (a pid), Conflict, FeatureMissing, KernelRefused.
        """
        check_name(name)
        if not kdamonds:
            raise UsageError(
                "a set needs at least one kdamond", hint="`damoctl args damon` prints a spec to start from"
            )
        need_damon(self.kernel)
        self._reap()
        if self._slots.of(name):
            raise Conflict(
                f"a set named {name!r} runs already",
                hint="`damoctl tune` changes it, `damoctl stop` ends it, `--name` starts another one beside it",
                name=name,
            )
        targets = [self._targets(item) for item in kdamonds]
        if include_child_tasks:
            need_processes(kdamonds)
        places.check(kdamonds, self.kernel.proc)
        specs = [resolve(item, self.kernel.proc) for item in kdamonds]
        for spec in specs:
            check_obsolete(spec, 0)
        self._refuse_in_the_way(take_over)
        if dry_run:
            known = self.features()
            check(specs, known)
            plans = [{"index": index, "writes": _plain(writes(item, index, known))} for index, item in enumerate(specs)]
            return {"name": name, "kdamonds": plans, "notes": self._notes(specs, known)}
        told: list[str] = []
        ours = self._have_pool()
        if not ours and reader.count(self.kernel):
            # Others' directories show what this kernel has; better to refuse before they are thrown away.
            check(specs, self.features())
        if take_over and self.foreign():
            told += self._stop_foreign()
        told += self._take_interface(len(specs))
        known = self._try_features()
        try:
            check(specs, known)
        except FeatureMissing:
            # That could only be seen in a slot; a refusal leaves none behind.
            if not ours:
                self._give_back()
            raise
        free = self._free()
        if len(free) < len(specs):
            raise Conflict(
                f"{len(specs)} kdamonds were asked for, but only {len(free)} of the {self._slots.pool} slots are free",
                hint="stop a set; the pool can grow (kdamonds.pool in damod.yaml) only while no kdamond runs",
            )
        control = Control(self.kernel, known)
        started: list[Owned] = []
        try:
            if take_over:
                self._switch_modules_off()
            for index, (slot, spec) in enumerate(zip(free, specs, strict=False)):
                item = Owned(
                    slot,
                    name,
                    index,
                    spec,
                    started_ns=self.kernel.clock.time_ns(),
                    targets=targets[index],
                    policy=policy,
                    family=dict(targets[index]) if include_child_tasks else None,
                )
                self._own(item)
                started.append(item)
                self._own(self._identified(item, control.start(slot, spec)))
        except BaseException:
            for item in reversed(started):
                self._undo_start(control, item)
            self._restore_modules_if_idle()
            raise
        rows = [{"index": item.slot, "pid": item.pid, "state": "on"} for item in self._slots.of(name)]
        return {"name": name, "kdamonds": rows, "notes": told + self._notes(specs, known)}

    def tune(
        self,
        name: str | None,
        kdamonds: Sequence[Kdamond],
        *,
        base: Sequence[Kdamond] | None = None,
        quota_goals_only: bool = False,
        include_child_tasks: bool | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Give a running set (None: the only one, or adhoc) the parameters of `kdamonds`: all of them or none.

        With `base`, only if the set still has those: who computed `kdamonds` from them must not undo another's change.
        With `quota_goals_only`, the goals of `kdamonds` are all that is taken from it and committed. Descendants of
        targets are followed from now on, or no longer, or (None) as before.

        Returns {"name", "changes": [{"path", "old", "new"}], "kdamonds", "notes"}. A kdamond whose ops change is
        started anew, since the kernel cannot carry its regions over.
        """
        self._reap()
        name = self._the_set(name)
        owned = self._slots.of(name)
        if base is not None and tuple(base) != tuple(item.spec for item in owned):
            raise Conflict(f"the set {name!r} was changed by somebody else meanwhile", hint="look at it and try again")
        if len(owned) != len(kdamonds):
            raise UsageError(
                f"the set {name!r} has {len(owned)} kdamonds, not {len(kdamonds)}",
                hint="tune changes kdamonds that run; stop the set and start it with the new number",
            )
        if quota_goals_only:
            kdamonds = with_goals([item.spec for item in owned], kdamonds)
        if include_child_tasks:
            need_processes(kdamonds)
        targets = [self._targets(spec, item) for spec, item in zip(kdamonds, owned, strict=True)]
        places.check(kdamonds, self.kernel.proc)
        specs = [resolve(item, self.kernel.proc) for item in kdamonds]
        known = self.features() if dry_run else self._try_features()
        check(specs, known)
        for item, spec in zip(owned, specs, strict=True):
            check_obsolete(spec, 0 if anew(item, spec) else len(item.spec.contexts[0].targets))
        changes = diff([item.spec for item in owned], specs)
        followed = owned[0].family is not None
        if include_child_tasks not in (None, followed):
            changes.append(Change("include_child_tasks", followed, include_child_tasks))
        told = self._notes(specs, known)
        told += [
            f"kdamond {item.slot} is started anew" for item, spec in zip(owned, specs, strict=True) if anew(item, spec)
        ]
        if not dry_run:
            control = Control(self.kernel, known)
            word = COMMIT_GOALS if quota_goals_only else "commit"
            done: list[Owned] = []
            try:
                for item, spec, processes in zip(owned, specs, targets, strict=True):
                    watched = family_of(item, processes, include_child_tasks)
                    self._change(control, item, replace(item, spec=spec, targets=processes, family=watched), word)
                    done.append(item)
            except DamodError:
                for item in done:
                    self._change(control, self._slots.owned[item.slot], item, word)
                raise
        rows = [{"index": item.slot, "pid": item.pid, "state": "on"} for item in self._slots.of(name)]
        return {"name": name, "changes": [item.to_wire() for item in changes], "kdamonds": rows, "notes": told}

    def add(self, name: str, index: int, kdamond: Kdamond) -> None:
        """Start the `index`-th kdamond of a set whose others run. Raises as `start` does."""
        self._reap()
        others = self._slots.of(self._the_set(name))
        targets = self._targets(kdamond)
        places.check([kdamond], self.kernel.proc)
        spec = resolve(kdamond, self.kernel.proc)
        known = self._try_features()
        check([spec], known)
        free = self._free()
        if not free or not self._have_pool():
            raise Conflict(f"kdamond {index} of the set {name!r} was to be started, but no slot is free")
        now = self.kernel.clock.time_ns()
        item = Owned(free[0], name, index, spec, started_ns=now, targets=targets, policy=others[0].policy)
        control = Control(self.kernel, known)
        self._own(item)
        try:
            self._own(self._identified(item, control.start(item.slot, spec)))
        except BaseException:
            self._undo_start(control, item)
            raise

    def repair(self, name: str) -> int:
        """Write again what somebody else changed in the files of a set, and commit; the number of writes."""
        self._reap()
        control = Control(self.kernel, self.features())
        items = self._slots.of(self._the_set(name))
        return sum(len(control.commit(item.slot, self._with_tuned(control, item, item.now))) for item in items)

    def stop(
        self, name: str | None = None, slot: int | None = None, *, index: int | None = None
    ) -> list[dict[str, Any]]:
        """Stop a set (or the `index`-th of its kdamonds), one kdamond of ours, or (nothing given) all sets.

        [{"index", "pid", "name"}] of what was stopped.
        """
        self._reap()
        items: Iterable[Owned]
        if slot is not None:
            items = [self._our_slot(slot)]
        elif name is not None:
            items = [item for item in self._slots.of(name) if index in (None, item.index)]
            if not items:
                raise NotFound(f"no set named {name!r} runs{self._running()}", hint="`damoctl status` lists the sets")
        else:
            items = list(self._slots.owned.values())
        control = Control(self.kernel, self.features())
        stopped = []
        for item in items:
            stopped.append({"index": item.slot, "pid": control.stop(item.slot), "name": item.name})
            self._disown(item.slot)
        self._restore_modules_if_idle()
        return stopped

    # -- which sets there are --------------------------------------------------------------------------------------

    def specs(self, name: str | None = None) -> list[Kdamond]:
        """The specs of a running set as they were given, with default regions filled in."""
        self._reap()
        return [item.spec for item in self._slots.of(self._the_set(name))]

    def as_remembered(self) -> list[Kdamond]:
        """The specs of all that is ours, without looking at the kernel; to be asked from any thread."""
        return [item.spec for item in self._slots.owned.values()]

    def slots_of(self, name: str) -> list[int]:
        """The slots of a set; none if it does not run."""
        self._reap()
        return [item.slot for item in self._slots.of(name)]

    def policy_sets(self, drift: Container[str] = ()) -> dict[str, dict[int, Running]]:
        """The sets of policies; what somebody else changed is looked for in those named in `drift`."""
        self._reap()
        found: dict[str, dict[int, Running]] = {}
        for item in self._slots.owned.values():
            if item.policy:
                changes = self._drifted(item) if item.name in drift else ()
                found.setdefault(item.name, {})[item.index] = Running(item.spec, changes)
        return found

    def set_stats(self, name: str) -> dict[int, tuple[SchemeStats, ...]]:
        """What the schemes of each kdamond of a set have done until now."""
        self._reap()
        found = {}
        for item in self._slots.of(name):
            Control(self.kernel, self.features()).update_stats(item.slot)
            (context,) = reader.with_stats(self.kernel, item.slot, item.now).contexts
            found[item.index] = tuple(scheme.stats or SchemeStats() for scheme in context.schemes)
        return found

    def set_by_hand(self, name: str) -> bool:
        """Whether a set of that name runs that is no policy's."""
        return any(not item.policy for item in self._slots.of(name))

    def set_of_policy(self, name: str | None) -> str | None:
        """The policy whose set `name` (None: the one that `tune` would take) is; None if it is no policy's."""
        names = self._slots.names()
        if name is None:
            name = names[0] if len(names) == 1 else "adhoc"
        return name if any(item.policy for item in self._slots.of(name)) else None

    def kdamond_pids(self) -> list[int]:
        """The kernel threads that are ours."""
        return [item.pid for item in self._slots.owned.values() if item.pid]

    def _running(self) -> str:
        names = ", ".join(self._slots.names())
        return f" (running: {names})" if names else "; none does"

    def _the_set(self, name: str | None) -> str:
        names = self._slots.names()
        if name is None:
            if len(names) > 1 and "adhoc" not in names:
                raise UsageError(f"several sets run ({', '.join(names)})", hint="say which one with --name")
            name = names[0] if len(names) == 1 else "adhoc"
        if name not in names:
            raise NotFound(f"no set named {name!r} runs{self._running()}", hint="`damoctl start` starts one")
        return name

    def _targets(self, spec: Kdamond, running: Owned | None = None) -> dict[int, int | None]:
        """pid -> start time of the processes a spec watches.

        Raises NotFound if one is not there, unless it has ended while its children are followed in `running`.
        """
        found: dict[int, int | None] = {}
        ended = {}
        if running and running.family is not None:
            ended = {pid: start for pid, start in running.targets.items() if pid not in running.family}
        for context in spec.contexts:
            for target in context.targets:
                if context.ops == "paddr" or not target.pid:
                    continue
                if target.pid in ended:
                    found[target.pid] = ended[target.pid]
                    continue
                if not self.kernel.proc.alive(target.pid):
                    raise NotFound(
                        f"process {target.pid} is to be monitored, but there is no such process (any more)",
                        hint="`pgrep -a NAME` finds the pid of a program",
                        pid=target.pid,
                    )
                found[target.pid] = self.kernel.proc.start_time(target.pid)
        return found

    def _notes(self, specs: Sequence[Kdamond], known: Features) -> list[str]:
        return [f"kdamonds[{index}].{note}" for index, spec in enumerate(specs) for note in notes(spec, known)]


def _plain(todo: Iterable[Write]) -> list[list[str]]:
    return [[write.path, write.value] for write in todo]
