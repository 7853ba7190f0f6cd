"""Who descends from whom: the processes of a family, kept up to date by events or by looking. Values in, values out.

A family is pid -> start time, so that a stranger who got a member's number is none. With events a child is a member
from its parent's fork on, also if the parent ends at once; by looking only those are found that live when looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from damod.kernel.interface import Proc, ProcessEvent

Family = dict[int, int | None]


def alive(family: Mapping[int, int | None], proc: Proc) -> Family:
    """Those that still are who they were, and no zombies."""
    return {pid: start for pid, start in family.items() if proc.alive(pid) and proc.start_time(pid) == start}


def by_events(family: Mapping[int, int | None], events: Iterable[ProcessEvent], proc: Proc) -> Family:
    """The family after these events, in their order."""
    found, born = dict(family), set()
    for event in events:
        if event.kind == "fork" and event.parent in found:
            found[event.pid] = None
            born.add(event.pid)
        elif event.kind == "exit":
            found.pop(event.pid, None)
            born.discard(event.pid)
    for pid in born:
        found[pid] = proc.start_time(pid)
    return alive(found, proc)


def by_looking(family: Mapping[int, int | None], proc: Proc) -> Family:
    """The family with all descendants of its members that live now."""
    found = alive(family, proc)
    todo = list(found)
    while todo:
        for pid in proc.children(todo.pop()):
            if pid not in found and proc.alive(pid):
                found[pid] = proc.start_time(pid)
                todo.append(pid)
    return found
