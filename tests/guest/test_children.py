"""Child processes of a target on the real kernel: they become targets, and are dropped, under one kdamond."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from damod.rpc.client import Client
from tests.contract.driver import Damon
from tests.guest.driver import Damoctl, end, ok, running, wait

# A parent that has a child which has a child; then the middle one ends, and the others live on.
PARENT = """
import os, sys, time
out = open(sys.argv[1], "w", buffering=1)
if (child := os.fork()) == 0:
    if (grandchild := os.fork()) == 0:
        time.sleep(600)
    print(os.getpid(), grandchild, file=out)
    while not os.path.exists(sys.argv[1] + ".go"):
        time.sleep(0.05)
    os._exit(0)
os.waitpid(child, 0)
time.sleep(600)
"""


def test_children_come_and_go(damon: Damon, client: Client, damoctl: Damoctl, tmp_path: Path) -> None:
    """Children and grandchildren become targets; one that ends is dropped; the kdamond's pid stays."""
    script, told = tmp_path / "parent.py", tmp_path / "told"
    script.write_text(PARENT)
    command = f"{sys.executable} {script} {told}"
    parent = int(ok(damoctl("start", command, "--include_child_tasks", "--take_over")).rsplit("watching pid", 1)[1])
    pids = [parent]
    try:
        (row,) = running(client)
        assert client.call("daemon.status")["children"] == {"by": "events", "why": ""}
        text = wait(lambda: found if told.exists() and (found := told.read_text()).endswith("\n") else None, "children")
        child, grandchild = map(int, re.findall(r"\d+", text))
        pids += [child, grandchild]

        def targets() -> list[int]:
            (shown,) = client.call("kdamonds.show", stats=False)["kdamonds"]
            assert shown["drift"] == []
            return [target["pid"] for target in shown["spec"]["contexts"][0]["targets"]]

        wait(lambda: targets() == [parent, child, grandchild] or None, "all three are targets")
        Path(f"{told}.go").touch()
        wait(lambda: targets() == [parent, grandchild] or None, "the one that ended is dropped")
        assert damon.read("kdamonds/0/contexts/0/targets/nr_targets") == "2"
        end(parent)
        wait(lambda: targets() == [grandchild] or None, "the parent is dropped, its grandchild stays")
        (now,) = running(client)
        assert (now["pid"], now["followed"]) == (row["pid"], 1)
        # Whether the last one's end ends the kdamond depends on who reaps an orphan here: a zombie is a target still.
        assert f"stopped kdamond 0 (pid {row['pid']})" in ok(damoctl("stop"))
        assert client.call("daemon.status")["children"] is None
    finally:
        for pid in pids:
            end(pid)
