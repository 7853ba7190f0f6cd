"""The socket's methods. Each only says its name, role and parameters and hands over to the daemon's parts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from damod.daemon.service import Service
from damod.errors import NotFound, SpecInvalid
from damod.rpc.auth import Role
from damod.rpc.registry import Call, Result, method
from damod.spec.filter import Filter
from damod.spec.kdamond import parse_kdamonds

_FILTERS = TypeAdapter(tuple[Filter, ...])


@method("daemon.version", needs=Role.VIEWER)
async def version(call: Call[Service]) -> Result:
    """The daemon's version, the protocol's, and the kernel's name and release."""
    return call.daemon.version()


@method("daemon.status", needs=Role.VIEWER)
async def status(call: Call[Service]) -> Result:
    """The daemon, what it owns, what runs beside it, and what is wrong."""
    return await call.daemon.status()


@method("kdamonds.start", needs=Role.OPERATOR)
async def start(
    call: Call[Service],
    *,
    kdamonds: list[Any],
    name: str = "adhoc",
    take_over: bool = False,
    include_child_tasks: bool = False,
    dry_run: bool = False,
) -> Result:
    """Start a set of kdamonds: all of them or none."""
    daemon, specs = call.daemon, parse_kdamonds(kdamonds)
    result = await daemon.kernel_thread.run(
        daemon.owner.start,
        name,
        specs,
        take_over=take_over,
        include_child_tasks=include_child_tasks,
        dry_run=dry_run,
    )
    await daemon.follower.update()
    return result


@method("kdamonds.tune", needs=Role.OPERATOR)
async def tune(
    call: Call[Service],
    *,
    kdamonds: list[Any],
    name: str | None = None,
    base: list[Any] | None = None,
    quota_goals_only: bool = False,
    include_child_tasks: bool | None = None,
    dry_run: bool = False,
) -> Result:
    """Give a running set new parameters without a restart; with `base` only if it still has those."""
    daemon, specs = call.daemon, parse_kdamonds(kdamonds)
    expected = None if base is None else parse_kdamonds(base)
    result = await daemon.kernel_thread.run(
        daemon.owner.tune,
        name,
        specs,
        base=expected,
        quota_goals_only=quota_goals_only,
        include_child_tasks=include_child_tasks,
        dry_run=dry_run,
    )
    await daemon.follower.update()
    return result


@method("kdamonds.stop", needs=Role.OPERATOR)
async def stop(call: Call[Service], *, name: str | None = None, kdamond: int | None = None) -> Result:
    """Stop a set, one kdamond by its index, or (neither given) everything that damod runs."""
    daemon = call.daemon
    stopped = await daemon.kernel_thread.run(daemon.owner.stop, name, kdamond)
    await daemon.follower.update()
    if not stopped:
        raise NotFound("there is nothing to stop: damod runs no kdamond", hint="`damoctl status` shows who else does")
    return {"stopped": stopped}


@method("kdamonds.adopt", needs=Role.OPERATOR)
async def adopt(call: Call[Service], *, name: str = "adopted") -> Result:
    """Make kdamonds that somebody else started damod's, as they run."""
    daemon = call.daemon
    return {"adopted": await daemon.kernel_thread.run(daemon.owner.adopt, name)}


@method("kdamonds.show", needs=Role.VIEWER)
async def show(
    call: Call[Service], *, kdamond: int | None = None, stats: bool = True, tried_regions: bool = False
) -> Result:
    """Every kdamond that runs, ours and others', with parameters, state and statistics."""
    daemon = call.daemon
    rows = await daemon.kernel_thread.run(daemon.owner.show, stats=stats, tried_regions=tried_regions, slot=kdamond)
    return {"kdamonds": rows, "modules": await daemon.kernel_thread.run(daemon.owner.modules)}


@method("kdamonds.specs", needs=Role.VIEWER)
async def specs(call: Call[Service], *, name: str | None = None) -> Result:
    """The parameters of a running set as they were given, to be edited and given to kdamonds.tune."""
    daemon = call.daemon
    kdamonds = await daemon.kernel_thread.run(daemon.owner.specs, name)
    return {"kdamonds": [kdamond.model_dump(mode="json") for kdamond in kdamonds]}


@method("kdamonds.snapshot", needs=Role.VIEWER)
async def snapshot(
    call: Call[Service],
    *,
    kdamond: int | None = None,
    source: Literal["auto", "ring", "tried_regions", "damon_stat"] = "auto",
    filters: list[Any] | None = None,
    scheme: int | None = None,
    timeout_s: float | None = None,
) -> Result:
    """What DAMON sees now: a snapshot of each target, or what a kdamond's scheme was tried on."""
    try:
        wanted = _FILTERS.validate_python(filters or ())
    except ValidationError as exc:
        problems = [{"path": "filters", "message": error["msg"]} for error in exc.errors(include_url=False)]
        raise SpecInvalid(f"the filters are wrong: {problems[0]['message']}", problems=problems) from exc
    found = await call.daemon.looker.snapshot(
        kdamond, source=source, filters=wanted, scheme=scheme, timeout_s=timeout_s
    )
    return {"snapshots": [item.to_wire() for item in found]}


@method("features.list", needs=Role.VIEWER)
async def features(call: Call[Service]) -> Result:
    """What this kernel's DAMON has and lacks."""
    daemon = call.daemon
    known = await daemon.kernel_thread.run(daemon.owner.features)
    return known.to_wire()


@method("machine.node_ram", needs=Role.VIEWER)
async def node_ram(call: Call[Service], *, nid: int) -> Result:
    """The physical memory of a NUMA node as [start, end) ranges."""
    daemon = call.daemon
    try:
        return {"ranges": await daemon.kernel_thread.run(daemon.kernel.proc.numa_node_ram, nid)}
    except LookupError as exc:
        raise NotFound(
            f"this machine has no NUMA node {nid}", hint="/sys/devices/system/node lists the nodes", nid=nid
        ) from exc
