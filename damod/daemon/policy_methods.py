"""The socket's methods on policies. Each hands over to `policies`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from damod.daemon.service import Service
from damod.rpc.auth import Role
from damod.rpc.registry import Call, Result, method
from damod.spec.kdamond import parse_kdamonds


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
