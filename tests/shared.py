"""Where the facts that tests compare with lie: beside the checkout, or where DAMOD_SHARED says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared(*parts: str) -> Path:
    """A path below the shared directory; skips the test that asks where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    for root in filter(None, (os.environ.get("DAMOD_SHARED"), beside, "/work/shared")):
        path = Path(root, *parts)
        if path.exists():
            return path
    pytest.skip(f"no shared/{'/'.join(parts)} (set DAMOD_SHARED)")
