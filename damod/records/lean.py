"""Loading numpy and pyarrow at half the cost: most of a small report's time is its start.

OpenBLAS, numpy's linear algebra, which nothing here uses, starts a thread for each processor when it is loaded; and
Python's collector of cycles looks again and again through the modules, which never are garbage.
"""

from __future__ import annotations

import gc
import os
import sys

_THREADS = "OPENBLAS_NUM_THREADS"


def load() -> None:
    """Load both before anything else does. Children's environment stays what it was."""
    if "numpy" in sys.modules:
        return
    ours = _THREADS not in os.environ
    enabled = gc.isenabled()
    gc.disable()
    if ours:
        os.environ[_THREADS] = "1"
    try:
        import numpy  # noqa: F401
    finally:
        if ours:
            del os.environ[_THREADS]
        import pyarrow.parquet  # noqa: F401

        gc.freeze()
        if enabled:
            gc.enable()
