"""damoctl diagnose against a whole damod: what it says, its exit status, and the file for a bug report."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from damoctl.local import LocalDaemon
from tests.service.conftest import Run


def test_a_fresh_machine_has_notes_only(daemon: LocalDaemon, damoctl: Run) -> None:
    """Exit status 0, and damon_stat told as a note."""
    done = damoctl("diagnose")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("Linux 7.3")
    assert "note: damon_stat: it is on" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 note"
    assert "this kernel is known for" in damoctl("diagnose", "--verbose").stdout


def test_a_scheme_that_does_nothing_is_told(daemon: LocalDaemon, damoctl: Run) -> None:
    """Exit status 1; for programs the same with codes."""
    assert damoctl("start", "--take_over", "--damos_action", "hugepage").returncode == 0
    done = damoctl("diagnose")
    assert done.returncode == 1
    assert "scheme 0 (hugepage): hugepage has no effect" in " ".join(done.stdout.split())
    answer = json.loads(damoctl("diagnose", "--json").stdout)
    assert answer["wrong"] and "no-effect" in [finding["code"] for finding in answer["findings"]]
    assert answer["daemon"]["version"]
    assert "quirks" in json.loads(damoctl("diagnose", "--json", "--verbose").stdout)


def test_a_broken_policy_is_told(daemon: LocalDaemon, damoctl: Run) -> None:
    """With its reason, as an error."""
    daemon.policies.mkdir(exist_ok=True)
    (daemon.policies / "bad.yaml").write_text("kdamond: 3\n")
    damoctl("policy", "reload")
    done = damoctl("diagnose")
    assert done.returncode == 1
    assert "error: policy bad: invalid" in done.stdout


def test_a_bundle_and_a_record(daemon: LocalDaemon, damoctl: Run, tmp_path: Path) -> None:
    """The list of what is in the file is printed; a record is looked at without a daemon's help."""
    assert damoctl("start", "--take_over", "paddr").returncode == 0
    done = damoctl("diagnose", "bundle", "--log", str(daemon.log), "--output", "b.tar.gz")
    assert done.returncode == 0
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        names = [member.name.partition("/")[2] for member in tar.getmembers()]
    assert [line.split()[0] for line in done.stdout.splitlines()[:-1]] == names
    assert "log.txt" in names
    assert damoctl("diagnose", "bundle", "--output", "b.tar.gz").returncode == 5
    assert damoctl("record", "--snapshot", "100ms", "3", "--out", "short").returncode == 0
    told = damoctl("diagnose", "short")
    assert told.returncode == 0
    assert "3 snapshots only" in told.stdout
    assert damoctl("diagnose", "nothing.data").returncode == 7
    assert damoctl("diagnose", "short", "--log", "x").returncode == 2


def test_without_a_daemon(daemon: LocalDaemon, damoctl: Run) -> None:
    """It still tells what can be read here, after that there is none."""
    daemon.stop()
    done = damoctl("diagnose")
    assert done.returncode == 1
    assert done.stdout.split("\n\n")[1].startswith("error: no damod answers")
    answer = json.loads(damoctl("diagnose", "--json").stdout)
    assert answer["daemon"] is None
    assert answer["findings"][0]["code"] == "no-daemon"
