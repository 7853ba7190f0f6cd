"""What the tests in a guest ask and wait for, said once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from damod.access.snapshot import Regions, Snapshot
from damod.rpc.client import Client
from tests.contract.driver import PATIENCE_S

ADMIN = Path("/sys/kernel/mm/damon/admin")
STAT = "damon_stat/parameters/enabled"
MIB = 1 << 20

T = TypeVar("T")
Damoctl = Callable[..., "subprocess.CompletedProcess[str]"]


def ok(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that must have worked."""
    assert done.returncode == 0, f"{done.args} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def wait(until: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """The first answer that is not None, asked for again and again. Fails with `what` when the time is over."""
    deadline = time.monotonic() + patience_s
    while (answer := until()) is None:
        if time.monotonic() > deadline:
            pytest.fail(f"not within {patience_s:g} s: {what}")
        time.sleep(0.1)
    return answer


def running(client: Client) -> list[dict[str, Any]]:
    """The kdamonds of `damoctl status`, ours and others'."""
    found: list[dict[str, Any]] = client.call("daemon.status")["kdamonds"]
    return found


def snapshots(client: Client, **which: Any) -> list[Snapshot]:
    """What DAMON sees now, out of the trace ring."""
    return [Snapshot.from_wire(item) for item in client.call("kdamonds.snapshot", source="ring", **which)["snapshots"]]


def oldest(client: Client, kdamond: int) -> int:
    """The highest age of any region of a kdamond, in aggregations; a new kdamond begins at 0."""
    (seen,) = snapshots(client, kdamond=kdamond)
    return max(seen.regions.age)


def older_than(client: Client, kdamond: int, age: int) -> int:
    """Wait until a kdamond has a region older than that; its age."""
    return wait(lambda: found if (found := oldest(client, kdamond)) > age else None, f"a region older than {age}")


def whole_tree() -> dict[str, str]:
    """Every file of DAMON's sysfs tree with its text, or the errno for those that cannot be read."""
    found = {}
    for path in sorted(ADMIN.rglob("*")):
        if path.is_file():
            try:
                found[str(path.relative_to(ADMIN))] = path.read_text()
            except OSError as exc:
                found[str(path.relative_to(ADMIN))] = f"errno {exc.errno}"
    return found


@dataclass(frozen=True)
class Hot:
    """A process of tests/vm/workloads/hot.py: where its memory is, and which of it is hot."""

    pid: int
    start: int
    end: int
    hot_start: int
    hot_end: int

    @classmethod
    def told(cls, text: str) -> Hot | None:
        """From the line that it prints when the touching begins; None if that has not come yet."""
        lines = [line for line in text.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]
        return cls(**json.loads(lines[0])) if lines else None


def hot_bytes(regions: Regions) -> int:
    """Bytes in regions that were accessed at all."""
    return sum(
        end - start
        for start, end, seen in zip(regions.start, regions.end, regions.nr_accesses, strict=True)
        if seen > 0
    )


def end(pid: int) -> None:
    """Kill a process, and be content if it is gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
