"""`make run` without a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_prints_three_snapshots_and_ends() -> None:
    """Without a terminal the demo shows three reports of a moving hot set and exits with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "damoctl.demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("heatmap: ") == 3
    assert done.stdout.count("found cold memory") == 3
