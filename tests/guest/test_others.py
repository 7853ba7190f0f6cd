"""Somebody else's kdamond: shown, watched, and left exactly as it is."""

from __future__ import annotations

import json

from damoctl.local import LocalDaemon
from tests.contract.driver import Damon
from tests.guest.driver import Damoctl, ok, whole_tree


def test_a_foreign_kdamond_is_shown_and_not_touched(damon: Damon, local: LocalDaemon, damoctl: Damoctl) -> None:
    """A kdamond made by hand before damod starts is shown by all reports, and a start that it hinders names its pid."""
    local.stop()
    damon.reset()
    damon.slots(1)
    damon.configure(0, sample_us=6_000, aggr_us=120_000)
    pid = damon.start(0)
    before = whole_tree()
    assert before["kdamonds/0/state"] == "on\n"
    local.start()

    assert f"kdamond 0: on, pid {pid}, (not damod's), paddr, stat" in ok(damoctl("status"))
    shown = ok(damoctl("report", "damon"))
    assert f"state: on, pid: {pid}" in shown
    assert "sample 6 ms, aggr 120 ms" in shown
    (report,) = json.loads(ok(damoctl("report", "damon", "--json")))
    assert report["pid"] == pid
    seen = ok(damoctl("report", "access")).splitlines()
    assert seen[0].startswith("heatmap: ")
    assert seen[-1] == "record DAMON intervals: sample 6 ms, aggr 120 ms"
    refused = damoctl("start", "paddr")
    assert refused.returncode == 5
    assert f"pid {pid}" in refused.stderr and "hint:" in refused.stderr
    stopped = damoctl("stop")
    assert stopped.returncode == 7

    assert whole_tree() == before
