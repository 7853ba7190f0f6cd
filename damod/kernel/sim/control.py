"""The `state` file of each kdamond directory: starting, stopping, and the commands to a running one.

A command waits as long as on Linux: until the next sample, on 6.12 until the next aggregation, and for tried regions
until every scheme had its turn. While one waits, another command is answered EBUSY, on 6.12 a look at `state` too.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import asdict, replace

from damod.kernel.sim.clock import WaitableClock
from damod.kernel.sim.facts import Facts
from damod.kernel.sim.kdamond import Kdamond
from damod.kernel.sim.machine import Machine
from damod.kernel.sim.params import ContextParams, read_context, read_goals
from damod.kernel.sim.tree import Dir, number, refuse

# So many aggregations, and turns of schemes, are caught up with in detail; what lies before is passed over.
_CATCH_UP = 50
_CATCH_UP_TURNS = 1000
# With nothing due (all paused, or none) somebody looks again after a while.
_LOOK_NS = 10_000_000


class Slot:
    """One directory kdamonds/N. `kdamond` is the running one; `started` whether there ever was one."""

    def __init__(self, directory: Dir) -> None:
        self.directory = directory
        self.kdamond: Kdamond | None = None
        self.started = False
        self.refresh_ns = 0

    def context(self) -> Dir:
        """Its contexts/0; EINVAL if there is none."""
        children = self.directory.dirs["contexts"].children()
        if len(children) != 1:
            raise refuse(errno.EINVAL, "contexts")
        return children[0]

    def schemes(self) -> list[Dir]:
        """The staged scheme directories."""
        return [scheme for context in self.directory.dirs["contexts"].children() for scheme in _schemes(context)]


def _schemes(context: Dir) -> list[Dir]:
    return context.dirs["schemes"].children()


class Control:
    """All kdamonds of the sysfs interface.

    `start` makes a Kdamond of parameters; `exclusive` says whether a DAMON module runs that allows no other kdamond.
    """

    def __init__(
        self,
        facts: Facts,
        clock: WaitableClock,
        machine: Machine,
        changed: threading.Condition,
        *,
        start: Callable[[ContextParams], Kdamond],
        exclusive: Callable[[], bool],
    ) -> None:
        self._facts = facts
        self._clock = clock
        self._machine = machine
        self._changed = changed
        self._start = start
        self._exclusive = exclusive
        self._old = facts.version < (6, 16)
        self._under_way = False
        self._quiet_until_ns = 0
        self.slots: list[Slot] = []
        self.busy_reads = 0

    # The tree

    def adopt(self, kdamonds: Dir) -> None:
        """Take over kdamonds/: its nr_kdamonds file and what it makes."""
        populate = kdamonds.count

        def count(text: str) -> None:
            if number(text, low=-(2**31), high=2**31 - 1) < 0:
                raise refuse(errno.EINVAL, text)
            if self._under_way or self.running():
                raise refuse(errno.EBUSY, text)
            populate(text)
            self.slots = [Slot(child) for child in kdamonds.children()]
            for slot in self.slots:
                self._hang(slot)

        kdamonds.files["nr_kdamonds"].store = count

    def _hang(self, slot: Slot) -> None:
        files = slot.directory.files
        files["state"].show = lambda: self._state(slot)
        files["state"].waits = True
        files["state"].store = lambda text: self.command(slot, text.removesuffix("\n"))
        files["pid"].show = lambda: str(slot.kdamond.pid) if slot.kdamond else "-1"

    def _state(self, slot: Slot) -> str:
        if self.busy_reads > 0:
            self.busy_reads -= 1
            raise refuse(errno.EBUSY, "state")
        if self._old and self._under_way:
            raise refuse(errno.EBUSY, "state")
        return "on" if slot.kdamond else "off"

    # Time

    def running(self) -> list[Kdamond]:
        """The kdamonds that run now."""
        return [slot.kdamond for slot in self.slots if slot.kdamond]

    def next_event_ns(self) -> int | None:
        """When something will happen next, None if nothing will."""
        return min((due for kdamond in self.running() if (due := kdamond.due_ns()) is not None), default=None)

    def catch_up(self) -> None:
        """Let everything happen that is due by now, in the order of time over all kdamonds."""
        now = self._clock.monotonic_ns()
        # Every access to the tree comes here, and with many schemes finding out what is due next takes long.
        if now >= self._quiet_until_ns:
            self._step(now)
            due = self.next_event_ns()
            self._quiet_until_ns = now + _LOOK_NS if due is None else due
        for slot in self.slots:
            if slot.kdamond and not slot.kdamond.alive():
                self.end(slot)
            elif slot.kdamond:
                self._refresh(slot, slot.kdamond, now)

    def _step(self, now: int) -> None:
        alive = self.running()
        for kdamond in alive:
            kdamond.skip_to(now - min(_CATCH_UP * kdamond.attrs.aggr_us * 1000, _CATCH_UP_TURNS * kdamond.period_ns()))
        while alive:
            due, _, kdamond = min(
                (now + 1 if (when := kdamond.due_ns()) is None else when, index, kdamond)
                for index, kdamond in enumerate(alive)
            )
            if due > now:
                break
            kdamond.step()

    def _refresh(self, slot: Slot, kdamond: Kdamond, now: int) -> None:
        every = slot.directory.value("refresh_ms") * 1_000_000
        if every and now >= slot.refresh_ns:
            slot.refresh_ns = now + every
            self._show_stats(slot, kdamond)
            self._show_quotas(slot, kdamond)
            self._show_intervals(slot, kdamond)

    def end(self, slot: Slot) -> None:
        """The kdamond of a slot is no more."""
        if slot.kdamond:
            self._machine.end_thread(slot.kdamond.pid)
            slot.kdamond = None
            self._changed.notify_all()

    # Commands

    def command(self, slot: Slot, word: str) -> None:
        """What a write of `word` to the state file does, with Linux' refusals."""
        with self._changed:
            if self._under_way:
                raise refuse(errno.EBUSY, word)
            self.catch_up()
            if word not in self._facts.commands:
                raise refuse(errno.EINVAL, word)
            if word == "on":
                return self._on(slot)
            if word == "off":
                return self._off(slot)
            if word == "clear_schemes_tried_regions" and not self._old:
                slot.context()
                return self._clear(slot)
            kdamond = slot.kdamond
            if kdamond is None:
                canceled = slot.started and self._facts.version >= (7, 0)
                raise refuse(errno.ECANCELED if canceled else errno.EINVAL, word)
            self._under_way = True
        try:
            if word in ("update_schemes_tried_regions", "update_schemes_tried_bytes"):
                self._walk(slot, kdamond, rows=word.endswith("regions"))
            else:
                self._sleep(lambda: kdamond.command_delay_ns(self._clock.monotonic_ns()))
                with self._changed:
                    self._perform(slot, kdamond, word)
        finally:
            with self._changed:
                self._under_way = False
        return None

    def _sleep(self, delay_ns: Callable[[], int]) -> None:
        """Wait without the lock, then let happen what was due meanwhile."""
        with self._changed:
            delay = delay_ns()
        self._clock.sleep(delay / 1e9)
        with self._changed:
            self.catch_up()

    def _on(self, slot: Slot) -> None:
        if slot.kdamond:
            raise refuse(errno.EBUSY, "on")
        params = read_context(slot.context(), self._machine)
        if self._exclusive():
            raise refuse(errno.EBUSY, "on")
        slot.kdamond = self._start(params)
        slot.started = True
        slot.refresh_ns = 0
        self._quiet_until_ns = 0
        self._changed.notify_all()

    def _off(self, slot: Slot) -> None:
        if not slot.kdamond:
            # Without a context there is nothing to stop; an ended one is refused by damon_stop().
            if slot.started and self._facts.version >= (7, 3):
                return
            raise refuse(errno.EPERM if slot.started else errno.EINVAL, "off")
        self.end(slot)

    def _perform(self, slot: Slot, kdamond: Kdamond, word: str) -> None:
        if slot.kdamond is not kdamond:
            raise refuse(errno.EINVAL, word)
        self._quiet_until_ns = 0
        if word == "commit":
            self._commit(slot, kdamond)
        elif word == "update_schemes_stats":
            self._show_stats(slot, kdamond)
        elif word == "update_schemes_effective_quotas":
            self._show_quotas(slot, kdamond)
        elif word == "update_tuned_intervals":
            self._show_intervals(slot, kdamond)
        elif word == "commit_schemes_quota_goals":
            for scheme, staged in zip(kdamond.schemes, slot.schemes(), strict=False):
                quota = replace(scheme.params.quota, goals=read_goals(staged))
                scheme.params = replace(scheme.params, quota=quota)
        elif word == "clear_schemes_tried_regions":
            self._clear(slot)

    def _commit(self, slot: Slot, kdamond: Kdamond) -> None:
        try:
            params = read_context(slot.context(), self._machine)
        except OSError:
            if not self._old:
                raise
            # 6.12 lets the write succeed and the kdamond die of the error.
            self.end(slot)
            return
        kdamond.commit(params)
        self._changed.notify_all()

    def _walk(self, slot: Slot, kdamond: Kdamond, *, rows: bool) -> None:
        """Collect what each scheme is tried on in its next turn, then show it."""
        with self._changed:
            self._clear(slot)
            for scheme in kdamond.schemes:
                scheme.walk, scheme.walked = [], 0
        try:
            while self._waiting(slot, kdamond):
                self._sleep(lambda: max((kdamond.due_ns() or 0) - self._clock.monotonic_ns(), 1000))
            with self._changed:
                if slot.kdamond is not kdamond:
                    raise refuse(errno.EINVAL, "update_schemes_tried_regions")
                for scheme, staged in zip(kdamond.schemes, slot.schemes(), strict=False):
                    tried = scheme.walk or []
                    where = staged.dirs["tried_regions"]
                    where.set("total_bytes", sum(region.end - region.start for region in tried))
                    for region in tried if rows else ():
                        where.serial += self._facts.odd_rows
                        row = where.add_row(where.serial, asdict(region))
                        where.serial += 1
                        probes = row.dirs.get("probes")
                        for index, hits in enumerate(region.hits if probes else ()):
                            if probes:
                                probes.add_row(index, {"hits": hits})
        finally:
            with self._changed:
                for scheme in kdamond.schemes:
                    scheme.walk = None

    def _waiting(self, slot: Slot, kdamond: Kdamond) -> bool:
        """Whether some scheme still has its turn before it; ECANCELED where none ever will."""
        with self._changed:
            if slot.kdamond is not kdamond:
                return False
            asleep = kdamond.asleep_until is not None or kdamond.params.pause or not kdamond.schemes
            if asleep and not self._old:
                raise refuse(errno.ECANCELED, "update_schemes_tried_regions")
            return not asleep and not all(scheme.walked for scheme in kdamond.schemes)

    # What a command shows in files

    def _clear(self, slot: Slot) -> None:
        for staged in slot.schemes():
            where = staged.dirs["tried_regions"]
            where.serial -= len(where.dirs)
            where.clear()
            where.set("total_bytes", 0)

    def _show_stats(self, slot: Slot, kdamond: Kdamond) -> None:
        for scheme, staged in zip(kdamond.schemes, slot.schemes(), strict=False):
            for name, value in asdict(scheme.stats).items():
                staged.set(f"stats/{name}", value)

    def _show_quotas(self, slot: Slot, kdamond: Kdamond) -> None:
        for scheme, staged in zip(kdamond.schemes, slot.schemes(), strict=False):
            staged.set("quotas/effective_bytes", scheme.effective)

    def _show_intervals(self, slot: Slot, kdamond: Kdamond) -> None:
        for context in slot.directory.dirs["contexts"].children():
            context.set("monitoring_attrs/intervals/sample_us", kdamond.attrs.sample_us)
            context.set("monitoring_attrs/intervals/aggr_us", kdamond.attrs.aggr_us)
