"""Where detached records lie, and what the next damod must know of the recordings of this one.

`recordings.json` in the runtime directory lists those that run, so that what was started for them is stopped also if
we die. Each detached record has a directory of its name below `record_dir`, which is its caller's, and beside it
`<name>.json`, which says how it went.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from damod.daemon.recording import Recording
from damod.errors import Conflict, NotAllowed
from damod.recorder.job import Caller

log = structlog.get_logger(__name__)

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RecordStore:
    """The files of all recordings of a daemon, except those that its recorders write."""

    def __init__(self, state_dir: Path, record_dir: Path) -> None:
        self._state = state_dir / "recordings.json"
        self._record_dir = record_dir

    def make(self, recording: Recording, caller: Caller | None, *, reuse: bool) -> int:
        """Make the directory of a detached recording (`reuse`: or take the one that is there); a handle on it.

        Raises Conflict if it is there, NotAllowed.
        """
        path = self._record_dir / recording.name
        try:
            self._record_dir.mkdir(0o755, parents=True, exist_ok=True)
            path.mkdir(0o755)
            if caller:
                os.chown(path, caller.uid, caller.gid)
        except FileExistsError:
            if not reuse:
                raise Conflict(
                    f"there is a record named {recording.name!r} already",
                    hint=f"`damoctl record rm {recording.name}` removes it, --force records into its directory",
                    path=str(path),
                ) from None
        except OSError as exc:
            raise NotAllowed(
                f"damod cannot make {path}: {exc.strerror}", hint="see record_dir in damod.yaml", path=str(path)
            ) from exc
        recording.directory = str(path)
        return os.open(path, _OPEN)

    def open(self, recording: Recording) -> int:
        """A handle on the directory of a detached record. Raises OSError."""
        return os.open(recording.directory or "", _OPEN)

    def drop(self, recording: Recording) -> None:
        """Forget a recording that never began; its directory goes if it is empty."""
        if recording.directory:
            with contextlib.suppress(OSError):
                Path(recording.directory).rmdir()
                self._info(recording.name).unlink()

    def remove(self, recording: Recording) -> None:
        """Remove a detached record with all its files; blocks for as long as that takes. Raises OSError."""
        if recording.directory:
            # rmtree follows no link on the way (it works with handles), whoever owns the directory.
            shutil.rmtree(recording.directory, ignore_errors=False)
        self._info(recording.name).unlink(missing_ok=True)

    def save(self, recordings: Iterable[Recording]) -> None:
        """Write what the next damod must know; a full disk must not end a recording."""
        items = list(recordings)
        try:
            _write_json(self._state, [item.to_wire() for item in items if item.running])
            for item in items:
                if item.detached and item.directory:
                    _write_json(self._info(item.name), item.to_wire())
        except OSError as exc:
            log.warning("what runs could not be written down", path=exc.filename, why=exc.strerror)

    def load(self) -> list[Recording]:
        """What an earlier damod wrote; files that are none of its are left out."""
        found: dict[str, Recording] = {}
        files = sorted(self._record_dir.glob("*.json")) if self._record_dir.is_dir() else []
        for path in files:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                item = Recording.from_wire(json.loads(path.read_text()))
                found[item.name] = item
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            for data in json.loads(self._state.read_text()):
                item = Recording.from_wire(data)
                found[item.name] = item
        return list(found.values())

    def _info(self, name: str) -> Path:
        return self._record_dir / f"{name}.json"


def _write_json(path: Path, value: Any) -> None:
    partial = path.with_suffix(".json.part")
    with open(partial, "w") as out:
        json.dump(value, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    partial.rename(path)
