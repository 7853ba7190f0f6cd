"""damod as a server has it: its package on Debian 13, under systemd, with two NUMA nodes, over a reboot.

One guest runs tests/vm/programs/systemd_session.sh, which only does things and notes what came of them; the tests here
judge. `DAMOD_SYSTEMD_OUT=DIR` judges a session that has been run before.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from damod import units
from tests.vm.guest import CHECKOUT, GuestResult
from tests.vm.systemd_guest import SystemdGuest

pytestmark = pytest.mark.vm

MAX_EXPOSURE = 4.0


@dataclass(frozen=True)
class Look:
    """How things were: the daemon's pid, kdamonds by slot as (pid, action, quota in bytes), systemd's properties."""

    main: int
    kdamonds: dict[int, tuple[int, str, int]]
    unit: dict[str, str]

    def of_quota(self, size: int) -> int:
        """The pid of the only kdamond with this quota."""
        (pid,) = [pid for pid, _, quota in self.kdamonds.values() if quota == size]
        return pid


@dataclass(frozen=True)
class Session:
    """What the session left behind."""

    result: GuestResult

    def said(self, name: str) -> str:
        return (self.result.outdir / name).read_text()

    def status(self, name: str) -> int:
        return int(self.said(f"{name}.status").split()[0])

    def took_s(self, name: str) -> float:
        return int(self.said(f"{name}.status").split()[1]) / 1000

    def did(self, name: str) -> str:
        """The output of a step that must have worked."""
        assert self.status(name) == 0, f"{name} ended with {self.status(name)}: {self.said(name)}"
        return self.said(name)

    def look(self, name: str) -> Look:
        lines = self.said(name).splitlines()
        rows = [line.split() for line in lines if re.fullmatch(r"\d+ \d+ \w+ \d+ ?", line)]
        unit = dict(line.split("=", 1) for line in lines if "=" in line)
        found = {int(slot): (int(pid), action, int(size)) for slot, pid, action, size in rows}
        return Look(int(lines[0].split()[1]), found, unit)

    def oldest_us(self, name: str) -> int:
        """The greatest age of a region in a `report access --json`, in microseconds."""
        ages: list[int] = []

        def walk(value: Any, aggr_us: int) -> None:
            if isinstance(value, dict):
                if "intervals" in value:
                    aggr_us = units.parse_time(str(value["intervals"]["aggr_us"]), "us")
                age = value.get("age")
                if isinstance(age, dict):
                    age_us = units.parse_time(str(age["usec"]), "us")
                    ages.append(age_us or units.parse_count(str(age["aggr_intervals"])) * aggr_us)
                for item in value.values():
                    walk(item, aggr_us)
            elif isinstance(value, list):
                for item in value:
                    walk(item, aggr_us)

        walk(json.loads(self.did(name)), 0)
        return max(ages)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The whole session, both boots."""
    if earlier := os.environ.get("DAMOD_SYSTEMD_OUT"):
        return Session(GuestResult(0, Path(earlier), 0, 0))
    script = (CHECKOUT / "tests/vm/programs/systemd_session.sh").read_text()
    result = SystemdGuest().run(script, timeout_s=900, outdir=tmp_path_factory.mktemp("systemd"))
    print(f"booted in {result.boot_s:.0f} s, the whole session took {result.total_s:.0f} s")
    return Session(result.check())


def test_the_machine_is_a_small_server(session: Session) -> None:
    """Two nodes, cgroup v2, real systemd, and nothing of its boot failed."""
    release, nodes, controllers, systemd = session.did("machine").splitlines()
    assert nodes == "0-1" and "memory" in controllers.split()
    assert int(systemd.split()[1]) >= 253, (release, systemd)
    assert session.did("failed").strip() == ""


def test_it_runs_after_the_boot_without_anybody(session: Session) -> None:
    """The package enabled it; READY=1 was told, and the status says what it does."""
    look = session.look("boot-look")
    assert look.unit["ActiveState"] == "active" and look.unit["Type"] == "notify-reload"
    assert re.match(r"on /run/damod/damod.sock, kernel linux 6\.12\S+; policies: 5 disabled", look.unit["StatusText"])
    assert look.kdamonds == {}, "shipped policies are disabled"


def test_somebody_who_connects_starts_it(session: Session) -> None:
    """Stopped, its socket stays; `damoctl status` has an answer from a new daemon."""
    before, after = session.look("activation-before"), session.look("activation-after")
    assert before.main == 0 and before.unit["ActiveState"] == "inactive"
    assert "damod 0." in session.did("activation")
    assert after.main != 0 and after.unit["ActiveState"] == "active"


def test_it_is_confined(session: Session) -> None:
    """systemd's own judgement is at most 4.0; it is printed."""
    last = session.did("security").strip().splitlines()[-1]
    print(last)
    found = re.search(r"(\d+\.\d+) ", last)
    assert found and float(found[1]) <= MAX_EXPOSURE, last


