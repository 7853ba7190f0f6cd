"""Who changed what: a bounded log in the state directory, one JSON object a line.

Entries are appended in one write each; what a crash leaves of the last one is passed over. When the file has
`MOST_BYTES` it becomes `audit.log.1`, whose forerunner goes, so there are always the last thousands of changes. Like
the state directory it lasts until reboot; the journal, which gets the same facts as fields, lasts longer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)

MOST_BYTES = 512 << 10
_LONGEST = 200


class Audit:
    """The log. `now_ns` is wall time; `tell` hears of each entry.

    An entry is {"wall_ns", "uid", "pid", "method", "what", "generation", "error"}: who asked, with which words, the
    policy generation after it, and the error's code if it was not done. What damod does by itself for its policies has
    its own uid and pid, and the method "policies".
    """

    def __init__(
        self, directory: Path, now_ns: Callable[[], int], tell: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.path = directory / "audit.log"
        self._now_ns = now_ns
        self._tell = tell
        self._trouble = ""

    def add(
        self, method: str, what: str, generation: int, *, uid: int, pid: int, error: str | None = None
    ) -> dict[str, Any]:
        """Write an entry. A disk that takes none is told in the daemon's log, once, and holds up nothing."""
        entry = {
            "wall_ns": self._now_ns(),
            "uid": uid,
            "pid": pid,
            "method": method,
            "what": what if len(what) <= _LONGEST else what[: _LONGEST - 3] + "...",
            "generation": generation,
            "error": error,
        }
        try:
            self._append(json.dumps(entry).encode() + b"\n")
            self._trouble = ""
        except OSError as exc:
            if not self._trouble:
                log.error("the audit log cannot be written", path=str(self.path), why=exc.strerror)
            self._trouble = exc.strerror or str(exc)
        if self._tell is not None:
            self._tell(entry)
        return entry

    def entries(self, *, since_ns: int = 0, last: int | None = None) -> list[dict[str, Any]]:
        """The entries from `since_ns` (wall time) on, at most the `last` ones, oldest first."""
        found: list[dict[str, Any]] = []
        for entry in self._backwards():
            if entry["wall_ns"] < since_ns or (last is not None and len(found) >= last):
                break
            found.append(entry)
        return found[::-1]

    def generation(self) -> int:
        """The policy generation of the last entry; 0 without any."""
        newest = next(self._backwards(), None)
        return int(newest["generation"]) if newest else 0

    def _backwards(self) -> Iterator[dict[str, Any]]:
        for path in (self.path, self.path.with_name(f"{self.path.name}.1")):
            try:
                lines = path.read_bytes().splitlines()
            except OSError:
                continue
            for line in reversed(lines):
                try:
                    entry = json.loads(line)
                    int(entry["wall_ns"]), int(entry["generation"])
                except (ValueError, KeyError, TypeError):
                    continue
                yield entry

    def _append(self, line: bytes) -> None:
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            # What a crash left of a line must not swallow this one.
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line
            os.write(fd, line)
        finally:
            os.close(fd)
        if size + len(line) > MOST_BYTES:
            self.path.rename(self.path.with_name(f"{self.path.name}.1"))


def spelled(params: Mapping[str, Any]) -> str:
    """A request's parameters in a few words: ``name=adhoc kdamonds=[1] take_over=True``."""
    words = []
    for name, value in params.items():
        if value is None or value is False:
            continue
        if isinstance(value, (list, dict)):
            value = f"[{len(value)}]" if isinstance(value, list) else "{...}"
        words.append(f"{name}={value}")
    text = " ".join(words)
    return text if text.isprintable() else repr(text)
