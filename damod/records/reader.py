"""Reading a record, whatever it is: `open_record` tells by the content, never by the name or the `file` program.

| content | type | how it is read |
|---|---|---|
| PAR1 ... PAR1 | parquet | by row groups; a damaged one is left out with a warning |
| Arrow stream | arrow | a `.part`, up to its last whole batch |
| zlib, JSON, text of events | json_compressed, json, perf_script | damo's records; held in memory as columns |
| PERFILE2 | perf_data | through `perf script`, if there is a perf |

Rotated segments (`<out>.<time>/<out>`) are read as the one record that they are parts of.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from damod.access.record import Record
from damod.errors import BadRecord, NotAllowed, NotFound
from damod.records import damo_json, holding
from damod.records.file import RecordFile
from damod.records.kinds import Columns, Parquet, Segments, Stream
from damod.records.stream import MAGIC
from damod.records.writer import PART

_CHUNK = 1 << 20
_SEGMENT = re.compile(r"^(?P<name>.+)\.\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d(?:\.\d+)?$")


def open_record(path: str | Path, *, compat: bool = False) -> RecordFile:
    """The record at a path: a file of any type above, a directory of rotated segments, or `-` for standard input.

    Of `<out>` that is not there, its `<out>.part` or the segments beside it are read. `compat` reads damo's
    `sample_interval_us` as damo does. Raises NotFound, NotAllowed or BadRecord.
    """
    if str(path) == "-":
        return _open(_spooled(sys.stdin.buffer), "standard input", compat=compat)
    path = Path(path)
    try:
        parts = _parts(path)
        if not parts:
            raise NotFound(f"no record {path}: there is no such file", hint="damoctl record makes one")
        if parts == [path]:
            return _open_file(path, compat=compat)
        opened: list[RecordFile] = []
        try:
            for part in parts:
                opened.append(_open_file(part, compat=compat))
                opened[-1].rest()
        except BaseException:
            for record in opened:
                record.close()
            raise
        return opened[0] if len(opened) == 1 else Segments(opened, str(path))
    except PermissionError as exc:
        raise NotAllowed(f"reading {path} is not allowed to you", hint="records are private to who made them") from exc
    except OSError as exc:
        raise BadRecord(f"reading {path} failed: {exc.strerror or exc}") from exc


def _parts(path: Path) -> list[Path]:
    """The files that make up the record at `path`, in order."""
    if path.is_dir():
        own = _segment(path)
        if own is not None:
            return [own]
        found = [part for item in _rotated(path) if (part := _segment(item)) is not None]
        if not found:
            raise BadRecord(f"{path} is a directory without a record in it")
        if len({_stem(item) for item in found}) > 1:
            raise BadRecord(f"{path} has segments of several recordings", hint="name one: <directory>/<name>")
        return found
    if path.exists() or path.is_symlink():
        return [path]
    beside = [item for item in _rotated(path.parent) if _stem(item / "x") == path.name]
    found = [part for item in beside if (part := _segment(item)) is not None]
    running = path.with_name(path.name + PART)
    return [*found, running] if running.is_file() else found


def _stem(segment: Path) -> str:
    match = _SEGMENT.match(segment.parent.name)
    return match["name"] if match else ""


def _rotated(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(item for item in directory.iterdir() if _SEGMENT.match(item.name) and item.is_dir())


def _segment(directory: Path) -> Path | None:
    """The record in the directory of a segment, None if there is none."""
    match = _SEGMENT.match(directory.name)
    for name in [match["name"]] if match else ["damon.data"]:
        for file in (directory / name, directory / (name + PART)):
            if file.is_file():
                return file
    return None


def _open_file(path: Path, *, compat: bool) -> RecordFile:
    file = path.open("rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        with file:
            return _open(_spooled(file), str(path), compat=compat)
    return _open(file, str(path), compat=compat)


def _spooled(source: BinaryIO) -> BinaryIO:
    """What cannot be read twice, as a file that can."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(source, file, _CHUNK)
    file.seek(0)
    return file


def _open(file: BinaryIO, name: str, *, compat: bool) -> RecordFile:
    try:
        head = file.read(8)
        file.seek(0)
        if head[:4] == b"PAR1":
            return Parquet(file, name)
        if head[:4] == MAGIC:
            return Stream(file, name)
        kind = "perf_data" if head == b"PERFILE2" else _text_kind(file, head)
        records = _from_perf(file, name) if kind == "perf_data" else _from_damo(file, name, compat=compat)
        file.close()
        return Columns(records, name, kind)
    except BaseException:
        file.close()
        raise


def _text_kind(file: BinaryIO, head: bytes) -> str:
    if damo_json.compressed(head):
        return "json_compressed"
    text = file.read(4096).lstrip()
    file.seek(0)
    return "json" if text[:1] in (b"[", b"{") else "perf_script"


def _from_damo(file: BinaryIO, name: str, *, compat: bool) -> list[Record]:
    if _text_kind(file, file.read(8)) != "perf_script":
        from damod.records import damo_fast

        file.seek(0)
        with contextlib.suppress(damo_fast.Unusual, BadRecord):
            outline, regions = damo_fast.read(damo_json.texts(file, name), holding.of_damo(name))
            return damo_json.from_outline(outline, regions, name, compat=compat)
    file.seek(0)
    return damo_json.read_stream(file, name, compat=compat)


def _from_perf(file: BinaryIO, name: str) -> list[Record]:
    """The records in raw data of perf, through `perf script`."""
    perf = shutil.which("perf")
    if perf is None:
        raise BadRecord(
            f"{name} is raw data of perf, and there is no perf here to read it",
            hint="install perf, or run `perf script -i FILE > record.txt` where it was made",
        )
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [perf, "script", "--force", "--ns", "-i", f"/proc/self/fd/{file.fileno()}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[file.fileno()],
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            return damo_json.read_stream(cast("BinaryIO", process.stdout), name)
        except BadRecord as exc:
            process.kill()
            process.wait()
            errors.seek(0)
            said = errors.read(400).decode(errors="replace").strip().splitlines()
            if not said:
                raise
            raise BadRecord(f"`perf script` could not read {name}: {said[-1]}") from exc
        finally:
            process.kill()
            process.wait()
            cast("BinaryIO", process.stdout).close()
