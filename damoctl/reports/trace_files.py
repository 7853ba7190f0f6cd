"""Trace events from files, as lines of text: what perf and trace-cmd recorded or printed, and records."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from damod.errors import BadRecord, NotAllowed, NotFound

_HEAD = 1 << 12
_TRACE_CMD = b"\x17\x08\x44tracing"


def lines(path: str, stack: ExitStack) -> Iterator[str]:
    """The lines of the events in a file, whatever it is; `-` is text on standard input. `stack` ends what is begun.

    Raises NotFound, NotAllowed, or BadRecord where there is no event of DAMON in it.
    """
    if path == "-":
        return _text(sys.stdin, "standard input")
    head = _head(path)
    if head.startswith(b"PERFILE2"):
        return _printed(["perf", "script", "--force", "--ns", "-i", path], path, stack)
    if head.startswith(_TRACE_CMD):
        return _printed(["trace-cmd", "report", "-i", path], path, stack)
    if _is_text(head):
        return _text(stack.enter_context(Path(path).open(errors="replace")), path)
    return _of_record(path, stack)


def _head(path: str) -> bytes:
    try:
        if Path(path).is_dir():
            return b""
        with Path(path).open("rb") as file:
            return file.read(_HEAD)
    except FileNotFoundError:
        return b""  # rotated segments, maybe; what reads records says it if not
    except PermissionError as exc:
        raise NotAllowed(f"reading {path} is not allowed to you") from exc
    except OSError as exc:
        raise BadRecord(f"reading {path} failed: {exc.strerror or exc}") from exc


def _is_text(head: bytes) -> bool:
    return bool(head) and b"\0" not in head and head.lstrip()[:1] not in (b"[", b"{") and head[:1] != b"\x78"


def _text(file: IO[str], name: str) -> Iterator[str]:
    from damoctl.reports.trace import MAX_LINE, parse

    found = False
    # A line without end comes in pieces, none of which is an event.
    while line := file.readline(MAX_LINE + 2):
        bare = line.rstrip("\n")
        found = found or parse(bare) is not None
        yield bare
    if not found:
        raise BadRecord(f"{name} has no trace event of DAMON in it")


def _printed(command: Sequence[str], name: str, stack: ExitStack) -> Iterator[str]:
    """What a tracer's own program prints of its file."""
    if shutil.which(command[0]) is None:
        raise NotFound(
            f"{name} is data of {command[0]}, and there is no {command[0]} here to read it",
            hint=f"run `{' '.join(command)} > events.txt` where it was made",
        )
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    if process.stdout is None or process.stderr is None:
        raise AssertionError("pipes were asked for")
    stack.callback(process.stdout.close)
    try:
        yield from _text(process.stdout, name)
    except BadRecord as exc:
        said = process.stderr.read(400).strip().splitlines()
        raise BadRecord(f"{exc.message}{': ' + said[-1] if said else ''}") from exc


def _of_record(path: str, stack: ExitStack) -> Iterator[str]:
    """The aggregations of a record as the events that they were."""
    from damod.records.reader import open_record

    file = stack.enter_context(open_record(path))
    for series, snapshot in file.aggregations():
        seconds = f"{snapshot.end_ns // 1_000_000_000}.{snapshot.end_ns % 1_000_000_000:09d}"
        regions = snapshot.regions
        target = snapshot.target if series.target_id is None else series.target_id
        if series.scheme is None:
            name = "damon_aggregated" if regions.probe_hits is None else "damon_region_aggregated"
            what = f"damon:{name}: target_id={target}"
        else:
            what = (
                f"damon:damos_before_apply: ctx_idx={series.context} scheme_idx={series.scheme}"
                f" target_idx={snapshot.target}"
            )
        front = f"kdamond.{series.kdamond} xxxx xxxx {seconds}: {what} nr_regions={len(regions)}"
        for index, (start, end, samples, age) in enumerate(
            zip(regions.start, regions.end, regions.nr_accesses, regions.age, strict=True)
        ):
            hits = ""
            if regions.probe_hits is not None:
                hits = " probe_hits=" + " ".join(f"{value:02x}" for value in regions.probe_hits[index])
            yield f"{front} {start}-{end}: {samples} {None if age < 0 else age}{hits}"
