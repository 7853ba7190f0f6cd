"""Damaged, absurd and endless records in every report: a sentence or an answer, within a GiB and in seconds.

The cases run in one child of 1 GiB (`hostile.py`), so that a mistake ends the child and not the machine.
`DAMOD_FUZZ=5000 pytest tests/unit/damoctl/test_hostile.py` is the long run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COUNT = os.environ.get("DAMOD_FUZZ", "150")


def test_no_record_ends_in_a_traceback_or_takes_the_machine(tmp_path: Path) -> None:
    """Each case prints a line when it is done; what is printed otherwise is what went wrong, with the case."""
    done = subprocess.run(
        [sys.executable, str(HERE / "hostile.py"), COUNT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2])},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    said = done.stdout.splitlines()
    assert done.returncode == 0, (said[-1:], done.stderr[-2000:])
    assert not [line for line in said if line.startswith("wrong")], "\n".join(said)
    assert int(said[-1].split()[0]) > int(COUNT)
