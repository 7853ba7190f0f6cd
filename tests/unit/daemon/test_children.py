"""Descendants of targets become targets, while the kdamond keeps running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from damod.daemon.children import Follower
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.owner import Owner
from damod.errors import UsageError
from damod.kernel import reader
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.spec.kdamond import parse_kdamonds

Owners = Callable[..., Owner]


def vaddr(*pids: int, **more: Any) -> Any:
    return parse_kdamonds([{"contexts": [{"ops": "vaddr", "targets": [{"pid": pid} for pid in pids], **more}]}])


def watched(kernel: SimKernel) -> list[int | None]:
    """The pids that stand in the kernel's files."""
    return [target.pid for target in reader.kdamond(kernel, 0).contexts[0].targets]


def machine(version: str) -> SimKernel:
    kernel = SimKernel(version, clock=SimClock())
    if "damon_stat" in kernel.modules.names():
        kernel.modules.write("damon_stat/parameters/enabled", "N")
    return kernel


@pytest.mark.parametrize("version", ["6.12", "6.18", "7.3"])
def test_targets_come_and_go(owners: Owners, version: str) -> None:
    """A child becomes a target, one that ended is dropped, also the first; the kdamond's pid stays all the time."""
    kernel = machine(version)
    owner = owners(kernel)
    top = kernel.spawn()
    (row,) = owner.start("a", vaddr(top), include_child_tasks=True)["kdamonds"]
    first, second = kernel.spawn(parent=top), kernel.spawn(parent=top)
    owner.follow(None)
    assert watched(kernel) == [top, first, second]
    assert owner.watched()[0].target_pids == (top, first, second)
    assert owner.status()["kdamonds"][0]["followed"] == 3
    kernel.exit(first)
    grandchild = kernel.spawn(parent=second)
    owner.follow(None)
    assert watched(kernel) == [top, second, grandchild]
    assert not any(target.obsolete for target in reader.kdamond(kernel, 0).contexts[0].targets)
    kernel.exit(top)
    owner.follow([])
    owner.follow(None)
    assert watched(kernel) == [second, grandchild]
    (shown,) = owner.show()
    assert (shown["spec"]["pid"], shown["drift"]) == (row["pid"], [])
    kernel.clock.advance(1)
    assert reader.lives(kernel)[0].pid == row["pid"]


def test_a_change_keeps_the_children(owners: Owners) -> None:
    """A tune of something else keeps descendants as targets, although a given target has ended; then following ends."""
    kernel = machine("7.3")
    owner = owners(kernel)
    top = kernel.spawn()
    owner.start("a", vaddr(top), include_child_tasks=True)
    child = kernel.spawn(parent=top)
    owner.follow(None)
    kernel.exit(top)
    owner.follow(None)
    answer = owner.tune("a", vaddr(top, intervals={"sample_us": "10ms"}), base=owner.specs("a"))
    assert [change["new"] for change in answer["changes"]] == ["10 ms"]
    assert watched(kernel) == [child]
    answer = owner.tune("a", vaddr(child), include_child_tasks=False)
    assert answer["changes"][-1] == {"path": "include_child_tasks", "old": True, "new": False}
    kernel.spawn(parent=child)
    owner.follow(None)
    assert watched(kernel) == [child] and not owner.follows()
    owner.tune("a", vaddr(child), include_child_tasks=True)
    owner.follow(None)
    assert len(watched(kernel)) == 2


def test_only_processes_have_children(owners: Owners) -> None:
    """Of physical memory nothing can be followed, and nothing is started."""
    kernel = machine("7.3")
    owner = owners(kernel)
    with pytest.raises(UsageError) as info:
        owner.start("a", parse_kdamonds([{}]), include_child_tasks=True)
    assert info.value.message == (
        "child tasks cannot be included: kdamond 0 monitors paddr, and only vaddr has processes whose children could be"
        " targets"
    )
    assert reader.count(kernel) == 0


def test_a_restart_goes_on_following(owners: Owners) -> None:
    """The next damod knows the family, with those who were born meanwhile."""
    kernel = machine("7.3")
    top = kernel.spawn()
    first = owners(kernel)
    first.start("a", vaddr(top), include_child_tasks=True)
    child = kernel.spawn(parent=top)
    first.follow(None)
    grandchild = kernel.spawn(parent=child)
    second = owners(kernel)
    assert second.follows()
    second.follow(None)
    assert watched(kernel) == [top, child, grandchild]


@pytest.mark.parametrize("events", [True, False])
async def test_the_follower_hears_or_looks(tmp_path: Path, events: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By events where there are some, else by looking, which status says; it ends with the last set."""
    monkeypatch.setattr("damod.daemon.children.LOOK_S", 0.05)
    kernel = SimKernel("6.12", process_events=events)
    owner = Owner(kernel, tmp_path)
    thread = KernelThread()
    follower = Follower(kernel, owner, thread)
    assert follower.status() is None
    top = kernel.spawn()
    await thread.run(owner.start, "a", vaddr(top), include_child_tasks=True)
    await follower.update()
    status = follower.status()
    assert status is not None and status["by"] == ("events" if events else "looking")
    assert ("does not see the forks" in status["why"]) is not events
    child = kernel.spawn(parent=top)
    async with asyncio.timeout(10):
        while await thread.run(watched, kernel) != [top, child]:
            await asyncio.sleep(0.02)
        kernel.exit(child)
        while await thread.run(watched, kernel) != [top]:
            await asyncio.sleep(0.02)
        await thread.run(owner.stop)
        await follower.update()
    assert follower.status() is None and kernel.machine.listeners == []
    await thread.close(1)
