"""An operator's policies: written, checked, compared, applied, kept over reload, crash and restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from damoctl.local import LocalDaemon
from tests.service.test_record import recordings, rows, until
from tests.service.test_session import ok

Run = Callable[..., "subprocess.CompletedProcess[str]"]
POLICY = """\
on_conflict: take_over
kdamonds:
- contexts:
  - schemes:
    - action: stat
      quotas: {sz_bytes: 1M, reset_interval_ms: 1s}
"""


def put(daemon: LocalDaemon, name: str, text: str) -> Path:
    path = daemon.policies / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def kdamonds(damoctl: Run) -> dict[str, int]:
    """Set -> pid of its (only) kdamond."""
    rows: list[dict[str, Any]] = json.loads(ok(damoctl("status", "--json")))["kdamonds"]
    return {row["name"]: row["pid"] for row in rows}


def stage(damoctl: Run, name: str) -> str:
    rows = json.loads(ok(damoctl("policy", "list", "--json")))["policies"]
    return next(row["stage"] for row in rows if row["name"] == name)


def test_write_check_diff_reload(daemon: LocalDaemon, damoctl: Run) -> None:
    """The whole way of an edit: check, diff (which line changes what), reload, same pid; nothing is left to change."""
    path = put(daemon, "50-a.yaml", POLICY)
    assert ok(damoctl("policy", "check", str(path), "--kernel", "6.12")) == f"{path}: a is right for Linux 6.12\n"
    assert damoctl("policy", "diff").stdout == f"start a  ({path})\n"
    assert "a: running" in ok(damoctl("policy", "reload"))
    pids = kdamonds(damoctl)
    path.write_text(POLICY.replace("1M", "2M"))
    diff = damoctl("policy", "diff")
    assert diff.returncode == 1
    assert f"quotas.sz_bytes: 1024.000 KiB -> 2.000 MiB  ({path}:6)" in diff.stdout
    assert "1 step was done" in ok(damoctl("policy", "reload"))
    assert ok(damoctl("policy", "diff")) == "nothing would change\n"
    assert kdamonds(damoctl) == pids
    assert ok(damoctl("policy", "verify")) == "a: as it should be\n"
    shown = ok(damoctl("policy", "cat", "a"))
    assert any(line.startswith("      quotas:") for line in shown.splitlines()) and f"# {path}:6" in shown


def test_sighup_reloads_and_a_mistake_changes_nothing(daemon: LocalDaemon, damoctl: Run) -> None:
    """After a half-written edit the set runs on and the list says file, line and column; the fixed one counts."""
    path = put(daemon, "a.yaml", POLICY)
    ok(damoctl("policy", "reload"))
    pids = kdamonds(damoctl)
    path.write_text(POLICY.replace("stat", "stta"))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while stage(damoctl, "a") != "invalid" and time.monotonic() < deadline:
        time.sleep(0.05)
    listed = ok(damoctl("policy", "list"))
    assert f"{path}:5:7: kdamonds[0].contexts[0].schemes[0].action: 'stta' is none of" in listed
    assert "did you mean 'stat'?" in listed
    assert kdamonds(damoctl) == pids
    of_directory = damoctl("policy", "check", str(path.parent))
    done = damoctl("policy", "check", str(path))
    assert (of_directory.returncode, of_directory.stdout) == (done.returncode, done.stdout)
    assert done.returncode == 1 and f"{path}:5:7" in done.stdout


def test_policies_are_there_when_the_daemon_is_ready(tmp_path: Path) -> None:
    """READY=1 comes after the first apply, or its recorded refusal."""
    with LocalDaemon("--kernel", "sim", directory=tmp_path) as daemon:
        put(daemon, "a.yaml", POLICY)
        put(daemon, "b.yaml", "kdamonds: [")
        daemon.stop()
        daemon.start()
        from damod.rpc.client import Client

        with Client(str(daemon.socket)) as client:
            rows = client.call("policy.list")["policies"]
            status = client.call("daemon.status")
    assert [(row["name"], row["stage"]) for row in rows] == [("a", "running"), ("b", "invalid")]
    assert [row["name"] for row in status["policies"]] == ["a", "b"]


def test_enable_and_disable(daemon: LocalDaemon, damoctl: Run) -> None:
    """A shipped policy is enabled by a drop-in, shown with its schemes, and disabled again; the file itself stays."""
    text = Path("etc/damo.d/40-tiering.yaml").read_text()
    path = put(daemon, "40-tiering.yaml", text)
    assert "tiering: disabled" in ok(damoctl("policy", "reload"))
    assert ok(damoctl("policy", "enable", "tiering")) == "tiering: running\n"
    shown = ok(damoctl("policy", "show", "tiering"))
    assert "scheme 0 (migrate_hot): tried" in shown and "scheme 0 (migrate_cold): tried" in shown
    assert "tiering: disabled" in ok(damoctl("policy", "disable", "tiering"))
    assert kdamonds(damoctl) == {} and path.read_text() == text


def test_by_hand_and_by_policy(daemon: LocalDaemon, damoctl: Run) -> None:
    """Sets by hand live beside policies; a policy's set is not tuned by hand, and stopped by hand until a reload."""
    put(daemon, "a.yaml", POLICY)
    ok(damoctl("policy", "reload"))
    ok(damoctl("start", "paddr"))
    pids = kdamonds(damoctl)
    ok(damoctl("tune", "--monitoring_intervals", "10ms", "200ms", "1s"))
    assert "nothing changes" in ok(damoctl("policy", "reload"))
    assert kdamonds(damoctl) == pids
    done = damoctl("tune", "--name", "a", "--monitoring_intervals", "10ms", "200ms", "1s")
    assert done.returncode == 5 and "is a policy's" in done.stderr and not done.stdout
    ok(damoctl("stop", "a"))
    assert stage(damoctl, "a") == "stopped"
    ok(damoctl("policy", "reload"))
    assert stage(damoctl, "a") == "running" and kdamonds(damoctl)["adhoc"] == pids["adhoc"]


