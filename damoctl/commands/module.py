"""damoctl module: DAMON's own modules (stat, reclaim, lru_sort): look at them, set them up, switch them on and off.

`damoctl reclaim` and `damoctl lru_sort` are short for `damoctl module reclaim` and `... lru_sort`, as in damo. The
daemon does it all, so that a module and kdamonds never get in each other's way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damod.errors import SpecInvalid, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from damoctl.context import Context
    from damoctl.options import Parser

ABOUT = "DAMON's own modules: stat measures, reclaim and lru_sort act. One runs at a time, and no kdamond beside it."
EXAMPLES = """\
  damoctl module list                            which there are, and whether they run
  damoctl module reclaim                         one with all its parameters
  damoctl module reclaim write min_age 30s quota_sz 100M
  damoctl module reclaim enable --take_over      also where damon_stat is on, as in Debian's kernels
  damoctl module stat read idle_time_percentiles
  damoctl module reclaim --help                  what one module takes
"""
_PATIENCE_S = 300.0
_ACTIONS = ("status", "enable", "disable", "commit", "read", "write")
_EXAMPLES = {
    "reclaim": """\
  damoctl {0}                                   how it is
  damoctl {0} enable --min_age 30s --quota 10 100M 1000
  damoctl {0} write min_age 1m wmarks_high 60%  parameters by their names
  damoctl {0} commit --min_age 2m               and let it read them while it runs
  damoctl {0} disable
""",
    "lru_sort": """\
  damoctl {0}                                   how it is
  damoctl {0} enable --hot_thres_access_freq 50% --cold_min_age 2m
  damoctl {0} commit --quota 20 1000            and let it read them while it runs
  damoctl {0} disable
""",
    "stat": """\
  damoctl {0} read                              what it measured
  damoctl {0} read idle_time_percentiles        how long the memory has been idle
  damoctl {0} read idle_time_mem_sz             how much memory has been idle for how long
  damoctl {0} enable
""",
}
# option -> the parameters that its words are for, as damo has it.
_OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "reclaim": {
        "min_age": ("min_age",),
        "quota": ("quota_ms", "quota_sz", "quota_reset_interval_ms"),
    },
    "lru_sort": {
        "hot_thres_access_freq": ("hot_thres_access_freq",),
        "cold_min_age": ("cold_min_age",),
        "quota": ("quota_ms", "quota_reset_interval_ms"),
    },
}
_SHARED = {
    "wmarks": ("wmarks_interval", "wmarks_high", "wmarks_mid", "wmarks_low"),
    "monitor_intervals": ("sample_interval", "aggr_interval"),
    "nr_regions": ("min_nr_regions", "max_nr_regions"),
    "monitor_region": ("monitor_region_start", "monitor_region_end"),
}
_METAVARS = {"us": "us", "ms": "ms", "size": "bytes", "permil": "permil", "count": "number", "bp": "bp"}
_HELP = {
    "min_age": "memory that was not accessed for so long is reclaimed",
    "hot_thres_access_freq": "memory that is accessed more often is hot",
    "cold_min_age": "memory that was not accessed for so long is cold",
    "quota": "most time (and memory) to spend, and after which time the quotas count anew",
    "wmarks": "how often free memory is looked at; above the first or below the last share it sleeps,"
    " below the second it begins",
    "monitor_intervals": "sampling and aggregation interval",
    "nr_regions": "fewest and most regions",
    "monitor_region": "physical addresses to work on (0 0: all memory)",
}


def parser() -> Parser:
    """The words of `damoctl module`; those of one module are `parser_of`'s."""
    from damoctl.options import Parser

    made = Parser("module", ABOUT, EXAMPLES)
    made.add_argument("module", nargs="?", choices=("list", "stat", "reclaim", "lru_sort"), help="default: list")
    made.add_argument("words", nargs="*", help="status (default), enable, disable, commit, read or write, and options")
    made.add_argument("--json", action="store_true", help="for programs")
    return made


