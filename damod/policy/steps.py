"""Doing the steps of a plan: back-off for what is refused or dies again and again, probation for what is guarded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from damod.errors import Conflict, DamodError, FeatureMissing, UsageError
from damod.kernel.interface import Kernel
from damod.policy.guard import Probation, gauge
from damod.policy.owning import Owning, sentence
from damod.policy.plan import Add, Repair, Running, Start, Step, Stop, Tune
from damod.policy.roster import Roster, State
from damod.spec.kdamond import Kdamond

log = structlog.get_logger(__name__)

SOON_S = 60.0
"""A kdamond that ends within this time after its start is not worth an immediate restart a second time."""


class Steps:
    """The steps of a roster's policies on one kernel. Nothing of it is remembered but in the states."""

    def __init__(self, kernel: Kernel, owner: Owning, roster: Roster) -> None:
        self.kernel = kernel
        self.owner = owner
        self.roster = roster

    def may_begin(self, step: Step) -> bool:
        """Whether a start is worth it now: what dies again and again is started with growing pauses."""
        state = self.roster.states.get(step.name)
        if not isinstance(step, (Start, Add)) or state is None or state.started_ns is None:
            return True
        now = self.kernel.clock.monotonic_ns()
        if now - state.started_ns > SOON_S * 1e9:
            state.tries = 0
            return True
        if state.next_try_ns is None:
            state.postpone(self.kernel.clock.monotonic_ns())
            state.reason = "its kdamond ended soon after its start (see dmesg); it is started again, with pauses"
            log.warning("kdamond ended", policy=step.name, tries=state.tries)
            return False
        state.next_try_ns = None
        return True

    def do(self, step: Step) -> None:
        """One transaction of the owner. Raises DamodError, OSError."""
        if isinstance(step, Stop):
            self.owner.stop(step.name, index=step.index)
        elif isinstance(step, Start):
            self.owner.start(step.name, step.kdamonds, take_over=step.take_over, policy=True)
        elif isinstance(step, Add):
            self.owner.add(step.name, step.index, step.kdamond)
        elif isinstance(step, Tune):
            self.owner.tune(step.name, step.kdamonds)
        elif isinstance(step, Repair):
            self.owner.repair(step.name)

    def done(self, step: Step, before: Mapping[int, Running]) -> None:
        """Note a step that worked. A change of a guarded policy begins its probation, which may end with `before`."""
        log.info("policy", step=str(step))
        self.roster.acts.append(str(step))
        state = self.roster.states.get(step.name)
        if state is None:
            return
        now = self.kernel.clock.monotonic_ns()
        state.next_try_ns = None
        if isinstance(step, (Start, Add)):
            state.started_ns, state.tallies = now, {}
        elif isinstance(step, Stop) and step.index is None:
            state.started_ns = state.probation = None
        else:
            state.tries = 0
        document = self.roster.in_charge(state)
        guard = state.guard or (document.policy.guard if document and document.policy else None)
        if guard and isinstance(step, (Start, Tune)) and not state.shadow:
            earlier = tuple(before[index].spec for index in sorted(before))
            if earlier and _with_targets(step.kdamonds, earlier) == earlier:
                return  # processes came and went, which is no change of the policy
            if state.probation:
                # What it is to go back to is what has stood the test, not what is changed within it.
                earlier = state.probation.earlier
            state.probation = Probation.begin(guard, earlier, gauge(self.kernel, self.owner.kdamond_pids()), now)

    def failed(self, step: Step, exc: DamodError | OSError) -> None:
        """Note why a step was refused, and whether it is worth trying again."""
        state = self.roster.states.get(step.name)
        log.error("policy", step=str(step), why=sentence(exc))
        if state is None:
            return
        document = self.roster.in_charge(state)
        policy = document.policy if document else None
        at = document.of(str(exc.facts.get("path", ""))) if document and isinstance(exc, DamodError) else ""
        told = sentence(exc)
        if document and isinstance(exc, Conflict) and ({"module", "pids"} & exc.facts.keys()):
            # The ways out that the error names are those of `damoctl start`.
            at = document.of("on_conflict")
            told = f"{exc.message} ({_way_out(exc)})"
        lasting = isinstance(exc, (FeatureMissing, UsageError)) or (
            isinstance(exc, Conflict) and policy is not None and policy.on_conflict == "fail"
        )
        state.postpone(self.kernel.clock.monotonic_ns())
        state.reason = f"{at}: {told}" if at else told
        if lasting:
            state.stage, state.next_try_ns = "refused", None

    def watch_probations(self, observed: Mapping[str, Mapping[int, Running]]) -> None:
        """Roll back what a limit is passed for; what has passed its probation is no longer watched."""
        now = self.kernel.clock.monotonic_ns()
        for name, state in self.roster.states.items():
            if state.probation is None:
                continue
            if name not in observed:
                state.probation = None
                continue
            reading = gauge(self.kernel, self.owner.kdamond_pids())
            state.probation, tripped = state.probation.look(reading, now)
            if tripped:
                self._roll_back(name, state, tripped)
            elif state.probation.over(now):
                log.info("policy has passed its probation", policy=name)
                state.probation = None

    def _roll_back(self, name: str, state: State, tripped: str) -> None:
        probation, state.probation = state.probation, None
        earlier = probation.earlier if probation else ()
        try:
            running = self.owner.policy_sets()[name]
            if earlier and len(earlier) == len(running):
                self.owner.tune(name, _with_targets(earlier, [running[index].spec for index in sorted(running)]))
            else:
                earlier = ()
                self.owner.stop(name)
        except (DamodError, OSError) as exc:
            log.error("policy could not be rolled back", policy=name, why=sentence(exc))
            state.reason = f"{tripped}; rolling back failed: {sentence(exc)}"
            return
        log.warning("policy is rolled back", policy=name, why=tripped)
        self.roster.acts.append(f"roll back {name}: {tripped}")
        self.roster.other = True
        state.stage = "rolled-back"
        state.reason = f"{tripped}; {'its earlier parameters count' if earlier else 'it is stopped'} until it is edited"


def _way_out(exc: Conflict) -> str:
    """What an operator of policies can do about what is in the way."""
    if exc.facts.get("module", "damon_stat") != "damon_stat":
        return exc.hint
    adopt = ", `damoctl adopt` makes it damod's" if "pids" in exc.facts else ""
    return f"`on_conflict: take_over` pushes it aside{adopt}"


def _with_targets(kdamonds: Sequence[Kdamond], of: Sequence[Kdamond]) -> tuple[Kdamond, ...]:
    """The kdamonds with the targets of others, where both watch the same kind of memory."""
    return tuple(
        kdamond.model_copy(
            update={
                "contexts": tuple(
                    mine.model_copy(update={"targets": theirs.targets}) if mine.ops == theirs.ops else mine
                    for mine, theirs in zip(kdamond.contexts, other.contexts, strict=True)
                )
            }
        )
        for kdamond, other in zip(kdamonds, of, strict=False)
    )
