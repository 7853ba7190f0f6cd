"""Open files that come with a request: they arrive, belong to it, and none is left open."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from damod.rpc.auth import Access, Role
from damod.rpc.client import Client
from damod.rpc.passing import MAX_FILES
from damod.rpc.registry import Call, Registry, Result, method
from damod.rpc.server import Server, listen


@method("files.read", needs=Role.VIEWER)
async def read(call: Call[Any], *, padding: str = "") -> Result:
    """What the files that came along hold."""
    return {"texts": [os.pread(handle, 100, 0).decode() for handle in call.files], "length": len(padding)}


def open_files() -> set[str]:
    """What this process has open, by number."""
    return {entry.name for entry in os.scandir("/proc/self/fd")}


async def ask(path: str, *requests: tuple[list[int], str]) -> list[Any]:
    """The answers of a server to requests of one client, each with its files and padding."""
    access = Access(None, None, True, os.geteuid())
    listener = listen(path, access)
    server = Server(Registry((read,)), None, access)

    def talk() -> list[Any]:
        with Client(path, timeout_s=10) as client:
            return [client.call_with_files(files, "files.read", {"padding": text}) for files, text in requests]

    async with asyncio.TaskGroup() as tasks:
        await server.start(listener, tasks)
        answers = await asyncio.to_thread(talk)
        await server.stop(1)
    listener.close()
    return answers


@pytest.fixture
def files(tmp_path: Path) -> list[int]:
    """Six open files with a letter each."""
    handles = []
    for letter in "abcdef":
        (tmp_path / letter).write_text(letter)
        handles.append(os.open(tmp_path / letter, os.O_RDONLY))
    return handles


async def test_files_belong_to_their_request(tmp_path: Path, files: list[int]) -> None:
    """Each request gets its own files, also when its frame takes many reads, and one without gets none."""
    answers = await ask(str(tmp_path / "s"), (files[:2], "x" * 900_000), ([], ""), (files[2:3], ""))
    assert [answer["texts"] for answer in answers] == [["a", "b"], [], ["c"]]
    assert answers[0]["length"] == 900_000


async def test_no_file_stays_open(tmp_path: Path, files: list[int]) -> None:
    """After the answers all that came is closed, and what goes beyond the limit at once."""
    await ask(str(tmp_path / "warm-up"), ([], ""))
    before = open_files()
    (answer,) = await ask(str(tmp_path / "s"), (files, ""))
    assert len(answer["texts"]) <= MAX_FILES
    assert open_files() == before