def parser_of(short: str, command: str) -> Parser:
    """The words of one module, as `damoctl COMMAND`."""
    from damoctl.options import Parser
    from damod.kernel import parameters

    name = parameters.full_name(short)
    table = parameters.TABLE.get(name, {})
    about = f"{name}: {parameters.ABOUT.get(name, 'a module of DAMON')}."
    if table:
        about += "\n\nparameters:\n" + "\n".join(
            f"  {row.name:<35} {row.about}{f' (Linux {row.since})' if row.since else ''}" for row in table.values()
        )
    examples = _EXAMPLES.get(short, "  damoctl {0} read\n  damoctl {0} write NAME VALUE\n").format(command)
    made = Parser(command, about, examples)
    made.add_argument("action", nargs="?", default="status", choices=_ACTIONS, help="default: status")
    made.add_argument("words", nargs="*", metavar="NAME [VALUE]", help="parameters to read, or to write with values")
    options = {**_OPTIONS[short], **_SHARED} if short in _OPTIONS else {}
    for option, names in options.items():
        metavar = tuple(_METAVARS[parameters.TABLE[name][item].kind] for item in names)
        made.add_argument(f"--{option}", nargs=len(names), metavar=metavar, help=f"{_HELP[option]}; units may be given")
    if short == "reclaim":
        made.add_argument("--skip_anon", action="store_true", default=None, help="leave anonymous memory alone")
        made.add_argument("--no_skip_anon", dest="skip_anon", action="store_false", help="reclaim it too")
    if short == "stat":
        made.add_argument("--idle_time_mem_sz_lines", type=int, metavar="N", default=10, help="lines (default: 10)")
        made.add_argument(
            "--idle_time_percentiles_range", type=int, nargs=3, metavar=("START", "STOP", "STEP"),
            default=[0, 101, 10], help="which percentiles (default: 0 101 10)",
        )  # fmt: skip
        made.add_argument(
            "--input_idle_time_percentiles", nargs="+", metavar="VALUE",
            help="instead of the kernel's: pairs, or a file with them; those between are interpolated",
        )  # fmt: skip
    made.add_argument("--raw_number", action="store_true", help="numbers as the kernel prints them")
    made.add_argument("--take_over", "--take-over", action="store_true", help="end what is in the way, where allowed")
    made.add_argument("--dry_run", "--dry-run", action="store_true", help="only tell what would be done")
    made.add_argument("--json", action="store_true", help="for programs")
    return made


def run(argv: list[str], ctx: Context) -> int:
    """List the modules, or go on to the one that is named."""
    words = [word for word in argv if word != "--json"]
    if words and not words[0].startswith("-") and words[0] != "list":
        short = words[0].removeprefix("damon_")
        return run_one(short, f"module {short}", argv[argv.index(words[0]) + 1 :], ctx)
    args = parser().parse_args(argv)
    if args.words:
        raise UsageError(f"module list takes no {args.words[0]!r}", hint="damoctl module --help")
    with ctx.client() as client:
        found = client.call("modules.list")["modules"]
    if args.json or ctx.json:
        ctx.print_json(found)
        return 0
    if not found:
        ctx.note("note: this kernel was built without DAMON's modules")
    for line in _list(found):
        ctx.print(line)
    return 0


def run_one(short: str, command: str, argv: Sequence[str], ctx: Context) -> int:
    """Do what is asked of one module."""
    args = parser_of(short, command).parse_intermixed_args(list(argv))
    as_json = args.json or ctx.json
    wanted = _wanted(short, args)
    if args.action not in ("read", "write") and args.words:
        raise UsageError(f"{command} {args.action} takes no {args.words[0]!r}", hint=f"damoctl {command} --help")
    if args.action in ("status", "read"):
        if wanted:
            raise UsageError(
                f"{command} {args.action} only looks, so --{next(iter(_given(short, args)))} has no effect",
                hint="`enable`, `commit`, or `write` with the names of parameters",
            )
        return _read(short, args, ctx, as_json)
    if args.action == "write":
        wanted |= _pairs(command, args.words)
    with ctx.client() as client:
        # A module that sleeps reads its parameters when it wakes; damod waits for that, within its bounds.
        client.timeout_s = _PATIENCE_S
        try:
            result = client.call(
                "modules.write",
                name=short,
                parameters=wanted,
                enabled={"enable": True, "disable": False}.get(args.action),
                commit=args.action == "commit",
                take_over=args.take_over,
                dry_run=args.dry_run,
            )
        except SpecInvalid as error:
            raise _in_options(error, short, args) from error
    if as_json:
        ctx.print_json(result)
        return 0
    for change in result["changes"]:
        old, new = (_shown(result["module"]["name"], change["parameter"], change[key]) for key in ("old", "new"))
        ctx.print(f"{change['parameter']}: {old} -> {new}")
    for note in result["notes"]:
        ctx.note(f"note: {note}")
    if args.dry_run:
        ctx.note("note: nothing was written")
    else:
        ctx.print(f"{result['module']['name']}: {_state(result['module'])}")
    return 0


