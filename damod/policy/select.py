"""Selectors -> targets now, and whether a policy is meant for this machine. Reads /proc, decides nothing else."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from damod.kernel.interface import Proc
from damod.policy.document import Policy, Selector, When
from damod.spec.filter import AddressRange
from damod.spec.kdamond import Context, Kdamond, Target
from damod.spec.needs import Offer


@dataclass(frozen=True)
class Selection:
    """What selectors mean now: processes (ascending), physical ranges (ascending, disjoint), and why some is none."""

    pids: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    missing: tuple[str, ...] = ()


def unmet(when: When, proc: Proc, features: Offer, host: str) -> str:
    """Why a policy is not meant for this machine; "" if it is."""
    for name in when.features:
        if not features.has(name):
            return f"when.features: this kernel ({features.release}) lacks {name}"
    nodes = len(proc.numa_nodes())
    if nodes < when.numa_nodes:
        return f"when.numa_nodes: this machine has {nodes}"
    total = proc.meminfo().get("MemTotal", 0)
    if total < when.memory_min or (when.memory_max is not None and total > when.memory_max):
        return f"when.memory: this machine has {total:,} bytes"
    if not fnmatch.fnmatchcase(host, when.host):
        return f"when.host: this host is {host}"
    absent = next((name for name in when.file_exists if not os.path.exists(name)), None)  # noqa: PTH110 - any text
    return f"when.file_exists: there is no {absent}" if absent else ""


def select(selectors: Sequence[Selector], proc: Proc) -> Selection:
    """What the selectors mean at this moment."""
    pids: set[int] = set()
    ranges: set[tuple[int, int]] = set()
    missing: list[str] = []
    for selector in selectors:
        value = getattr(selector, selector.key)
        if selector.of_processes:
            found = {pid for pid in _pids(selector, proc) if proc.alive(pid)}
            pids |= found
            if not found:
                missing.append(f"no process for {selector.key} {value}")
            continue
        try:
            spans = _ranges(selector, proc)
        except LookupError:
            spans = []
        ranges.update(spans)
        if not spans:
            missing.append(f"no memory for {selector.key} {value}")
    return Selection(tuple(sorted(pids)), tuple(_joined(ranges)), tuple(missing))


def _ranges(selector: Selector, proc: Proc) -> Iterable[tuple[int, int]]:
    if selector.numa_node is not None:
        return proc.numa_node_ram(selector.numa_node)
    ram = proc.system_ram()
    return ram if selector.paddr == "all" else [max(ram, key=lambda span: span[1] - span[0])]


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _pids(selector: Selector, proc: Proc) -> Iterable[int]:
    if selector.pid_file:
        try:
            word = Path(selector.pid_file).read_text(errors="replace")[:100].split()[:1]
        except (OSError, ValueError):
            return []
        return [int(text) for text in word if text.isascii() and text.isdigit()]
    if selector.command or selector.executable:
        pattern = selector.command or selector.executable or ""
        name = proc.command if selector.command else proc.executable
        return [pid for pid in proc.pids() if fnmatch.fnmatchcase(name(pid) or "", pattern)]
    cgroup = selector.cgroup or proc.cgroup_named(selector.systemd_unit or "")
    try:
        return proc.cgroup_pids(cgroup) if cgroup else []
    except LookupError:
        return []


@dataclass(frozen=True)
class Filled:
    """The kdamonds of a policy with their targets, what has none now, and whether some kdamond has nothing to watch."""

    kdamonds: tuple[Kdamond, ...]
    missing: tuple[str, ...] = ()
    empty: bool = False


def fill(policy: Policy, proc: Proc, running: Mapping[int, Kdamond] | None = None) -> Filled:
    """The policy's kdamonds with the targets that the selectors mean now.

    Processes that are watched already (`running`: index -> kdamond) keep their places, so that a commit leaves their
    regions alone; new ones follow.
    """
    kdamonds: list[Kdamond] = []
    missing: list[str] = []
    empty = False
    for index, kdamond in enumerate(policy.kdamonds):
        contexts = []
        for context in kdamond.contexts:
            selectors = [item for item in policy.targets_of(index) if item.fits(context.ops)]
            if not selectors:
                contexts.append(context)
                continue
            now = select(selectors, proc)
            missing += [text for text in now.missing if text not in missing]
            empty |= not (now.pids or now.ranges)
            before = running[index].contexts[0] if running and index in running else None
            contexts.append(_filled(context, now, before))
        kdamonds.append(kdamond.model_copy(update={"contexts": tuple(contexts), "state": None, "pid": None}))
    return Filled(tuple(kdamonds), tuple(missing), empty)


def _filled(context: Context, now: Selection, before: Context | None) -> Context:
    if context.ops != "paddr":
        watched = [target.pid for target in before.targets if target.pid in now.pids] if before else []
        order = [*watched, *(pid for pid in now.pids if pid not in watched)]
        return context.model_copy(update={"targets": tuple(Target(pid=pid) for pid in order)})
    unit = context.addr_unit
    regions = tuple(AddressRange(start=-(-start // unit), end=end // unit) for start, end in now.ranges)
    return context.model_copy(update={"targets": (Target(regions=regions),)})
