"""The socket's methods on recordings. Each hands over to `recordings`."""

from __future__ import annotations

from typing import Any

from damod.daemon.recording import Ask
from damod.daemon.service import Service
from damod.recorder.job import DEFAULT_KINDS, RECORD_NAME
from damod.rpc.auth import Role
from damod.rpc.registry import Call, Result, method
from damod.spec.filter import parse_filters
from damod.spec.kdamond import parse_kdamonds


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
        snapshot_filters=parse_filters(snapshot_filters),
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
