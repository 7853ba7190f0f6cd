"""A long time in a short one: what the daemon holds does not grow (`python -m tests.bench.day` lives a whole day)."""

from __future__ import annotations

from pathlib import Path

from tests.bench.day import a_day


def test_memory_and_files_stay(tmp_path: Path) -> None:
    """Over some simulated hours with streams, scrapes and changes: memory within 5 MiB, the same number of files."""
    hours, day = a_day(3, 600, tmp_path)
    assert (day.events > 500, day.scrapes > 60, day.changes > 5) == (True, True, True)
    sizes = [hour.rss_mib for hour in hours[1:]]
    assert max(sizes) - min(sizes) < 5
    assert len({hour.fds for hour in hours[1:]}) == 1
    assert len({hour.threads for hour in hours[1:]}) == 1