def _given(short: str, args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """The options that were used -> their parameters."""
    options = {**_OPTIONS.get(short, {}), **_SHARED, "skip_anon": ("skip_anon",)}
    return {name: names for name, names in options.items() if getattr(args, name, None) is not None}


def _wanted(short: str, args: argparse.Namespace) -> dict[str, Any]:
    """Parameter -> text, from the options; only of those that were given."""
    wanted: dict[str, Any] = {}
    for option, names in _given(short, args).items():
        value = getattr(args, option)
        wanted |= {names[0]: "Y" if value else "N"} if isinstance(value, bool) else dict(zip(names, value, strict=True))
    return wanted


def _pairs(command: str, words: Sequence[str]) -> dict[str, str]:
    if not words or len(words) % 2:
        lone = f"{words[-1]!r} has no value" if words else "no parameter is given"
        raise UsageError(f"{command} write: {lone}", hint=f"damoctl {command} write NAME VALUE [NAME VALUE ...]")
    return dict(zip(words[::2], words[1::2], strict=True))


def _in_options(error: SpecInvalid, short: str, args: argparse.Namespace) -> SpecInvalid:
    """The same, with the options that the parameters came from."""
    source = {name: option for option, names in _given(short, args).items() for name in names}
    lines = [
        f"--{source[item['path']]} ({item['path']}): {item['message']}"
        if item["path"] in source
        else f"{item['path']}: {item['message']}"
        for item in error.facts.get("problems", ())
    ]
    return SpecInvalid("; ".join(lines) or error.message, hint=error.hint, **error.facts)


def _read(short: str, args: argparse.Namespace, ctx: Context, as_json: bool) -> int:
    from damoctl.reports import idle

    made_up = getattr(args, "input_idle_time_percentiles", None)
    views = [word for word in args.words if short == "stat" and word in idle.VIEWS]
    if made_up:
        percentiles: Sequence[float] = idle.of_pairs(made_up)
        module: dict[str, Any] = {}
        views = views or list(idle.VIEWS)
        if views != args.words and args.words:
            raise UsageError("--input_idle_time_percentiles is only for " + " and ".join(idle.VIEWS))
    else:
        with ctx.client() as client:
            module = client.call("modules.show", name=short)
        percentiles = []
    rows = {row["name"]: row for row in module.get("parameters", ())}
    if views and not made_up:
        percentiles = [ms / 1000 for ms in rows["memory_idle_ms_percentiles"]["value"]]
    for word in args.words:
        if word not in rows and word not in views:
            raise UsageError(f"{module['name']} has no parameter {word!r}", hint=f"it has {', '.join(rows)}")
    tables = {view: _view(view, percentiles, args) for view in views}
    names = [word for word in args.words if word in rows] if args.words else list(rows)
    if as_json:
        ctx.print_json({**module, "parameters": [rows[name] for name in names], **tables})
        return 0
    if args.action == "status":
        ctx.print(f"{module['name']}: {_state(module)}")
    for view in views:
        ctx.term.write(idle.render(view, tables[view], raw=args.raw_number))
    single = len(args.words) == 1
    for name in names:
        text = rows[name]["text"] if args.raw_number else rows[name]["shown"]
        ctx.print(text if single else f"{name}: {text}")
    return 0


def _view(view: str, percentiles: Sequence[float], args: argparse.Namespace) -> list[dict[str, float]]:
    from damoctl.reports import idle

    if view == "idle_time_mem_sz":
        return idle.mem_sz(percentiles, args.idle_time_mem_sz_lines)
    return idle.of_range(percentiles, *args.idle_time_percentiles_range)


def _state(module: Mapping[str, Any]) -> str:
    whose = {"damod": ", damod's", "other": ", not damod's"}.get(module["owner"] or "", "")
    pid = f", pid {module['pid']}" if module["pid"] else ""
    return f"on{pid}{whose}" if module["enabled"] else "off"


def _shown(module: str, parameter: str, text: str) -> str:
    from damod.kernel import parameters

    return parameters.shown(parameters.of(module, parameter, text), text)


def _list(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each module."""
    states = [_state(module) for module in found]
    width = max(map(len, states), default=0)
    for module, state in zip(found, states, strict=True):
        yield f"{module['name']:<14} {state:<{width}}  {module['about']}".rstrip()
