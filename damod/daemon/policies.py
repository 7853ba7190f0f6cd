"""The policies' task: looks when a look is due, and answers the socket's `policy.*` methods.

All work is the reconciler's, in the kernel thread. Without policies nothing wakes up here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from damod.daemon.kernel_thread import KernelThread
from damod.daemon.owner import Owner
from damod.daemon.slots import check_name
from damod.errors import Conflict, DamodError, UsageError
from damod.kernel.interface import Kernel
from damod.kernel.writer import notes
from damod.policy import store
from damod.policy.document import Guard, Record
from damod.policy.fit import lacking
from damod.policy.load import SUFFIX, Document, load, of_texts, read
from damod.policy.plan import Step
from damod.policy.reconcile import Reconciler
from damod.policy.roster import State
from damod.policy.text import spelled
from damod.spec.kdamond import Kdamond

log = structlog.get_logger(__name__)


class Policies:
    """`tell` is called with a line for systemd whenever it changes; `changed` with the policies whose stage or reason
    is another one now ({"name", "stage", "reason", "before", "generation", "wall_ns"}), and with the steps done."""

    def __init__(
        self,
        kernel: Kernel,
        owner: Owner,
        thread: KernelThread,
        directories: tuple[str, ...],
        check_s: float,
        tell: Callable[[str], None],
        changed: Callable[[list[dict[str, Any]], list[str]], None],
    ) -> None:
        self.reconciler = Reconciler(kernel, owner, directories, check_s=check_s)
        self._owner = owner
        self._thread = thread
        self._tell = tell
        self._changed = changed
        self._clock = kernel.clock
        self._told: dict[str, tuple[str, str]] = {}
        self.on_look: Callable[[], None] = lambda: None
        """Called when the policies have been looked after."""
        self._wake = asyncio.Event()

    async def reload(self) -> None:
        """Read the files and apply them."""
        await self._thread.run(self._reload)
        self._note()
        self._wake.set()
        self.on_look()

    async def keep(self) -> None:
        """Look whenever it is due, until cancelled."""
        while True:
            self._wake.clear()
            try:
                async with asyncio.timeout(self.reconciler.due_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            else:
                continue  # something has been done already; only the time of the next look may have changed
            before = self.summary()
            try:
                await self._thread.run(self.reconciler.apply)
            except Exception:  # one round that fails must not end the care for all policies
                log.exception("policies could not be looked after")
                await asyncio.sleep(self.reconciler.check_s)
            self._note()
            self.on_look()
            if self.summary() != before:
                self._tell(self.summary())

    def summary(self) -> str:
        return self.reconciler.summary()

    def brief(self) -> list[dict[str, Any]]:
        """One small row per policy, for the status."""
        return [
            {"name": name, "stage": state.stage, "reason": state.reason}
            for name, state in self.reconciler.states.items()
        ]

    async def ask(self, fn: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """One of the methods below, in the kernel thread; afterwards it may be time for another look."""
        try:
            return await self._thread.run(fn, *args, **more)
        finally:
            self._note()
            self._wake.set()
            self.on_look()

    def _note(self) -> None:
        """Tell what is different since the last time."""
        now: dict[str, tuple[str, str]] = {}
        now |= {name: (state.stage, state.reason) for name, state in list(self.reconciler.states.items())}
        acts = [self.reconciler.acts.popleft() for _ in range(len(self.reconciler.acts))]
        gone = {name: ("gone", "") for name in self._told if name not in now}
        rows: list[dict[str, Any]] = [
            {
                "name": name,
                "stage": stage,
                "reason": reason,
                "before": self._told[name][0] if name in self._told else None,
                "generation": self.reconciler.generation,
                "wall_ns": self._clock.time_ns(),
            }
            for name, (stage, reason) in {**now, **gone}.items()
            if self._told.get(name) != (stage, reason)
        ]
        self._told = now
        if rows or acts:
            self._changed(rows, acts)

    # -- in the kernel thread --------------------------------------------------------------------------------------

    def _reload(self, *, forget: bool = True) -> int:
        self.reconciler.load(forget=forget)
        return self.reconciler.apply()

    def rows(self) -> dict[str, Any]:
        rows = [state.to_wire() for state in self.reconciler.states.values()]
        return {"policies": rows, "generation": self.reconciler.generation}

    def show(self, name: str) -> dict[str, Any]:
        """A policy with its kdamonds as they run, statistics included."""
        state = self.reconciler.state(name)
        shown = [row for row in self._owner.show() if row["name"] == name]
        would = self.reconciler.shadows(name)
        return {**state.to_wire(), "files": list(state.document.files), "kdamonds": shown, "would_touch": would}

    def cat(self, name: str) -> dict[str, Any]:
        """What counts of a policy, and from which line each key is."""
        document = self.reconciler.state(name).document
        origins = {spelled(path): f"{place.file}:{place.line}" for path, place in document.places.items() if path}
        return {"name": name, "files": list(document.files), "policy": document.data, "origins": origins}

    def check(self, text: str | None, file: str) -> dict[str, Any]:
        """Problems of a text, or (None) of all policies, also those that only this kernel has with it."""
        if text is not None:
            found = [of_texts(Path(file).stem, [(file, text)])]
        else:
            self._see()
            found = [state.document for state in self.reconciler.states.values()]
            found = [read(item.file, item.files[1:]) for item in found if not item.masked]
        return {"policies": [self._checked(document) for document in found]}

    def _see(self) -> None:
        if self.reconciler.trouble:
            raise UsageError(self.reconciler.trouble, hint="what runs goes on; `damoctl policy reload` tries again")

    def _checked(self, document: Document) -> dict[str, Any]:
        features = self._owner.features()
        kdamonds = document.policy.kdamonds if document.policy else ()
        missing = [
            f"{document.of(path)}: {path} needs {name}, which this kernel ({features.release}) lacks"
            for name, path in lacking(kdamonds, features)
        ]
        told = [f"{document.file}: {note}" for item in kdamonds for note in notes(item, features)]
        problems = [problem.to_wire() for problem in document.problems]
        return {"name": document.name, "file": document.file, "problems": problems, "missing": missing, "notes": told}

    def diff(self) -> dict[str, Any]:
        """What a reload would do now."""
        documents = load(self.reconciler.directories)
        by_name = {item.name: item for item in documents}
        steps, reasons = self.reconciler.preview(documents)
        return {
            "steps": [self._step(step, by_name.get(step.name)) for step in steps],
            "records": _recorded(self.reconciler.records(), self._would_record(documents, set(reasons)), by_name),
            "reasons": reasons,
        }

    def _would_record(self, documents: Sequence[Document], idle: set[str]) -> dict[str, Record]:
        """What would be recorded after a reload; of files that are wrong, what is."""
        found = {}
        for document in documents:
            policy = document.policy
            if policy is None and not document.masked:
                record = self.reconciler.records().get(document.name)
            else:
                record = policy.record if policy and policy.enabled and document.name not in idle else None
            if record is not None:
                found[document.name] = record
        return found

    def _step(self, step: Step, document: Document | None) -> dict[str, Any]:
        return {
            "name": step.name,
            "step": str(step),
            "file": document.file if document else "",
            "changes": self.reconciler.changes(step, document),
        }

    def reload_now(self) -> dict[str, Any]:
        before = self.reconciler.records()
        done = self._reload()
        self._see()
        documents = {name: state.document for name, state in self.reconciler.states.items()}
        return {"steps": done, "records": _recorded(before, self.reconciler.records(), documents), **self.rows()}

    def switch(self, name: str, on: bool) -> dict[str, Any]:
        state = self.reconciler.state(name)
        state.forced = state.shadow = False
        state.guard = None
        path = store.switch(self.reconciler.directories[-1], state.document, on)
        self._reload(forget=False)
        return {**self.reconciler.state(name).to_wire(), "written": path}

    def verify(self) -> dict[str, Any]:
        return {"policies": self.reconciler.verify()}

    def apply(self, name: str, probation_s: float | None, shadow: bool) -> dict[str, Any]:
        """Run a policy, as its file says now, until the next reload; guarded or as a shadow."""
        self.reconciler.load(forget=False, only=name)
        guard = None
        if probation_s is not None:
            policy = self.reconciler.state(name).document.policy
            given = (policy.guard if policy else None) or Guard()
            guard = given.model_copy(update={"probation": int(probation_s * 1e6)})
        self.reconciler.ask(name, guard=guard, shadow=shadow)
        self.reconciler.apply()
        return self.reconciler.state(name).to_wire()

    def save(self, name: str, kdamonds: tuple[Kdamond, ...], take_over: bool) -> dict[str, Any]:
        """Make a policy file of kdamonds and run it; there is no file if it does not run."""
        check_name(name)
        path = f"{self.reconciler.directories[-1]}/{name}{SUFFIX}"
        if name in self.reconciler.states or Path(path).exists():
            raise Conflict(f"there is a policy {name} already", hint="edit it, or give another name", path=path)
        store.write(path, store.saved(kdamonds, take_over=take_over, about="Saved by `damoctl start --save`."))
        self._reload(forget=False)
        state = self.reconciler.states.get(name)
        if state is None or state.stage != "running":
            Path(path).unlink(missing_ok=True)
            self._reload(forget=False)
            raise _refusal(name, state)
        kdamonds_now = [row for row in self._owner.status()["kdamonds"] if row["name"] == name]
        return {"name": name, "file": path, "kdamonds": kdamonds_now, "notes": list(state.notes)}

    def guard_by_hand(self, name: str | None) -> None:
        """Raise Conflict if a set that is to be tuned by hand is a policy's."""
        owner = self._owner.set_of_policy(name)
        if owner is not None:
            raise Conflict(
                f"the set {owner!r} is a policy's, which would be set again as its file says",
                hint=f"edit the file (`damoctl policy show {owner}` names it) and `damoctl policy reload`",
                name=owner,
            )


def _recorded(
    before: Mapping[str, Record], after: Mapping[str, Record], documents: Mapping[str, Document]
) -> list[dict[str, str]]:
    """Whose recording begins, ends or begins anew, each with the line that says so."""
    found = []
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            step = "record" if name not in before else "record anew" if name in after else "record no longer"
            line = documents[name].of("record") if name in documents else ""
            found.append({"name": name, "step": f"{step} {name}", "line": line})
    return found


def _refusal(name: str, state: State | None) -> DamodError:
    reason = state.reason if state else "its file vanished"
    return Conflict(f"policy {name} was not started, so it was not saved: {reason}", hint="`damoctl status` shows more")
