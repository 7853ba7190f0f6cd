"""Recordings end to end: where the files go, whose they are, what is in them, and what each kind of end leaves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from damoctl.local import LocalDaemon
from damod.records.stream import StreamReader
from damod.rpc.client import Client

ROOT = Path(__file__).parents[2]
NOBODY = 65534
ROUNDS = int(os.environ.get("DAMOD_CRASH_ROUNDS", "6"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users or to mount")


def ok(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that must have worked."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a sealed or an interrupted record."""
    if path.suffix != ".part":
        return list(pq.read_table(path).to_pylist())
    if not path.stat().st_size:
        return []
    handle = os.open(path, os.O_RDONLY)
    try:
        return [row for batch in StreamReader(handle, path.name).batches() for row in batch.to_pylist()]
    finally:
        os.close(handle)


def ends(path: Path) -> list[int]:
    """When the snapshots of a record end, on the trace clock."""
    return sorted({row["end_ns"] for row in rows(path)})


def without_a_gap(snapshots: list[dict[str, Any]]) -> bool:
    """Whether each snapshot begins where the one before ended."""
    spans = sorted({(row["start_ns"], row["end_ns"]) for row in snapshots})
    return all(left[1] == right[0] for left, right in pairwise(spans))


def kdamonds(daemon: LocalDaemon) -> list[str]:
    """The sets whose kdamonds run."""
    with Client(str(daemon.socket)) as client:
        return [item["name"] for item in client.call("daemon.status")["kdamonds"]]


def recordings(daemon: LocalDaemon) -> list[dict[str, Any]]:
    with Client(str(daemon.socket)) as client:
        return list(client.call("record.list")["recordings"])


