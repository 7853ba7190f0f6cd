"""The obvious way to compute reports: a loop over snapshots, regions and pixels. Slow, and easy to believe."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from damod.access.record import Record


def heatmap(
    record: Record, times: tuple[int, int], addresses: tuple[int, int], resol: tuple[int, int]
) -> list[list[float | None]]:
    """Mean access rate per pixel, None where no region ever was."""
    rows, columns = resol
    tall = Fraction(times[1] - times[0], rows)
    wide = Fraction(addresses[1] - addresses[0], columns)
    heat: list[list[Fraction | None]] = [[None] * columns for _ in range(rows)]
    before: int | None = None
    for shot in record.snapshots:
        regions = shot.regions
        for start, end, samples, age in zip(regions.start, regions.end, regions.nr_accesses, regions.age, strict=True):
            since = shot.start_ns - max(age, 0) * shot.aggr_us * 1000
            if before is not None:
                since = max(since, before)
            value = Fraction(samples * 1_000_000, shot.aggr_us) if shot.aggr_us else Fraction(samples)
            for row in range(rows):
                begin = times[0] + row * tall
                time = min(shot.end_ns, begin + tall) - max(since, begin)
                for column in range(columns) if time > 0 else ():
                    low = addresses[0] + column * wide
                    space = min(end, low + wide) - max(start, low)
                    if space > 0:
                        heat[row][column] = (heat[row][column] or 0) + value * time * space / (tall * wide)
        before = shot.end_ns
    return [[None if pixel is None else float(pixel) for pixel in row] for row in heat]


def wss(record: Record, min_samples: int, min_size: int) -> list[int]:
    """Working set per snapshot."""
    return [
        sum(
            end - start
            for start, end, samples in zip(shot.regions.start, shot.regions.end, shot.regions.nr_accesses, strict=True)
            if samples >= min_samples and end - start >= min_size
        )
        for shot in record.snapshots
    ]


def joined_wss(record: Record, work_us: int, min_samples: int) -> list[int]:
    """Working set of snapshots joined until they took `work_us`: each byte counts the samples of all of them."""
    found, took = [], 0
    counts: dict[int, int] = {}
    for shot in record.snapshots:
        for start, end, samples in zip(shot.regions.start, shot.regions.end, shot.regions.nr_accesses, strict=True):
            for byte in range(start, end):
                counts[byte] = counts.get(byte, 0) + samples
        took += shot.end_ns - shot.start_ns
        if took >= work_us * 1000:
            found.append(sum(count >= min_samples for count in counts.values()))
            counts, took = {}, 0
    return found


def percentile(values: Sequence[int], point: int) -> int:
    """The value that the given share of the values, in order, lies below."""
    ordered = sorted(values)
    return ordered[min(int(point / 100.0 * len(ordered)), len(ordered) - 1)]
