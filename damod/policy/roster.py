"""Which policies there are, and how far each got: documents by name, their last good versions, what was asked for.

Knows files and no kernel. The reconciler (damod.policy.reconcile) moves the stages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from damod.errors import NotFound, UsageError
from damod.near import near
from damod.policy.document import Guard
from damod.policy.guard import Probation
from damod.policy.load import Document, load
from damod.policy.shadow import Tally

log = structlog.get_logger(__name__)

Stage = Literal["running", "disabled", "masked", "invalid", "unmet", "waiting", "refused", "rolled-back", "stopped"]
"""What a policy is doing. `unmet`: not meant for this machine; `waiting`: for a process, or to be tried again;
`refused`: not before something changes; `stopped`: by `damoctl stop`."""

FIRST_RETRY_S, LAST_RETRY_S = 2.0, 300.0
"""After a refusal it is tried again, each time after twice as long."""
BY_HAND = "stopped by hand; `damoctl policy reload` starts it again"


@dataclass
class State:
    """What is known of one policy: how far it got and why no further.

    `forced`, `shadow` and `guard` are what `policy.apply` asked for until the next reload: to run although it is
    disabled, to count only, to be watched by other limits than the file's. `unrecorded`: its recording was stopped by
    hand, until then. `tallies`: what a shadow has counted, by kdamond and scheme.
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
    unrecorded: bool = False
    tallies: dict[tuple[int, int], Tally] = field(default_factory=dict)

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

    def postpone(self, now_ns: int) -> None:
        """Try again later, each time after twice as long."""
        pause_s = min(FIRST_RETRY_S * 2**self.tries, LAST_RETRY_S)
        self.stage, self.tries = "waiting", self.tries + 1
        self.next_try_ns = now_ns + int(pause_s * 1e9)


class Roster:
    """The policies of some directories. Call `load` before anything else."""

    def __init__(self, directories: Sequence[str]) -> None:
        self.directories = tuple(directories)
        self.states: dict[str, State] = {}
        self.stopped: set[str] = set()
        self.good: dict[str, Document] = {}
        # Why the files are not known, if they are not; then nothing is started or stopped.
        self.trouble = ""
        # Whether something other than steps has changed since the last look; what was done of late, as sentences.
        self.other = False
        self.acts: deque[str] = deque(maxlen=100)
        self._loaded = False

    def load(self, *, forget: bool = True, only: str | None = None) -> None:
        """Read the files again, or `only` one policy's; `forget` what was asked for until the next reload.

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
            if only not in (None, document.name):
                continue
            before = self.states.get(document.name)
            if document.policy:
                self.good[document.name] = document
            elif document.masked:
                self.good.pop(document.name, None)
            if before and before.document.data == document.data and not document.problems:
                before.document = document
                if forget:
                    before.forced, before.shadow, before.guard = False, False, None
                    before.unrecorded = False
                if before.stage != "rolled-back":
                    before.tries, before.next_try_ns = 0, None
                states[document.name] = before
            else:
                probation = before.probation if before else None
                states[document.name] = State(document, probation=probation)
                for problem in document.problems:
                    log.error("policy is wrong", policy=document.name, problem=str(problem))
        if only is not None:
            states = {**self.states, **states}
        for name in set(self.good) - set(states):
            del self.good[name]
        if forget:
            self.stopped.clear()
        # The first time there is nothing to compare with; whether something changed is seen by the steps.
        self.other |= self._loaded and known != {name: item.document.data for name, item in states.items()}
        self._loaded = True
        self.states = states

    def hold(self, names: Sequence[str]) -> None:
        """Sets that somebody stopped by hand stay stopped until the next reload."""
        for name in set(names) & set(self.states):
            self.stopped.add(name)
            state = self.states[name]
            state.stage, state.reason = "stopped", BY_HAND
            state.started_ns = state.next_try_ns = state.probation = None

    def in_charge(self, state: State) -> Document | None:
        """The document whose policy counts: its last good one if the file is wrong now."""
        document = state.document
        return document if document.policy or document.masked else self.good.get(document.name)

    def state(self, name: str) -> State:
        """Raises NotFound with the nearest name."""
        if name not in self.states:
            raise NotFound(
                f"there is no policy {name!r}{near(name, self.states)}",
                hint=f"`damoctl policy list` shows those in {', '.join(self.directories)}",
            )
        return self.states[name]
