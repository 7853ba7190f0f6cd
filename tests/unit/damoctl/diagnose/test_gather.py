"""Facts without a daemon: read, never written; and what of them goes into a bug report."""

from __future__ import annotations

import errno
import json
import os
import tarfile

import pytest

from damoctl.diagnose import bundle
from damoctl.diagnose.checks import judge
from damoctl.diagnose.finding import wrong
from damoctl.diagnose.gather import ReadOnlyKernel, without_daemon
from damoctl.diagnose.redact import GONE, Redactor
from damod.errors import Conflict, DamodError, NoDamon, NotAllowed
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.facts import VERSIONS
from damod.kernel.sim.kernel import SimKernel
from damod.kernel.survey import capabilities


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_daemon_nothing_is_written(version, monkeypatch):
    """Kdamonds of others, modules and the rest are read, with not one write to the kernel's files."""
    kernel = SimKernel(version, clock=SimClock(), foreign=True)
    writes = []
    for tree in (kernel.damon, kernel.modules):
        monkeypatch.setattr(tree, "write", lambda path, value: writes.append(path))
    facts = without_daemon("nobody listens", lambda: kernel)
    findings = judge(facts)
    assert findings[0].code == "no-daemon"
    assert [seen.index for seen in facts.kdamonds] == [0]
    assert facts.modules and facts.survey["sysfs"] == ""
    assert {finding.code for finding in findings} >= {"foreign-kdamond", "untold-stats"}
    assert writes == []


def test_a_mistake_could_not_write_either():
    """The trees that are looked at refuse it, those below them too."""
    kernel = ReadOnlyKernel(SimKernel("7.3", clock=SimClock(), foreign=True))
    for tree, path in ((kernel.damon, "kdamonds/0/state"), (kernel.modules, "damon_stat/parameters/enabled")):
        before = tree.read(path)
        for write in (lambda: tree.write(path, "off"), lambda: tree.at(path.rpartition("/")[0]).write("x", "off")):  # noqa: B023
            with pytest.raises(OSError) as caught:
                write()
            assert caught.value.errno == errno.EROFS
        assert tree.read(path) == before


def test_where_there_is_no_damon_the_machine_is_looked_at_all_the_same():
    """That is an error with the kernel's own reason; memory and the like are still known."""

    def none() -> SimKernel:
        raise NoDamon("this kernel has no DAMON")

    facts = without_daemon("nobody listens", none)
    assert [finding.code for finding in judge(facts)][:1] == ["no-daemon"]
    assert any(finding.code == "sysfs" and "no DAMON" in finding.message for finding in judge(facts))
    assert facts.survey["memory"]["total"] > 0
    assert facts.features["features"]


def test_what_only_root_may_read_is_no_fault_of_the_machine():
    """A note that it was not looked at."""

    def denied() -> SimKernel:
        raise NotAllowed("Permission denied")

    found = {finding.code: finding.level for finding in judge(without_daemon("nobody listens", denied))}
    assert found["sysfs-unread"] == "note"
    assert "sysfs" not in found


def test_capabilities_are_read_from_the_mask(tmp_path):
    """CapEff of /proc/self/status; nothing where that cannot be read."""
    (tmp_path / "status").write_text("Name:\tx\nCapEff:\t0000000000200002\n")
    assert capabilities(tmp_path / "status") == ["CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]
    assert capabilities(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot write /home/me/x.data: full", f"cannot write {GONE}: full"),
        ("/etc/damo.d/a.yaml:3: wrong", "/etc/damo.d/a.yaml:3: wrong"),
        ("/sys/kernel/mm/damon/admin is there", "/sys/kernel/mm/damon/admin is there"),
        ("no process matches 'postgres'", f"no process matches '{GONE}'"),
        ("the set 'tiering' runs", "the set 'tiering' runs"),
        ("started comm=postgres pid=7", f"started comm={GONE} pid=7"),
        ('started cmdline="a b c" pid=7', f"started cmdline={GONE} pid=7"),
        ("Nov 25 box damod[7]: on box.example", f"Nov 25 {GONE} damod[7]: on {GONE}"),
        ("alice started it; alicesque", f"{GONE} started it; alicesque"),
        ("quota 5 MiB/s of 1/4", "quota 5 MiB/s of 1/4"),
    ],
)
def test_texts_lose_names(text, clean):
    """Paths of users, quoted words, facts about processes, the machine's and its users' names; nothing else."""
    redactor = Redactor({"box", "box.example", "alice"}, {"tiering"})
    assert redactor.text(text) == clean


def test_data_loses_names():
    """By key, at any depth, and within texts; numbers and empty values stay."""
    redactor = Redactor()
    data = {"a": [{"memcg_path": "/user.slice", "nid": 3, "comm": None}], "why": "see /root/x", "out": "x"}
    assert redactor.data(data) == {
        "a": [{"memcg_path": GONE, "nid": 3, "comm": None}],
        "why": f"see {GONE}",
        "out": GONE,
    }


def test_a_bundle_is_for_its_owner_and_tells_nothing(damod, tmp_path):
    """Whole, 0600, never over another file, and no word of user, machine, command or path in it."""
    made = damod()
    memcg = {"filter_type": "memcg", "matching": True, "allow": False, "memcg_path": "/workload"}
    made.start(
        {"contexts": [{"ops": "paddr", "targets": [{}], "schemes": [{"action": "pageout", "filters": [memcg]}]}]}
    )
    made.policies = [
        {"name": "tiering", "file": "/home/alice/tiering.yaml", "stage": "waiting", "description": "for alice's shop",
         "reason": "no process 'shopd' (/opt/shop/bin/shopd)", "drift": []}
    ]  # fmt: skip
    made.recordings = [
        {"name": "r", "state": "failed", "why": "/home/alice/d: No room", "lost": 0, "problems": [],
         "out": "alice.data", "directory": "/home/alice"}
    ]  # fmt: skip
    facts = made.facts()
    log = f"{os.uname().nodename} damod: a request uid=1000 command=shopd path=/home/alice/x\n"
    files = bundle.contents(facts, judge(facts), ["warning: policy tiering: no process 'shopd'"], log)
    path = tmp_path / "bundle.tar.gz"
    bundle.write(str(path), files)
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as tar:
        names = {member.name.partition("/")[2] for member in tar.getmembers()}
        inside = {member.name: tar.extractfile(member).read().decode() for member in tar.getmembers()}
    assert (
        names == set(files) >= {"README", "findings.txt", "versions.json", "policies.json", "features.json", "log.txt"}
    )
    for name, text in inside.items():
        for secret in ("alice", "shop", "/workload", os.uname().nodename):
            assert secret not in text, name
    assert json.loads(files["policies.json"])[0]["stage"] == "waiting"
    with pytest.raises(Conflict):
        bundle.write(str(path), files)
    with pytest.raises(DamodError):
        bundle.write(str(tmp_path / "no" / "x.tar.gz"), files)


def test_the_log_is_the_end_of_the_file(tmp_path):
    """Its last lines; why there is none otherwise."""
    (tmp_path / "log").write_text("".join(f"line {at}\n" for at in range(bundle.LOG_LINES + 5)))
    text, why = bundle.log_text(str(tmp_path / "log"))
    assert (text.splitlines()[0], len(text.splitlines()), why) == ("line 5", bundle.LOG_LINES, "")
    assert bundle.log_text(str(tmp_path / "none"))[1].endswith("No such file or directory")


def test_notes_are_nothing_wrong(damod):
    """The exit status is about errors and warnings."""
    findings = judge(damod(stat=True).facts())
    assert [finding.level for finding in findings] == ["note"]
    assert not wrong(findings)
