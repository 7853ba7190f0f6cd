"""Accesses on real memory of this process: what is resident, what is touched, when, and what is refused."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from damoctl.replay import engine
from damoctl.replay.trace import Step, Target, Trace
from damod.errors import NoMemory

MS = 1_000_000


def column(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def trace(
    steps: int = 5, pages: int = 1000, hot: tuple[int, int] = (100, 300), gap: int = 0, length: int = 20 * MS
) -> Trace:
    """Aggregations of `length` ns with four slots each, in which the hot pages are always wanted."""
    target = Target(0, 7, column(0), column(pages), (column(hot[0]), column(hot[1])))
    made = [
        Step(0, at * length + (gap if at else 0), (at + 1) * length + (gap if at else 0), 4,
             column(hot[0]), column(hot[1]), column(4))
        for at in range(steps)
    ]  # fmt: skip
    return Trace([target], made)


def resident_pages(memory: engine.Memory) -> int:
    """As the kernel counts them."""
    for line in iter_smaps(memory.start):
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024 // engine.PAGE
    raise AssertionError("no such mapping")


def iter_smaps(start: int) -> list[str]:
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{start:x}-"))
    return lines[at : at + 24]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("write", [False, True])
def test_every_wanted_access_is_made_and_none_else(threads: int, write: bool) -> None:
    """The touches of all threads add up to every page once for each pass; time is that of the record."""
    seen: list[int] = []
    with engine.Player(trace(hot=(100, 9000), pages=10_000), threads=threads, write=write) as player:
        real, lock = player.touch, threading.Lock()

        def touch(pages: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], scratch: object) -> None:
            at = (pages.ctypes.data - player.memories[0].start) // engine.PAGE
            with lock:
                seen.extend(range(at, at + len(pages)))
            real(pages, scratch)  # type: ignore[arg-type]

        player.touch = touch  # type: ignore[assignment]
        # On a busy machine a slot may be missed; then there is nothing to compare.
        outcome = player.play()
    pages, counts = np.unique(seen, return_counts=True)
    assert outcome.touched == len(seen)
    assert set(pages.tolist()) <= set(range(100, 9000))
    assert counts.max() <= 20
    if outcome.touched == outcome.wanted:
        assert len(pages) == 8900 and set(counts.tolist()) == {20}
    assert outcome.wanted == 8900 * 20
    assert 0.1 <= outcome.seconds < 1


def test_only_accessed_memory_is_resident() -> None:
    """The rest is address space, unless all of it is asked for."""
    with engine.Player(trace()) as player:
        assert player.resident_bytes == 200 * engine.PAGE
        assert resident_pages(player.memories[0]) == 200
    with engine.Player(trace(), whole=True) as player:
        assert resident_pages(player.memories[0]) == 1000


def test_reading_touches_no_zero_page() -> None:
    """Pages are there and private before the start, since DAMON does not see accesses to the shared zero page."""
    with engine.Player(trace()) as player:
        anonymous = next(line for line in iter_smaps(player.memories[0].start) if line.startswith("Anonymous:"))
        assert int(anonymous.split()[1]) * 1024 == 200 * engine.PAGE


def test_kernels_that_cannot_populate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 5.14 pages are written one after the other."""
    monkeypatch.setattr(engine, "_POPULATE_WRITE", 9999)
    with engine.Player(trace()) as player:
        assert resident_pages(player.memories[0]) == 200


def test_too_slow_means_less_and_not_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of 60 ms for slots of 25 ms: about every third is done, and the end comes when it is due."""
    with engine.Player(trace(steps=10, length=100 * MS)) as player:
        monkeypatch.setattr(player, "touch", lambda pages, scratch: time.sleep(0.06))
        outcome = player.play()
    assert outcome.seconds < 1 + 0.1
    assert 0.1 < outcome.touched / outcome.wanted < 0.6
    assert all(done.touched for done in outcome.steps)


def test_a_pass_ends_with_its_aggregation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that cannot be finished is broken off, and the next one goes on where it was."""
    monkeypatch.setattr(engine, "_CHUNK", 10)
    seen: list[int] = []
    with engine.Player(trace(steps=6, hot=(0, 100), pages=100)) as player:

        def touch(pages: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], scratch: object) -> None:
            seen.append((pages.ctypes.data - player.memories[0].start) // engine.PAGE)
            time.sleep(0.004)

        monkeypatch.setattr(player, "touch", touch)
        outcome = player.play()
    # Ten chunks of 4 ms are two aggregations: without going on, the last ones would never be touched.
    assert set(seen) == set(range(0, 100, 10))
    assert outcome.seconds < 0.12 + 0.1


@pytest.mark.parametrize(
    ("begin", "found"),
    [
        (0, [(0, 5), (10, 20)]),
        (3, [(3, 5), (10, 20), (0, 3)]),
        (7, [(10, 20), (0, 5)]),
        (10, [(10, 20), (0, 5)]),
        (15, [(15, 20), (0, 5), (10, 15)]),
        (20, [(0, 5), (10, 20)]),
    ],
)
def test_rotated(begin: int, found: list[tuple[int, int]]) -> None:
    """A run that has the page inside is cut there; nothing gets lost."""
    assert list(zip(*engine.rotated([0, 10], [5, 20], begin), strict=True)) == found


def test_ctrl_c_ends_within_a_slot() -> None:
    """Also in the middle of an hour in which nothing is due; what was done is told."""
    with engine.Player(trace(gap=3600 * 1000 * MS)) as player:
        timer = threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT))
        # raise_signal in a thread is delivered to the main one by Python.
        timer.start()
        began = time.monotonic()
        outcome = player.play()
        assert time.monotonic() - began < 2
    assert outcome.stopped
    assert 0 < len(outcome.steps) < 5
    assert outcome.touched > 0


def test_more_than_there_is_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is available, or by what is allowed, which may be more."""
    monkeypatch.setattr(engine, "available_bytes", lambda: 200 * engine.PAGE)
    with pytest.raises(NoMemory, match=r"needs 800\.000 KiB of memory, and 800\.000 KiB are available") as caught:
        engine.Player(trace())
    assert "--address_range" in caught.value.hint
    with pytest.raises(NoMemory, match="--max_memory allows"):
        engine.Player(trace(), max_bytes=199 * engine.PAGE)
    engine.Player(trace(), max_bytes=200 * engine.PAGE).close()


def test_address_space_that_nobody_has() -> None:
    """A record of an address space larger than ours is told as what it is."""
    target = Target(0, None, column(0), column(1 << 50), (column(0), column(1)))
    with pytest.raises(NoMemory, match="of address space failed"):
        engine.Player(Trace([target], trace().steps))


def test_measuring() -> None:
    """A number a second, more than nothing."""
    rates = list(engine.measure(4 << 20, 0.3, 2, write=False, max_bytes=None))
    assert rates and min(rates) > 100_000