def test_start_save(daemon: LocalDaemon, damoctl: Run) -> None:
    """What was started with --save is a policy file that `policy check` likes, and survives a restart."""
    said = ok(
        damoctl("start", "--save", "mine", "--take_over", "--damos_action", "pageout", "--damos_age", "1m", "max")
    )
    path = daemon.policies / "mine.yaml"
    assert f"saved as {path}" in said
    assert "acknowledge:\n- no_quota\n- hot_memory\n" in path.read_text()
    ok(damoctl("policy", "check", str(path)))
    daemon.stop()
    daemon.start()
    assert list(kdamonds(damoctl)) == ["mine"]
    again = damoctl("start", "--save", "mine")
    assert again.returncode == 5 and "there is a policy mine already" in again.stderr
    wrong = damoctl("start", "--save", "other", str(daemon.process.pid if daemon.process else 1))
    assert wrong.returncode == 2 and "pid" in wrong.stderr and not (daemon.policies / "other.yaml").exists()


def test_a_new_file_is_tried_before_it_counts(daemon: LocalDaemon, damoctl: Run) -> None:
    """A file that nobody has read yet can be applied as a shadow, as it is now; other new files wait for a reload."""
    put(daemon, "10-cold.yaml", POLICY)
    put(daemon, "20-other.yaml", POLICY)
    assert "shadow: it only counts" in ok(damoctl("policy", "apply", "cold", "--shadow"))
    assert list(kdamonds(damoctl)) == ["cold"]
    assert damoctl("policy", "apply", "colt").returncode == 7


