"""The socket's methods. Each only says its name, role and parameters and hands over to the daemon's parts."""

from __future__ import annotations

from typing import Any, Literal

from damod.daemon.service import Service
from damod.daemon.streams import KINDS, MOST_INTERVAL_S, Want, selection_of
from damod.errors import NotFound, UsageError
from damod.kernel.modules import modules as kernel_modules
from damod.kernel.survey import survey
from damod.rpc.auth import Role
from damod.rpc.registry import Call, Result, method
from damod.spec.filter import parse_filters
from damod.spec.kdamond import parse_kdamonds


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
    await daemon.kernel_thread.run(daemon.policies.guard_by_hand, name)
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
    daemon.recordings.look()
    return result


@method("kdamonds.stop", needs=Role.OPERATOR)
async def stop(call: Call[Service], *, name: str | None = None, kdamond: int | None = None) -> Result:
    """Stop a set, one kdamond by its index, or (neither given) everything that damod runs."""
    daemon = call.daemon
    stopped = await daemon.policies.ask(daemon.stop_by_hand, name, kdamond)
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
    found = await call.daemon.looker.snapshot(
        kdamond, source=source, filters=parse_filters(filters), scheme=scheme, timeout_s=timeout_s
    )
    return {"snapshots": [item.to_wire() for item in found]}


@method("modules.list", needs=Role.VIEWER)
async def modules_list(call: Call[Service]) -> Result:
    """DAMON's modules of this kernel: which is on, whose it is, its parameters as the kernel prints them."""
    return {"modules": await call.daemon.modules.all()}


@method("modules.show", needs=Role.VIEWER)
async def modules_show(call: Call[Service], *, name: str) -> Result:
    """One module, each parameter with value, unit, meaning and whether it can be written."""
    return await call.daemon.modules.show(name)


@method("modules.write", needs=Role.OPERATOR)
async def modules_write(
    call: Call[Service],
    *,
    name: str,
    parameters: dict[str, Any] | None = None,
    enabled: bool | None = None,
    commit: bool = False,
    take_over: bool = False,
    dry_run: bool = False,
) -> Result:
    """Change parameters of a module (as text with units), and enable it, disable it, or make it read them."""
    return await call.daemon.modules.write(
        name, parameters or {}, enabled=enabled, commit=commit, take_over=take_over, dry_run=dry_run
    )


@method("log.list", needs=Role.VIEWER)
async def log_list(call: Call[Service], *, since_s: float | None = None, last: int | None = None) -> Result:
    """Who changed what, oldest first: since a time (seconds after the epoch), or the `last` changes."""
    since_ns = int((since_s or 0) * 1e9)
    return {"entries": call.daemon.audit.entries(since_ns=since_ns, last=last)}


@method("metrics.get", needs=Role.VIEWER)
async def metrics_get(call: Call[Service]) -> Result:
    """The samples of all metrics by name: label values, and a number or a histogram's buckets and sum."""
    return {"metrics": await call.daemon.meters.families()}


@method("stream.subscribe", needs=Role.VIEWER)
async def stream_subscribe(
    call: Call[Service],
    *,
    kinds: list[Literal["snapshots", "status", "policies", "stats", "log"]],
    kdamond: int | None = None,
    context: int | None = None,
    target: int | None = None,
    interval_s: float | None = None,
    filters: dict[str, Any] | None = None,
) -> Result:
    """Have this connection told of snapshots, status changes, policy events, stats or changes from now on."""
    if not kinds:
        raise UsageError("a subscription needs at least one kind", hint=f"there are {', '.join(KINDS)}")
    if interval_s is not None and not 0 <= interval_s <= MOST_INTERVAL_S:
        raise UsageError(f"interval_s is {interval_s:g}", hint=f"it is between 0 and {MOST_INTERVAL_S:g} s")
    want = Want(frozenset(kinds), kdamond, context, target, int((interval_s or 0) * 1e9), selection_of(filters))
    assert call.outbox is not None
    flow = await call.daemon.streams.subscribe(call.outbox, want)
    call.then.append(flow.begin)
    return {"subscription": flow.id}


@method("stream.unsubscribe", needs=Role.VIEWER)
async def stream_unsubscribe(call: Call[Service], *, subscription: int) -> Result:
    """End one of this connection's subscriptions; how many events it lost by not reading."""
    assert call.outbox is not None
    return {"lost": call.daemon.streams.unsubscribe(call.outbox, subscription)}


@method("diagnose.survey", needs=Role.VIEWER)
async def diagnose_survey(call: Call[Service]) -> Result:
    """What this machine and the daemon's own rights offer to DAMON, by reading only."""
    daemon = call.daemon
    return await daemon.kernel_thread.run(survey, daemon.kernel)


@method("features.list", needs=Role.VIEWER)
async def features(call: Call[Service]) -> Result:
    """What this kernel's DAMON has and lacks."""
    daemon = call.daemon
    known = await daemon.kernel_thread.run(daemon.owner.features)
    return known.to_wire()


@method("trace.open", needs=Role.VIEWER)
async def trace_open(call: Call[Service], *, events: list[str] | None = None) -> Result:
    """Listen to DAMON's trace events (all, or those named) with a ring of one's own; trace.read tells them."""
    return await call.daemon.listeners.open(events or [])


@method("trace.read", needs=Role.VIEWER)
async def trace_read(call: Call[Service], *, listener: int, wait_s: float = 1.0) -> Result:
    """The events since the last read, after waiting up to 5 s for some; who does not read for 15 s is forgotten."""
    return await call.daemon.listeners.read(listener, wait_s)


@method("trace.close", needs=Role.VIEWER)
async def trace_close(call: Call[Service], *, listener: int) -> Result:
    """Listen no more."""
    await call.daemon.listeners.close(listener)
    return {}


@method("machine.layout", needs=Role.VIEWER)
async def layout(call: Call[Service]) -> Result:
    """The physical memory: what is where, and which node and memory block it belongs to."""
    daemon = call.daemon
    found = await daemon.kernel_thread.run(daemon.kernel.proc.memory_layout)
    return {"resources": found.resources, "blocks": found.blocks}


@method("machine.info", needs=Role.VIEWER)
async def machine_info(call: Call[Service]) -> Result:
    """What the kernel's DAMON has (as features.list), where its file systems are, its modules and their parameters."""
    daemon = call.daemon
    known = await daemon.kernel_thread.run(daemon.owner.features)
    mounts = await daemon.kernel_thread.run(daemon.kernel.proc.mounts)
    modules = {item.name: item.parameters for item in await daemon.kernel_thread.run(kernel_modules, daemon.kernel)}
    return {**daemon.version(), "mounts": mounts, "modules": modules, "features": known.to_wire()["features"]}


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
