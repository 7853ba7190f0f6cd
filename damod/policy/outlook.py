"""What one look makes of the documents: which policies may run here and now, and why the others may not.

Reads kernel and /proc, changes nothing but the stages of the policies.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from damod.errors import DamodError
from damod.kernel.features import Features
from damod.kernel.interface import Kernel
from damod.kernel.writer import notes, resolve
from damod.policy.compose import Wanted, compose, conflict
from damod.policy.document import Policy
from damod.policy.fit import lacking, reduce
from damod.policy.load import Document
from damod.policy.owning import Owning, sentence
from damod.policy.plan import Running, Wish
from damod.policy.roster import BY_HAND, Roster, Stage, State
from damod.policy.select import fill, unmet
from damod.policy.shadow import shadow_of


@dataclass(frozen=True)
class Outlook:
    """What one look makes of the documents: what may run, in order, and what stays as it is."""

    wishes: dict[str, Wish] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


def outlook(roster: Roster, kernel: Kernel, owner: Owning, observed: Mapping[str, Mapping[int, Running]]) -> Outlook:
    """The policies as they would run now; what cannot is told in its state."""
    wanted: list[Wanted] = []
    keep: list[str] = []
    features = owner.features()
    host = socket.gethostname()
    now = kernel.clock.monotonic_ns()
    for name, state in roster.states.items():
        document = roster.in_charge(state)
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
        if (state.next_try_ns is not None and now < state.next_try_ns) or (state.stage == "refused" and state.tries):
            if name in observed:
                keep.append(name)
            continue
        found = _one(roster, kernel, owner, state, document, document.policy, observed.get(name, {}), features, host)
        if found:
            wanted.append(found)
        elif state.stage == "refused" and name in observed:
            keep.append(name)
    kept, refused = compose(wanted)
    for item in wanted:
        if item.name not in refused:
            continue
        state = roster.states[item.name]
        state.stage, state.reason = "refused", refused[item.name]
        # An edit that cannot be had leaves what runs, unless that is in the way of somebody who has precedence.
        held = observed.get(item.name, {})
        if held and not conflict(Wanted(item.document, tuple(held[at].spec for at in sorted(held))), kept):
            keep.append(item.name)
    owner.expect(sum(len(item.kdamonds) for item in kept))
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
    roster: Roster,
    kernel: Kernel,
    owner: Owning,
    state: State,
    document: Document,
    policy: Policy,
    running: Mapping[int, Running],
    features: Features,
    host: str,
) -> Wanted | None:
    """The policy as it would run now; None (and why in its state) if it would not."""
    name = document.name
    stage: Stage = "invalid" if document is not state.document else "waiting"
    if not policy.enabled and not state.forced:
        state.stage, state.reason = "disabled", f"{document.of('enabled')}: enabled is false"
        return None
    if name in roster.stopped:
        state.stage, state.reason = "stopped", BY_HAND
        return None
    if owner.set_by_hand(name):
        state.stage = "refused"
        state.reason = f"a set named {name!r} was started by hand; `damoctl stop {name}` makes room"
        return None
    why = unmet(policy.when, kernel.proc, features, host)
    if why:
        state.stage, state.reason = "unmet", f"{document.of('when')}: {why}"
        return None
    filled = fill(policy, kernel.proc, {index: item.spec for index, item in running.items()})
    if filled.empty:
        state.stage, state.reason = "waiting", f"{document.of('targets')}: {'; '.join(filled.missing)}"
        return None
    told, kdamonds = list(filled.missing), filled.kdamonds
    if state.shadow:
        kdamonds = shadow_of(kdamonds, features)
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
        resolved = tuple(resolve(item, kernel.proc) for item in kdamonds)
    except (DamodError, OSError) as exc:
        state.stage, state.reason = "refused", sentence(exc)
        return None
    for item in resolved:
        told += notes(item, features)
    state.notes = tuple(told)
    if stage != "invalid":
        state.reason = ""
    return Wanted(document, resolved)


def _policy(item: Wanted) -> Policy:
    if item.document.policy is None:
        raise ValueError(f"{item.name} has no policy")
    return item.document.policy
