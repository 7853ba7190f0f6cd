"""Stairs, recorded through the simulated kernel's ring: the reports find ten steps (tests/guest: on real DAMON)."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

import pytest

from damoctl.commands import report
from damoctl.context import Context
from tests import pictures

GIB = 1 << 30
STEP_NS, AGGR_NS = 5_000_000_000, 100_000_000


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.record(tmp_path_factory.mktemp("stairs") / "damon.data", "stairs", 50)


def shown(*words: str) -> str:
    out = io.StringIO()
    assert report.run(words, Context(stdout=out, stderr=io.StringIO())) == 0
    return out.getvalue()


def test_the_heatmap_shows_the_stairs(record: Path) -> None:
    """Each tenth of the time has its heat in the tenth of the memory that was touched then."""
    rows = shown("heatmap", "--input", str(record), "--resol", "10", "40").splitlines()[:10]
    for step, row in enumerate(rows):
        heats = [sum(int(digit) for digit in row[part * 4 : part * 4 + 4]) for part in range(10)]
        assert heats.index(max(heats)) == step, rows
        assert max(heats) > 3 * sorted(heats)[-2], rows


def test_times_finds_each_step(record: Path) -> None:
    """The middle of each part was accessed in at least half of the checks from its step's begin to its end."""
    begins = []
    for part in range(10):
        low, high = 4 * GIB + part * 2 * GIB // 10, 4 * GIB + (part + 1) * 2 * GIB // 10
        edge = (high - low) // 4
        words = ["--access_rate", "50%", "100%", "--address", str(low + edge), str(high - edge), "--json"]
        (span,) = json.loads(shown("times", "--input", str(record), *words))
        begins.append(span["start_ns"])
        # the record begins with the first aggregation that was seen whole, and ends in the last step
        if 0 < part < 9:
            assert abs(span["end_ns"] - span["start_ns"] - STEP_NS) <= 2 * AGGR_NS
    gaps = [after - before for before, after in pairwise(begins[1:])]
    assert all(abs(gap - STEP_NS) <= AGGR_NS for gap in gaps), gaps
