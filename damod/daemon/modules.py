"""DAMON's modules as the socket sees them: looked at, and changed by the same rules as kdamonds.

A module that runs takes all of DAMON, so what is in its way is told before anything is written, and what we switch on
is ours until it is switched off, also after a restart (`slots.json`). A change is a transaction: only what was asked
for and differs is written, after it has been judged; what the kernel refuses, at once or by ending the module over a
commit, is put back. Between `commit_inputs` = Y and its N nothing may be written (reclaim.rst): one change at a time.

Waiting is done here and not in the kernel thread: a module that its watermarks keep asleep may read its parameters
only when it looks at these again, five seconds later by default.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from damod.daemon.kernel_thread import KernelThread
from damod.daemon.owner import Owner
from damod.errors import Busy, Conflict, DamodError, FeatureMissing, KernelRefused, NotFound, SpecInvalid, UsageError
from damod.kernel import modules, parameters
from damod.kernel.interface import Kernel
from damod.kernel.modules import Module
from damod.kernel.parameters import COMMIT, ENABLED, PID
from damod.near import near

PATIENCE_S = 10.0
"""How long a module may take for what it does at once, beyond its own intervals."""
_PAUSE_S = 0.02
_AS_BEFORE = "the parameters are as they were, and the module runs"


@dataclass
class _Plan:
    """What is to be done to one module."""

    module: Module
    writes: dict[str, str] = field(default_factory=dict)
    enabled: bool | None = None
    commit: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.module.name

    def changes(self) -> list[dict[str, str]]:
        new = dict(self.writes)
        if self.enabled is not None:
            new[ENABLED] = "Y" if self.enabled else "N"
        held = self.module.parameters
        return [{"parameter": name, "old": held.get(name, ""), "new": text} for name, text in new.items()]


class Modules:
    """The modules of one kernel. Its methods are the socket's `modules.*`."""

    def __init__(self, kernel: Kernel, owner: Owner, thread: KernelThread) -> None:
        self._kernel = kernel
        self._owner = owner
        self._thread = thread
        self._one = asyncio.Lock()

    async def all(self) -> list[dict[str, Any]]:
        """Each module: {"name", "about", "enabled", "pid", "owner" ("damod", "other", None: off), "parameters"}."""
        return await self._thread.run(lambda: [self._brief(item) for item in modules.modules(self._kernel)])

    async def show(self, name: str) -> dict[str, Any]:
        """One module, and of each parameter {"name", "text", "value", "shown", "about", "kind", "writable"}."""
        return await self._thread.run(self._show, name)

    async def write(
        self,
        name: str,
        wanted: Mapping[str, Any],
        *,
        enabled: bool | None = None,
        commit: bool = False,
        take_over: bool = False,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Change parameters, then enable, disable, or have a running module read them again (`commit`).

        {"changes": [{"parameter", "old", "new"}], "notes", "module" as `show` has it}. Raises NotFound, UsageError,
        FeatureMissing, SpecInvalid (facts["problems"]), Conflict, Busy, KernelRefused.
        """
        async with self._one:
            await self._settled(name)
            plan = await self._thread.run(self._plan, name, wanted, enabled, commit, take_over)
            if not dry_run:
                await self._do(plan, take_over)
            return {"changes": plan.changes(), "notes": plan.notes, "module": await self.show(name)}

    # -- in the kernel thread ------------------------------------------------------------------------------------------

    def _brief(self, module: Module) -> dict[str, Any]:
        whose = "damod" if module.name in self._owner.own_modules() else "other"
        return {
            "name": module.name,
            "about": parameters.ABOUT.get(module.name, ""),
            "enabled": module.enabled,
            "pid": module.pid,
            "owner": whose if module.enabled else None,
            "parameters": module.parameters,
        }

    def _show(self, name: str) -> dict[str, Any]:
        module = modules.module(self._kernel, name)
        order = [*parameters.TABLE.get(module.name, {}), *module.parameters]
        rows = []
        for parameter in dict.fromkeys(item for item in order if item in module.parameters):
            text = module.parameters[parameter]
            row = parameters.of(module.name, parameter, text)
            rows.append(
                {
                    "name": parameter,
                    "text": text,
                    "value": parameters.value(row, text),
                    "shown": parameters.shown(row, text),
                    "about": row.about,
                    "kind": row.kind,
                    "writable": not row.result,
                }
            )
        return {**self._brief(module), "parameters": rows}

    def _plan(self, name: str, wanted: Mapping[str, Any], enabled: bool | None, commit: bool, take_over: bool) -> _Plan:
        module = modules.module(self._kernel, name)
        plan = _Plan(module, commit=commit, enabled=enabled)
        texts = self._texts(module, wanted)
        # Switching and committing are acts and not values, however they were said.
        for act in (ENABLED, COMMIT):
            if act in texts and texts.pop(act) == "Y":
                plan.enabled, plan.commit = (True, plan.commit) if act == ENABLED else (plan.enabled, True)
            elif act in wanted and act == ENABLED:
                plan.enabled = False
        if plan.commit and COMMIT not in module.parameters:
            raise UsageError(f"{module.name} has nothing to commit: it takes no parameters", hint="enable, disable")
        plan.writes = {key: text for key, text in texts.items() if text != module.parameters[key]}
        self._judge(plan, {**module.parameters, **texts})
        self._orient(plan)
        if plan.enabled:
            self._owner.refuse_beside(module.name, take_over)
        return plan

    def _texts(self, module: Module, wanted: Mapping[str, Any]) -> dict[str, str]:
        """What is to be written, spelled for the kernel."""
        texts, wrong = {}, []
        for name, given in wanted.items():
            row = parameters.of(module.name, name, module.parameters.get(name, ""))
            if name not in module.parameters:
                self._unknown(module, name)
            elif row.result:
                raise UsageError(f"{name} of {module.name} is a result of its work and cannot be written")
            else:
                try:
                    texts[name] = parameters.parse(row, str(given))
                except ValueError as exc:
                    wrong.append(parameters.Problem(name, str(exc)))
        self._refuse(module, wrong)
        return texts

    def _unknown(self, module: Module, name: str) -> None:
        row = parameters.TABLE.get(module.name, {}).get(name)
        if row:
            raise FeatureMissing(
                f"{module.name} of this kernel ({self._kernel.release}) has no {name}",
                hint=f"Linux {row.since} has it",
                feature=f"{module.name}.{name}",
            )
        raise NotFound(
            f"{module.name} has no parameter {name!r}{near(name, module.parameters)}",
            hint=f"`damoctl module {module.name.removeprefix('damon_')} read` lists them",
        )

    def _judge(self, plan: _Plan, after: Mapping[str, str]) -> None:
        """Refuse what the kernel would: all of it where it is about to look, else what this change makes wrong."""
        found = parameters.problems(after)
        if not (plan.enabled or plan.commit):
            before = parameters.problems(plan.module.parameters)
            found = [problem for problem in found if problem not in before]
        self._refuse(plan.module, found)

    def _refuse(self, module: Module, found: list[parameters.Problem]) -> None:
        if found:
            raise SpecInvalid(
                f"{module.name}: " + "; ".join(f"{name}: {message}" for name, message in found),
                hint="nothing was written",
                problems=[{"path": name, "message": message} for name, message in found],
            )

    def _orient(self, plan: _Plan) -> None:
        """Make of what was asked what is to be done, given whether the module runs; tell what is not."""
        module = plan.module
        if plan.enabled is not None and plan.enabled == module.enabled:
            plan.notes.append(f"{module.name} is {'on' if module.enabled else 'off'} already")
            if plan.enabled and module.name not in self._owner.own_modules():
                plan.notes.append("it was enabled by somebody else, or by the kernel at boot")
            plan.commit = plan.commit or bool(plan.enabled and plan.writes and COMMIT in module.parameters)
            plan.enabled = None
        on = module.enabled if plan.enabled is None else plan.enabled
        if plan.commit and not on:
            plan.notes.append(f"{module.name} is off; it reads its parameters when it is enabled")
        if plan.enabled is not None or not on:
            plan.commit = False
        elif plan.writes and not plan.commit:
            short = module.name.removeprefix("damon_")
            plan.notes.append(
                f"{module.name} runs on with what it has read; `damoctl module {short} commit` makes it read"
            )

    def _put(self, plan: _Plan, values: Mapping[str, str]) -> None:
        """Write parameters; what was written before a refusal is put back."""
        done: list[str] = []
        try:
            for name, text in values.items():
                modules.write(self._kernel, plan.name, name, text)
                done.append(name)
        except DamodError:
            self._put_back(plan, done)
            raise

    def _put_back(self, plan: _Plan, names: list[str]) -> None:
        for name in reversed(names):
            modules.write(self._kernel, plan.name, name, plan.module.parameters[name])

    def _enable(self, plan: _Plan, take_over: bool) -> None:
        self._put(plan, plan.writes)
        try:
            if take_over:
                plan.notes += self._owner.make_room()
            # Remembered first: after a crash in between it is ours and on, or off and forgotten.
            self._owner.own_module(plan.name, True)
            modules.switch(self._kernel, plan.name, True)
        except DamodError as exc:
            self._put_back(plan, list(plan.writes))
            self._owner.own_module(plan.name, False)
            self._owner.restore_modules()
            if isinstance(exc, KernelRefused) and exc.facts.get("errno") == errno.EBUSY:
                raise Conflict(
                    f"{plan.name} cannot be enabled: something else uses DAMON",
                    hint="`damoctl status` and `damoctl module list` show what",
                ) from exc
            raise

    def _disable(self, plan: _Plan) -> None:
        self._put(plan, plan.writes)
        if plan.name not in self._owner.own_modules():
            plan.notes.append(f"{plan.name} had been enabled by somebody else, or by the kernel at boot")
        modules.switch(self._kernel, plan.name, False)
        self._owner.own_module(plan.name, False)

    def _commit(self, plan: _Plan) -> None:
        try:
            modules.write(self._kernel, plan.name, COMMIT, "Y")
        except KernelRefused as exc:
            # Newer kernels look at once, and a module that they refuse runs on with what it has.
            self._put_back(plan, list(plan.writes))
            raise KernelRefused(exc.message, hint=_AS_BEFORE, **exc.facts) from exc

    def _revive(self, plan: _Plan) -> None:
        """After a commit that ended the module: as it was before."""
        self._put_back(plan, list(plan.writes))
        modules.switch(self._kernel, plan.name, True)

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _do(self, plan: _Plan, take_over: bool) -> None:
        if plan.enabled:
            await self._thread.run(self._enable, plan, take_over)
            await self._wait(plan.name, _started, PATIENCE_S, "start")
        elif plan.enabled is False:
            await self._thread.run(self._disable, plan)
            await self._wait(plan.name, _ended, PATIENCE_S, "end")
            plan.notes += await self._thread.run(self._owner.restore_modules)
        elif plan.commit:
            await self._thread.run(self._put, plan, plan.writes)
            # Newer kernels let the write wait until the module has read them; others may use DAMON meanwhile.
            waiting = KernelThread("module")
            patience_s = _reading_s(plan.module)
            try:
                async with asyncio.timeout(patience_s):
                    await waiting.run(self._commit, plan)
            except TimeoutError as exc:
                raise _late(plan.module, "read its parameters", patience_s) from exc
            finally:
                await waiting.close(0)
            module = await self._settled(plan.name)
            if not module.enabled:
                await self._thread.run(self._revive, plan)
                raise KernelRefused(
                    f"committing parameters of {plan.name}: the kernel found them wrong and switched the module off",
                    hint=_AS_BEFORE,
                    module=plan.name,
                )
        else:
            await self._thread.run(self._put, plan, plan.writes)

    async def _settled(self, name: str) -> Module:
        """The module once it has read its parameters. Raises Busy if it does not."""
        module = await self._thread.run(modules.module, self._kernel, name)
        if not module.committing:
            return module
        return await self._wait(name, lambda item: not item.committing, _reading_s(module), "read its parameters")

    async def _wait(self, name: str, until: Callable[[Module], bool], patience_s: float, what: str) -> Module:
        deadline = self._kernel.clock.monotonic_ns() + int(patience_s * 1e9)
        while True:
            module = await self._thread.run(modules.module, self._kernel, name)
            if until(module):
                return module
            if self._kernel.clock.monotonic_ns() > deadline:
                raise _late(module, what, patience_s)
            await asyncio.sleep(_PAUSE_S)


def _late(module: Module, what: str, patience_s: float) -> Busy:
    return Busy(
        f"{module.name} did not {what} within {patience_s:.0f} s",
        hint="its kernel thread is busy or stuck (see dmesg); `damoctl module list` shows how it is now",
    )


def _reading_s(module: Module) -> float:
    """How long a module may take to read its parameters: it looks after each sample, or after it has slept."""
    waits_us = (int(module.parameters.get(name, 0)) for name in ("wmarks_interval", "aggr_interval"))
    return PATIENCE_S + 2 * sum(waits_us) / 1e6


def _started(module: Module) -> bool:
    return module.enabled and (module.pid is not None or PID not in module.parameters)


def _ended(module: Module) -> bool:
    return not module.enabled and module.pid is None