def test_a_reload_changes_a_quota_and_restarts_no_kdamond(session: Session) -> None:
    """When `systemctl reload` returns, the kernel has the new number, in the same kernel thread."""
    session.did("reload-first")
    session.did("reload-edit")
    first, edited = session.look("reload-first-look"), session.look("reload-edit-look")
    assert list(first.kdamonds.values()) == [(first.of_quota(100 << 20), "stat", 100 << 20)]
    assert edited.of_quota(200 << 20) == first.of_quota(100 << 20)
    assert edited.main == first.main
    assert "1 running" in edited.unit["StatusText"]


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_new_daemon_goes_on_with_what_runs(how: str, session: Session) -> None:
    """`systemctl restart` and `kill -9`: another daemon, the same kernel thread, and regions as old as they were."""
    before, after = session.look("reload-edit-look"), session.look(f"{how}-look")
    assert after.main not in (0, before.main)
    assert after.unit["ActiveState"] == "active"
    assert after.of_quota(200 << 20) == before.of_quota(200 << 20)
    was, now = session.oldest_us("ages-before"), session.oldest_us(f"ages-{how}")
    assert was > 1_000_000
    assert now > was, f"the oldest region was {was / 1e6:.1f} s old, and is {now / 1e6:.1f} s old"


def test_the_watchdog_ends_a_daemon_that_hangs_and_no_other(session: Session) -> None:
    """Idle for longer than WatchdogSec= it lives; blocked, it is replaced, and the kernel thread adopted."""
    before, idle, after = (session.look(f"watchdog-{name}") for name in ("before", "idle", "look"))
    assert idle.main == before.main
    session.did("watchdog-back")
    assert after.main not in (0, before.main)
    assert after.of_quota(200 << 20) == before.of_quota(200 << 20)
    assert "Watchdog timeout" in session.said("guest/journal") or "watchdog" in session.said("journal").lower()


def test_restarted_in_the_middle_of_an_apply_it_arrives(session: Session) -> None:
    """Six new policies, the daemon told to restart while it applies them: all run once, the old one untouched."""
    old = session.look("watchdog-look").of_quota(200 << 20)
    look = session.look("midway-look")
    wanted = {n * 10 << 20 for n in range(1, 7)} | {200 << 20}
    assert sorted(quota for _, _, quota in look.kdamonds.values()) == sorted(wanted)
    assert look.of_quota(200 << 20) == old
    print(session.said("midway-journal"))
    assert session.did("midway-policies").count(": running") == 7
    fewer = session.look("fewer-look")
    assert sorted(quota for _, _, quota in fewer.kdamonds.values()) == [10 << 20, 200 << 20]
    assert fewer.of_quota(200 << 20) == old


def test_an_operator_does_everything_and_others_nothing(session: Session) -> None:
    """The groups decide, through the socket that systemd opened."""
    assert "damod 0." in session.did("alice-status")
    assert session.status("bob-status") == 4 and "Traceback" not in session.said("bob-status")
    assert "B" in session.did("alice-access")
    session.did("alice-enables")
    session.did("alice-disables")


def test_records_are_those_of_who_asked_for_them(session: Session) -> None:
    """In their own directory, though the daemon's file system is read-only; never where they could not write."""
    session.did("alice-record")
    mine = [line.split() for line in session.said("alice-files").splitlines() if line.endswith(" mine.data")]
    assert [(row[0], row[2]) for row in mine] == [("-rw-------", mine[0][2])] and mine[0][2] != "0"
    session.did("alice-reads")
    session.did("alice-detached")
    session.did("alice-stops")
    day = [line.split() for line in session.said("alice-day").splitlines() if line.endswith(" damon.data")]
    assert day and day[0][2] == mine[0][2]
    assert session.status("alice-elsewhere") not in (0, 70)


def test_children_are_followed_by_the_kernels_own_events(session: Session) -> None:
    """The proc connector needs netlink and NET_ADMIN, which the unit leaves."""
    session.did("children")
    told = json.loads(session.did("children-status"))["children"]
    assert told == {"by": "events", "why": ""}, told


def test_a_profile_is_recorded(session: Session) -> None:
    """perf runs as a child of the recorder, behind the filter of system calls."""
    session.did("perf")
    assert re.search(r"\d hot\.data\.profile$", session.said("perf-files"), re.M), session.said("perf-files")


def test_nothing_was_refused_to_it(session: Session) -> None:
    """No "Permission denied", no "Read-only file system" and no traceback in its journal."""
    found = [line for line in session.said("denied").splitlines() if "not-mine" not in line and "uid=1001" not in line]
    assert [line for line in found if "Fatal Python error" not in line] == []


def test_a_reboot_brings_the_policies_back(session: Session) -> None:
    """Those that were enabled run again, with their numbers, without anybody doing anything."""
    assert (session.result.outdir / "guest/boots").read_text().count("x") == 2
    look = session.look("reboot-look")
    assert look.unit["ActiveState"] == "active"
    assert sorted(quota for _, _, quota in look.kdamonds.values()) == [10 << 20, 200 << 20]
    assert session.did("reboot-policies").count(": running") == 2


def test_a_purge_leaves_only_what_people_made(session: Session) -> None:
    """No unit, no program, no kdamond; their policies and records stay."""
    session.did("purge")
    assert session.said("purge-kdamonds") == ""
    assert session.said("purge-processes") == ""
    assert session.said("purge-left").split() == ["/etc/damo.d", "/var/lib/damod"]


def test_the_kernel_had_nothing_to_complain_about(session: Session) -> None:
    """No warning, oops or lockup in its log."""
    assert session.result.complaints == []