def test_apply_guarded_and_as_a_shadow(daemon: LocalDaemon, damoctl: Run) -> None:
    """A disabled policy can be tried: as a shadow it names bytes, guarded it is rolled back with the limit named."""
    put(
        daemon,
        "a.yaml",
        "enabled: false\non_conflict: take_over\nacknowledge: [no_quota, hot_memory]\nguard: {swap_in: 1, cpu: null}\n"
        "kdamonds:\n- contexts:\n  - schemes:\n    - action: pageout\n",
    )
    put(daemon, "b.yaml", POLICY)
    assert "shadow" in ok(damoctl("policy", "apply", "a", "--shadow"))
    assert list(kdamonds(damoctl)) == ["a"], "only its own file is read"
    time.sleep(0.5)
    assert "(pageout): would have touched" in ok(damoctl("policy", "show", "a"))
    done = damoctl("policy", "apply", "a", "--probation", "30s")
    assert done.returncode == 1 and "rolled-back, guard." in done.stdout, done.stdout
    assert kdamonds(damoctl) == {}


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["policy"], 2, "verb"),
        (["policy", "shwo"], 2, "shwo"),
        (["policy", "show", "tierng"], 7, "there is no policy 'tierng'; did you mean 'tiering'?"),
        (["policy", "enable", "absent"], 7, "no policy 'absent'"),
        (["policy", "check", "absent.yaml"], 7, "absent.yaml"),
        (["policy", "check", "--kernel", "new"], 2, "--kernel"),
        (["policy", "apply", "tiering", "--probation", "x"], 2, "--probation"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(daemon: LocalDaemon, damoctl: Run, argv: list[str], status: int, words: str) -> None:
    """Each mistake is one sentence with its exit status."""
    put(daemon, "40-tiering.yaml", Path("etc/damo.d/40-tiering.yaml").read_text())
    ok(damoctl("policy", "reload"))
    done = damoctl(*argv)
    assert (done.returncode, words in done.stderr, done.stdout) == (status, True, ""), done.stderr


def test_the_schema_knows_the_keys(damoctl: Run) -> None:
    """`policy schema` is JSON with all keys; sizes may be numbers or text."""
    schema = json.loads(ok(damoctl("policy", "schema")))
    assert {"targets", "kdamonds", "on_missing", "guard"} <= set(schema["properties"]) and schema["required"] == [
        "kdamonds"
    ]
    kinds = schema["$defs"]["Quota"]["properties"]["sz_bytes"]["anyOf"]
    assert {kind["type"] for kind in kinds} == {"integer", "string"}
    assert schema["additionalProperties"] is False


def test_beside_a_recording_and_children(daemon: LocalDaemon, damoctl: Run) -> None:
    """Policies, a recording and children of targets are all in the status, and together stop within a second."""
    put(daemon, "a.yaml", POLICY)
    ok(damoctl("policy", "reload"))
    ok(damoctl("start", "vaddr", "--target_pid", str(os.getpid()), "--include_child_tasks", "--name", "mine"))
    ok(damoctl("record", "--detach", "--name", "r"))
    told = json.loads(ok(damoctl("status", "--json")))
    assert [(row["name"], row["stage"]) for row in told["policies"]] == [("a", "running")]
    assert [row["name"] for row in told["recordings"]] == ["r"]
    assert told["children"]["by"] in ("events", "looking")
    assert {row["name"] for row in told["kdamonds"]} == {"a", "mine"}
    text = ok(damoctl("status"))
    assert "policy a: running" in text and "recording r" in text
    assert daemon.process is not None
    begin = time.monotonic()
    daemon.process.terminate()
    assert daemon.process.wait(10) == 0
    assert time.monotonic() - begin < 1.5, "more than a second, and what a busy machine takes for a process to end"


RECORDED = POLICY + "record: {output_flush_sec: 1, kinds: [access]}\n"


def spans(folder: Path, out: str = "damon.data") -> list[tuple[int, int]]:
    """Start and end of all snapshots in the segments of a record."""
    found = [row for path in folder.glob(f"{out}.*/{out}") for row in rows(path)]
    return sorted({(row["start_ns"], row["end_ns"]) for row in found})


def running(daemon: LocalDaemon, name: str = "a") -> dict[str, Any] | None:
    """The recording of a policy, if it runs and has something."""
    found = [item for item in recordings(daemon) if item["name"] == name and item["running"] and item["snapshots"]]
    return found[0] if found else None


def test_a_policy_is_recorded(daemon: LocalDaemon, damoctl: Run) -> None:
    """The recording begins with its policy and ends with it, in segments of its own; both commands show it."""
    path = put(daemon, "50-a.yaml", RECORDED)
    ok(damoctl("policy", "reload"))
    item = until(lambda: running(daemon))
    assert item["policy"]
    assert "a: recording" in ok(damoctl("record", "list"))
    assert "recording a: recording" in ok(damoctl("policy", "show", "a"))
    folder = daemon.directory / "records" / "a"
    until(lambda: len(list(folder.glob("damon.data.*/damon.data"))) >= 2)
    path.unlink()
    ok(damoctl("policy", "reload"))
    until(lambda: not running(daemon))
    assert kdamonds(damoctl) == {}
    assert not (folder / "damon.data").exists()
    found = spans(folder)
    assert all(left[1] == right[0] for left, right in pairwise(found))


def test_a_change_of_the_record_restarts_only_that(daemon: LocalDaemon, damoctl: Run) -> None:
    """The kdamond runs on; what was recorded before stays, and `diff` tells what a reload would do."""
    path = put(daemon, "50-a.yaml", RECORDED)
    ok(damoctl("policy", "reload"))
    first, before = until(lambda: running(daemon)), kdamonds(damoctl)
    path.write_text(RECORDED.replace("kinds: [access]", "snapshot_sec: 1, output_permission: 640"))
    assert f"record anew a  ({path}:7)" in damoctl("policy", "diff").stdout
    assert "record anew a\n" in ok(damoctl("policy", "reload"))
    until(lambda: (now := running(daemon)) and now["pid"] != first["pid"])
    assert kdamonds(damoctl) == before
    assert ok(damoctl("policy", "diff")) == "nothing would change\n"
    folder = daemon.directory / "records" / "a"
    assert len(spans(folder)) >= first["snapshots"]
    path.write_text(POLICY)
    ok(damoctl("policy", "reload"))
    until(lambda: not running(daemon))
    assert kdamonds(damoctl) == before
    assert {item.stat().st_mode & 0o777 for item in folder.glob("damon.data.*/damon.data")} == {0o600, 0o640}


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_recorded_policy_survives_the_daemon(daemon: LocalDaemon, damoctl: Run, how: str) -> None:
    """The next damod finds the kdamond, and its record goes on in the same place, with all of the earlier one."""
    put(daemon, "50-a.yaml", RECORDED)
    ok(damoctl("policy", "reload"))
    first = until(lambda: running(daemon))
    if how == "killed":
        daemon.kill()
    else:
        daemon.stop()
    daemon.start()
    again = until(lambda: running(daemon), 30)
    assert again["pid"] != first["pid"]
    assert again["directory"] == first["directory"]
    assert damoctl("record", "rm", "a").returncode == 5
    ok(damoctl("record", "stop", "a"))
    assert "stopped by hand" in ok(damoctl("policy", "show", "a"))
    time.sleep(1)
    assert not running(daemon)
    found = spans(Path(first["directory"]))
    assert len(found) >= first["snapshots"] + again["snapshots"]
    ok(damoctl("policy", "reload"))
    until(lambda: running(daemon))


def test_a_recorder_that_dies_is_replaced(daemon: LocalDaemon, damoctl: Run) -> None:
    """With a pause, and what it had written is a segment like the others."""
    put(daemon, "50-a.yaml", RECORDED)
    ok(damoctl("policy", "reload"))
    first = until(lambda: running(daemon))
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: damoctl("policy", "show", "a").stdout.find("not recorded: it ended soon after its start") >= 0)
    assert "policy a is not recorded" in ok(damoctl("status"))
    again = until(lambda: running(daemon), 30)
    assert again["pid"] != first["pid"]
    ok(damoctl("record", "stop", "a"))
    assert len(spans(Path(first["directory"]))) >= first["snapshots"] + again["snapshots"] - 10
    assert "is not recorded" not in ok(damoctl("status"))


