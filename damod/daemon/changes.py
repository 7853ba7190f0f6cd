"""What a change of a running set means, as values: which specs, targets and processes come out of it."""

from __future__ import annotations

from collections.abc import Sequence

from damod.daemon.slots import Owned
from damod.errors import UsageError
from damod.spec.kdamond import Kdamond, Target, parse_kdamonds


def with_goals(running: Sequence[Kdamond], wanted: Sequence[Kdamond]) -> list[Kdamond]:
    """The running specs with the quota goals of the wanted ones. Raises UsageError, SpecInvalid."""
    made = []
    for index, (old, new) in enumerate(zip(running, wanted, strict=True)):
        plain = old.model_dump(mode="json")
        schemes, others = plain["contexts"][0]["schemes"], new.contexts[0].schemes
        if len(schemes) != len(others):
            raise UsageError(
                f"kdamond {index} has {len(schemes)} schemes, not {len(others)}; only quota goals were to be changed",
                hint="leave --quota_goals_only out to change everything that is given",
            )
        for scheme, other in zip(schemes, others, strict=True):
            scheme["quotas"]["goals"] = [goal.model_dump(mode="json") for goal in other.quotas.goals]
        made.append(plain)
    return list(parse_kdamonds(made))


def need_processes(kdamonds: Sequence[Kdamond]) -> None:
    """Raise UsageError for kdamonds whose targets have no children to follow."""
    for index, context in ((index, context) for index, item in enumerate(kdamonds) for context in item.contexts):
        if context.ops != "vaddr":
            raise UsageError(
                f"child tasks cannot be included: kdamond {index} monitors {context.ops}, and only vaddr has processes"
                " whose children could be targets",
                hint="give a pid or a command, or leave --include_child_tasks out",
            )


def family_of(item: Owned, targets: dict[int, int | None], follow: bool | None) -> dict[int, int | None] | None:
    """The processes to watch after a change: as before, unless other targets are given or following begins or ends."""
    if follow is False or (follow is None and item.family is None):
        return None
    return item.family if item.family is not None and targets == item.targets else dict(targets)


def marked(item: Owned, new: Owned) -> Kdamond:
    """The targets as they were, with those that have ended marked obsolete, and the new ones behind them.

    The kernel looks up the pid even of an obsolete target (damon_sysfs_add_target()), so it is one that lives
    (**verified** on 7.3: the commit is taken, the kdamond goes on).
    """
    (before,), (after,) = item.now.contexts, new.now.contexts
    known, living = {target.pid for target in before.targets}, {target.pid for target in after.targets}
    stand_in = after.targets[0].pid
    kept = [target if target.pid in living else Target(pid=stand_in, obsolete=True) for target in before.targets]
    born = [target for target in after.targets if target.pid not in known]
    return new.spec.model_copy(update={"contexts": (after.model_copy(update={"targets": (*kept, *born)}),)})


def anew(item: Owned, spec: Kdamond) -> bool:
    """Whether the change cannot be a commit: the kernel does not carry regions over to other operations."""
    return [context.ops for context in item.spec.contexts] != [context.ops for context in spec.contexts]


def check_obsolete(spec: Kdamond, running: int) -> None:
    """Raise UsageError for an obsolete target beyond the `running` ones (**verified** on 7.3: EINVAL)."""
    for index, target in enumerate(spec.contexts[0].targets):
        if target.obsolete and index >= running:
            raise UsageError(
                f"target {index} is obsolete, but it is not watched yet",
                hint="leave it out; with `damoctl tune`, obsolete takes one target of a running kdamond away",
            )


def without_obsolete(spec: Kdamond) -> Kdamond:
    """What is left of a spec once the kernel has dropped its obsolete targets."""
    (context,) = spec.contexts
    targets = tuple(target for target in context.targets if not target.obsolete)
    return spec.model_copy(update={"contexts": (context.model_copy(update={"targets": targets}),)})
