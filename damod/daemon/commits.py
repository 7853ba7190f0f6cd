"""Changing a kdamond that runs, and asking it for regions. Each is one commit that leaves pid and ages alone.

A change that the kernel refuses leaves what was; a kdamond that died of a refused commit (6.12) is started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from damod.access.snapshot import Regions
from damod.daemon import family
from damod.daemon.changes import anew, marked, without_obsolete
from damod.daemon.pool import Pool
from damod.daemon.slots import Owned
from damod.errors import DamodError, KernelRefused, NoData, NotFound
from damod.kernel import paths, reader, tried
from damod.kernel.control import Control
from damod.kernel.interface import ProcessEvent
from damod.spec.filter import Filter
from damod.spec.kdamond import Kdamond
from damod.spec.needs import check
from damod.spec.scheme import Scheme


class Commits(Pool):
    """What is done to one kdamond of ours at a time, once it runs."""

    def _change(self, control: Control, item: Owned, new: Owned, word: str = "commit") -> None:
        if anew(item, new.spec):
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
        left = without_obsolete(new.spec)
        if left != new.spec:
            # They are gone from the kernel's array now, and the next commit goes by position.
            new = replace(new, spec=left)
            control.stage(item.slot, new.now)
        self._own(replace(new, pid=item.pid, pid_start=item.pid_start))

    def _with_tuned(self, control: Control, item: Owned, spec: Kdamond) -> Kdamond:
        """The spec with the intervals as the kernel has tuned them: changing something else must not reset them."""
        old, new = item.spec.contexts[0].intervals, spec.contexts[0].intervals
        if not new.intervals_goal.active or old != new or not control.features.has("update_tuned_intervals"):
            return spec
        sample_us, aggr_us = control.tuned_intervals(item.slot)
        intervals = new.model_copy(update={"sample_us": sample_us, "aggr_us": aggr_us})
        return spec.model_copy(update={"contexts": (spec.contexts[0].model_copy(update={"intervals": intervals}),)})

    def _undo_start(self, control: Control, item: Owned) -> None:
        try:
            control.stop(item.slot)
            self.kernel.damon.write(paths.nr_contexts(item.slot), "0")
        except (OSError, DamodError) as exc:
            self._problems.append(f"kdamond {item.slot} could not be stopped after a refused start: {exc}")
            return
        self._disown(item.slot)

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
                control.commit(item.slot, self._with_tuned(control, item, marked(item, new)))
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

    # -- regions by way of sysfs -----------------------------------------------------------------------------------

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
            if not control.update_tried_regions(slot):
                raise _asleep(slot)
            return tried.read(self.kernel.damon, paths.tried_regions(slot, len(context.schemes)))
        finally:
            control.commit(slot, self._with_tuned(control, item, item.now))

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
            if not control.update_tried_regions(slot):
                raise _asleep(slot)
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


def _asleep(slot: int) -> NoData:
    return NoData(
        f"kdamond {slot} monitors nothing now, so there are no regions that a scheme was tried on",
        hint="its context is paused, or all its schemes are asleep at their watermarks;"
        " `damoctl report damon` shows them",
    )
