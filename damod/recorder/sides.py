"""What is recorded beside the accesses: footprints, mappings and CPU time of the targets, once a second.

While it runs each side file is JSON lines (`<out>.vmas.part`), so that a crash costs at most its last line; sealing
turns it into damo's form, one JSON list. Every entry has damo's `time` (seconds since the epoch) and, on the clock of
the trace, `mono_ns`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from damod.recorder.job import FOOTPRINT, PROC_STATS, VMAS
from damod.recorder.place import Place, part

Entry = dict[str, Any]

_STATM = ("size", "resident", "shared", "trs", "lrs", "drs", "dt")
_MEMINFO = {
    "MemTotal": "total",
    "MemFree": "free",
    "MemAvailable": "available",
    "Buffers": "buffers",
    "Cached": "cached",
}


class Proc:
    """What /proc says about processes now. One that is gone is left out, or null where damo's form has a place."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        self._root = root

    def _read(self, pid: int, name: str) -> str | None:
        try:
            return (self._root / str(pid) / name).read_text(errors="surrogateescape")
        except OSError:
            return None

    def footprints(self, targets: Iterable[int]) -> list[Entry]:
        """statm of each target in pages, and with pid null the machine's meminfo in KiB."""
        found: list[Entry] = []
        for pid in targets:
            text = self._read(pid, "statm")
            if text:
                found.append({"pid": pid, "footprint": dict(zip(_STATM, map(int, text.split()), strict=False))})
        lines = (line.split() for line in (self._root / "meminfo").read_text().splitlines())
        numbers = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
        machine = {ours: numbers[theirs] for theirs, ours in _MEMINFO.items() if theirs in numbers}
        return [*found, {"pid": None, "footprint": machine}]

    def mappings(self, pid: int) -> str | None:
        """The text of /proc/PID/maps; None if it is gone or may not be read."""
        return self._read(pid, "maps")

    def stats(self, pids: Iterable[int]) -> list[Entry]:
        """The fields of /proc/PID/stat as text, the command in its parentheses; null for one that is gone."""
        return [{"fields": _fields(self._read(pid, "stat"))} for pid in pids]


def _fields(text: str | None) -> list[str] | None:
    if not text:
        return None
    # The command's name may itself contain spaces and parentheses; nothing after it does.
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition(" ")
    return [pid, f"{name})", *tail.split()]


def vmas(text: str) -> list[Entry]:
    """The lines of a maps file as damo has them: the last word is the name."""
    found = []
    for line in text.splitlines():
        words = line.split()
        start, _, end = words[0].partition("-")
        found.append({"start": int(start, 16), "end": int(end, 16), "name": words[-1]})
    return found


class SideFile:
    """One side file of JSON lines while it grows. A full disk costs lines, counted in `lost`, never the recording."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self._name = name
        self._handle = place.make(part(name))
        self._size = 0
        self.lost = 0

    def append(self, entry: Entry) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            with self._place.acting():
                if os.write(self._handle, line) < len(line):
                    raise OSError(28, "No space left on device")
            self._size += len(line)
        except OSError:
            self.lost += 1
            os.ftruncate(self._handle, self._size)
            os.lseek(self._handle, self._size, os.SEEK_SET)

    def close(self) -> None:
        os.close(self._handle)


class Sides:
    """The side files of one segment, and what is put in them."""

    def __init__(self, place: Place, kinds: Iterable[str], proc: Proc | None = None) -> None:
        self._place = place
        self._proc = proc or Proc()
        # None: nothing was written yet, so that without targets there is one entry, which says so.
        self._seen: dict[int, int] | None = None
        self._files = {
            kind: SideFile(place, f"{place.out}.{kind}") for kind in (FOOTPRINT, VMAS, PROC_STATS) if kind in kinds
        }

    def take(self, time_ns: int, mono_ns: int, targets: Iterable[int], kdamonds: Iterable[int]) -> None:
        """One entry per file. Mappings are written again only when they have changed since the last entry."""
        pids = list(targets)
        stamp = {"time": time_ns / 1e9, "mono_ns": mono_ns}
        if FOOTPRINT in self._files:
            self._files[FOOTPRINT].append({**stamp, "footprints": self._proc.footprints(pids)})
        if PROC_STATS in self._files:
            self._files[PROC_STATS].append({**stamp, "proc_stats": self._proc.stats([*kdamonds, *pids])})
        if VMAS in self._files:
            texts = {pid: text for pid in pids if (text := self._proc.mappings(pid))}
            hashes = {pid: hash(text) for pid, text in texts.items()}
            if hashes != self._seen:
                self._files[VMAS].append(
                    {**stamp, "procvmas": [{"pid": pid, "vmas": vmas(text)} for pid, text in texts.items()]}
                )
                self._seen = hashes

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    @property
    def lost(self) -> int:
        """Entries that found no room."""
        return sum(file.lost for file in self._files.values())


def write_kdamonds(place: Place, kdamonds: Iterable[Mapping[str, Any]], directory: int | None = None) -> None:
    """Write `<out>.kdamonds` whole. Raises OSError."""
    text = json.dumps(list(kdamonds), indent=4) + "\n"
    name = f"{place.out}.kdamonds"
    where = place.directory if directory is None else directory
    handle = place.make(part(name), where)
    with place.acting(), open(handle, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.rename(part(name), name, src_dir_fd=where, dst_dir_fd=where)


def seal_side(directory: int, name: str, mode: int) -> None:
    """Turn `<name>.part` into damo's JSON list `<name>`; nothing if there is none. A torn last line is left out.

    Raises OSError; then the part is still there.
    """
    try:
        source = os.open(part(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return
    sealing = f"{name}.sealing"
    with open(source, "rb") as lines:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(sealing, flags, mode, dir_fd=directory)
        try:
            with open(handle, "w", encoding="utf-8") as out:
                os.fchmod(out.fileno(), mode)
                before = "[\n"
                for entry in _entries(lines):
                    out.write(before + _indented(entry))
                    before = ",\n"
                out.write("[]\n" if before == "[\n" else "\n]\n")
                out.flush()
                os.fsync(out.fileno())
            os.rename(sealing, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(sealing, dir_fd=directory)
            raise
    os.unlink(part(name), dir_fd=directory)


def _entries(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _indented(entry: Any) -> str:
    return "\n".join("    " + line for line in json.dumps(entry, indent=4).splitlines())
