"""Keeping a machine to its policies: look, plan, do the steps, tell, and look again when it is due.

`Reconciler` is synchronous and belongs in the kernel's thread; it touches the kernel only through the owner of DAMON,
whose every step is a transaction. What it remembers can all be lost: after a restart it plans from what it finds.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Container, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import structlog

from damod.errors import Conflict, DamodError, FeatureMissing, NotFound, UsageError
from damod.kernel.features import Features
from damod.kernel.interface import Kernel
from damod.kernel.writer import notes, resolve
from damod.policy.compose import Wanted, compose, conflict
from damod.policy.document import Guard, Policy
from damod.policy.fit import lacking, reduce
from damod.policy.guard import Probation, gauge
from damod.policy.load import Document, load
from damod.policy.plan import Add, Repair, Running, Start, Step, Stop, Tune, Wish, plan
from damod.policy.select import fill, unmet
from damod.policy.shadow import estimate, shadow_of
from damod.spec.diff import diff
from damod.spec.kdamond import Kdamond
from damod.spec.scheme import SchemeStats

log = structlog.get_logger(__name__)

Stage = Literal["running", "disabled", "masked", "invalid", "unmet", "waiting", "refused", "rolled-back", "stopped"]
"""What a policy is doing. `unmet`: not meant for this machine; `waiting`: for a process, or to be tried again;
`refused`: not before something changes; `stopped`: by `damoctl stop`."""

FIRST_RETRY_S, LAST_RETRY_S = 2.0, 300.0
"""After a refusal it is tried again, each time after twice as long."""
SOON_S = 60.0
"""A kdamond that ends within this time after its start is not worth an immediate restart a second time."""
_BY_HAND = "stopped by hand; `damoctl policy reload` starts it again"
DRIFT_AT_ONCE = 16
"""Sets whose files are compared in one look; of more, some each time."""


class Owning(Protocol):
    """What is needed of the owner of DAMON (damod.daemon.owner.Owner)."""

    def features(self) -> Features: ...
    def one_look(self) -> AbstractContextManager[None]: ...
    def policy_sets(self, drift: Container[str] = ()) -> dict[str, dict[int, Running]]: ...
    def set_by_hand(self, name: str) -> bool: ...
    def kdamond_pids(self) -> list[int]: ...
    def expect(self, kdamonds: int) -> None: ...
    def start(
        self, name: str, kdamonds: Sequence[Kdamond], *, take_over: bool = False, policy: bool = False
    ) -> Mapping[str, Any]: ...
    def add(self, name: str, index: int, kdamond: Kdamond) -> None: ...
    def tune(self, name: str | None, kdamonds: Sequence[Kdamond]) -> Mapping[str, Any]: ...
    def stop(self, name: str | None = None, slot: int | None = None, *, index: int | None = None) -> Sequence[Any]: ...
    def repair(self, name: str) -> int: ...


@dataclass
class State:
    """What is known of one policy: how far it got and why no further.

    `forced`, `shadow` and `guard` are what `policy.apply` asked for until the next reload: to run although it is
    disabled, to count only, to be watched by other limits than the file's.
    """

    document: Document
    stage: Stage = "waiting"
    reason: str = ""
    notes: tuple[str, ...] = ()
    drift: tuple[dict[str, Any], ...] = ()
    tries: int = 0
    next_try_ns: int | None = None
    started_ns: int | None = None
    probation: Probation | None = None
    shadow: bool = False
    forced: bool = False
    guard: Guard | None = None

    def to_wire(self) -> dict[str, Any]:
        """As msgpack-able data."""
        policy = self.document.policy
        return {
            "name": self.document.name,
            "file": self.document.file,
            "description": policy.description if policy else "",
            "enabled": bool(policy and policy.enabled),
            "stage": self.stage,
            "reason": self.reason,
            "notes": list(self.notes),
            "problems": [str(problem) for problem in self.document.problems],
            "drift": list(self.drift),
            "probation": self.probation is not None,
            "shadow": self.shadow,
        }


@dataclass(frozen=True)
class Outlook:
    """What one look makes of the documents: what may run, in order, and what stays as it is."""

    wishes: dict[str, Wish] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


class Reconciler:
    """The policies of some directories on one kernel. Call `load`, then `apply`, then `apply` when `due_s` says so."""

    def __init__(self, kernel: Kernel, owner: Owning, directories: Sequence[str], *, check_s: float = 5.0) -> None:
        self.kernel = kernel
        self.owner = owner
        self.directories = tuple(directories)
        self.check_s = check_s
        self.states: dict[str, State] = {}
        self._stopped: set[str] = set()
        self._good: dict[str, Document] = {}
        self._turn = 0
        # Why the files are not known, if they are not; then nothing is started or stopped.
        self.trouble = ""
        self.kernel_trouble = ""
        # Counts what changed: each load of other documents, and each look in which steps were done.
        self.generation = 0
        self.acts: deque[str] = deque(maxlen=100)
        self._loaded = self._other = False

    # -- documents -------------------------------------------------------------------------------------------------

    def load(self, *, forget: bool = True) -> None:
        """Read the files again; `forget` what was asked for until the next reload.

        What had been rolled back gets a new chance if its text changed, what was refused or stopped gets one now. A
        file that is wrong now leaves its last good version in charge.
        """
        states: dict[str, State] = {}
        try:
            documents = load(self.directories)
        except UsageError as exc:
            self.trouble = exc.message
            log.error("policies stay as they are", why=exc.message)
            return
        self.trouble = ""
        known = {name: item.document.data for name, item in self.states.items()}
        for document in documents:
            before = self.states.get(document.name)
            if document.policy:
                self._good[document.name] = document
            elif document.masked:
                self._good.pop(document.name, None)
            if before and before.document.data == document.data and not document.problems:
                before.document = document
                if forget:
                    before.forced, before.shadow, before.guard = False, False, None
                if before.stage != "rolled-back":
                    before.tries, before.next_try_ns = 0, None
                states[document.name] = before
            else:
                probation = before.probation if before else None
                states[document.name] = State(document, probation=probation)
                for problem in document.problems:
                    log.error("policy is wrong", policy=document.name, problem=str(problem))
        for name in set(self._good) - set(states):
            del self._good[name]
        if forget:
            self._stopped.clear()
        # The first time there is nothing to compare with; whether something changed is seen by the steps.
        self._other |= self._loaded and known != {name: item.document.data for name, item in states.items()}
        self._loaded = True
        self.states = states

    def hold(self, names: Sequence[str]) -> None:
        """Sets that somebody stopped by hand stay stopped until the next reload."""
        for name in set(names) & set(self.states):
            self._stopped.add(name)
            state = self.states[name]
            state.stage, state.reason = "stopped", _BY_HAND
            state.started_ns = state.next_try_ns = state.probation = None

    def in_charge(self, state: State) -> Document | None:
        """The document whose policy counts: its last good one if the file is wrong now."""
        document = state.document
        return document if document.policy or document.masked else self._good.get(document.name)

    def state(self, name: str) -> State:
        """Raises NotFound with the nearest name."""
        if name not in self.states:
            from difflib import get_close_matches

            near = get_close_matches(name, self.states, n=1)
            raise NotFound(
                f"there is no policy {name!r}{f'; did you mean {near[0]!r}?' if near else ''}",
                hint=f"`damoctl policy list` shows those in {', '.join(self.directories)}",
            )
        return self.states[name]

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
                log.error("the kernel cannot be looked at; policies wait", why=_sentence(exc))
            self.kernel_trouble = _sentence(exc)
            return 0
        self.kernel_trouble = ""
        if done or self._other:
            self.generation += 1
            self._other = False
        return done

    def _apply(self) -> int:
        turn = self._drift_turn()
        observed = self.owner.policy_sets(turn)
        if self.trouble or not (self.states or observed):
            return 0
        self._note_drift(observed, turn)
        self._watch_probations(observed)
        outlook = self._outlook(observed)
        done = 0
        failed: set[str] = set()
        steps = plan(observed, outlook.wishes, outlook.order, outlook.keep)
        with self.owner.one_look() if steps else nullcontext():
            for step in steps:
                if step.name in failed or not self._may_begin(step):
                    continue
                try:
                    self._do(step)
                except (DamodError, OSError) as exc:
                    failed.add(step.name)
                    self._failed(step, exc)
                else:
                    done += 1
                    self._done(step, observed.get(step.name, {}))
        self._tell(outlook, failed)
        return done

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
        other._good = dict(self._good)
        observed = self.owner.policy_sets(set(other.states))
        outlook = other._outlook(observed)
        steps = plan(observed, outlook.wishes, outlook.order, outlook.keep)
        idle = ("disabled", "masked")
        reasons = {name: item.reason for name, item in other.states.items() if item.reason and item.stage not in idle}
        return steps, reasons

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

    # -- from documents to wishes ----------------------------------------------------------------------------------

    def _outlook(self, observed: Mapping[str, Mapping[int, Running]]) -> Outlook:
        wanted: list[Wanted] = []
        keep: list[str] = []
        features = self.owner.features()
        host = socket.gethostname()
        now = self.kernel.clock.monotonic_ns()
        for name, state in self.states.items():
            document = self.in_charge(state)
            if state.stage == "rolled-back":
                if name in observed:
                    keep.append(name)
                continue
            if not state.document.policy and not state.document.masked:
                state.stage, state.reason = "invalid", "; ".join(map(str, state.document.problems))
                if document is None or name not in observed:
                    # It runs since before this daemon did, or never ran: either way there is nothing to compare with.
                    keep.append(name)
                    continue
            if document is None or document.policy is None:
                state.stage, state.reason = "masked", f"{state.document.file} leads to {os.devnull}"
                continue
            if (state.next_try_ns is not None and now < state.next_try_ns) or (
                state.stage == "refused" and state.tries
            ):
                if name in observed:
                    keep.append(name)
                continue
            found = self._one(name, state, document, document.policy, observed.get(name, {}), features, host)
            if found:
                wanted.append(found)
            elif state.stage == "refused" and name in observed:
                keep.append(name)
        kept, refused = compose(wanted)
        for item in wanted:
            if item.name not in refused:
                continue
            state = self.states[item.name]
            state.stage, state.reason = "refused", refused[item.name]
            # An edit that cannot be had leaves what runs, unless that is in the way of somebody who has precedence.
            held = observed.get(item.name, {})
            if held and not conflict(Wanted(item.document, tuple(held[at].spec for at in sorted(held))), kept):
                keep.append(item.name)
        self.owner.expect(sum(len(item.kdamonds) for item in kept))
        wishes = {
            item.name: Wish(
                item.kdamonds,
                take_over=_policy(item).on_conflict == "take_over",
                repair=_policy(item).drift == "repair",
            )
            for item in kept
        }
        return Outlook(wishes, tuple(item.name for item in kept), tuple(keep))

    def _one(
        self,
        name: str,
        state: State,
        document: Document,
        policy: Policy,
        running: Mapping[int, Running],
        features: Features,
        host: str,
    ) -> Wanted | None:
        """The policy as it would run now; None (and why in its state) if it would not."""
        stage: Stage = "invalid" if document is not state.document else "waiting"
        if not policy.enabled and not state.forced:
            state.stage, state.reason = "disabled", f"{document.of('enabled')}: enabled is false"
            return None
        if name in self._stopped:
            state.stage, state.reason = "stopped", _BY_HAND
            return None
        if self.owner.set_by_hand(name):
            state.stage = "refused"
            state.reason = f"a set named {name!r} was started by hand; `damoctl stop {name}` makes room"
            return None
        why = unmet(policy.when, self.kernel.proc, features, host)
        if why:
            state.stage, state.reason = "unmet", f"{document.of('when')}: {why}"
            return None
        filled = fill(policy, self.kernel.proc, {index: item.spec for index, item in running.items()})
        if filled.empty:
            state.stage, state.reason = "waiting", f"{document.of('targets')}: {'; '.join(filled.missing)}"
            return None
        told, kdamonds = list(filled.missing), filled.kdamonds
        if state.shadow:
            kdamonds = shadow_of(kdamonds)
        lacks = lacking(kdamonds, features)
        if lacks and policy.on_missing == "skip":
            kdamonds, left_out = reduce(kdamonds, features)
            told += left_out
            lacks = lacking(kdamonds, features)
        if lacks:
            missing, path = lacks[0]
            since = features.since(missing)
            state.stage = "refused"
            state.reason = (
                f"{document.of(path)}: {path} needs {missing}, which this kernel ({features.release}) lacks"
                + (f"; Linux {since} has it" if since else "")
                + "; `on_missing: skip` does without"
            )
            return None
        try:
            resolved = tuple(resolve(item, self.kernel.proc) for item in kdamonds)
        except (DamodError, OSError) as exc:
            state.stage, state.reason = "refused", _sentence(exc)
            return None
        for item in resolved:
            told += notes(item, features)
        state.notes = tuple(told)
        if stage != "invalid":
            state.reason = ""
        return Wanted(document, resolved)

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

    # -- steps -----------------------------------------------------------------------------------------------------

    def _may_begin(self, step: Step) -> bool:
        """Whether a start is worth it now: what dies again and again is started with growing pauses."""
        state = self.states.get(step.name)
        if not isinstance(step, (Start, Add)) or state is None or state.started_ns is None:
            return True
        now = self.kernel.clock.monotonic_ns()
        if now - state.started_ns > SOON_S * 1e9:
            state.tries = 0
            return True
        if state.next_try_ns is None:
            self._postpone(state)
            state.reason = "its kdamond ended soon after its start (see dmesg); it is started again, with pauses"
            log.warning("kdamond ended", policy=step.name, tries=state.tries)
            return False
        state.next_try_ns = None
        return True

    def _postpone(self, state: State) -> None:
        pause_s = min(FIRST_RETRY_S * 2**state.tries, LAST_RETRY_S)
        state.stage, state.tries = "waiting", state.tries + 1
        state.next_try_ns = self.kernel.clock.monotonic_ns() + int(pause_s * 1e9)

    def _do(self, step: Step) -> None:
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

    def _done(self, step: Step, before: Mapping[int, Running]) -> None:
        log.info("policy", step=str(step))
        self.acts.append(str(step))
        state = self.states.get(step.name)
        if state is None:
            return
        now = self.kernel.clock.monotonic_ns()
        state.next_try_ns = None
        if isinstance(step, (Start, Add)):
            state.started_ns = now
        elif isinstance(step, Stop) and step.index is None:
            state.started_ns = None
        else:
            state.tries = 0
        document = self.in_charge(state)
        guard = state.guard or (document.policy.guard if document and document.policy else None)
        if guard and isinstance(step, (Start, Tune)) and not state.shadow:
            earlier = tuple(before[index].spec for index in sorted(before))
            state.probation = Probation.begin(guard, earlier, gauge(self.kernel, self.owner.kdamond_pids()), now)

    def _failed(self, step: Step, exc: DamodError | OSError) -> None:
        state = self.states.get(step.name)
        log.error("policy", step=str(step), why=_sentence(exc))
        if state is None:
            return
        document = self.in_charge(state)
        policy = document.policy if document else None
        at = document.of(str(exc.facts.get("path", ""))) if document and isinstance(exc, DamodError) else ""
        lasting = isinstance(exc, (FeatureMissing, UsageError)) or (
            isinstance(exc, Conflict) and policy is not None and policy.on_conflict == "fail"
        )
        self._postpone(state)
        state.reason = f"{at}: {_sentence(exc)}" if at else _sentence(exc)
        if lasting:
            state.stage, state.next_try_ns = "refused", None

    def _watch_probations(self, observed: Mapping[str, Mapping[int, Running]]) -> None:
        now = self.kernel.clock.monotonic_ns()
        for name, state in self.states.items():
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
            if earlier and len(earlier) == len(self.owner.policy_sets()[name]):
                self.owner.tune(name, earlier)
            else:
                earlier = ()
                self.owner.stop(name)
        except (DamodError, OSError) as exc:
            log.error("policy could not be rolled back", policy=name, why=_sentence(exc))
            state.reason = f"{tripped}; rolling back failed: {_sentence(exc)}"
            return
        log.warning("policy is rolled back", policy=name, why=tripped)
        self.acts.append(f"roll back {name}: {tripped}")
        self._other = True
        state.stage = "rolled-back"
        state.reason = f"{tripped}; {'its earlier parameters count' if earlier else 'it is stopped'} until it is edited"

    def _tell(self, outlook: Outlook, failed: set[str]) -> None:
        """The stages after the steps."""
        observed = self.owner.policy_sets()
        for name, state in self.states.items():
            running = observed.get(name, {})
            if name in outlook.wishes and name not in failed and len(running) == len(outlook.wishes[name].kdamonds):
                if state.stage != "invalid":
                    state.stage = "running"
                    state.reason = ""
                if state.started_ns is None:
                    # It was adopted; a death soon after is as bad as one soon after a start.
                    state.started_ns = self.kernel.clock.monotonic_ns()

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
            state.started_ns = None
        state.forced, state.shadow, state.guard = True, shadow, guard
        state.stage, state.reason, state.tries, state.next_try_ns = "waiting", "", 0, None
        self._stopped.discard(name)
        return state

    # -- what the operator asks ------------------------------------------------------------------------------------

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

    def shadows(self, name: str, stats: Mapping[int, Sequence[SchemeStats]]) -> list[dict[str, Any]]:
        """Per scheme of a policy that runs as a shadow: what it would have touched; `stats` by kdamond."""
        state = self.state(name)
        policy = state.document.policy
        if not state.shadow or policy is None or state.started_ns is None:
            return []
        elapsed_s = (self.kernel.clock.monotonic_ns() - state.started_ns) / 1e9
        return [
            {
                "kdamond": at,
                "scheme": index,
                "action": scheme.action,
                "sz_bytes": estimate(scheme, kdamond.contexts[0], stats[at][index], elapsed_s),
            }
            for at, kdamond in enumerate(policy.kdamonds)
            for index, scheme in enumerate(kdamond.contexts[0].schemes)
            if index < len(stats.get(at, ()))
        ]

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


def _shifted(path: str, index: int) -> str:
    """A path in a difference of one kdamond, as one in its policy."""
    return path.replace("kdamonds[0]", f"kdamonds[{index}]", 1)


def _policy(item: Wanted) -> Policy:
    if item.document.policy is None:
        raise ValueError(f"{item.name} has no policy")
    return item.document.policy


def _sentence(exc: DamodError | OSError) -> str:
    if isinstance(exc, DamodError):
        return exc.message + (f" ({exc.hint})" if exc.hint else "")
    return f"{exc.filename or 'a file'}: {exc.strerror} ({errno.errorcode.get(exc.errno or 0, exc.errno)})"
