"""The JSON files beside a record: `.kdamonds`, `.mem_footprint`, `.vmas`, `.proc_stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from damod.errors import BadRecord, NotAllowed, NotFound
from damod.room import Room

# A character of JSON may become so many bytes of objects: "{}," is a dictionary.
_GROWTH = 25


def read(path: str | Path, what: str, hint: str = "") -> Any:
    """What the file says, of any shape. `what` it has and the `hint` are for who finds none.

    Raises NotFound, NotAllowed, BadRecord, and NoMemory before too large a file is read.
    """
    path = Path(path)
    try:
        Room(f"reading {path}").take(path.stat().st_size * _GROWTH)
        return json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        raise NotFound(f"no {what} {path}: there is no such file", hint=hint) from exc
    except PermissionError as exc:
        raise NotAllowed(f"reading {path} is not allowed to you") from exc
    except OSError as exc:
        raise BadRecord(f"reading {path} failed: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise BadRecord(f"{path} is damaged: it is no JSON ({exc})") from exc
