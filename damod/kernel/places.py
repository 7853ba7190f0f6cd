"""What a spec names of this machine: NUMA nodes and memory cgroups. Looked up before anything is written.

A node that does not exist the kernel takes silently, and a memory cgroup that does not exist it refuses with an errno
that says nothing (**verified** on 7.3: ENOMEM in filters and goals, EINVAL in probes). It compares a cgroup's path as
text with its own, which begins at the mount point: `/system.slice/foo.service`, with one slash before and none after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from damod.errors import NotFound
from damod.kernel.interface import Proc
from damod.spec.kdamond import Context, Kdamond

_MOUNT = re.compile(r"^/sys/fs/cgroup(/memory|/unified)?(?=/)")


def _nodes(context: Context, at: str) -> Iterator[tuple[str, int | None]]:
    for index, scheme in enumerate(context.schemes):
        here = f"{at}.schemes[{index}]"
        yield f"{here}.target_nid", scheme.target_nid
        for number, dest in enumerate(scheme.dests):
            yield f"{here}.dests[{number}].id", dest.id
        for number, goal in enumerate(scheme.quotas.goals):
            yield f"{here}.quotas.goals[{number}].nid", goal.nid


def _cgroups(context: Context, at: str) -> Iterator[tuple[str, str | None]]:
    for index, probe in enumerate(context.probes):
        for number, one in enumerate(probe.filters):
            yield f"{at}.probes[{index}].filters[{number}].path", one.path
    for index, scheme in enumerate(context.schemes):
        here = f"{at}.schemes[{index}]"
        for number, goal in enumerate(scheme.quotas.goals):
            yield f"{here}.quotas.goals[{number}].memcg_path", goal.memcg_path
        for number, item in enumerate(scheme.filters):
            yield f"{here}.filters[{number}].memcg_path", getattr(item, "memcg_path", None)


def spelled(path: str) -> str:
    """A cgroup's path as the kernel spells it, from one with the mount point, a slash too many or too few."""
    return "/" + "/".join(part for part in _MOUNT.sub("", path).split("/") if part)


def _problems(kdamonds: Sequence[Kdamond], proc: Proc) -> Iterator[tuple[str, str]]:
    for number, kdamond in enumerate(kdamonds):
        for index, context in enumerate(kdamond.contexts):
            at = f"kdamonds[{number}].contexts[{index}]"
            for where, nid in _nodes(context, at):
                if nid is not None and not _has_node(proc, nid):
                    yield where, f"this machine has no NUMA node {nid}"
            for where, path in _cgroups(context, at):
                if path is not None and proc.cgroup_exists(path) is False:
                    right = spelled(path)
                    better = right != path and proc.cgroup_exists(right)
                    meant = f"; the kernel calls it {right}, from the mount point of the cgroups on" if better else ""
                    yield where, f"there is no memory cgroup {path}{meant}"


def _has_node(proc: Proc, nid: int) -> bool:
    try:
        proc.numa_node_ram(nid)
    except LookupError:
        return False
    return True


def check(kdamonds: Sequence[Kdamond], proc: Proc) -> None:
    """Raise NotFound for nodes and cgroups that this machine does not have, all of them in `facts["problems"]`."""
    found = [{"path": path, "message": message} for path, message in _problems(kdamonds, proc)]
    if not found:
        return
    raise NotFound(
        "; ".join(f"{one['path']}: {one['message']}" for one in found),
        hint="/sys/devices/system/node lists the nodes, `systemd-cgls` the cgroups; paths are those below the mount"
        " point, like /system.slice",
        problems=found,
    )
