"""`damoctl report profile`: the CPU profile of the times when memory looked as the filters say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damoctl.commands.report_times import selection
from damoctl.flags import access, recording
from damoctl.flags.option import Option, Word
from damod.errors import NoData, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

OPTIONS = (
    Option(
        ("--inputs",), "source", "The record, and what perf recorded at the same time.",
        (Word("record", "file"), Word("profile", "file")), default="damon.data damon.data.profile",
    ),
    Option(("--perf_path",), "source", "The perf program.", (Word("file", "file"),), default="perf"),
    Option(
        ("--temperature_weights",), "filter", "Weights of size, access rate and age for --temperature.",
        (Word("size", "int"), Word("access rate", "int"), Word("age", "int")), default="0 100 100",
    ),
)  # fmt: skip
TABLES = (recording.COMMON, access.FILTERS, OPTIONS)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Run ``perf report`` on the times of the pattern; its exit status is ours."""
    given = recording.read(argv, ctx, "profile", TABLES)
    if given is None:
        return 0
    import subprocess
    from pathlib import Path

    from damoctl.reports import load, times

    record, profile = given.words("inputs", ("damon.data", "damon.data.profile"))
    if given.inputs:
        record, profile = given.inputs[-1], given.inputs[-1] + ".profile"
    if not Path(profile).exists():
        raise NotFound(f"there is no profile {profile}", hint="damoctl record --do_profile makes one")
    with load.opened([record], ctx, compat=given.compat) as source:
        found = times.compute(source, selection(given), compat=given.compat)
    if not found:
        raise NoData("no snapshot of the record matches, so there is no time to profile")
    if given.json:
        ctx.print_json({"profile": profile, "times": times.to_plain(found)})
        return 0
    # perf takes several ranges as one word, separated by blanks
    spans = " ".join(times.text(span).replace("-", ",") for span in found)
    perf = given.one("perf_path", "perf")
    try:
        return subprocess.run([perf, "report", "-i", profile, "--time", spans], check=False).returncode
    except OSError as exc:
        raise NotFound(
            f"cannot run {perf}: {exc.strerror}", hint="install perf (linux-perf), or name it with --perf_path"
        ) from exc
