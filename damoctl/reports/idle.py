"""damon_stat's idle times: percentiles of the memory, and how much of it has been idle for how long.

An idle time is in seconds; a negative one stands for memory in use, and for how long it has been (stat.rst).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from damod import units
from damod.errors import UsageError

_MOST_LINES = 10_000
VIEWS = ("idle_time_mem_sz", "idle_time_percentiles")


def of_pairs(words: Sequence[str]) -> list[float]:
    """101 idle times from ``percentile seconds`` pairs, or a file of them; what is missing is inter- or extrapolated.

    Raises UsageError for what makes no sense, also a file that cannot be read.
    """
    if len(words) == 1:
        try:
            with open(words[0]) as file:
                words = file.read().split()
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(f"idle time percentiles: cannot read {words[0]}: {exc}") from exc
    try:
        numbers = [float(word) for word in words]
        known = {int(at): seconds for at, seconds in zip(numbers[::2], numbers[1::2], strict=True)}
    except ValueError as exc:
        raise UsageError(
            f"idle time percentiles: {' '.join(words)[:60]!r} are no pairs of percentile and seconds"
        ) from exc
    if len(known) < 2 or not all(0 <= at <= 100 for at in known):
        raise UsageError("idle time percentiles: two or more of 0 to 100 are needed")
    points = sorted(known.items())
    return [_between(points, at) for at in range(101)]


def _between(points: Sequence[tuple[int, float]], at: int) -> float:
    for (left, low), (right, high) in pairwise(points):
        if at <= right or right == points[-1][0]:
            return low + (high - low) * (at - left) / (right - left)
    raise AssertionError("there are two points at least")


def of_range(percentiles: Sequence[float], start: int, stop: int, step: int) -> list[dict[str, float]]:
    """[{"percentile", "idle_s"}] of the percentiles in range(start, stop, step)."""
    if step < 1 or not 0 <= start < stop <= len(percentiles):
        raise UsageError(f"--idle_time_percentiles_range {start} {stop} {step} is not within 0 {len(percentiles)}")
    return [{"percentile": at, "idle_s": percentiles[at]} for at in range(start, stop, step)]


def mem_sz(percentiles: Sequence[float], lines: int) -> list[dict[str, float]]:
    """[{"idle_s", "percent"}]: the span of idle times cut into `lines`, and the share of memory up to each end."""
    if not 1 <= lines <= _MOST_LINES:
        raise UsageError(f"--idle_time_mem_sz_lines {lines}: from 1 to {_MOST_LINES:,} lines")
    low, high = percentiles[0], percentiles[-1]
    ends = [low + (high - low) * (line + 1) / lines for line in range(lines)]
    # Each hundredth of the memory counts with the percentile that it ends at.
    counts = [0] * lines
    for seconds in percentiles[1:]:
        place = next((line for line, end in enumerate(ends) if seconds <= end), lines - 1)
        counts[place] += 1
    return [{"idle_s": end, "percent": count} for end, count in zip(ends, counts, strict=True)]


def render(view: str, rows: Iterable[Mapping[str, float]], *, raw: bool = False) -> Iterator[str]:
    """The lines of one of VIEWS; `raw` prints seconds."""
    for row in rows:
        seconds = row["idle_s"]
        idle = f"{seconds:g}" if raw else units.time(seconds * 1e9)
        if view == "idle_time_mem_sz":
            yield f"{idle:<16} {row['percent']:g}" + ("" if raw else " %")
        else:
            yield f"{row['percentile']:3.0f} {idle}"
