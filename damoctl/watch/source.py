"""Where a view gets its data from: what it is told, one value after the other, by a thread or all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from damoctl.reports.frames import Series
from damod.access.snapshot import Snapshot


class Seen(NamedTuple):
    """Snapshots, each with whose it is."""

    snapshots: Sequence[tuple[Series, Snapshot]]


class Counted(NamedTuple):
    """The daemon's `stats`."""

    stats: Mapping[str, Any]


class Running(NamedTuple):
    """The daemon's status: what runs now. Other kdamonds' targets are of the past."""

    status: Mapping[str, Any]


class Trouble(NamedTuple):
    """Nothing comes at the moment, and why; "" when all is well again."""

    message: str
    hint: str = ""


Update = Seen | Counted | Running | Trouble


class Source(Protocol):
    """`live`: it goes on. `name` is shown: the socket, or the record."""

    live: bool
    name: str

    def start(self, tell: Callable[[Update], None]) -> None:
        """Begin to tell; `tell` may be called in another thread."""
        ...

    def close(self) -> None:
        """Tell no more."""
        ...
