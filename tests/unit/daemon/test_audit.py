"""The log of changes: bounded, whole after a crash, and it knows the generation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from damod.daemon import audit
from damod.daemon.audit import Audit, spelled


def a_log(directory: Path, **more: Any) -> Audit:
    clock: Iterator[int] = count(1_000_000_000, 1_000_000_000)
    return Audit(directory, lambda: next(clock), **more)


def test_entries_survive_the_writer(tmp_path: Path) -> None:
    """Another damod in the same directory reads what the first wrote, and goes on counting from its generation."""
    told: list[Any] = []
    first = a_log(tmp_path, tell=told.append)
    first.add("kdamonds.start", "name=adhoc", 0, uid=0, pid=7)
    first.add("policy.reload", "", 3, uid=1000, pid=8, error="conflict")
    second = a_log(tmp_path)
    assert second.entries() == told
    assert told[1] == {
        "wall_ns": 2_000_000_000,
        "uid": 1000,
        "pid": 8,
        "method": "policy.reload",
        "what": "",
        "generation": 3,
        "error": "conflict",
    }
    assert second.generation() == 3
    assert second.entries(since_ns=2_000_000_000) == told[1:]
    assert second.entries(last=1) == told[1:]
    assert oct(second.path.stat().st_mode)[-3:] == "600"


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    """What a crash left of a line is no entry, and does not swallow the next one."""
    log = a_log(tmp_path)
    log.add("a", "", 1, uid=0, pid=1)
    with log.path.open("ab") as out:
        out.write(b'{"wall_ns": 5, "met')
    log.add("b", "", 1, uid=0, pid=1)
    assert [entry["method"] for entry in log.entries()] == ["a", "b"]


def test_it_is_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    """Of many changes the latest are kept, over the rotation, in order, in about twice the limit of bytes."""
    monkeypatch.setattr(audit, "MOST_BYTES", 4096)
    log = a_log(tmp_path)
    for number in range(200):
        log.add("kdamonds.tune", f"number={number}", number, uid=0, pid=1)
    numbers = [entry["generation"] for entry in log.entries()]
    assert numbers == list(range(numbers[0], 200))
    assert 20 < len(numbers) < 100
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * 4096 + 300
    assert len(list(tmp_path.iterdir())) <= 2


def test_a_directory_that_takes_nothing_holds_up_nobody(tmp_path: Path) -> None:
    """Without a place to write to, changes are still told."""
    told: list[Any] = []
    log = a_log(tmp_path / "missing", tell=told.append)
    log.add("a", "", 1, uid=0, pid=1)
    assert len(told) == 1
    assert log.entries() == []
    assert log.generation() == 0


def test_requests_are_spelled_in_one_line() -> None:
    """Large values are named by their size; what could break a line is escaped; long ones are cut."""
    assert spelled({"name": "a", "kdamonds": [{}, {}], "x": {"y": 1}}) == "name=a kdamonds=[2] x={...}"
    assert "\n" not in spelled({"name": "a\nb"})


def test_long_words_are_cut(tmp_path: Path) -> None:
    """A request cannot fill the log with one entry."""
    assert len(a_log(tmp_path).add("a", "x" * 10_000, 0, uid=0, pid=1)["what"]) == 200
