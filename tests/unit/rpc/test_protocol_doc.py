"""docs/protocol.md says what the code does: its tables and its examples are checked."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from damod import errors
from damod.daemon import methods, policy_methods, record_methods
from damod.daemon.service import Service
from damod.rpc.auth import Access
from damod.rpc.registry import Registry
from damod.rpc.server import Limits, Server, listen
from damod.rpc.wire import FROM_DAEMON_BYTES, MAX_DEPTH, TO_DAEMON_BYTES, TO_DAEMON_ITEMS
from damod.settings import Settings
from tests.unit.daemon.fake_damod import FakeKernel

DOC = Path("docs/protocol.md").read_text()


def section(title: str) -> str:
    return DOC.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def subclasses(cls: type[errors.DamodError]) -> list[type[errors.DamodError]]:
    return [cls, *(below for sub in cls.__subclasses__() for below in subclasses(sub))]


def error_rows() -> list[list[str]]:
    found = {cls.code: cls for cls in subclasses(errors.DamodError) if cls.__module__ == errors.__name__}
    return [
        [f"`{code}`", str(cls.exit_status), " ".join((cls.__doc__ or "").split("\n\n")[0].split())]
        for code, cls in sorted(found.items(), key=lambda item: item[1].exit_status)
    ]


def method_rows() -> list[list[str]]:
    found = []
    for name, entry in sorted(Registry.of(methods, policy_methods, record_methods).methods.items()):
        params = ", ".join(p.name if p.required else f"[{p.name}]" for p in entry.params)
        found.append([f"`{name}`", str(entry.needs), params or "–", entry.about])
    return found


def test_the_errors_are_those_of_the_code() -> None:
    """Each class of errors.py is listed with its code, its exit status and its docstring."""
    assert rows("Errors") == error_rows()


def test_the_methods_are_those_of_the_code() -> None:
    """Each method is listed with its role and parameters (optional ones in brackets)."""
    assert rows("Methods") == method_rows()


def test_the_limits_are_those_of_the_code() -> None:
    """The numbers in the table, in its order."""
    limits = Limits()
    numbers = [int(re.sub(r"\D.*", "", row[1].replace(",", ""))) for row in rows("Limits")]
    assert numbers == [
        TO_DAEMON_BYTES,
        FROM_DAEMON_BYTES,
        MAX_DEPTH,
        TO_DAEMON_ITEMS,
        limits.requests_per_connection,
        limits.connections,
        limits.connections_per_user,
        limits.frame_timeout_s,
        limits.write_timeout_s,
    ]
    assert (Settings().max_connections, Settings().max_connections_per_user) == tuple(numbers[5:7])


@pytest.mark.parametrize("number", [0, 1])
async def test_the_clients_work_as_printed(number: int, tmp_path: Path) -> None:
    """Each Python block, copied into a file, prints the daemon's version."""
    code = re.findall(r"```python\n(.*?)```", section("A client"), re.DOTALL)[number]
    (tmp_path / "client.py").write_text(code)
    service = Service(Settings(kernel="sim"), FakeKernel(), Registry.of(methods, policy_methods, record_methods))
    access = Access(operator_gid=None, viewer_gid=None, everybody_views=False, own_uid=os.geteuid())
    server = Server(Registry.of(methods, policy_methods, record_methods), service, access)
    async with asyncio.TaskGroup() as tasks:
        await server.start(listen(str(tmp_path / "s"), access), tasks)
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(tmp_path / "client.py")],
            env={**os.environ, "DAMOD_SOCKET": str(tmp_path / "s"), "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            timeout=20,
        )
        await server.stop(1)
    assert done.stderr == ""
    assert "'protocol': 1" in done.stdout
    await service.kernel_thread.close(1)
