"""The interface of DAMON and the pool of slots in it: taking it, giving it back, and what is in the way.

`nr_kdamonds` cannot be written while any kdamond runs, so a pool is allocated at once, while nothing does. The middle
part of owning DAMON: `view.View` only looks, `owner.Owner` runs sets of kdamonds in the slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from damod.daemon.slots import Owned, Slots, check_name
from damod.daemon.view import View
from damod.errors import Conflict, NotFound
from damod.kernel import features as feature_table
from damod.kernel import modules, paths, reader
from damod.kernel.control import Control
from damod.kernel.features import Features
from damod.kernel.interface import Kernel
from damod.kernel.refusal import refused

SPARE = 4
"""Slots for sets by hand, beside those of the policies."""
POOL = 8
"""Slots allocated at once. An idle one costs the kernel two small directories, a kdamond more than eight is rare (one
per policy and node), and the pool can only grow while nothing runs."""


class Pool(View):
    """The slots that are ours, and how they become so."""

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
            self._give_back()
        self._restore_modules()

    def _give_back(self) -> None:
        self._write(paths.NR_KDAMONDS, "0", "giving back the slots")
        self._slots = replace(self._slots, pool=0)
        self._tried = None
        self._save()

    # -- taking ----------------------------------------------------------------------------------------------------

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

    def expect(self, kdamonds: int) -> None:
        """So many kdamonds are to come: the next pool is allocated for them, with room for a few by hand."""
        self._pool = max(self._pool, kdamonds + SPARE)

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
