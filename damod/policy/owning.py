"""What policies need of the owner of DAMON, which is the daemon's (damod.daemon.owner.Owner)."""

from __future__ import annotations

import errno
from collections.abc import Container, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from damod.errors import DamodError
from damod.kernel.features import Features
from damod.policy.plan import Running
from damod.spec.kdamond import Kdamond
from damod.spec.scheme import SchemeStats


class Owning(Protocol):
    """Sets of kdamonds by name; each method is a transaction. It raises DamodError for what the kernel refuses."""

    def features(self) -> Features: ...
    def one_look(self) -> AbstractContextManager[None]: ...
    def policy_sets(self, drift: Container[str] = ()) -> dict[str, dict[int, Running]]: ...
    def set_stats(self, name: str) -> dict[int, tuple[SchemeStats, ...]]: ...
    def set_by_hand(self, name: str) -> bool: ...
    def kdamond_pids(self) -> list[int]: ...
    def expect(self, kdamonds: int) -> None: ...
    def start(
        self, name: str, kdamonds: Sequence[Kdamond], *, take_over: bool = False, policy: bool = False
    ) -> Mapping[str, Any]: ...
    def add(self, name: str, index: int, kdamond: Kdamond) -> None: ...
    def tune(self, name: str | None, kdamonds: Sequence[Kdamond]) -> Mapping[str, Any]: ...
    def stop(self, name: str | None = None, slot: int | None = None, *, index: int | None = None) -> Sequence[Any]: ...
    def repair(self, name: str) -> int: ...


def sentence(exc: DamodError | OSError) -> str:
    """A refusal in one line."""
    if isinstance(exc, DamodError):
        return exc.message + (f" ({exc.hint})" if exc.hint else "")
    return f"{exc.filename or 'a file'}: {exc.strerror} ({errno.errorcode.get(exc.errno or 0, exc.errno)})"
