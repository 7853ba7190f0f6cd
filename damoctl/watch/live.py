"""The daemon as a source: a thread that follows its stream, and comes back when the daemon does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from damoctl.reports.frames import Series
from damoctl.watch.source import Counted, Running, Seen, Trouble, Update
from damod.access.snapshot import Snapshot
from damod.errors import DamodError, NoData
from damod.rpc.client import Client

INTERVAL_S = 0.1
"""Snapshots of a target are not wanted more often."""
_AGAIN_S = 1.0