def test_a_recording_by_hand_is_left_alone(daemon: LocalDaemon, damoctl: Run) -> None:
    """A recording of the policy's name that somebody started goes on; the policy's waits and says so."""
    path = put(daemon, "50-a.yaml", POLICY)
    ok(damoctl("policy", "reload"))
    ok(damoctl("record", "--detach", "--name", "a"))
    first = until(lambda: running(daemon))
    path.write_text(RECORDED)
    ok(damoctl("policy", "reload"))
    until(lambda: "started by hand" in damoctl("policy", "show", "a").stdout)
    assert running(daemon)["pid"] == first["pid"]  # type: ignore[index]
    ok(damoctl("record", "stop", "a"))
    assert until(lambda: running(daemon))["policy"]


def test_old_segments_of_a_policy_go(daemon: LocalDaemon, damoctl: Run) -> None:
    """keep_bytes holds also for what an earlier recording of the policy left."""
    put(daemon, "50-a.yaml", POLICY + "record: {output_flush_sec: 1, keep_bytes: 1}\n")
    ok(damoctl("policy", "reload"))
    folder = daemon.directory / "records" / "a"
    until(lambda: list(folder.glob("damon.data.*/damon.data")))
    daemon.stop()
    daemon.start()
    until(lambda: running(daemon), 30)
    until(lambda: len(list(folder.glob("damon.data.2*"))) == 1, 30)
