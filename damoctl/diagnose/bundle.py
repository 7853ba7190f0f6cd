"""`damoctl diagnose bundle`: what a bug report needs, in one file, without what is nobody's business."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from damoctl.diagnose.facts import Facts
from damoctl.diagnose.finding import Finding
from damoctl.diagnose.redact import Redactor, secrets
from damod.errors import Conflict, DamodError

LOG_LINES = 500
_ABOUT = """\
What `damoctl diagnose bundle` collected for a bug report. Names of processes, command lines, paths of users, cgroups,
user names and the name of the machine were taken out; please look through it before you send it.
"""


def contents(facts: Facts, findings: Sequence[Finding], text: Iterable[str], log: str) -> dict[str, bytes]:
    """File name -> what is in it, redacted."""
    keep = {item["name"] for item in facts.policies} | {seen.name for seen in facts.kdamonds if seen.name}
    keep |= {item["name"] for item in facts.features.get("features", ())} | set(facts.status.get("sets", ()))
    redactor = Redactor(secrets(), keep)

    def plain(value: Any) -> bytes:
        return (json.dumps(redactor.data(value), indent=2) + "\n").encode()

    found = {
        "README": _ABOUT.encode(),
        "findings.txt": "".join(redactor.text(line) + "\n" for line in text).encode(),
        "findings.json": plain([finding.to_json() for finding in findings]),
        "versions.json": plain(_versions(facts)),
        "machine.json": plain(facts.survey),
        "status.json": plain(facts.status),
        "kdamonds.json": plain([_kdamond(facts, index) for index in range(len(facts.kdamonds))]),
        "modules.json": plain(facts.modules),
        "features.json": plain(facts.features),
        "policies.json": plain(facts.policies),
        "recordings.json": plain(facts.recordings),
    }
    if log:
        found["log.txt"] = redactor.text(log).encode()
    return found


def _versions(facts: Facts) -> Mapping[str, Any]:
    import platform

    return {
        "damoctl": facts.client,
        "damod": facts.status.get("daemon", {}).get("version"),
        "kernel": {"name": facts.kernel, "release": facts.release},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _kdamond(facts: Facts, index: int) -> Mapping[str, Any]:
    """A kdamond with its parameters and statistics; of what it sees only how much there is."""
    seen = facts.kdamonds[index]
    return {
        "index": seen.index,
        "name": seen.name,
        "spec": seen.spec.model_dump(mode="json"),
        "ran_s": seen.ran_s,
        "cpu_s": seen.cpu_s,
        "tuned_intervals": seen.tuned,
        "drift": list(seen.drift),
        "blind": seen.blind,
        "regions": [len(one.regions) for one in seen.snapshots or ()],
    }


def log_text(path: str | None) -> tuple[str, str]:
    """The end of the daemon's log, and why there is none: from a file, or from the journal."""
    if path:
        try:
            lines = Path(path).read_text(errors="replace").splitlines(keepends=True)
        except OSError as exc:
            return "", f"{path}: {exc.strerror}"
        return "".join(lines[-LOG_LINES:]), ""
    argv = [
        "journalctl",
        "--unit",
        "damod",
        "--lines",
        str(LOG_LINES),
        "--no-pager",
        "--quiet",
        "--output",
        "short-iso",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return "", f"the journal cannot be read ({getattr(exc, 'strerror', None) or 'it takes too long'})"
    return (
        done.stdout,
        "" if done.stdout else "the journal has nothing of damod that you may read; --log FILE gives a file",
    )


def write(path: str, files: Mapping[str, bytes]) -> None:
    """A tar.gz for its owner alone. Raises Conflict if there is such a file, DamodError if it cannot be written."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError as exc:
        raise Conflict(f"{path} is there already", hint="--output gives another name") from exc
    except OSError as exc:
        raise DamodError(f"cannot write {path}: {exc.strerror}", hint="--output gives another place") from exc
    try:
        with os.fdopen(handle, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as tar:
            top = Path(path).name.split(".")[0]
            for name, data in files.items():
                entry = tarfile.TarInfo(f"{top}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                tar.addfile(entry, io.BytesIO(data))
    except OSError as exc:
        with suppress(OSError):
            Path(path).unlink()
        raise DamodError(f"cannot write {path}: {exc.strerror}") from exc
