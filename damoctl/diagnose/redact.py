"""Taking out of texts and data what a bug report does not need: who, where, and what runs.

System paths stay, since they say how damod is set up; all other absolute paths go, and with them people's home
directories. Words in single quotes are what messages quote from a user or a file, and go unless they are ours.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

GONE = "<redacted>"
_KEYS = frozenset(
    ("memcg_path", "comm", "cmdline", "command", "exe", "cgroup", "unit", "host", "hostname", "user", "description",
     "out", "directory", "segments", "target", "argv", "workload")
)  # fmt: skip
_PATH = re.compile(r"(?<![\w.<>/-])/[\w.@:+~%-][^\s'\"`,;)\]}]*")
_SYSTEM = ("/sys/", "/proc/", "/dev/", "/etc/damo", "/usr/lib/damo", "/run/damo", "/var/lib/damod", "/boot/config")
_QUOTED = re.compile(r"'([^'\n]{1,200})'")
_FACT = re.compile(rf"\b({'|'.join(sorted(_KEYS))})=(\"[^\"]*\"|\S+)")
_FIRST_USER = 1000


def secrets() -> set[str]:
    """Words of this machine that are nobody's business: its name and the names of its users."""
    host = os.uname().nodename
    users = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid >= _FIRST_USER and entry.pw_name != "nobody"}
    return {word for word in (host, host.partition(".")[0], os.environ.get("SUDO_USER", ""), *users) if len(word) > 1}


def _path(match: re.Match[str]) -> str:
    """A path of the system as it is, any other one gone; what ends a sentence is no part of it."""
    if match[0].startswith(_SYSTEM):
        return match[0]
    return GONE + match[0][len(match[0].rstrip(".:")) :]


class Redactor:
    """`words` are taken out wherever they stand alone; `keep` are quoted words that stay (policies, ...)."""

    def __init__(self, words: Iterable[str] = (), keep: Collection[str] = ()) -> None:
        self._keep = frozenset(keep)
        found = sorted(map(re.escape, words), key=len, reverse=True)
        self._words = re.compile(rf"(?<![\w-])(?:{'|'.join(found)})(?![\w-])") if found else None

    def text(self, text: str) -> str:
        """A text without them."""
        text = _FACT.sub(rf"\1={GONE}", text)
        text = _QUOTED.sub(lambda match: match[0] if match[1] in self._keep else f"'{GONE}'", text)
        text = _PATH.sub(_path, text)
        return self._words.sub(GONE, text) if self._words else text

    def data(self, value: Any, key: str = "") -> Any:
        """The same of JSON data, by key as well."""
        if isinstance(value, Mapping):
            return {str(name): self.data(item, str(name)) for name, item in value.items()}
        if key in _KEYS and value not in (None, "", [], ()):
            return GONE
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Sequence):
            return [self.data(item) for item in value]
        return value
