"""On a fake tree: named pipes stand for trace_pipe_raw, which they resemble in reading and polling."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from damod.kernel.tracefs import TraceFs, TraceRing, parse_cpus

HEADER_PAGE = """	field: u64 timestamp;	offset:0;	size:8;	signed:0;
	field: local_t commit;	offset:8;	size:8;	signed:1;
	field: char data;	offset:16;	size:4080;	signed:0;
"""


@pytest.mark.parametrize(("text", "cpus"), [("0\n", [0]), ("0-3,8,10-11\n", [0, 1, 2, 3, 8, 10, 11]), ("\n", [])])
def test_parse_cpus(text: str, cpus: list[int]) -> None:
    """Kernel lists are single numbers and inclusive ranges."""
    assert parse_cpus(text) == cpus


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tracefs below a sysfs, with a process 1 that lives."""
    (tmp_path / "proc/1").mkdir(parents=True)
    tracing = tmp_path / "sys/kernel/tracing"
    (tracing / "instances").mkdir(parents=True)
    (tracing / "events/damon/damon_aggregated").mkdir(parents=True)
    (tracing / "events/damon/damon_aggregated/format").write_text("name: damon_aggregated\n")
    (tracing / "events/damon/enable").write_text("0")
    (tracing / "events/header_page").write_text(HEADER_PAGE)
    return tmp_path


def trace(root: Path) -> TraceFs:
    return TraceFs(root / "sys", root / "proc")


def test_events_and_layout(root: Path) -> None:
    """Each event directory is an event; files beside them are not."""
    assert trace(root).events() == {"damon_aggregated": "name: damon_aggregated\n"}
    assert trace(root).header_page() == HEADER_PAGE


def test_found_below_debugfs_too(root: Path) -> None:
    """Old mounts have it in debugfs."""
    (root / "sys/kernel/debug").mkdir()
    (root / "sys/kernel/tracing").rename(root / "sys/kernel/debug/tracing")
    assert "damon_aggregated" in trace(root).events()


def test_not_mounted(tmp_path: Path) -> None:
    """Without a mounted tracefs (its directory exists, empty) there are no events and nothing to open."""
    (tmp_path / "sys/kernel/tracing").mkdir(parents=True)
    assert trace(tmp_path).events() == {}
    with pytest.raises(FileNotFoundError, match="not mounted"):
        trace(tmp_path).open(["damon_aggregated"])


def test_leftovers_of_the_dead(root: Path) -> None:
    """Instances of damods that live no more are removed; those of the living and of others stay."""
    instances = root / "sys/kernel/tracing/instances"
    for name in ("damod-1-0", "damod-99-0", "damod-99-1", "damod-x", "perf-99-1"):
        (instances / name).mkdir()
    assert sorted(trace(root).remove_leftovers()) == ["damod-99-0", "damod-99-1"]
    assert sorted(path.name for path in instances.iterdir()) == ["damod-1-0", "damod-x", "perf-99-1"]


def test_open_that_fails_leaves_nothing(root: Path) -> None:
    """If an instance cannot be set up (here: it has no files), it is removed again and the refusal is told."""
    (root / "sys/kernel/tracing/instances/damod-99-0").mkdir()
    with pytest.raises(FileNotFoundError, match="trace_clock"):
        trace(root).open(["damon_aggregated"])
    assert list((root / "sys/kernel/tracing/instances").iterdir()) == []


class Ring:
    """A TraceRing with a pipe per CPU."""

    def __init__(self, root: Path) -> None:
        self.instance = root / "damod-1-0"
        self.online = root / "online"
        self.pipes: dict[int, int] = {}
        for cpu in (0, 1, 2):
            folder = self.instance / f"per_cpu/cpu{cpu}"
            folder.mkdir(parents=True)
            os.mkfifo(folder / "trace_pipe_raw")
            self.pipes[cpu] = os.open(folder / "trace_pipe_raw", os.O_RDWR)
            (folder / "stats").write_text(
                f"entries: 9\noverrun: {cpu}\ncommit overrun: 10\nbytes: 99\ndropped events: 100\nread events: 7\n"
            )
        self.online.write_text("0-1\n")
        self.ring = TraceRing(self.instance, self.online, 4096)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Ring]:
    made = Ring(tmp_path)
    yield made
    shutil.rmtree(made.instance, ignore_errors=True)
    made.ring.close()
    for fd in made.pipes.values():
        os.close(fd)


def test_pages_come_one_by_one(made: Ring) -> None:
    """A read gives one page of that CPU, and nothing, at once, where there is none."""
    os.write(made.pipes[1], b"a" * 4096 + b"b" * 4096)
    assert made.ring.read(0) == b""
    assert made.ring.read(1) == b"a" * 4096
    assert made.ring.read(1) == b"b" * 4096
    assert made.ring.read(1) == b""


def test_wait_ends_with_data_or_in_time(made: Ring) -> None:
    """Waiting says whether there is data, and does not wait when there is."""
    assert not made.ring.wait(0.01)
    os.write(made.pipes[0], b"x")
    begin = time.monotonic()
    assert made.ring.wait(60)
    assert time.monotonic() - begin < 30


def test_a_cpu_that_comes_online_is_followed(made: Ring) -> None:
    """Only online CPUs are read; one that joins is read from the next wait on, one that leaves stays."""
    assert made.ring.cpus == [0, 1]
    made.online.write_text("1-2\n")
    os.write(made.pipes[2], b"z")
    assert made.ring.wait(5)
    assert made.ring.cpus == [0, 1, 2]
    assert made.ring.read(2) == b"z"


def test_overrun_is_the_sum_of_all_losses(made: Ring) -> None:
    """Overwritten, overrun in commit and dropped events of all CPUs that are read."""
    assert made.ring.overrun() == (0 + 10 + 100) + (1 + 10 + 100)


def test_close_removes_the_instance(made: Ring) -> None:
    """After close the instance is gone; an instance that somebody else removed is no error."""
    shutil.rmtree(made.instance)
    made.instance.mkdir()
    made.ring.close()
    assert not made.instance.exists()
    made.ring.close()


def test_now_is_monotonic() -> None:
    """The ring's clock is CLOCK_MONOTONIC."""
    before = time.monotonic_ns()
    assert before <= TraceFs(Path("/sys"), Path("/proc")).now_ns() <= time.monotonic_ns()
