"""The socket's methods. Each only says its name, role and parameters and hands over to the daemon's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from damod.daemon.recording import Ask
from damod.daemon.service import Service
from damod.daemon.streams import KINDS, MOST_INTERVAL_S, Want, selection_of
from damod.errors import NotFound, SpecInvalid, UsageError
from damod.kernel.modules import modules as kernel_modules
from damod.kernel.survey import survey
from damod.recorder.job import DEFAULT_KINDS, RECORD_NAME
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
        kdamond, source=source, filters=_filters(filters), scheme=scheme, timeout_s=timeout_s
    )
    return {"snapshots": [item.to_wire() for item in found]}


@method("policy.list", needs=Role.VIEWER)
async def policy_list(call: Call[Service]) -> Result:
    """All policies: their files, what they do, and why not more."""
    return await _ask(call, call.daemon.policies.rows)


@method("policy.show", needs=Role.VIEWER)
async def policy_show(call: Call[Service], *, name: str) -> Result:
    """One policy with its kdamonds as they run, statistics included."""
    daemon = call.daemon
    shown = await _ask(call, daemon.policies.show, name)
    recording = daemon.recordings.find(name)
    return {
        **shown,
        "recording": recording.to_wire() if recording and recording.policy else None,
        "not_recorded": daemon.policy_records.why_not(name),
    }


@method("policy.cat", needs=Role.VIEWER)
async def policy_cat(call: Call[Service], *, name: str) -> Result:
    """What counts of a policy after all drop-ins, and from which file and line each key is."""
    return await _ask(call, call.daemon.policies.cat, name)


@method("policy.check", needs=Role.VIEWER)
async def policy_check(call: Call[Service], *, text: str | None = None, file: str = "policy.yaml") -> Result:
    """What is wrong with all policy files as they are now, or with a text, on this kernel; nothing is changed."""
    return await _ask(call, call.daemon.policies.check, text, file)


@method("policy.diff", needs=Role.VIEWER)
async def policy_diff(call: Call[Service]) -> Result:
    """What a reload would change in the kernel, each with file and line."""
    return await _ask(call, call.daemon.policies.diff)


@method("policy.verify", needs=Role.VIEWER)
async def policy_verify(call: Call[Service]) -> Result:
    """Whether the kernel still has what the policies say; each difference with its value and policy line."""
    return await _ask(call, call.daemon.policies.verify)


@method("policy.reload", needs=Role.OPERATOR)
async def policy_reload(call: Call[Service]) -> Result:
    """Read the policy files again and apply them; answers when that is done."""
    return await _ask(call, call.daemon.policies.reload_now)


@method("policy.enable", needs=Role.OPERATOR)
async def policy_enable(call: Call[Service], *, name: str) -> Result:
    """Enable a policy for good, by a drop-in file, and apply it."""
    return await _ask(call, call.daemon.policies.switch, name, True)


@method("policy.disable", needs=Role.OPERATOR)
async def policy_disable(call: Call[Service], *, name: str) -> Result:
    """Disable a policy for good, by a drop-in file, and stop it."""
    return await _ask(call, call.daemon.policies.switch, name, False)


@method("policy.apply", needs=Role.OPERATOR)
async def policy_apply(
    call: Call[Service], *, name: str, probation_s: float | None = None, shadow: bool = False
) -> Result:
    """Run a policy until the next reload, enabled or not: watched by its guard, or as a shadow that only counts."""
    return await _ask(call, call.daemon.policies.apply, name, probation_s, shadow)


@method("policy.save", needs=Role.OPERATOR)
async def policy_save(call: Call[Service], *, name: str, kdamonds: list[Any], take_over: bool = False) -> Result:
    """Make a policy file of kdamonds and run it; without success there is no file."""
    return await _ask(call, call.daemon.policies.save, name, parse_kdamonds(kdamonds), take_over)


async def _ask(call: Call[Service], fn: Callable[..., Any], *args: Any) -> Result:
    result: Result = await call.daemon.policies.ask(fn, *args)
    return result


@method("record.start", needs=Role.OPERATOR)
async def record_start(
    call: Call[Service],
    *,
    name: str | None = None,
    detach: bool = False,
    out: str = RECORD_NAME,
    kdamonds: list[Any] | None = None,
    take_over: bool = False,
    kdamond: int | None = None,
    of: str | None = None,
    snapshot: list[float] | None = None,
    snapshot_filters: list[Any] | None = None,
    schemes_target_regions: bool = False,
    kinds: list[str] | None = None,
    output_type: str = "parquet",
    permission: int = 0o600,
    flush_s: float = 3600.0,
    timeout_s: float | None = None,
    keep_s: float | None = None,
    keep_bytes: int | None = None,
    force: bool = False,
    perf: str | None = None,
    selection: dict[str, Any] | None = None,
    follow: bool = True,
) -> Result:
    """Record what runs, or `kdamonds` started for it; answers once nothing is missed any more.

    Without `detach` two open files come along: the directory for `out`, and a socket (SOCK_SEQPACKET) on which the
    recorder tells how it goes, may be told `stop` or `abort`, and ends properly when its other side is closed.
    """
    delay_and_count = None if snapshot is None else (float(snapshot[0]), int(snapshot[1]))
    ask = Ask(
        name=name,
        detach=detach,
        out=out,
        kdamonds=parse_kdamonds(kdamonds) if kdamonds else (),
        take_over=take_over,
        kdamond=kdamond,
        of=of,
        snapshot=delay_and_count,
        snapshot_filters=_filters(snapshot_filters),
        schemes_target_regions=schemes_target_regions,
        kinds=DEFAULT_KINDS if kinds is None else tuple(kinds),
        output_type=output_type,
        permission=permission,
        flush_s=flush_s,
        timeout_s=timeout_s,
        keep_s=keep_s,
        keep_bytes=keep_bytes,
        force=force,
        perf=perf,
        selection=selection,
        follow=follow,
    )
    return await call.daemon.recordings.start(ask, call.peer, call.files)


@method("record.list", needs=Role.VIEWER)
async def record_list(call: Call[Service]) -> Result:
    """The recordings that run, and the detached ones that ended."""
    return {"recordings": call.daemon.recordings.all()}


@method("record.show", needs=Role.VIEWER)
async def record_show(call: Call[Service], *, name: str) -> Result:
    """How one recording is going, or how it went."""
    return {"recording": call.daemon.recordings.show(name)}


@method("record.wait", needs=Role.VIEWER)
async def record_wait(call: Call[Service], *, name: str) -> Result:
    """A recording once it has ended, with what was started for it stopped; null if that is long ago."""
    return {"recording": await call.daemon.recordings.wait(name)}


@method("record.stop", needs=Role.OPERATOR)
async def record_stop(call: Call[Service], *, name: str) -> Result:
    """End a recording properly; answers when its files are sealed. A policy's stays stopped until the next reload."""
    call.daemon.policy_records.hold(name)
    return {"recording": await call.daemon.recordings.stop(name)}


@method("record.rm", needs=Role.OPERATOR)
async def record_rm(call: Call[Service], *, name: str) -> Result:
    """Remove a detached record that has ended, with its files."""
    return {"recording": await call.daemon.recordings.remove(name)}


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


def _filters(plain: list[Any] | None) -> tuple[Filter, ...]:
    try:
        return _FILTERS.validate_python(plain or ())
    except ValidationError as exc:
        problems = [{"path": "filters", "message": error["msg"]} for error in exc.errors(include_url=False)]
        raise SpecInvalid(f"the filters are wrong: {problems[0]['message']}", problems=problems) from exc