def until(met: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """What `met` answers once that is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := met()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def recording(daemon: LocalDaemon, cwd: Path, *argv: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A `damoctl record` in the background, which by now has recorded something."""
    words = [sys.executable, "-m", "damoctl", "--socket", str(daemon.socket), "record", *argv]
    child = subprocess.Popen(
        words, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, **more,
    )  # fmt: skip
    try:
        until(lambda: any(item["snapshots"] for item in recordings(daemon)) or child.poll() is not None)
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_what_runs_is_recorded(damoctl: Run, tmp_path: Path) -> None:
    """Without a gap or a loss, in a file that only its owner reads, with side files in damo's forms beside it."""
    ok(damoctl("start", "paddr", "--take_over"))
    assert "recorded" in ok(damoctl("record", "--timeout", "2.5"))
    out = tmp_path / "damon.data"
    found = rows(out)
    assert without_a_gap(found)
    assert len(ends(out)) >= 20
    assert not any(row["lost"] for row in found)
    assert out.stat().st_mode & 0o777 == 0o600
    (kdamond,) = json.loads((tmp_path / "damon.data.kdamonds").read_text())
    assert (kdamond["state"], kdamond["contexts"][0]["ops"]) == ("on", "paddr")
    footprints = json.loads((tmp_path / "damon.data.mem_footprint").read_text())
    assert footprints[0]["footprints"][-1]["pid"] is None
    assert footprints[0]["footprints"][-1]["footprint"]["total"] > 0
    assert abs(footprints[0]["time"] - time.time()) < 60
    assert json.loads((tmp_path / "damon.data.vmas").read_text())[0]["procvmas"] == []
    assert "fields" in json.loads((tmp_path / "damon.data.proc_stats").read_text())[0]["proc_stats"][0]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("where", ["bare", "relative", "absolute"])
def test_rotation_has_no_gap(damoctl: Run, tmp_path: Path, where: str) -> None:
    """Segments lie in directories named by the time; each begins where the one before ended, side files in each."""
    ok(damoctl("start", "paddr", "--take_over"))
    (tmp_path / "sub").mkdir()
    out = {"bare": "r.data", "relative": "sub/r.data", "absolute": str(tmp_path / "sub" / "r.data")}[where]
    ok(damoctl("record", "--timeout", "3.5", "--output_flush_sec", "1.5", "--out", out))
    folder = (tmp_path / out).parent
    segments = sorted(folder.glob("r.data.2*"))
    assert len(segments) == 3
    assert all(time.strptime(item.name, "r.data.%Y-%m-%d-%H-%M-%S") for item in segments)
    assert without_a_gap([row for item in segments for row in rows(item / "r.data")])
    sides = {f"r.data{suffix}" for suffix in ("", ".kdamonds", ".mem_footprint", ".vmas", ".proc_stats")}
    assert all({file.name for file in item.iterdir()} == sides for item in segments)
    assert not (folder / "r.data").exists()


def test_segments_of_one_second_do_not_collide(damoctl: Run, tmp_path: Path) -> None:
    """Cut several times a second, every segment still gets a directory of its own."""
    ok(damoctl("start", "paddr", "--take_over"))
    ok(damoctl("record", "--timeout", "2.2", "--output_flush_sec", "0.5"))
    segments = sorted(tmp_path.glob("damon.data.2*"))
    assert len(segments) >= 4
    assert without_a_gap([row for item in segments for row in rows(item / "damon.data")])


def test_retention_keeps_the_last(damoctl: Run, tmp_path: Path) -> None:
    """However little may be kept, the newest segment stays."""
    ok(damoctl("start", "paddr", "--take_over"))
    ok(damoctl("record", "--timeout", "2.8", "--output_flush_sec", "0.7", "--keep_size", "1"))
    (left,) = tmp_path.glob("damon.data.2*")
    assert rows(left / "damon.data")


def test_an_existing_record_is_kept(damoctl: Run, tmp_path: Path) -> None:
    """A record of the same name becomes .old with its side files; --force replaces it."""
    ok(damoctl("start", "paddr", "--take_over"))
    ok(damoctl("record", "--timeout", "1"))
    first = (tmp_path / "damon.data").read_bytes()
    ok(damoctl("record", "--timeout", "1"))
    second = (tmp_path / "damon.data").read_bytes()
    assert (tmp_path / "damon.data.old").read_bytes() == first
    assert (tmp_path / "damon.data.kdamonds.old").exists()
    ok(damoctl("record", "--timeout", "1", "--force"))
    assert (tmp_path / "damon.data").read_bytes() != second
    assert (tmp_path / "damon.data.old").read_bytes() == first


def test_a_set_up_for_the_recording_ends_with_it(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """kdamonds that `record` starts run as long as it records; those that ran before go on."""
    ok(damoctl("start", "paddr", "--take_over", "--name", "mine"))
    words = ["vaddr", "--target_pid", str(os.getpid()), "--exclude_child_tasks"]
    ok(damoctl("record", *words, "--timeout", "1.5"))
    assert kdamonds(daemon) == ["mine"]
    found = rows(tmp_path / "damon.data")
    assert {row["pid"] for row in found} == {os.getpid()}


def test_a_command_is_recorded_to_its_end(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """The recording of a command ends when the command does, and so do its kdamonds."""
    begin = time.monotonic()
    ok(damoctl("record", "sleep 2", "--take_over", "--output_permission", "640"))
    assert time.monotonic() - begin < 15
    assert len(ends(tmp_path / "damon.data")) >= 10
    assert (tmp_path / "damon.data").stat().st_mode & 0o777 == 0o640
    assert kdamonds(daemon) == []
    assert json.loads(ok(damoctl("status", "--json")))["problems"] == []
    assert json.loads((tmp_path / "damon.data.vmas").read_text())[0]["procvmas"][0]["vmas"]


def test_two_kdamonds_are_told_apart(damoctl: Run, tmp_path: Path) -> None:
    """Each row says which kdamond saw it, also when targets have the same index."""
    ok(damoctl("start", "paddr", "--take_over", "--name", "one"))
    ok(damoctl("start", "--target_pid", str(os.getpid()), "--monitoring_intervals", "10ms", "200ms", "1s",
               "--name", "two"))  # fmt: skip
    ok(damoctl("record", "--timeout", "2"))
    found = rows(tmp_path / "damon.data")
    assert {(row["kdamond"], row["aggr_us"], row["pid"]) for row in found} == {
        (0, 100_000, -1),
        (1, 200_000, os.getpid()),
    }
    assert [row["end_ns"] for row in found] == sorted(row["end_ns"] for row in found)
    ok(damoctl("record", "--timeout", "1", "--record_set", "two", "--force"))
    assert {row["kdamond"] for row in rows(tmp_path / "damon.data")} == {1}


def test_snapshots_now_and_then(damoctl: Run, tmp_path: Path) -> None:
    """`--snapshot delay count` takes as many as asked for and ends by itself."""
    ok(damoctl("start", "paddr", "--take_over"))
    ok(damoctl("record", "--snapshot", "0.5", "3"))
    times = ends(tmp_path / "damon.data")
    assert len(times) == 3
    assert all(300_000_000 < right - left < 900_000_000 for left, right in pairwise(times))


def test_filters_leave_regions_out(damoctl: Run, tmp_path: Path) -> None:
    """With access filters only what they keep is written."""
    ok(damoctl("start", "paddr", "--take_over"))
    ok(damoctl("record", "--timeout", "2", "--access_rate", "50%", "100%"))
    found = [row for row in rows(tmp_path / "damon.data") if row["nr_accesses"] >= 0]
    assert found
    assert min(row["nr_accesses"] for row in found) >= 10


def test_without_perf_there_is_a_note_and_a_record(damoctl: Run, tmp_path: Path) -> None:
    """A profile that cannot be made is said to be missing and costs nothing else."""
    ok(damoctl("start", "paddr", "--take_over"))
    done = damoctl("record", "--timeout", "1", "--do_profile", "--perf_path", "/no/such/perf")
    ok(done)
    assert "/no/such/perf" in done.stderr
    assert rows(tmp_path / "damon.data")
    assert not (tmp_path / "damon.data.profile").exists()


def test_in_the_background(damoctl: Run, daemon: LocalDaemon) -> None:
    """A detached recording is listed, shown, stopped and removed by its name."""
    shown = ok(damoctl("record", "paddr", "--take_over", "--detach", "--name", "day"))
    folder = daemon.directory / "records" / "day"
    assert str(folder / "damon.data") in shown
    until(lambda: recordings(daemon)[0]["snapshots"] > 3)
    assert "day: recording" in ok(damoctl("record", "list"))
    assert "recording day" in ok(damoctl("status"))
    # reports find it by its name, also while it runs
    looked = damoctl("report", "wss", "--input", "day")
    assert "# avr:" in looked.stdout and "day/damon.data.part is still being written" in looked.stderr
    assert "day/damon.data.part (arrow): 1 series" in damoctl("diagnose", "day").stdout
    assert damoctl("record", "rm", "day").returncode == 5
    assert damoctl("record", "paddr", "--detach", "--name", "day").returncode == 5
    assert "day: done" in ok(damoctl("record", "stop", "day"))
    assert without_a_gap(rows(folder / "damon.data"))
    assert kdamonds(daemon) == []
    assert "ended because it was stopped" in ok(damoctl("record", "show", "day"))
    assert "total size:" in ok(damoctl("report", "access", "--input", "day", "--snapshot_idx", "0", "0"))
    assert "damon_aggregated" in ok(damoctl("report", "trace", "--input", "day", "--count", "1"))
    assert "<percentile> <vsz>" in ok(damoctl("report", "footprints", "--input", "day"))
    assert damoctl("report", "wss", "--input", "night").returncode == 7
    ok(damoctl("validate", "--input", "day", "--allow_error", "100"))
    assert damoctl("convert_record_format", "--record_file", "day").returncode == 2
    for words in (["convert_record_format", "--record_file"], ["adjust", "--input"]):
        out = ["--output_file" if words[0] != "adjust" else "--output", str(daemon.directory / words[0])]
        ok(damoctl(*words, "day", *out))
        assert (daemon.directory / words[0]).stat().st_size
    ok(damoctl("replay", "day", "--time_range", "0", "1s"))
    ok(damoctl("record", "rm", "day"))
    assert not folder.exists()
    assert damoctl("record", "show", "day").returncode == 7


MISTAKES = [
    (["record"], 10, "damoctl start"),
    (["record", "--out", "no/such/dir/x"], 7, "no/such/dir"),
    (["record", "--output_permission", "999"], 2, "999"),
    (["record", "--output_type", "perf_data"], 2, "parquet"),
    (["record", "--detach", "paddr"], 2, "--name"),
    (["record", "--detach", "--name", "x", "--out", "y"], 2, "--out"),
    (["record", "--do_record", "acess"], 2, "access"),
    (["record", "--snapshot", "-1s", "3"], 2, "negative"),
    (["record", "no-such-command-anywhere"], 7, "no-such-command-anywhere"),
    (["record", "999999999"], 7, "999999999"),
    (["record", "stop", "nobody"], 7, "nobody"),
    (["record", "recover", "nothing.data"], 7, "nothing.data.part"),
]


@pytest.mark.parametrize(
    ("argv", "status", "word"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_mistakes_get_one_sentence(damoctl: Run, daemon: LocalDaemon, argv: list[str], status: int, word: str) -> None:
    """Each mistake has its exit status and names what was wrong; nothing is left running."""
    done = damoctl(*argv)
    assert done.returncode == status, done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert kdamonds(daemon) == []
    assert recordings(daemon) == []


def test_ctrl_c_ends_properly(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """One SIGINT seals the record and stops what was started for it."""
    with recording(daemon, tmp_path, "paddr", "--take_over") as child:
        child.send_signal(signal.SIGINT)
        out, said = child.communicate(timeout=20)
    assert child.returncode == 0, said
    assert "recorded" in out
    assert rows(tmp_path / "damon.data")
    until(lambda: kdamonds(daemon) == [])


def test_ctrl_c_twice_ends_at_once(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """A second SIGINT does not wait for sealing; the .part is readable and can be sealed later."""
    with recording(daemon, tmp_path, "paddr", "--take_over") as child:
        # Stopped, the recorder hears both at once.
        (pid,) = [item["pid"] for item in recordings(daemon)]
        os.kill(pid, signal.SIGSTOP)
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
        os.kill(pid, signal.SIGCONT)
        _, said = child.communicate(timeout=20)
    assert child.returncode == 130, said
    assert rows(tmp_path / "damon.data.part")
    ok(damoctl("record", "recover", "damon.data.part"))
    assert rows(tmp_path / "damon.data")
    assert json.loads((tmp_path / "damon.data.mem_footprint").read_text())
    until(lambda: kdamonds(daemon) == [])


def test_a_killed_damoctl_leaves_a_whole_record(daemon: LocalDaemon, tmp_path: Path) -> None:
    """Whatever ends damoctl ends the recording properly, and its kdamonds."""
    with recording(daemon, tmp_path, "paddr", "--take_over") as child:
        child.kill()
        until(lambda: (tmp_path / "damon.data").exists())
    until(lambda: kdamonds(daemon) == [] and recordings(daemon) == [])
    assert rows(tmp_path / "damon.data")


def test_a_stopped_daemon_leaves_a_whole_record(daemon: LocalDaemon, tmp_path: Path) -> None:
    """A daemon that is stopped does not wait for its recorders, and they finish."""
    with recording(daemon, tmp_path, "paddr", "--take_over") as child:
        begin = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begin < 2
        out, said = child.communicate(timeout=20)
    assert child.returncode == 0, said
    assert "recorded" in out
    assert rows(tmp_path / "damon.data")


@pytest.mark.parametrize("victim", ["recorder", "daemon"])
def test_crashes_lose_less_than_a_second(tmp_path: Path, victim: str) -> None:
    """SIGKILL at any moment: what is older than a second before it is readable, no kdamond stays, all starts again."""
    chance = random.Random(victim)
    with LocalDaemon("--kernel", "sim:moving", directory=tmp_path) as daemon:
        for number in range(ROUNDS):
            name = f"round{number}"
            with Client(str(daemon.socket)) as client:
                started = client.call(
                    "record.start", name=name, detach=True, take_over=True, flush_s=chance.choice([0.6, 1.1, 3600.0]),
                    kdamonds=[{"contexts": [{"ops": "paddr", "targets": [{}]}]}],
                )  # fmt: skip
            ready_ns = time.monotonic_ns()
            time.sleep(chance.uniform(0.0, 2.5))
            killed_ns = time.monotonic_ns()
            if victim == "recorder":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(started["pid"], signal.SIGKILL)
            else:
                daemon.kill()
                daemon.start()
            until(lambda name=name: not next(item for item in recordings(daemon) if item["name"] == name)["running"])
            assert kdamonds(daemon) == []
            folder = Path(started["directory"])
            files = [path for path in folder.rglob("damon.data*") if path.name in ("damon.data", "damon.data.part")]
            found = [row for path in files for row in rows(path)]
            last = max((row["end_ns"] for row in found), default=None)
            # Loaded as a machine may be, what is older than a second is in the file.
            if killed_ns - ready_ns > 1.5e9 or last is not None:
                assert last is not None
                assert killed_ns - last < 1.1e9 + 1e8, f"{(killed_ns - last) / 1e9:.2f} s are missing"
                assert without_a_gap(found)


@root_only
@pytest.mark.parametrize("flush_s", ["3600", "0.7"])
def test_a_full_disk_is_waited_out(damoctl: Run, daemon: LocalDaemon, tmp_path: Path, flush_s: str) -> None:
    """Without room the recording stops and says so; what it has is whole; with room it goes on and counts the loss."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        ok(damoctl("start", "paddr", "--take_over"))
        ballast = small / "ballast"
        with recording(daemon, tmp_path, "--out", "small/x.data", "--output_flush_sec", flush_s) as child:
            with contextlib.suppress(OSError):
                ballast.write_bytes(bytes(4 << 20))
            state = until(lambda: [item for item in recordings(daemon) if item["state"] == "no room"])
            assert state[0]["snapshots"] > 0
            assert "room" in ok(damoctl("status"))
            assert any(rows(path) for path in small.rglob("x.data*") if path.name in ("x.data", "x.data.part"))
            time.sleep(1.5)
            ballast.unlink()
            until(lambda: recordings(daemon)[0]["state"] == "recording")
            before = recordings(daemon)[0]["snapshots"]
            until(lambda: recordings(daemon)[0]["snapshots"] > before + 3)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=20)
        assert child.returncode == 0, said
        found = [row for path in small.rglob("x.data") if path.is_file() for row in rows(path)]
        assert not list(small.rglob("*.part"))
        assert sum({(row["end_ns"], row["lost"]): row["lost"] for row in found}.values()) > 0
        spans = sorted({(row["start_ns"], row["end_ns"]) for row in found})
        assert not all(left[1] == right[0] for left, right in pairwise(spans))
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@root_only
@pytest.mark.parametrize("victim", ["recorder", "daemon"])
def test_crashes_with_a_full_disk(tmp_path: Path, victim: str) -> None:
    """The same where there is no room any more: all from before is readable, and with room the next one starts."""
    small = tmp_path / "records"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    ballast, chance = small / "ballast", random.Random(victim)
    try:
        with LocalDaemon("--kernel", "sim:moving", directory=tmp_path) as daemon:
            for number in range(max(ROUNDS // 3, 2)):
                name = f"round{number}"
                with Client(str(daemon.socket)) as client:
                    started = client.call(
                        "record.start", name=name, detach=True, take_over=True, flush_s=chance.choice([0.9, 3600.0]),
                        kdamonds=[{"contexts": [{"ops": "paddr", "targets": [{}]}]}],
                    )  # fmt: skip
                time.sleep(chance.uniform(0.5, 2))
                full_ns = time.monotonic_ns()
                with contextlib.suppress(OSError):
                    ballast.write_bytes(bytes(4 << 20))
                until(lambda: [item for item in recordings(daemon) if item["state"] == "no room"])
                time.sleep(chance.uniform(0, 1))
                if victim == "recorder":
                    os.kill(started["pid"], signal.SIGKILL)
                else:
                    daemon.kill()
                    daemon.start()
                until(lambda: kdamonds(daemon) == [] and not any(item["running"] for item in recordings(daemon)))
                files = Path(started["directory"]).rglob("damon.data*")
                found = [row for path in files if path.name in ("damon.data", "damon.data.part") for row in rows(path)]
                assert full_ns - max(row["end_ns"] for row in found) < 1.2e9
                assert without_a_gap(found)
                ballast.unlink()
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that other users reach; pytest closes its own ones to them."""
    with tempfile.TemporaryDirectory(prefix="damod-test-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@root_only
def test_files_are_the_callers(open_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """root's damod writes as the caller: where they may not, it may not, and what it makes is theirs."""
    monkeypatch.setenv("DAMOD_OPERATOR_GROUP", "nogroup")
    theirs, ours = open_path / "theirs", open_path / "ours"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    ours.mkdir(0o755)
    with LocalDaemon("--kernel", "sim:moving", directory=open_path) as daemon:

        def record(where: Path) -> subprocess.CompletedProcess[str]:
            # Our interpreter may lie where nobody may read, so all is loaded before the change of user.
            script = (
                "import os, shlex, shutil, socket, sys\n"
                "import damoctl.foreground, damoctl.commands.record, damoctl.flags.compile\n"
                "from damoctl.main import main\n"
                f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
                "sys.exit(main(sys.argv[1:]))"
            )
            words = ["record", "paddr", "--take_over", "--timeout", "1.5", "--output_flush_sec", "0.8"]
            return subprocess.run(
                [sys.executable, "-c", script, "--socket", str(daemon.socket), *words, "--out", str(where / "x.data")],
                capture_output=True, text=True, timeout=60, cwd="/", check=False,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

        refused = record(ours)
        assert refused.returncode == 4, refused.stderr
        assert "cannot make files" in refused.stderr
        assert list(ours.iterdir()) == []
        assert kdamonds(daemon) == []
        done = record(theirs)
        assert done.returncode == 0, done.stderr + daemon.log.read_text()
        found = [path for path in theirs.rglob("*") if path.is_file()]
        assert len(found) >= 10
        assert {(path.stat().st_uid, path.stat().st_gid) for path in theirs.rglob("*")} == {(NOBODY, NOBODY)}


@root_only
def test_links_are_not_followed(damoctl: Run, tmp_path: Path) -> None:
    """A link where the record or its part is to be is replaced, never written through."""
    ok(damoctl("start", "paddr", "--take_over"))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("damon.data.kdamonds", "damon.data.mem_footprint.part", "damon.data.kdamonds.part"):
        (tmp_path / name).symlink_to(victim)
    ok(damoctl("record", "--timeout", "1"))
    assert victim.read_text() == "precious"
    assert not (tmp_path / "damon.data.kdamonds").is_symlink()
    assert (tmp_path / "damon.data.kdamonds.old").is_symlink()


def test_the_daemon_stays_small(damoctl: Run, daemon: LocalDaemon) -> None:
    """The libraries of records are the recorder's: damod maps none of them, also after a recording."""
    ok(damoctl("record", "paddr", "--take_over", "--timeout", "1"))
    assert daemon.process is not None
    maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    assert "pyarrow" not in maps
    assert "numpy" not in maps


@pytest.mark.parametrize("kind", ["json_compressed", "json", "perf_script"])
def test_damos_formats_are_written(damoctl: Run, tmp_path: Path, kind: str) -> None:
    """With --output_type the finished file is of damo's formats."""
    from damod.records import open_record

    ok(damoctl("start", "paddr", "--take_over"))
    ok(damoctl("record", "--timeout", "1", "--output_type", kind))
    with open_record(tmp_path / "damon.data") as record:
        assert record.type == kind
        assert sum(1 for _ in record.batches()) >= 1


def test_an_interrupted_record_is_not_lost(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """A .part that a crash left becomes the old record when the next one of its name begins."""
    with recording(daemon, tmp_path, "paddr", "--take_over") as child:
        (pid,) = [item["pid"] for item in recordings(daemon)]
        daemon.kill()
        os.kill(pid, signal.SIGKILL)
        assert child.wait(20) == 1
    assert rows(tmp_path / "damon.data.part")
    daemon.start()
    ok(damoctl("record", "paddr", "--take_over", "--timeout", "1"))
    assert rows(tmp_path / "damon.data")
    assert rows(tmp_path / "damon.data.old")


def test_two_recordings_do_not_share_a_file(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """A second recording to the same file is refused, and the first goes on."""
    with recording(daemon, tmp_path, "paddr", "--take_over") as child:
        refused = damoctl("record")
        assert refused.returncode == 5, refused.stderr
        assert "another recording" in refused.stderr
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
    assert child.returncode == 0
    assert without_a_gap(rows(tmp_path / "damon.data"))


def test_children_are_followed(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """Processes that the target starts become targets too, unless that is not wanted."""
    for words, least in ((["--out", "all.data"], 2), (["--out", "one.data", "--exclude_child_tasks"], 1)):
        ok(damoctl("record", "sleep 7 & sleep 7; wait", "--take_over", *words))
        found = rows(tmp_path / words[1])
        assert len({row["pid"] for row in found}) >= least
        assert (len({row["pid"] for row in found}) == 1) == (least == 1)
    assert kdamonds(daemon) == []


def test_a_change_on_the_way_is_recorded(damoctl: Run, daemon: LocalDaemon, tmp_path: Path) -> None:
    """`tune` while a recording runs: the rows say which intervals were in force, and none is missing."""
    ok(damoctl("start", "paddr", "--take_over"))
    with recording(daemon, tmp_path) as child:
        ok(damoctl("tune", "--monitoring_intervals", "20ms", "400ms", "2s"))
        time.sleep(2)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=20)
    assert child.returncode == 0, said
    found = rows(tmp_path / "damon.data")
    assert {(row["sample_us"], row["aggr_us"]) for row in found} == {(5_000, 100_000), (20_000, 400_000)}
    assert without_a_gap(found)
    spans = sorted({(row["start_ns"], row["end_ns"], row["aggr_us"]) for row in found})
    slow = [end - start for start, end, aggr_us in spans if aggr_us == 400_000]
    # The aggregation in which the change came may be of either length.
    assert [length for length in slow[1:] if not 300_000_000 < length < 500_000_000] == []


def test_schemes_regions_are_recorded(damoctl: Run, tmp_path: Path) -> None:
    """--schemes_target_regions writes what the schemes tried, by scheme."""
    ok(damoctl("start", "paddr", "--take_over", "--damos_action", "stat", "--damos_access_rate", "50%", "100%",
               "--damos_action", "stat"))  # fmt: skip
    ok(damoctl("record", "--schemes_target_regions", "--timeout", "2.5"))
    found = rows(tmp_path / "damon.data")
    assert {row["scheme"] for row in found} == {0, 1}
    assert min(row["nr_accesses"] for row in found if row["scheme"] == 0) >= 10
    assert len({row["end_ns"] for row in found if row["scheme"] == 1}) > 5
