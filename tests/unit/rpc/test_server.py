"""The server against real sockets: calls, roles, limits, peers that misbehave."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from damod.errors import (
    AlreadyRunning,
    Busy,
    DaemonUnreachable,
    Internal,
    NotAllowed,
    NotFound,
    ProtocolError,
    UsageError,
)
from damod.rpc.auth import Access, Role
from damod.rpc.client import Client
from damod.rpc.registry import Call, Method, Registry, method
from damod.rpc.server import Limits, Server, listen
from damod.rpc.wire import Decoder, Request, Response

OWN = Access(operator_gid=None, viewer_gid=None, everybody_views=False, own_uid=os.geteuid())


@method("test.echo", needs=Role.VIEWER)
async def echo(call: Call[Any], *, value: Any = None) -> dict[str, Any]:
    """Give the value back."""
    return {"value": value}


@method("test.big", needs=Role.VIEWER)
async def big(call: Call[Any], *, size: int) -> dict[str, Any]:
    """Answer with many bytes."""
    return {"value": b"x" * size}


@method("test.bug", needs=Role.OPERATOR)
async def bug(call: Call[Any]) -> dict[str, Any]:
    """Fail as no method should."""
    raise RuntimeError("a detail that no peer must see")


METHODS = (echo, big, bug)


@asynccontextmanager
async def serving(
    path: Path, *more: Method, access: Access = OWN, limits: Limits | None = None
) -> AsyncIterator[Server]:
    server = Server(Registry((*METHODS, *more)), None, access, limits)
    async with asyncio.TaskGroup() as tasks:
        await server.start(listen(str(path), access), tasks)
        try:
            yield server
        finally:
            await server.stop(0.2)


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.wait_for(asyncio.to_thread(work), 20)


async def test_a_method_is_called_over_a_real_socket(tmp_path: Path) -> None:
    """The blocking client gets the result of a method of the asyncio server."""

    def work() -> Any:
        with Client(str(tmp_path / "s"), timeout_s=5) as client:
            return client.call("test.echo", value={"a": [1, "ü", None]}), client.call("test.echo")

    async with serving(tmp_path / "s"):
        assert await in_thread(work) == ({"value": {"a": [1, "ü", None]}}, {"value": None})
