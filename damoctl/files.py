"""Files that a user names: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from damod.errors import DamodError


def write_whole(path: str, text: str) -> None:
    """Write a text file so that a reader sees the old or the new content, never a part; the mode of an old file stays.

    What is no regular file (/dev/stdout, a pipe) is just written. Raises DamodError.
    """
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
            return
        target = target.resolve()
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with open(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise DamodError(f"cannot write {path}: {exc.strerror}", errno=exc.errno) from exc


def _umask() -> int:
    # The only portable way to read it is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
