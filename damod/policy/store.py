"""Writing policy files: whole or not at all, only where policies of this machine's operator are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from damod.errors import DamodError, UsageError
from damod.policy.load import SUFFIX, Document
from damod.policy.memory import DESTRUCTIVE, hot_bound
from damod.spec.kdamond import Kdamond
from damod.spec.plain import plain

SWITCH = "90-enabled.yaml"
"""The drop-in that `enable` and `disable` write."""


def switch(directory: str, document: Document, on: bool) -> str:
    """Enable or disable a policy by a drop-in in `directory`; the path of the file. Raises DamodError."""
    stem = Path(document.file).name.removesuffix(SUFFIX)
    path = f"{directory}/{stem}.d/{SWITCH}"
    write(path, f"# Written by `damoctl policy {'enable' if on else 'disable'}`.\nenabled: {str(on).lower()}\n")
    return path


def saved(kdamonds: Sequence[Kdamond], *, take_over: bool, about: str) -> str:
    """The text of a policy that runs these kdamonds. Raises UsageError for targets that do not outlive a process."""
    import yaml

    contexts = [context for kdamond in kdamonds for context in kdamond.contexts]
    if any(context.ops != "paddr" for context in contexts):
        raise UsageError(
            "a policy cannot be saved with a pid, which means something else after a restart",
            hint="write a policy with `targets: [{command: NAME}]` (or systemd_unit, cgroup, pid_file); see damo.d(5)",
        )
    limited = [scheme for context in contexts for scheme in context.schemes if scheme.action in DESTRUCTIVE]
    meant = []
    if any(not scheme.quotas.active for scheme in limited):
        meant.append("no_quota")
    if any(scheme.action == "pageout" and not hot_bound(scheme) for scheme in limited):
        meant.append("hot_memory")
    data: dict[str, Any] = {"description": about}
    if take_over:
        data["on_conflict"] = "take_over"
    if meant:
        data["acknowledge"] = meant
    data.update(plain([item.without_status() for item in kdamonds], omit_defaults=True))
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def write(path: str, text: str) -> None:
    """Write a file so that a reader finds the old or the new text. Raises DamodError."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(partial, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fchmod(out.fileno(), 0o644)
            os.fsync(out.fileno())
        partial.replace(target)
    except OSError as exc:
        raise DamodError(
            f"{path} cannot be written ({exc.strerror})", hint="damod needs to be allowed to write there", path=path
        ) from exc
