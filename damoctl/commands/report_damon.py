"""damoctl report damon: kdamonds, running or from a file.

A file needs neither root nor a daemon nor a kernel: a record's .kdamonds, `args damon` output, `report damon` output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damoctl.flags.access import COMPAT, NEWEST
from damoctl.flags.option import Option, Word
from damod.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from damoctl.context import Context
    from damoctl.flags.words import Line
    from damoctl.reports.damon import Entry
    from damod.rpc.client import Client

NAME = "damon"
HELP = "current or recorded DAMON status"

# As long as the default aggregation five times over: short enough to wait for, long enough to have worked.
_CPU_SPAN_S = 0.5
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
        ("--compat",), "command", "Text as that program writes it.", (Word("program", choices=COMPAT),), hidden=True
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


def _with_cpu(given: list[Any], client: Client) -> list[Any]:
    """Each kdamond's share of one CPU, from two looks that lie a moment apart."""
    from time import sleep

    sleep(_CPU_SPAN_S)
    later = {item["index"]: item for item in client.call("kdamonds.show", stats=False)["kdamonds"]}
    return [{**item, "cpu_percent": _cpu_percent(item, later.get(item["index"]))} for item in given]


def _cpu_percent(first: Mapping[str, Any], second: Mapping[str, Any] | None) -> float | None:
    if second is None or None in (first.get("cpu_ns"), second.get("cpu_ns")):
        return None
    if first["spec"].get("pid") != second["spec"].get("pid") or second["time_ns"] <= first["time_ns"]:
        return None
    return float((second["cpu_ns"] - first["cpu_ns"]) * 100 / (second["time_ns"] - first["time_ns"]))


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
    modules: Mapping[str, bool] = {}
    if line.has("--input_file"):
        given = _from_file(line.last("--input_file"))
    else:
        with ctx.client() as client:
            answer = client.call("kdamonds.show", stats=True, tried_regions=tried)
            given, modules = answer["kdamonds"], answer.get("modules", {})
            if given and line.has("--show_cpu_usage"):
                given = _with_cpu(given, client)
        if not given:
            ctx.note("note: no kdamond runs; `damoctl start` starts one")
    _show(given, line, ctx, modules)
    return 0


def _show(given: list[Any], line: Line, ctx: Context, modules: Mapping[str, bool]) -> None:
    from damoctl.reports import damon

    entries = damon.compute(given)
    omit = line.has("--damon_params_omit_defaults")
    choice = damon.Choice(
        params_only=omit or line.has("--damon_params"),
        omit_defaults=omit,
        tried_regions=not line.has("--omit_damos_tried_regions"),
        cpu_usage=line.has("--show_cpu_usage"),
        raw=line.has("--raw"),
        compat=line.has("--compat"),
        newest=line.last("--compat") == NEWEST,
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
        lines = damon.render(entries, choice, modules)
        value = None if form == "report" else _plain(entries, line)
    if form == "report":
        for text in lines:
            ctx.print(text)
        return
    from damoctl.flags.dump import dump

    ctx.stdout.write(dump(value, form))
