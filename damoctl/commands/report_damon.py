"""damoctl report damon: kdamonds, running or from a file.

A file needs neither root nor a daemon nor a kernel: a record's .kdamonds, `args damon` output, `report damon` output.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from damoctl.flags.option import Option, Word
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from damoctl.context import Context
    from damoctl.flags.words import Line
    from damoctl.reports.damon import Entry

NAME = "damon"
HELP = "current or recorded DAMON status"

_STAT_FIELDS = (
    "nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots",
    "max_nr_snapshots",
)  # fmt: skip
OPTIONS = (
    Option(
        ("--format",),
        "command",
        "Form of the output.",
        (Word("form", choices=("json", "yaml", "report")),),
        default="report",
    ),
    Option(("--json",), "command", "Short for --format json.", hidden=True),
    Option(("--yaml",), "command", "Short for --format yaml.", hidden=True),
    Option(("--raw",), "command", "Numbers without units, in each field's own unit."),
    Option(("--show_cpu_usage",), "command", "Tell how much CPU each kdamond uses."),
    Option(("--kdamonds_summary",), "command", "One line per kdamond."),
    Option(("--damos_stats",), "command", "Only the statistics of the schemes."),
    Option(
        ("--damos_stat_fields",),
        "command",
        "Of the statistics only these; a single one is printed as a bare value.",
        (Word("field", choices=_STAT_FIELDS),),
        more=True,
    ),
    Option(("--omit_damos_tried_regions",), "command", "Leave out the regions that schemes were tried on."),
    Option(("--damon_params",), "command", "Only the parameters."),
    Option(("--damon_params_omit_defaults",), "command", "Only the parameters that are not at their default."),
    Option(("--input_file", "--input", "-i"), "command", "A file instead of what runs.", (Word("file", "file"),)),
    Option(
        ("--compat",), "command", "Text as that program writes it.", (Word("program", choices=("damo",)),), hidden=True
    ),
    Option(("--damon_interface_DEPRECATED",), "command", "Has no effect.", (Word("interface"),), hidden=True),
    Option(("--debug_damon",), "command", "Has no effect; the daemon's log has it.", hidden=True),
)


def _from_file(name: str) -> list[Any]:
    from damoctl.flags.deduce import read_document

    document = read_document(name)
    if isinstance(document, dict) and "kdamonds" in document:
        document = document["kdamonds"]
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise UsageError(
            f"{name} holds no kdamonds",
            hint="a record's .kdamonds file, or output of `damoctl args damon` or `report damon --json`, is wanted",
        )
    return document


def _plain(entries: Iterable[Entry], line: Line) -> list[Any]:
    """Kdamonds as in a spec file, with state and statistics unless only parameters are wanted."""
    from damod.spec.kdamond import parse_kdamonds
    from damod.spec.plain import plain

    specs: list[Mapping[str, Any]] = [entry.spec for entry in entries]
    kdamonds = parse_kdamonds(specs, template=True)
    omit = line.has("--damon_params_omit_defaults")
    if omit or line.has("--damon_params"):
        kdamonds = tuple(kdamond.without_status() for kdamond in kdamonds)
    made: list[Any] = plain(kdamonds, raw=line.has("--raw"), omit_defaults=omit)["kdamonds"]
    return made


def _cpu_percent(pid: int | None) -> float | None:
    """Share of one CPU that a kdamond has used in its life; None for what is no kernel thread of this machine."""
    from pathlib import Path

    from damod.kernel.procfs import LinuxProc

    proc = LinuxProc(Path("/proc"), Path("/sys"))
    try:
        if pid is None or not Path(f"/proc/{pid}/comm").read_text().startswith("kdamond"):
            return None
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return None
    used_ns, started = proc.cpu_ns(pid), proc.start_time(pid)
    if used_ns is None or started is None:
        return None
    life_s = uptime_s - started / os.sysconf("SC_CLK_TCK")
    return used_ns / 1e7 / life_s if life_s > 0 else None


def _with_cpu(given: list[Any], ctx: Context) -> list[Any]:
    measured = [{**item, "cpu_percent": _cpu_percent(item["spec"].get("pid"))} for item in given]
    if any(item["cpu_percent"] is None for item in measured):
        ctx.note("note: CPU usage is known only of kdamonds that run on this machine's own kernel")
    return measured


def run(argv: list[str], ctx: Context) -> int:
    """Print kdamonds."""
    from damoctl.flags.words import parse

    if any(word in ("-h", "--help") for word in argv):
        from damoctl.flags.help import command_help

        ctx.print(command_help("report damon", "Show kdamonds: parameters, state, statistics.", "", OPTIONS, []))
        return 0
    line = parse(argv, OPTIONS)
    if line.rest:
        raise UsageError(
            f"{line.rest[0]!r} belongs to no option", hint="`damoctl report damon --help` lists the options"
        )
    tried = not (line.has("--omit_damos_tried_regions") or line.has("--damon_params"))
    if line.has("--input_file"):
        given = _from_file(line.last("--input_file"))
    else:
        with ctx.client() as client:
            given = client.call("kdamonds.show", stats=True, tried_regions=tried)["kdamonds"]
        if not given:
            ctx.note("note: no kdamond runs; `damoctl start` starts one")
        if line.has("--show_cpu_usage"):
            given = _with_cpu(given, ctx)
    _show(given, line, ctx)
    return 0


def _show(given: list[Any], line: Line, ctx: Context) -> None:
    from damoctl.reports import damon

    entries = damon.compute(given)
    omit = line.has("--damon_params_omit_defaults")
    choice = damon.Choice(
        params_only=omit or line.has("--damon_params"),
        omit_defaults=omit,
        tried_regions=not line.has("--omit_damos_tried_regions"),
        cpu_usage=line.has("--show_cpu_usage"),
        raw=line.has("--raw"),
        compat=line.last("--compat") == "damo",
    )
    form = (
        "json" if line.has("--json") or ctx.json else "yaml" if line.has("--yaml") else line.last("--format", "report")
    )
    fields = [word for use in line.of("--damos_stat_fields") for word in use.words]
    if line.has("--damos_stats") or fields:
        stats = damon.compute_stats(entries, fields)
        value: Any = damon.plain_stats(stats, raw=choice.raw)
        lines = damon.render_stats(stats, raw=choice.raw)
    elif line.has("--kdamonds_summary"):
        lines = damon.render_summary(entries, choice)
        value = [
            {"index": entry.number, "state": entry.spec.get("state"), "pid": entry.spec.get("pid")} for entry in entries
        ]
    else:
        lines = damon.render(entries, choice)
        value = None if form == "report" else _plain(entries, line)
    if form == "report":
        for text in lines:
            ctx.print(text)
        return
    from damoctl.flags.dump import dump

    ctx.stdout.write(dump(value, form))
