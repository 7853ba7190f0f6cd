"""`damoctl report holistic`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from damoctl.flags import recording
from damoctl.flags.option import Option, Word
from damod.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from damoctl.context import Context
    from damoctl.reports.spread import Values

OPTIONS = (
    Option(("--access_pattern",), "source", "The record (as --input).", (Word("file", "file"),)),
    Option(("--footprints",), "source", "Footprints (default: <record>.mem_footprint).", (Word("file", "file"),)),
    Option(("--profile",), "source", "CPU profile (default: <record>.profile).", (Word("file", "file"),)),
    Option(("--long",), "format", "A longer page, with headings."),
    Option(
        ("--heatmap_time_last_n_sec",), "format", "Heatmaps of the last so many seconds only.",
        (Word("time", "seconds"),),
    ),
    Option(("--perf_path",), "source", "The perf program.", (Word("file", "file"),), default="perf"),
)  # fmt: skip
TABLES = (recording.COMMON, OPTIONS)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show one page about a recording; what was not recorded is left out, with a note."""
    given = recording.read(argv, ctx, "holistic", TABLES)
    if given is None:
        return 0
    from damoctl.reports import holistic, load

    path = given.one("access_pattern", given.inputs[-1] if given.inputs else load.DEFAULT)
    long = "long" in given
    seconds = given.one("heatmap_time_last_n_sec")
    if seconds is not None and not 0 < seconds < math.inf:
        raise UsageError(f"--heatmap_time_last_n_sec {seconds:g}: more than nothing is wanted")
    footprints = _footprints(given.one("footprints"), path, ctx)
    functions = _functions(given.one("perf_path", "perf"), given.one("profile"), path, 30 if long else 16, ctx)
    with load.opened([path], ctx, compat=given.compat) as source:
        page = holistic.compute(
            source, footprints, functions, rows=10 if long else 5, compat=given.compat,
            last_ns=None if seconds is None else int(seconds * 1e9),
        )  # fmt: skip
    if given.json:
        ctx.print_json(holistic.to_plain(page))
    else:
        term = ctx.term
        term.write(holistic.render(page, term, long=long, compat=given.compat))
    return 0


def _footprints(named: str | None, path: str, ctx: Context) -> Mapping[str, Values]:
    from damoctl.reports import footprints

    name = named or f"{path}.mem_footprint"
    try:
        return footprints.compute(footprints.read(name), footprints.METRICS, name)
    except NotFound as exc:
        if named:
            raise
        ctx.note(f"damoctl: {exc.message}")
        return {}


def _functions(perf: str, named: str | None, path: str, most: int, ctx: Context) -> list[str]:
    """The first lines of perf's report of the profile; none, with a note, where there is no profile or no perf."""
    import subprocess
    from pathlib import Path

    profile = named or f"{path}.profile"
    if not Path(profile).exists():
        if named:
            raise NotFound(f"there is no profile {profile}", hint="damoctl record --do_profile makes one")
        ctx.note(f"damoctl: no hot functions: there is no {profile}")
        return []
    try:
        done = subprocess.run([perf, "report", "-i", profile, "--stdio"], capture_output=True, text=True, check=False)
    except OSError as exc:
        ctx.note(f"damoctl: no hot functions: cannot run {perf}: {exc.strerror}")
        return []
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        ctx.note(f"damoctl: no hot functions: {perf} failed: {reason}")
        return []
    return [line for line in done.stdout.splitlines() if line.strip()][:most]
