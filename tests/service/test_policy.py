"""An operator's policies: written, checked, compared, applied, kept over reload, crash and restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from damoctl.local import LocalDaemon
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
    done = damoctl("policy", "check", str(path))
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
