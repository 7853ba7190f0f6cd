"""damoctl replay as a process: what it prints, its twin for programs, its refusals, and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from damod.access.snapshot import Regions, Snapshot
from damod.records import convert
from damod.records.reader import open_record
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter

ROOT = Path(__file__).parents[4]
MS = 1_000_000
MIB = 1 << 20


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Two processes, ten aggregations of 100 ms: a hot MiB each, and a GiB between that is never accessed."""
    writer = RecordWriter(tmp_path, "damon.data", RecordMeta(tool="test"))
    for number in range(10):
        for target, pid in enumerate((70, 80)):
            regions = Regions([MIB, 2 * MIB, 2048 * MIB], [2 * MIB, 1024 * MIB, 2049 * MIB], [20, 0, 5], [0, 0, 0])
            start = (1000 + number * 100) * MS
            writer.append(Snapshot(0, 0, target, start, start + 100 * MS, 0, 5000, 100_000, regions, "vaddr", pid=pid))
    writer.seal()
    return tmp_path / "damon.data"


def damoctl(cwd: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "damoctl", "replay", *argv],
        capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(ROOT)}, timeout=60, check=False,
    )  # fmt: skip


def test_the_summary(record: Path) -> None:
    """Where the memory is, what was wanted and done, how late it was; notices when they are asked for."""
    done = damoctl(record.parent, "--progress_notice_interval", "0.3s", "--threads", "1", "--steps")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("target 0 (recorded pid 70): 0x") and lines[1].startswith("target 1 (recorded pid 80)")
    assert len([line for line in lines if line.endswith(" ms") and "," in line]) == 20
    assert lines[-4].startswith("20 of 20 snapshots of 2 target(s) in 1.0")
    assert lines[-4].endswith("4.000 MiB resident")
    # (256 pages x 20 + 256 x 5) x 20 aggregations
    assert " of 128,000 wanted (" in lines[-3]
    assert lines[-1] == "all snapshots are replayed"
    assert "/20 snapshots replayed in " in done.stderr


@pytest.mark.parametrize("kind", ["json_compressed", "json", "perf_script"])
def test_for_programs_and_from_damo(record: Path, kind: str) -> None:
    """--json tells it all, whatever the record's type."""
    with open_record(record) as source:
        convert.write(source, record.parent / "other", kind)
    done = damoctl(record.parent, "other", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["wanted"] == 128_000 and 0 < told["touched"] <= 128_000
    assert len(told["steps"]) == 20 and len(told["targets"]) == 2
    assert [item["recorded_start"] for item in told["targets"][0]["ranges"]] == [MIB, 2048 * MIB]
    assert told["targets"][0]["end"] - told["targets"][0]["start"] == 1024 * MIB
    assert told["resident_bytes"] == 4 * MIB


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["no.data"], 7, "no.data"),
        (["--max_memory", "1M"], 15, "needs 4.000 MiB of memory; --max_memory allows 1024.000 KiB"),
        (["--tid", "5"], 7, "nothing of what is to be replayed"),
        (["--address_range", "2M", "3M"], 10, "nothing was accessed"),
        (["--address_range", "3M", "2M"], 2, "--address_range 3145728 2097152"),
        (["--time_range", "2s", "1s"], 2, "--time_range"),
        (["--time_range", "5s", "6s"], 7, "nothing of what is to be replayed"),
        (["--threads", "0"], 2, "1 to 256 threads"),
        (["--test_perf", "--test_perf_runtime", "0"], 2, "not longer than nothing"),
        (["--test_perf", "--test_perf_sz_mem", "4 XB"], 2, "unknown size unit"),
        (["--test_perf", "--test_perf_sz_mem", "900 TiB"], 15, "are available"),
    ],
)
def test_mistakes(record: Path, argv: list[str], status: int, words: str) -> None:
    """One sentence that names what is wrong, and an exit status of its kind; no traceback."""
    done = damoctl(record.parent, *argv)
    assert done.returncode == status, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_address_space_is_compact(record: Path) -> None:
    """Apart from the two gaps that DAMON leaves out, nothing lies a terabyte away from everything else."""
    code = (
        "import sys; from pathlib import Path\n"
        "from damoctl.commands import replay; from damoctl.context import Context\n"
        f"replay.run([{str(record)!r}, '--json', '--time_range', '0', '200ms'], Context())\n"
        "print(Path('/proc/self/maps').read_text(), file=sys.stderr)"
    )
    environ = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    spans = [[int(word, 16) for word in line.split()[0].split("-")] for line in done.stderr.split("\n") if "-" in line]
    spans = [span for span in spans if span[0] < 1 << 47]
    gaps = sorted(right[0] - left[1] for left, right in pairwise(spans))
    assert gaps[-3] < 64 << 30, [hex(gap) for gap in gaps[-4:]]


def test_ctrl_c(record: Path) -> None:
    """What was done until then is told, and the status is that of an interrupted program."""
    with subprocess.Popen(
        [sys.executable, "-m", "damoctl", "replay", str(record), "--progress_notice_interval", "0.2s"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)},
        # Under nohup and the like Python would not be told of Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:  # fmt: skip
        assert child.stderr is not None
        assert "snapshots replayed" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        rest, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    assert rest.splitlines()[-1] == "stopped before the end"
    assert "Traceback" not in errors


def test_measuring() -> None:
    """--test_perf prints a line a second, as damo does."""
    done = damoctl(ROOT, "--test_perf", "--test_perf_sz_mem", "8M", "--test_perf_runtime", "300ms")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("replayer can access ") for line in done.stdout.splitlines())
    told = json.loads(
        damoctl(ROOT, "--test_perf", "--test_perf_sz_mem", "8M", "--test_perf_runtime", "300ms", "--json").stdout
    )
    assert told["mean_bytes_per_second"] > MIB and told["size_bytes"] == 8 * MIB
