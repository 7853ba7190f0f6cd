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

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from damod.access.snapshot import Regions
from damod.daemon import family
from damod.daemon.slots import Owned, Slots, check_name
from damod.daemon.view import View
from damod.errors import Conflict, DamodError, KernelRefused, NoData, NotFound, UsageError
from damod.kernel import features as feature_table
from damod.kernel import modules, paths, places, reader, tried
from damod.kernel.control import COMMIT_GOALS, Control, need_damon
from damod.kernel.features import Features
from damod.kernel.interface import Kernel, ProcessEvent
from damod.kernel.refusal import refused
from damod.kernel.writer import Write, notes, resolve, writes
from damod.policy.plan import Running
from damod.spec.diff import Change, diff
from damod.spec.filter import Filter
from damod.spec.kdamond import Kdamond, Target, parse_kdamonds
from damod.spec.needs import check
from damod.spec.scheme import Scheme

SPARE = 4
"""Slots for sets by hand, beside those of the policies."""
POOL = 8
"""Slots allocated at once. An idle one costs the kernel two small directories, a kdamond more than eight is rare (one
per policy and node), and the pool can only grow while nothing runs."""


class Owner(View):
    """The kdamonds of this machine, ours and others': starts, changes and ends ours.

    The caller holds the lock of `runtime_dir` and calls `adopt_running` before anything else.
    """

    def __init__(self, kernel: Kernel, runtime_dir: Path, *, pool: int = POOL) -> None:
        super().__init__(kernel, runtime_dir)
        self._pool = pool

    # -- life of the daemon ------------------------------------------------------------------------------------------

    def adopt_running(self) -> dict[str, list[dict[str, Any]]]:
        """Read what was ours and keep what still is: {"adopted": [...], "lost": [...]} with index, name and pid."""
        try:
            self._slots = self._dir.load()
        except ValueError as exc:
            self._problems.append(f"{exc}; kdamonds that it named are treated as somebody else's (see `damoctl adopt`)")
            self._slots = Slots()
        if self._slots.modules:
            self._reap_modules()
        if not self._slots.owned:
            return {"adopted": [], "lost": []}
        alive = {life.slot: life for life in self._lives()}
        adopted, lost = [], []
        for item in list(self._slots.owned.values()):
            life = alive.get(item.slot)
            if life and life.pid and item.pid is None:
                # The daemon died between its `on` and the kernel's answer; the slot of our pool was empty before.
                item = self._identified(item, life.pid)
                self._slots = self._slots.with_slot(item)
            if life and self._is_ours(life):
                adopted.append({"index": item.slot, "name": item.name, "pid": item.pid})
            else:
                lost.append({"index": item.slot, "name": item.name, "pid": item.pid})
                self._lose(item)
        self._save()
        return {"adopted": adopted, "lost": lost}

    def release(self) -> None:
        """Give the interface back: no directories of ours, modules as they were. Does nothing while anything runs.

        For a daemon that ends for good: `stop()`, then this.
        """
        if any(life.on for life in self._lives()):
            return
        if self._slots.pool:
            self._write(paths.NR_KDAMONDS, "0", "giving back the slots")
            self._slots = replace(self._slots, pool=0)
            self._tried = None
            self._save()
        self._restore_modules()

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
            _need_processes(kdamonds)
        places.check(kdamonds, self.kernel.proc)
        specs = [resolve(item, self.kernel.proc) for item in kdamonds]
        for spec in specs:
            _check_obsolete(spec, 0)
        self._refuse_in_the_way(take_over)
        if dry_run:
            known = self.features()
            check(specs, known)
            plans = [{"index": index, "writes": _plain(writes(item, index, known))} for index, item in enumerate(specs)]
            return {"name": name, "kdamonds": plans, "notes": self._notes(specs, known)}
        told: list[str] = []
        if take_over and self.foreign():
            # Their directories show what this kernel has; better to refuse before they are stopped.
            check(specs, self.features())
            told += self._stop_foreign()
        told += self._take_interface(len(specs))
        known = self._try_features()
        check(specs, known)
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
            _need_processes(kdamonds)
        targets = [self._targets(spec, item) for spec, item in zip(kdamonds, owned, strict=True)]
        places.check(kdamonds, self.kernel.proc)
        specs = [resolve(item, self.kernel.proc) for item in kdamonds]
        known = self.features() if dry_run else self._try_features()
        check(specs, known)
        for item, spec in zip(owned, specs, strict=True):
            _check_obsolete(spec, 0 if _anew(item, spec) else len(item.spec.contexts[0].targets))
        changes = diff([item.spec for item in owned], specs)
        followed = owned[0].family is not None
        if include_child_tasks not in (None, followed):
            changes.append(Change("include_child_tasks", followed, include_child_tasks))
        told = self._notes(specs, known)
        told += [
            f"kdamond {item.slot} is started anew" for item, spec in zip(owned, specs, strict=True) if _anew(item, spec)
        ]
        if not dry_run:
            control = Control(self.kernel, known)
            word = COMMIT_GOALS if quota_goals_only else "commit"
            done: list[Owned] = []
            try:
                for item, spec, processes in zip(owned, specs, targets, strict=True):
                    watched = _family(item, processes, include_child_tasks)
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

    def expect(self, kdamonds: int) -> None:
        """So many kdamonds are to come: the next pool is allocated for them, with room for a few by hand."""
        self._pool = max(self._pool, kdamonds + SPARE)

    def policy_sets(self, drift: Container[str] = ()) -> dict[str, dict[int, Running]]:
        """The sets of policies; what somebody else changed is looked for in those named in `drift`."""
        self._reap()
        found: dict[str, dict[int, Running]] = {}
        for item in self._slots.owned.values():
            if item.policy:
                changes = self._drifted(item) if item.name in drift else ()
                found.setdefault(item.name, {})[item.index] = Running(item.spec, changes)
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

    def adopt(self, name: str) -> list[dict[str, Any]]:
        """Make every kdamond that is somebody else's ours, as a set, as it runs; nothing of it is written."""
        check_name(name)
        self._reap()
        foreign = self.foreign()
        if not foreign:
            raise NotFound("no kdamond of anybody else runs", hint="`damoctl status` lists all kdamonds")
        if self._slots.of(name):
            raise Conflict(f"a set named {name!r} runs already", hint="give another name", name=name)
        for index, life in enumerate(foreign):
            held = reader.kdamond(self.kernel, life.slot)
            targets = {
                target.pid: self.kernel.proc.start_time(target.pid)
                for context in held.contexts
                for target in context.targets
                if target.pid and context.ops != "paddr"
            }
            now = self.kernel.clock.time_ns()
            self._own(self._identified(Owned(life.slot, name, index, held, started_ns=now, targets=targets), life.pid))
        # With all that run ours, the directories are too.
        self._slots = replace(self._slots, pool=reader.count(self.kernel))
        self._save()
        return [{"index": item.slot, "pid": item.pid} for item in self._slots.of(name)]

    # -- descendants of targets ------------------------------------------------------------------------------------

    def follows(self) -> bool:
        """Whether any set's targets are to be followed."""
        return any(item.family is not None for item in self._slots.owned.values())

    def follow(self, events: Sequence[ProcessEvent] | None) -> None:
        """Make newly born descendants targets, and drop those that have ended; None: look, since events were lost.

        The kdamond keeps running, and the other targets their regions. Raises DamodError where the kernel refuses.
        """
        self._reap()
        proc = self.kernel.proc
        for item in [item for item in self._slots.owned.values() if item.family is not None]:
            before = item.family or {}
            now = family.by_looking(before, proc) if events is None else family.by_events(before, events, proc)
            # Without any target left the kdamond ends by itself.
            if now and now != before:
                self._retarget(item, replace(item, family=now))

    def _retarget(self, item: Owned, new: Owned) -> None:
        control = Control(self.kernel, self.features())
        try:
            if control.features.has("obsolete_target"):
                control.commit(item.slot, self._with_tuned(control, item, _marked(item, new)))
                # The kdamond has dropped them; from now on the list is counted without them.
                control.stage(item.slot, self._with_tuned(control, item, new.now))
            else:
                control.commit(item.slot, self._with_tuned(control, item, new.now))
        except DamodError:
            # A process that ended meanwhile is refused, and 6.12 ends the kdamond over that.
            new = replace(new, family=family.alive(new.processes, self.kernel.proc))
            if not new.family or reader.life(self.kernel, item.slot).pid == item.pid:
                raise
            control.stop(item.slot)
            self._own(self._identified(new, control.start(item.slot, new.now)))
            self._problems.append(f"kdamond {item.slot} was started anew for the children of its targets")
            return
        self._own(new)

    # -- looking ---------------------------------------------------------------------------------------------------

    def specs(self, name: str | None = None) -> list[Kdamond]:
        """The specs of a running set as they were given, with default regions filled in."""
        self._reap()
        return [item.spec for item in self._slots.of(self._the_set(name))]

    def slots_of(self, name: str) -> list[int]:
        """The slots of a set; none if it does not run."""
        self._reap()
        return [item.slot for item in self._slots.of(name)]

    def tried_now(self, slot: int, filters: Sequence[Filter] = ()) -> Regions:
        """All regions of one of our kdamonds by way of `tried_regions`, with the bytes that pass `filters`.

        A `stat` scheme that matches everything is committed beside the others for one aggregation and taken away
        again. Raises Conflict for a kdamond that is not ours, FeatureMissing, KernelRefused.
        """
        item = self._our_slot(slot)
        known = self.features()
        probing = Scheme(action="stat", filters=tuple(filters))
        (context,) = item.now.contexts
        with_probe = context.model_copy(update={"schemes": (*context.schemes, probing)})
        spec = item.now.model_copy(update={"contexts": (with_probe,)})
        check([spec], known)
        control = Control(self.kernel, known)
        control.commit(slot, self._with_tuned(control, item, spec))
        try:
            control.update_tried_regions(slot)
            return tried.read(self.kernel.damon, paths.tried_regions(slot, len(context.schemes)))
        finally:
            control.commit(slot, self._with_tuned(control, item, item.now))

    # -- whose is it -----------------------------------------------------------------------------------------------

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Within it the slots' states are read once and then known from what we do ourselves.

        For many steps in a row; if somebody else interferes meanwhile, the kernel refuses, and the next look sees why.
        """
        self._seen = {life.slot: life for life in self._lives()}
        try:
            yield
        finally:
            self._seen = None

    def _look_again(self) -> None:
        if self._seen is not None:
            self._seen = None
            self._seen = {life.slot: life for life in self._lives()}

    def _identified(self, item: Owned, pid: int | None) -> Owned:
        return replace(item, pid=pid, pid_start=self.kernel.proc.start_time(pid) if pid else None)

    def _our_slot(self, slot: int) -> Owned:
        item = self._slots.owned.get(slot)
        if item:
            return item
        for life in self.foreign():
            if life.slot == slot:
                raise Conflict(
                    f"kdamond {slot} (pid {life.pid}) was not started by damod, so damod does not stop it",
                    hint="stop it the way it was started; `damoctl adopt` makes it damod's",
                    pid=life.pid,
                )
        raise NotFound(f"kdamond {slot} does not run", hint="`damoctl status` lists those that do")

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

    # -- before a start --------------------------------------------------------------------------------------------

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

    def _refuse_in_the_way(self, take_over: bool) -> None:
        """Raise Conflict for what a start would have to push aside and was not told to."""
        foreign = self.foreign()
        busy = modules.enabled(self.kernel)
        stubborn = [module for module in busy if module.name != "damon_stat"]
        if stubborn:
            name = stubborn[0].name
            raise Conflict(
                f"the module {name} is enabled, and the kernel starts no kdamond beside it",
                hint="it is there to change how memory is reclaimed, so damod does not switch it off by itself:"
                f" `damoctl module {name.removeprefix('damon_')} disable`",
                module=name,
            )
        if take_over:
            return
        if busy:
            raise Conflict(
                "the module damon_stat is enabled (Debian's kernels do so), and the kernel starts no kdamond beside it",
                hint="`damoctl start --take_over` switches it off, and on again when damod's last kdamond stops",
                module="damon_stat",
            )
        if foreign and not self._have_pool():
            pids = ", ".join(str(life.pid) for life in foreign)
            raise Conflict(
                f"somebody else's kdamond runs (pid {pids}); damod does not touch it, and slots cannot be allocated"
                " while it runs",
                hint="stop it the way it was started, or `damoctl start --take_over` (stops it), or `damoctl adopt`"
                " (makes it damod's as it is)",
                pids=[life.pid for life in foreign],
            )

    def refuse_beside(self, module: str, take_over: bool) -> None:
        """Raise Conflict for what keeps the kernel from starting a module, as far as `take_over` may not end it."""
        self._reap()
        if self._slots.owned:
            names = ", ".join(self._slots.names())
            policies = sorted({item.name for item in self._slots.owned.values() if item.policy})
            way = f"`damoctl policy disable {policies[0]}`" if policies else f"`damoctl stop {self._slots.names()[0]}`"
            raise Conflict(
                f"{module} cannot be enabled: damod runs kdamonds ({names}), and the kernel runs no module beside one",
                hint=f"{way} ends them",
                sets=self._slots.names(),
            )
        others = [item.name for item in modules.enabled(self.kernel) if item.name != module]
        stubborn = [name for name in others if name != "damon_stat"]
        if stubborn:
            raise Conflict(
                f"{module} cannot be enabled: {stubborn[0]} is, and the kernel runs one module at a time",
                hint=f"`damoctl module {stubborn[0].removeprefix('damon_')} disable` ends it",
                module=stubborn[0],
            )
        foreign = self.foreign()
        if take_over or not (others or foreign):
            return
        if others:
            raise Conflict(
                f"{module} cannot be enabled: damon_stat is, and the kernel runs one module at a time",
                hint="--take_over switches it off, and on again when this one is disabled",
                module="damon_stat",
            )
        pids = ", ".join(str(life.pid) for life in foreign)
        raise Conflict(
            f"{module} cannot be enabled: somebody else's kdamond runs (pid {pids}), and the kernel runs no module"
            " beside it",
            hint="stop it the way it was started, or --take_over stops it",
            pids=[life.pid for life in foreign],
        )

    def make_room(self) -> list[str]:
        """End what `refuse_beside` lets us end for a module; what was done, as sentences."""
        told = self._stop_foreign()
        before = self._slots.switched_off
        self._switch_modules_off()
        new = [name for name in self._slots.switched_off if name not in before]
        return told + [f"{name} was switched off; it comes back when nothing of damod runs any more" for name in new]

    def _have_pool(self) -> bool:
        return 0 < self._slots.pool == reader.count(self.kernel)

    def _take_interface(self, wanted: int) -> list[str]:
        """Allocate the pool if it is not ours yet (or too small, while nothing runs); notes for the operator."""
        told: list[str] = []
        idle = not any(life.on for life in self._lives())
        there = reader.count(self.kernel)
        if self._have_pool() and not (idle and wanted > there):
            return told
        if not idle:
            # Another program made new directories while none of ours ran, or the kdamond list changed under us.
            raise Conflict("the slots were changed by another program while kdamonds run", hint="see `damoctl status`")
        if there and not self._have_pool():
            told.append(f"{there} idle kdamond directories that somebody else had allocated were replaced")
        size = max(self._pool, wanted)
        self._slots = replace(self._slots, pool=size)
        self._tried = None
        self._save()
        self._write(paths.NR_KDAMONDS, str(size), f"allocating {size} slots")
        self._look_again()
        return told

    def _try_features(self) -> Features:
        """Features with keywords tried on a free slot of ours, once per pool."""
        free = self._free()
        if self._tried is None and free:
            self._tried = feature_table.probe(self.kernel, scratch=free[-1])
        return self.features()

    def _write(self, path: str, value: str, attempt: str) -> None:
        try:
            self.kernel.damon.write(path, value)
        except OSError as exc:
            raise refused(attempt, path, exc.errno or 0) from exc

    def _stop_foreign(self) -> list[str]:
        control = Control(self.kernel, self.features())
        told = []
        for life in self.foreign():
            control.stop(life.slot)
            told.append(f"kdamond {life.slot} (pid {life.pid}) of somebody else was stopped")
        self._look_again()
        return told

    def _switch_modules_off(self) -> None:
        for module in modules.enabled(self.kernel):
            # Remembered first: a crash in between must not leave it off for ever.
            self._slots = replace(self._slots, switched_off=(*self._slots.switched_off, module.name))
            self._save()
            modules.switch(self.kernel, module.name, False)

    # -- doing it --------------------------------------------------------------------------------------------------

    def _undo_start(self, control: Control, item: Owned) -> None:
        try:
            control.stop(item.slot)
            self.kernel.damon.write(paths.nr_contexts(item.slot), "0")
        except (OSError, DamodError) as exc:
            self._problems.append(f"kdamond {item.slot} could not be stopped after a refused start: {exc}")
            return
        self._disown(item.slot)

    def _change(self, control: Control, item: Owned, new: Owned, word: str = "commit") -> None:
        if _anew(item, new.spec):
            control.stop(item.slot)
            try:
                pid = control.start(item.slot, new.now)
            except DamodError:
                self._own(self._identified(item, control.start(item.slot, item.now)))
                raise
            self._own(self._identified(new, pid))
            return
        try:
            control.commit(item.slot, self._with_tuned(control, item, new.now), word=word)
        except KernelRefused as exc:
            if exc.facts.get("pid") not in (None, item.pid):
                self._own(self._identified(item, exc.facts["pid"]))
            raise
        left = _without_obsolete(new.spec)
        if left != new.spec:
            # They are gone from the kernel's array now, and the next commit goes by position.
            new = replace(new, spec=left)
            control.stage(item.slot, new.now)
        self._own(replace(new, pid=item.pid, pid_start=item.pid_start))

    def tried_of(self, slot: int, scheme: int) -> tuple[Regions, Scheme]:
        """The regions that an installed scheme was tried on, and the scheme with its statistics.

        Our own kdamonds are told to bring the files up to date, which takes until the scheme's next turn; of others'
        what stands there is read. Raises NotFound for a slot or scheme that is not there, NoData for empty files.
        """
        self._reap()
        life = next((life for life in self._lives() if life.on and life.slot == slot), None)
        if life is None:
            raise NotFound(f"kdamond {slot} does not run", hint="`damoctl status` lists those that do")
        spec = self._spec(life)
        schemes = spec.contexts[0].schemes
        if scheme >= len(schemes):
            raise NotFound(
                f"kdamond {slot} has no scheme {scheme}, only {len(schemes)} of them",
                hint="`damoctl report damon` shows them; they are counted from 0",
            )
        if self._is_ours(life):
            control = Control(self.kernel, self.features())
            control.update_stats(slot)
            control.update_tried_regions(slot)
        regions = tried.read(self.kernel.damon, paths.tried_regions(slot, scheme))
        if not len(regions) and not self._is_ours(life):
            raise NoData(
                f"the kernel lists no regions that scheme {scheme} of kdamond {slot} was tried on",
                hint="this kdamond is somebody else's, and only its owner tells the kernel to list them;"
                " `damoctl adopt` makes it damod's",
            )
        return regions, reader.with_stats(self.kernel, slot, spec).contexts[0].schemes[scheme]

    def _spec(self, life: reader.Life) -> Kdamond:
        return self._slots.owned[life.slot].now if self._is_ours(life) else reader.kdamond(self.kernel, life.slot)

    def _with_tuned(self, control: Control, item: Owned, spec: Kdamond) -> Kdamond:
        """The spec with the intervals as the kernel has tuned them: changing something else must not reset them."""
        old, new = item.spec.contexts[0].intervals, spec.contexts[0].intervals
        if not new.intervals_goal.active or old != new or not control.features.has("update_tuned_intervals"):
            return spec
        sample_us, aggr_us = control.tuned_intervals(item.slot)
        intervals = new.model_copy(update={"sample_us": sample_us, "aggr_us": aggr_us})
        return spec.model_copy(update={"contexts": (spec.contexts[0].model_copy(update={"intervals": intervals}),)})

    def _notes(self, specs: Sequence[Kdamond], known: Features) -> list[str]:
        return [f"kdamonds[{index}].{note}" for index, spec in enumerate(specs) for note in notes(spec, known)]


def with_goals(running: Sequence[Kdamond], wanted: Sequence[Kdamond]) -> list[Kdamond]:
    """The running specs with the quota goals of the wanted ones. Raises UsageError, SpecInvalid."""
    made = []
    for index, (old, new) in enumerate(zip(running, wanted, strict=True)):
        plain = old.model_dump(mode="json")
        schemes, others = plain["contexts"][0]["schemes"], new.contexts[0].schemes
        if len(schemes) != len(others):
            raise UsageError(
                f"kdamond {index} has {len(schemes)} schemes, not {len(others)}; only quota goals were to be changed",
                hint="leave --quota_goals_only out to change everything that is given",
            )
        for scheme, other in zip(schemes, others, strict=True):
            scheme["quotas"]["goals"] = [goal.model_dump(mode="json") for goal in other.quotas.goals]
        made.append(plain)
    return list(parse_kdamonds(made))


def _need_processes(kdamonds: Sequence[Kdamond]) -> None:
    for index, context in ((index, context) for index, item in enumerate(kdamonds) for context in item.contexts):
        if context.ops != "vaddr":
            raise UsageError(
                f"child tasks cannot be included: kdamond {index} monitors {context.ops}, and only vaddr has processes"
                " whose children could be targets",
                hint="give a pid or a command, or leave --include_child_tasks out",
            )


def _family(item: Owned, targets: dict[int, int | None], follow: bool | None) -> dict[int, int | None] | None:
    """The processes to watch after a change: as before, unless other targets are given or following begins or ends."""
    if follow is False or (follow is None and item.family is None):
        return None
    return item.family if item.family is not None and targets == item.targets else dict(targets)


def _marked(item: Owned, new: Owned) -> Kdamond:
    """The targets as they were, with those that have ended marked obsolete, and the new ones behind them.

    The kernel looks up the pid even of an obsolete target (damon_sysfs_add_target()), so it is one that lives
    (**verified** on 7.3: the commit is taken, the kdamond goes on).
    """
    (before,), (after,) = item.now.contexts, new.now.contexts
    known, living = {target.pid for target in before.targets}, {target.pid for target in after.targets}
    stand_in = after.targets[0].pid
    kept = [target if target.pid in living else Target(pid=stand_in, obsolete=True) for target in before.targets]
    born = [target for target in after.targets if target.pid not in known]
    return new.spec.model_copy(update={"contexts": (after.model_copy(update={"targets": (*kept, *born)}),)})


def _anew(item: Owned, spec: Kdamond) -> bool:
    return [context.ops for context in item.spec.contexts] != [context.ops for context in spec.contexts]


def _check_obsolete(spec: Kdamond, running: int) -> None:
    """Raise UsageError for an obsolete target beyond the `running` ones (**verified** on 7.3: EINVAL)."""
    for index, target in enumerate(spec.contexts[0].targets):
        if target.obsolete and index >= running:
            raise UsageError(
                f"target {index} is obsolete, but it is not watched yet",
                hint="leave it out; with `damoctl tune`, obsolete takes one target of a running kdamond away",
            )


def _without_obsolete(spec: Kdamond) -> Kdamond:
    (context,) = spec.contexts
    targets = tuple(target for target in context.targets if not target.obsolete)
    return spec.model_copy(update={"contexts": (context.model_copy(update={"targets": targets}),)})


def _plain(todo: Iterable[Write]) -> list[list[str]]:
    return [[write.path, write.value] for write in todo]
