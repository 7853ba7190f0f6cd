"""One kdamond's life: start, commit, stop, and the commands that make it tell. Synchronous; one thread calls it.

A change is a transaction: write the differences, command, look at the state, read back. On refusal the files are put
back, and a kdamond that the commit killed (**verified** on 6.12: impossible values are taken and the kdamond stops) is
started again with the parameters it had. Every wait has an end, on the kernel's own clock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from damod.errors import Conflict, DamodError, FeatureMissing, KernelRefused, NoDamon, NotFound
from damod.kernel import paths, reader
from damod.kernel.features import Features
from damod.kernel.interface import Kernel
from damod.kernel.refusal import refused
from damod.kernel.writer import Write, WriteRefused, apply, differences, writes
from damod.spec.kdamond import Kdamond

TURN_S = 10.0
"""How long a kdamond may take to be seen on or off after the kernel took the command."""
COMMIT_GOALS = "commit_schemes_quota_goals"
SETTLE_S = 0.02
"""How long after a commit a kdamond that it killed may still be seen on (6.12 ends it in its own thread)."""


class Control:
    """Does to kdamonds what it is told, slot by slot; knows nothing about whose they are."""

    def __init__(self, kernel: Kernel, features: Features) -> None:
        self.kernel = kernel
        self.features = features

    def _read(self, path: str) -> str:
        return reader.read(self.kernel, path)

    def start(self, slot: int, spec: Kdamond) -> int:
        """Stage a spec in an idle slot and turn it on; the kdamond's pid.

        Raises KernelRefused (or Conflict when something else has DAMON); then the slot is empty and off again.
        """
        wanted = writes(spec, slot, self.features)
        try:
            # An idle slot may hold anything; new contexts start from the kernel's defaults.
            self._apply(slot, [Write(paths.nr_contexts(slot), "0"), *wanted])
            self._turn_on(slot)
            pid = self._wait_on(slot)
            self._read_back(slot, wanted)
        except DamodError:
            self._empty(slot)
            raise
        return pid

    def commit(self, slot: int, spec: Kdamond, *, word: str = "commit") -> list[Write]:
        """Give a running kdamond the parameters of `spec`; the writes that it took.

        With the `word` COMMIT_GOALS only the quota goals, which then must be all that differs. Raises KernelRefused
        after everything is as it was before, NotFound if the kdamond does not run.
        """
        alive = reader.life(self.kernel, slot)
        if not alive.on:
            raise NotFound(f"kdamond {slot} does not run (any more)", hint="`damoctl start` starts it again")
        before = reader.kdamond(self.kernel, slot)
        wanted = writes(spec, slot, self.features)
        todo = differences(wanted, self._read)
        if not todo:
            return []
        try:
            self._apply(slot, todo)
            self.command(slot, word)
        except DamodError as refusal:
            try:
                refusal.facts.update(self._put_back(slot, before, alive.pid))
            except DamodError as again:
                refusal.hint = f"putting back what was before was refused too ({again}); stop this set and start it"
            raise
        if not self._still_on(slot):
            facts = self._put_back(slot, before, alive.pid)
            raise KernelRefused(
                f"committed {len(todo)} changes to kdamond {slot}, and the kernel stopped it",
                hint="this kernel (6.12 does so) ends a kdamond when values do not fit together;"
                " it was started again with the parameters it had, under a new pid",
                **facts,
            )
        self._read_back(slot, wanted)
        return todo

    def stage(self, slot: int, spec: Kdamond) -> None:
        """Make a slot's files say `spec` without telling the kernel to take them. Raises KernelRefused."""
        self._apply(slot, differences(writes(spec, slot, self.features), self._read))

    def stop(self, slot: int) -> int | None:
        """Turn a kdamond off and wait until it is; the pid it had, None if it did not run."""
        pid = reader.life(self.kernel, slot).pid
        if pid is None:
            return None
        try:
            self.kernel.damon.write(paths.state(slot), "off")
        except OSError as exc:
            if reader.life(self.kernel, slot).on:
                raise refused(f"stopping kdamond {slot} (pid {pid})", paths.state(slot), exc.errno or 0) from exc
        pauses = reader.Pauses(self.kernel.clock, TURN_S)
        while reader.life(self.kernel, slot).on:
            if not pauses.more():
                raise KernelRefused(
                    f"stopped kdamond {slot} (pid {pid}), but it still runs after {TURN_S:g} s",
                    hint="it may be busy with a long operation; try again",
                    path=paths.state(slot),
                )
        return pid

    def update_stats(self, slot: int) -> None:
        """Bring the stats and effective quota files of all schemes up to date."""
        self.command(slot, "update_schemes_stats")
        if self.features.has("effective_bytes"):
            self.command(slot, "update_schemes_effective_quotas")

    def update_tried_regions(self, slot: int) -> bool:
        """Have the kernel list the regions of the next apply interval; blocks until that is over.

        False, and empty lists, if no scheme gets its turn: all are asleep at their watermarks, or their context is
        paused. The kernel says ECANCELED then since 7.x, and nothing before.
        """
        try:
            self.command(slot, "update_schemes_tried_regions")
        except KernelRefused as exc:
            if exc.facts.get("errno") != errno.ECANCELED:
                raise
            return False
        return True

    def tuned_intervals(self, slot: int) -> tuple[int, int]:
        """(sample_us, aggr_us) now in force. Raises FeatureMissing where the kernel cannot tell."""
        if not self.features.has("update_tuned_intervals"):
            raise FeatureMissing(
                f"this kernel ({self.features.release}) cannot tell tuned intervals",
                hint=f"Linux {self.features.since('update_tuned_intervals')} can",
                feature="update_tuned_intervals",
            )
        self.command(slot, "update_tuned_intervals")
        return reader.intervals(self.kernel, slot)

    def command(self, slot: int, word: str) -> None:
        """Write a command for a running kdamond. Raises NotFound if it does not run, KernelRefused."""
        pauses = reader.Pauses(self.kernel.clock, reader.BUSY_S)
        while True:
            try:
                self.kernel.damon.write(paths.state(slot), word)
                return
            except OSError as exc:
                # Another command (of refresh_ms, or of somebody else) is under way.
                if exc.errno == errno.EBUSY and pauses.more():
                    continue
                # ECANCELED is that since 7.x, before it was EINVAL.
                gone = (errno.EINVAL, errno.EPERM, errno.ECANCELED)
                if exc.errno in gone and not reader.life(self.kernel, slot).on:
                    raise NotFound(
                        f"told kdamond {slot} to {word}, but it does not run any more",
                        hint="its target may have ended; `damoctl status` shows why",
                    ) from exc
                raise refused(f"telling kdamond {slot} to {word}", paths.state(slot), exc.errno or 0) from exc

    def _apply(self, slot: int, todo: Sequence[Write]) -> None:
        try:
            apply(self.kernel.damon, todo)
        except WriteRefused as exc:
            write = exc.write
            raise refused(
                f"writing {write.value!r} to {write.path} (kdamond {slot})", write.path, exc.errno or 0
            ) from exc

    def _turn_on(self, slot: int) -> None:
        where = paths.state(slot)
        try:
            self.kernel.damon.write(where, "on")
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                raise Conflict(
                    f"starting kdamond {slot}: the kernel answered {os.strerror(errno.EBUSY)} (EBUSY)",
                    hint="a DAMON module (damon_stat, damon_reclaim, damon_lru_sort) or another program has DAMON;"
                    " `damoctl status` shows which, `damoctl start --take_over` switches damon_stat off",
                    errno=errno.EBUSY,
                    path=where,
                ) from exc
            raise refused(f"starting kdamond {slot}", where, exc.errno or 0) from exc

    def _wait_on(self, slot: int) -> int:
        pauses = reader.Pauses(self.kernel.clock, TURN_S)
        while True:
            pid = reader.life(self.kernel, slot).pid
            if pid is not None:
                return pid
            if not pauses.more():
                raise KernelRefused(
                    f"started kdamond {slot}, but it does not run",
                    hint="its target may have ended at once; see the kernel's log (dmesg)",
                    path=paths.state(slot),
                )

    def _still_on(self, slot: int) -> bool:
        if not reader.life(self.kernel, slot).on:
            return False
        self.kernel.clock.sleep(SETTLE_S)
        return reader.life(self.kernel, slot).on

    def _read_back(self, slot: int, wanted: Sequence[Write]) -> None:
        """Make sure that the kernel holds what was written. The intervals may be tuned already, so they may differ."""
        tuned = {f"{paths.context(slot)}/{entry.path}" for entry in paths.CONTEXT if entry.field in paths.TUNED_FILES}
        left = [write for write in differences(wanted, self._read) if write.path not in tuned]
        if left:
            raise Conflict(
                f"wrote {left[0].value!r} to {left[0].path}, but it reads {self._read(left[0].path)!r} now",
                hint="somebody else writes to this kdamond at the same time; find and stop them",
                path=left[0].path,
            )

    def _put_back(self, slot: int, before: Kdamond, pid: int | None) -> dict[str, int | None]:
        """Stage again what a slot held; start it if it died. The facts for the error that is told."""
        self.stage(slot, before)
        if self._still_on(slot):
            return {"pid": pid}
        self._turn_on(slot)
        return {"pid": self._wait_on(slot), "pid_before": pid}

    def _empty(self, slot: int) -> None:
        """After a refused start: off, and nothing staged."""
        try:
            self.stop(slot)
            self.kernel.damon.write(paths.nr_contexts(slot), "0")
        except (OSError, DamodError):
            # The refusal that led here is what the user needs to hear; the next start empties the slot anyway.
            return


def need_damon(kernel: Kernel) -> None:
    """Raise NoDamon if this kernel has no DAMON sysfs interface."""
    try:
        reader.count(kernel)
    except FileNotFoundError as exc:
        raise NoDamon(
            f"looked for DAMON in this kernel ({kernel.release}), but it has no sysfs interface for it",
            hint="it needs CONFIG_DAMON and CONFIG_DAMON_SYSFS, as Debian's kernels since 6.12 have;"
            " `damod --kernel sim` shows everything without",
        ) from exc
