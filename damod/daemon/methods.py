"""The socket's methods. Each only says its name, role and parameters and hands over to the daemon's parts."""

from __future__ import annotations

from damod.daemon.service import Service
from damod.rpc.auth import Role
from damod.rpc.registry import Call, Result, method


@method("daemon.version", needs=Role.VIEWER)
async def version(call: Call[Service]) -> Result:
    """The daemon's version, the protocol's, and the kernel's name and release."""
    return call.daemon.version()


@method("daemon.status", needs=Role.VIEWER)
async def status(call: Call[Service]) -> Result:
    """The daemon, what it owns, what runs beside it, and what is wrong."""
    return {"daemon": call.daemon.status()}
