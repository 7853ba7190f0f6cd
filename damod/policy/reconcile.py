"""Keeping a machine to its policies: look, plan, do the steps, tell, and look again when it is due.

`Reconciler` is synchronous and belongs in the kernel's thread; it touches the kernel only through the owner of DAMON,
whose every step is a transaction. What it remembers can all be lost: after a restart it plans from what it finds.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import structlog

from damod.errors import DamodError, UsageError
from damod.kernel.interface import Kernel
from damod.policy.document import Guard, Policy, Record
from damod.policy.fit import reduce
from damod.policy.load import Document, load
from damod.policy.outlook import Outlook, outlook
from damod.policy.owning import Owning, sentence
from damod.policy.plan import Running, Step, Tune, plan
from damod.policy.roster import FIRST_RETRY_S, Roster, State
from damod.policy.shadow import Tally, estimate, shadow_of
from damod.policy.steps import Steps
from damod.spec.diff import diff
from damod.spec.kdamond import Kdamond
from damod.spec.needs import Offer

log = structlog.get_logger(__name__)

DRIFT_AT_ONCE = 16
"""Sets whose files are compared in one look; of more, some each time."""


class Reconciler(Roster):
    """The policies of some directories on one kernel. Call `load`, then `apply`, then `apply` when `due_s` says so."""

    def __init__(self, kernel: Kernel, owner: Owning, directories: Sequence[str], *, check_s: float = 5.0) -> None:
        super().__init__(directories)
        self.kernel = kernel
        self.owner = owner
        self.check_s = check_s
        self.kernel_trouble = ""
        self._steps = Steps(kernel, owner, self)
        self._turn = 0
        # Counts what changed: each load of other documents, and each look in which steps were done.
        self.generation = 0

    # -- one look --------------------------------------------------------------------------------------------------

    def apply(self) -> int:
        """One round: plan from what is there and do the steps; the number of those that were done.

        Never raises for what a kernel or a file says: that is in the states, or (a kernel that cannot be looked at) in
        `kernel_trouble`, and then it is tried again soon.
        """
        try:
            done = self._apply()
        except (DamodError, OSError) as exc:
            if not self.kernel_trouble:
                log.error("the kernel cannot be looked at; policies wait", why=sentence(exc))
            self.kernel_trouble = sentence(exc)
            return 0
        self.kernel_trouble = ""
        if done or self.other:
            self.generation += 1
            self.other = False
        return done

    def _apply(self) -> int:
        turn = self._drift_turn()
        observed = self.owner.policy_sets(turn)
        if self.trouble or not (self.states or observed):
            return 0
        self._note_drift(observed, turn)
        self._steps.watch_probations(observed)
        found = outlook(self, self.kernel, self.owner, observed)
        done = 0
        failed: set[str] = set()
        steps = plan(observed, found.wishes, found.order, found.keep)
        with self.owner.one_look() if steps else nullcontext():
            for step in steps:
                if step.name in failed or not self._steps.may_begin(step):
                    continue
                try:
                    self._steps.do(step)
                except (DamodError, OSError) as exc:
                    failed.add(step.name)
                    self._steps.failed(step, exc)
                else:
                    done += 1
                    self._steps.done(step, observed.get(step.name, {}))
        self._tell(found, failed)
        for name, state in self.states.items():
            if state.stage == "running":
                # The kernel adds up what all looks found, and it is the most of one that counts. What it does not tell
                # now is in its sums the next time, and no reason to take it for troubled.
                with suppress(DamodError, OSError):
                    self._count(name, state)
        return done

    def records(self) -> dict[str, Record]:
        """What is to be recorded: of each policy that runs, also in its last good version, its `record`."""
        found = {}
        for name, state in self.states.items():
            document = self.in_charge(state)
            if document and document.policy and document.policy.record and not state.unrecorded:
                found[name] = document.policy.record
        running = self.owner.policy_sets() if found else {}
        return {name: record for name, record in found.items() if name in running}

    def due_s(self) -> float | None:
        """In how many seconds to look again; None while no file and no kdamond gives a reason to."""
        live = [item for item in self.states.values() if item.stage not in ("disabled", "masked", "stopped")]
        running = [
            item for item in live if item.stage == "running" or (item.stage == "invalid" and self.in_charge(item))
        ]
        now = self.kernel.clock.monotonic_ns()
        if self.kernel_trouble:
            return FIRST_RETRY_S
        waits = [max((item.next_try_ns - now) / 1e9, 0.05) for item in live if item.next_try_ns is not None]
        if running or any(item.stage == "waiting" for item in live):
            waits.append(self.check_s)
        if any(item.probation for item in running):
            waits.append(min(1.0, self.check_s))
        return min(waits, default=None)

    def summary(self) -> str:
        """One line for `systemctl status`."""
        stages = [item.stage for item in self.states.values()]
        words = [f"{stages.count(stage)} {stage}" for stage in dict.fromkeys(sorted(stages)) if stage != "masked"]
        told = f"policies: {', '.join(words)}" if words else "no policies"
        return "; ".join(filter(None, [told, self.trouble, self.kernel_trouble]))

    def _drift_turn(self) -> set[str]:
        """Whose files are compared this time."""
        names = sorted(self.states)
        if len(names) <= DRIFT_AT_ONCE:
            return set(names)
        chosen = {names[(self._turn + at) % len(names)] for at in range(DRIFT_AT_ONCE)}
        self._turn = (self._turn + DRIFT_AT_ONCE) % len(names)
        return chosen

    def _note_drift(self, observed: Mapping[str, Mapping[int, Running]], looked_at: Container[str]) -> None:
        """Tell what somebody else changed, once; whether it is repaired is the plan's business."""
        for name, state in self.states.items():
            if name not in looked_at:
                continue
            found = tuple(self._differences(state, observed.get(name, {})))
            if found != state.drift:
                for change in found:
                    log.warning(
                        "somebody else changed a parameter",
                        policy=name,
                        path=change["path"],
                        line=change["line"],
                        ours=change["old"],
                        found=change["new"],
                    )
            state.drift = found

    def _differences(self, state: State | None, running: Mapping[int, Running]) -> list[dict[str, Any]]:
        document = self.in_charge(state) if state else None
        return [
            {
                **change.to_wire(),
                "path": _shifted(change.path, index),
                "kdamond": index,
                "line": document.of(_shifted(change.path, index)) if document else "",
            }
            for index, item in sorted(running.items())
            for change in item.drift
        ]

    def _tell(self, found: Outlook, failed: set[str]) -> None:
        """The stages after the steps."""
        observed = self.owner.policy_sets()
        for name, state in self.states.items():
            running = observed.get(name, {})
            if name in found.wishes and name not in failed and len(running) == len(found.wishes[name].kdamonds):
                if state.stage != "invalid":
                    state.stage = "running"
                    state.reason = ""
                if state.started_ns is None:
                    # It was adopted; a death soon after is as bad as one soon after a start.
                    state.started_ns = self.kernel.clock.monotonic_ns()

    # -- what the operator asks ------------------------------------------------------------------------------------

    def ask(self, name: str, *, guard: Guard | None = None, shadow: bool = False) -> State:
        """Have a policy run until the next reload, enabled or not; give one that was rolled back another chance.

        Raises NotFound, and UsageError for a policy that is wrong.
        """
        state = self.state(name)
        if state.document.policy is None:
            told = "; ".join(map(str, state.document.problems)) or "it is masked"
            raise UsageError(
                f"policy {name} cannot be applied: {told}", hint="`damoctl policy check` shows all problems"
            )
        if state.shadow != shadow and name in self.owner.policy_sets():
            # Statistics outlive a commit, and what a shadow counted must not be taken for what was done.
            self.owner.stop(name)
            state.started_ns, state.tallies = None, {}
        state.forced, state.shadow, state.guard = True, shadow, guard
        state.stage, state.reason, state.tries, state.next_try_ns = "waiting", "", 0, None
        self.stopped.discard(name)
        return state

    def preview(self, documents: Sequence[Document] | None = None) -> tuple[list[Step], dict[str, str]]:
        """The steps that another set of documents (None: the files as they are now) would mean, and per policy why
        it would not run. Changes nothing."""
        other = Reconciler(self.kernel, self.owner, self.directories)
        for item in load(self.directories) if documents is None else documents:
            now = self.states.get(item.name)
            same = now is not None and now.document.data == item.data and not item.problems
            if now and same:
                fresh = replace(now, document=item, tries=0, next_try_ns=None)
                other.states[item.name] = replace(fresh, forced=False, shadow=False, guard=None)
            else:
                other.states[item.name] = State(item)
        other.good = dict(self.good)
        observed = self.owner.policy_sets(set(other.states))
        found = outlook(other, self.kernel, self.owner, observed)
        steps = plan(observed, found.wishes, found.order, found.keep)
        idle = ("disabled", "masked")
        reasons = {name: item.reason for name, item in other.states.items() if item.reason and item.stage not in idle}
        return steps, reasons

    def verify(self) -> list[dict[str, Any]]:
        """Per policy that runs: what of it the kernel does not hold (any more), each with value and policy line."""
        rows = []
        for name, running in sorted(self.owner.policy_sets(set(self.states)).items()):
            state = self.states.get(name)
            document = self.in_charge(state) if state else None
            drift = self._differences(state, running)
            expected = len(document.policy.kdamonds) if document and document.policy else len(running)
            rows.append({"name": name, "kdamonds": len(running), "expected": expected, "drift": drift})
        return rows

    def shadows(self, name: str) -> list[dict[str, Any]]:
        """Per scheme of a policy that runs as a shadow: what it would have touched."""
        state = self.state(name)
        policy = state.document.policy
        if policy is None or not self._count(name, state):
            return []
        features = self.owner.features()
        return [
            {
                "kdamond": at,
                "scheme": index,
                "action": scheme.action,
                "sz_bytes": estimate(scheme, kdamond.contexts[0], state.tallies[at, index], features),
            }
            for at, kdamond in enumerate(policy.kdamonds)
            for index, scheme in enumerate(kdamond.contexts[0].schemes)
            if (at, index) in state.tallies
        ]

    def _count(self, name: str, state: State) -> bool:
        """Bring the tallies of a shadow up to date; whether it is one, and runs."""
        policy = state.document.policy
        if not state.shadow or policy is None or state.started_ns is None:
            return False
        at_s = (self.kernel.clock.monotonic_ns() - state.started_ns) / 1e9
        features = self.owner.features()
        for at, found in self.owner.set_stats(name).items():
            context = policy.kdamonds[at].contexts[0]
            for index, stats in zip(_in_shadow(policy, at, features), found, strict=False):
                tally = state.tallies.get((at, index), Tally())
                state.tallies[at, index] = tally.after(stats, context.schemes[index], context, at_s)
        return True

    def changes(self, step: Step, document: Document | None) -> list[dict[str, Any]]:
        """What a step changes in the kernel, each with the line that says so."""
        if not isinstance(step, Tune):
            return []
        running = self.owner.policy_sets().get(step.name, {})
        found = []
        for index, item in sorted(running.items()):
            for change in diff([item.spec], [step.kdamonds[index]]):
                path = _shifted(change.path, index)
                found.append(
                    {**change.to_wire(), "path": path, "line": document.of(path) if document else "", "kdamond": index}
                )
        return found


def _in_shadow(policy: Policy, at: int, features: Offer) -> list[int]:
    """Which schemes of a kdamond its shadow has: all, but for those that `on_missing: skip` does without."""
    (context,) = policy.kdamonds[at].contexts
    everyone = list(range(len(context.schemes)))
    if policy.on_missing != "skip":
        return everyone
    shadows = shadow_of(policy.kdamonds[at : at + 1], features)[0].contexts[0]

    def stays(index: int) -> bool:
        alone = Kdamond(contexts=(shadows.model_copy(update={"schemes": shadows.schemes[index : index + 1]}),))
        return bool(reduce([alone], features)[0][0].contexts[0].schemes)

    return [index for index in everyone if stays(index)]


def _shifted(path: str, index: int) -> str:
    """A path in a difference of one kdamond, as one in its policy."""
    return path.replace("kdamonds[0]", f"kdamonds[{index}]", 1)
