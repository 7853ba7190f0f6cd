"""damoctl diagnose on the real kernel: a machine that is all right, schemes that do nothing, and no daemon."""

from __future__ import annotations

import json
import os
from typing import Any

from damoctl.local import LocalDaemon
from damod.kernel.features import release_key
from damod.kernel.linux import LinuxKernel
from tests.guest.driver import Damoctl, ok, wait, whole_tree


def findings(damoctl: Damoctl) -> dict[str, dict[str, Any]]:
    """What is found now, by code."""
    done = damoctl("diagnose", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == int(answer["wrong"])
    return {finding["code"]: finding for finding in answer["findings"]}


def test_a_kdamond_that_works(daemon: LocalDaemon, damoctl: Damoctl) -> None:
    """Nothing is wrong with a plain one, but that an emulated processor is slow, and what other tests left to tell."""
    ok(damoctl("start", "--take_over", "paddr"))
    found = wait(lambda: now if "no-snapshot" not in (now := findings(damoctl)) else None, "a snapshot")
    wrong = {code for code, finding in found.items() if finding["level"] != "note"}
    assert wrong <= {"costly", "noticed"}, found


def test_a_migration_that_the_kernel_takes_and_ignores(
    daemon: LocalDaemon, damoctl: Damoctl, real: LinuxKernel
) -> None:
    """6.12 takes migrate_hot of virtual memory and does nothing; from 6.17 on it is not told."""
    ok(damoctl("start", "--take_over", str(os.getpid()), "--damos_action", "migrate_hot", "1"))
    assert ("no-effect" in findings(damoctl)) == (release_key(real.release) < (6, 17))


def test_a_scheme_that_wants_what_is_not_there(daemon: LocalDaemon, damoctl: Damoctl) -> None:
    """Told after a few aggregations, with the age that it wants."""
    ok(damoctl("start", "--take_over", "--damos_action", "stat", "--damos_age", "1h", "max"))
    found = wait(lambda: findings(damoctl).get("never-tried"), "a scheme that was never tried")
    assert found["level"] == "note"
    assert "1 h or more" in found["message"]


def test_without_a_daemon_nothing_is_written(daemon: LocalDaemon, damoctl: Damoctl) -> None:
    """The kernel's files are read as they stand, and stay as they are."""
    ok(damoctl("start", "--take_over", "paddr"))
    daemon.stop()
    before = whole_tree()
    found = findings(damoctl)
    assert {"no-daemon", "foreign-kdamond"} <= set(found)
    assert whole_tree() == before
    daemon.start()
