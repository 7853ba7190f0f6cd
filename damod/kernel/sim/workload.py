"""Scripted access patterns: which part of a memory is accessed how likely within one sampling interval, at any time.

A scenario draws over an *arena*, offsets [0, size); the machine lays the arena over a process's mapped area or over
physical memory. Patterns are pure functions of time, so that the same second always looks the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

MIB = 1 << 20

# (start, end, probability), ascending, not overlapping; what is in no segment is not accessed.
Segment = tuple[int, int, float]


@dataclass(frozen=True)
class Scenario:
    """One access pattern.

    `size` is the arena of a process. In physical memory the arena is the largest range of RAM, or `size` bytes of it
    if `fixed`. `segments(seconds, size)` gives the pattern; `used` is the share of memory in use.
    """

    name: str
    about: str
    segments: Callable[[float, int], list[Segment]]
    size: int = 256 * MIB
    fixed: bool = False
    used: float = 0.6


def _page(value: float) -> int:
    return int(value) & ~4095


def _window(start: float, width: float, size: int, probability: float) -> list[Segment]:
    """A stretch of the arena given in shares of its size; what leaves at the end comes in at the start."""
    begin, end = _page(start % 1.0 * size), _page((start % 1.0 + width) * size)
    if end <= size:
        return [(begin, end, probability)]
    return [(0, end - size, probability), (begin, size, probability)]


def _stairs(seconds: float, size: int) -> list[Segment]:
    return _window(int(seconds / 5) % 10 / 10, 0.1, size, 1.0)


def _zigzag(seconds: float, size: int) -> list[Segment]:
    step = int(seconds / 5) % 18
    return _window((step if step < 10 else 18 - step) / 10, 0.1, size, 1.0)


def _moving(seconds: float, size: int) -> list[Segment]:
    """An eighth is hot and moves on by half its width every ten seconds, a warm trail behind it."""
    front = int(seconds / 10) * 0.0625
    hot = _window(front, 0.125, size, 0.95)
    warm = _window(front - 0.0625, 0.0625, size, 0.2)
    return sorted(warm + hot)


def _idle(seconds: float, size: int) -> list[Segment]:
    """Hundreds of bytes per million are busy; a cron job wakes a little memory every minute."""
    segments = _window(0.25, 0.002, size, 0.5) + _window(0.6, 0.01, size, 0.01)
    return segments + _window(0.8, 0.02, size, 0.4) if seconds % 60 < 3 else segments


def _hot(seconds: float, size: int) -> list[Segment]:
    return [(0, min(20 * MIB, size), 1.0)]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("moving", "a hot set that moves on every ten seconds", _moving),
        Scenario("stairs", "ten parts, hot one after the other for five seconds each", _stairs),
        Scenario("zigzag", "a hot tenth that walks up and down", _zigzag),
        Scenario("idle", "a server that does next to nothing", _idle, used=0.3),
        Scenario("hot", "20 MiB always hot of 100 MiB", _hot, size=100 * MIB, fixed=True),
    )
}


def scenario(name: str) -> Scenario:
    """The scenario of that name; ValueError names those that there are."""
    if name not in SCENARIOS:
        raise ValueError(f"no scenario {name!r} (there are {', '.join(sorted(SCENARIOS))})")
    return SCENARIOS[name]


def lay(segments: Sequence[Segment], areas: Sequence[tuple[int, int]]) -> list[Segment]:
    """Segments over offsets, laid over address ranges one after the other."""
    out: list[Segment] = []
    offset = 0
    for start, end in areas:
        for begin, stop, probability in segments:
            low, high = max(begin, offset), min(stop, offset + end - start)
            if low < high:
                out.append((start + low - offset, start + high - offset, probability))
        offset += end - start
    return out
