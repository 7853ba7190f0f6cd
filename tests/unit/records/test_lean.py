"""numpy and pyarrow come without what they do not need."""

from __future__ import annotations

import subprocess
import sys


def test_no_threads_and_the_environment_as_it_was() -> None:
    """No thread of linear algebra is started (one is Arrow's allocator's); children get the environment that we got."""
    code = """
import gc, os, sys
before = dict(os.environ)
from damod.records import lean
lean.load()
print(len(os.listdir("/proc/self/task")) <= 2, dict(os.environ) == before)
print(gc.isenabled(), "pyarrow.parquet" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True"] * 4
