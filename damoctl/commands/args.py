"""damoctl args: options become a spec, a filter or a format, as text that other commands read.

Needs no root, no daemon and no kernel, and starts nothing, whatever the target is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damoctl.examples import of
from damoctl.flags.access import COMPAT, NEWEST
from damoctl.flags.option import Option, Word
from damod.errors import UsageError

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.flags.compile import Compiled
    from damod.spec.kdamond import Kdamond

NAME = "args"
HELP = "make and edit parameter files for other commands, offline"

_EXAMPLES = """\
  damoctl args damon --damos_action migrate_hot 0 --out kdamonds.json
  damoctl args damon --damos_action migrate_cold 1 --add kdamonds.json --out kdamonds.json
  damoctl args damon --damos_action pageout --replace kdamonds.json 1 --out kdamonds.json
  damoctl args damon --remove kdamonds.json 1 --out kdamonds.json
  damoctl args damon kdamonds.json --format report
  damoctl args damon kdamonds.json --check_kernel 6.12
"""
_FILE, _INDEX = Word("file", "file"), Word("kdamond index", "index")
TOPICS = ("damon", "accesses_filter", "accesses_format")
_MAX = 2**64 - 1
RAW = Option(("--raw",), "command", "Numbers without units, in each field's own unit.")
OUT = Option(("--out",), "command", "Write to this file instead of printing.", (_FILE,))
DAMON_OWN = (
    Option(
        ("--format",),
        "command",
        "Form of the output; report is for people only, flags are the words that make it.",
        (Word("form", choices=("json", "yaml", "report", "flags")),),
        default="json",
    ),
    RAW,
    OUT,
    Option(("--add",), "command", "Put the kdamonds of this file before those of the options.", (_FILE,)),
    Option(("--replace",), "command", "The file, with this kdamond replaced by the options' one.", (_FILE, _INDEX)),
    Option(("--remove",), "command", "The file without this kdamond.", (_FILE, _INDEX)),
    Option(("--omit_defaults",), "command", "Leave out what is at its default."),
    Option(
        ("--check_kernel",),
        "command",
        "Tell what of it a kernel of this release would not do, on standard error; the exit status is 6 then.",
        (Word("release"),),
    ),
    Option(
        ("--compat",),
        "command",
        "Text of the report as that program writes it.",
        (Word("program", choices=COMPAT),),
        hidden=True,
    ),
    Option(("--debug_damon",), "command", "Accepted for damo's users; nothing here touches a kernel.", hidden=True),
)


def _read_kdamonds(name: str) -> tuple[Kdamond, ...]:
    from damoctl.flags.deduce import read_document
    from damod.spec.kdamond import parse_kdamonds

    return parse_kdamonds(read_document(name), template=True)


def _at(kdamonds: Sequence[Kdamond], use_words: Sequence[str]) -> int:
    """The index that --replace and --remove name."""
    name, text = use_words
    if not text.isdecimal() or int(text) >= len(kdamonds):
        raise UsageError(f"{name} has no kdamond {text}, only {len(kdamonds)} of them, counted from 0")
    return int(text)


def _machine() -> Any:
    """Memory of this machine, or None where no Linux tells it."""
    from damod.kernel.procfs import LinuxProc

    return LinuxProc(Path("/proc"), Path("/sys"))


def _node_ram(nid: int) -> list[tuple[int, int]]:
    try:
        ranges: list[tuple[int, int]] = _machine().numa_node_ram(nid)
    except PermissionError as exc:
        raise UsageError(
            f"--numa_node {nid}: the addresses of the memory are shown to root only",
            hint="run as root, or give the addresses with --regions",
        ) from exc
    return ranges


def _with_default_region(kdamonds: Sequence[Kdamond], ctx: Context) -> tuple[Kdamond, ...]:
    """Fill in the default region of paddr targets, or say why it stays open."""
    contexts = [context for kdamond in kdamonds for context in kdamond.contexts if context.ops == "paddr"]
    if all(target.regions for context in contexts for target in context.targets):
        return tuple(kdamonds)
    from damod.errors import DamodError
    from damod.kernel.writer import resolve

    try:
        return tuple(resolve(kdamond, _machine()) for kdamond in kdamonds)
    except (OSError, DamodError):
        ctx.note(
            "note: the largest System RAM range is not known here (/proc/iomem shows it to root only); "
            "regions stay empty, and start fills them in"
        )
        return tuple(kdamonds)


def _from_options(compiled: Compiled, ctx: Context) -> tuple[Kdamond, ...]:
    from damoctl.flags.compile import explain
    from damod.errors import SpecInvalid
    from damod.spec.kdamond import parse_kdamonds

    for note in compiled.notes:
        ctx.note(f"note: {note}")
    if compiled.command:
        ctx.note(f"note: {compiled.command.text!r} is not started here, so its pid stays open; start fills it in")
    try:
        # A whole spec may be one that was printed for a command; options without any target are a mistake.
        kdamonds = parse_kdamonds(compiled.spec, template=bool(compiled.command or compiled.whole))
    except SpecInvalid as exc:
        raise explain(exc, compiled.given) from exc
    return kdamonds if compiled.whole else _with_default_region(kdamonds, ctx)


def _edited(compiled: Compiled, ctx: Context) -> tuple[Kdamond, ...]:
    """The kdamonds after --add, --replace or --remove."""
    line = compiled.line
    edits = line.of("--add", "--replace", "--remove")
    if len(edits) > 1:
        raise UsageError(f"{' and '.join(map(str, edits))} exclude each other")
    if line.has("--remove"):
        if compiled.anything:
            raise UsageError(f"{edits[0]} takes nothing else about DAMON on the same line")
        kdamonds = _read_kdamonds(edits[0].words[0])
        at = _at(kdamonds, edits[0].words)
        return kdamonds[:at] + kdamonds[at + 1 :]
    new = _from_options(compiled, ctx)
    if line.has("--add"):
        return _read_kdamonds(edits[0].words[0]) + new
    if line.has("--replace"):
        if len(new) != 1:
            raise UsageError(f"{edits[0]} needs exactly one kdamond, the options make {len(new)}")
        kdamonds = _read_kdamonds(edits[0].words[0])
        at = _at(kdamonds, edits[0].words)
        return kdamonds[:at] + new + kdamonds[at + 1 :]
    return new


def _check_kernel(kdamonds: Sequence[Kdamond], release: str, compiled: Compiled, ctx: Context) -> int:
    """Tell what that kernel lacks; the exit status."""
    from damoctl.flags.compile import explain
    from damod.errors import FeatureMissing
    from damod.kernel.features import Features
    from damod.kernel.writer import notes
    from damod.spec.needs import check

    try:
        features = Features.known(release)
    except ValueError as exc:
        raise UsageError(f"--check_kernel: {exc}") from exc
    for index, kdamond in enumerate(kdamonds):
        for note in notes(kdamond, features):
            ctx.note(f"note: kdamonds[{index}].{note}")
    try:
        check(kdamonds, features)
    except FeatureMissing as exc:
        ctx.note(explain(exc, compiled.given).message)
        return exc.exit_status
    ctx.note(f"note: Linux {release} has all that this needs")
    return 0


def _emit(text: str, out: str, ctx: Context) -> None:
    if out:
        from damoctl.files import write_whole

        write_whole(out, text)
    else:
        ctx.stdout.write(text)


def _damon(argv: Sequence[str], ctx: Context) -> int:
    from damoctl.flags.compile import compile_words
    from damoctl.flags.dump import dump
    from damod.spec.plain import plain

    compiled = compile_words(argv, own=DAMON_OWN, node_ram=_node_ram)
    if compiled.ongoing:
        raise UsageError("'ongoing' is what runs already; there is nothing to make of it")
    line = compiled.line
    kdamonds = tuple(kdamond.without_status() for kdamond in _edited(compiled, ctx))
    raw, omit_defaults = line.has("--raw"), line.has("--omit_defaults")
    form = line.last("--format", "json")
    if form == "flags":
        import shlex

        from damoctl.flags.emit import emit

        text = shlex.join(emit(kdamonds)) + "\n"
    elif form == "report":
        from damoctl.reports import damon

        entries = damon.compute(plain(kdamonds, raw=True)["kdamonds"])
        choice = damon.Choice(
            params_only=True, omit_defaults=omit_defaults, raw=raw, compat=line.has("--compat"),
            newest=line.last("--compat") == NEWEST,
        )  # fmt: skip
        text = "".join(f"{shown}\n" for shown in damon.render(entries, choice))
    else:
        text = dump(plain(kdamonds, raw=raw, omit_defaults=omit_defaults), form)
    status = _check_kernel(kdamonds, line.last("--check_kernel"), compiled, ctx) if line.has("--check_kernel") else 0
    _emit(text, line.last("--out"), ctx)
    return status


def _ranges(values: dict[str, list[list[Any]]], name: str, raw: bool, unit: str = "") -> list[list[Any]] | None:
    """The ranges of a repeatable filter option, None if it is not given."""
    if name not in values:
        return None
    return [[_number(value, raw, unit) for value in pair] for pair in values[name]]


def _number(value: Any, raw: bool, unit: str) -> Any:
    """A number as the filter's JSON has it: raw, or exact text with its unit."""
    from fractions import Fraction

    from damod import units

    if unit == "percent":
        share = Fraction(value)
        return (int(share) if share.denominator == 1 else float(share)) if raw else units.exact_percent(share)
    if raw or unit == "int":
        return value
    if unit == "bytes":
        return units.exact_size(value)
    if unit in ("us", "ns"):
        return "max" if value == units.U64_MAX else units.exact_time(value * units.TIME_NS[unit])
    return f"{value:,}"


def _accesses_filter(argv: Sequence[str], ctx: Context) -> int:
    from damoctl.flags.access import FILTERS, values
    from damoctl.flags.dump import dump
    from damoctl.flags.words import parse

    line = parse(argv, [*FILTERS, *form_own("--format")])
    if line.rest:
        raise UsageError(f"{line.rest[0]!r} belongs to no option", hint="damoctl help access_filter_options")
    given = values(use for use in line.uses if use.option.level != "command")
    raw = line.has("--raw")
    bounds = {
        key: (given[name][-1] if name in given else default, unit)
        for key, name, unit, default in (
            ("sz_bytes", "sz_region", "bytes", [0, _MAX]),
            ("nr_accesses", "access_rate", "percent", [0, _MAX]),
            ("age", "age", "us", [0, _MAX]),
        )
    }
    pattern = {
        key: {"min": _number(low, raw, unit), "max": _number(high, raw, unit)}
        for key, ((low, high), unit) in bounds.items()
    }
    made = {
        "access_pattern": pattern,
        "address_ranges": _ranges(given, "address", raw),
        "snapshot_sz_ranges": _ranges(given, "sz_snapshot", raw, "bytes"),
        "snapshot_time_ranges": _ranges(given, "snapshot_time", raw, "ns"),
        "snapshot_index_ranges": _ranges(given, "snapshot_idx", raw, "int"),
        "temperature_ranges": _ranges(given, "temperature", raw),
        "temperature_weights": [0, 100, 100],
    }
    _emit(dump(made, line.last("--format", "json")), line.last("--out"), ctx)
    return 0


def _accesses_format(argv: Sequence[str], ctx: Context) -> int:
    from dataclasses import asdict

    from damoctl.flags.access import FORMATS, values
    from damoctl.flags.dump import dump
    from damoctl.flags.words import parse
    from damoctl.reports.options import from_words

    line = parse(argv, [*FORMATS, *form_own("--output_format")])
    if line.rest:
        raise UsageError(f"{line.rest[0]!r} belongs to no option", hint="damoctl help access_format_options")
    given = values(use for use in line.uses if use.option.level != "command")
    made = {key: _listed(value) for key, value in asdict(from_words(given)).items() if key != "selection"}
    made["raw"] = made["raw"] or line.has("--raw")
    _emit(dump(made, line.last("--output_format", "json")), line.last("--out"), ctx)
    return 0


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple, range)) else value


def form_own(name: str) -> tuple[Option, ...]:
    """The options of the two that are about accesses: form, raw numbers, file."""
    form = Option((name,), "command", "Form of the output.", (Word("form", choices=("json", "yaml")),), default="json")
    return (form, RAW, OUT)


def _help(topic: str) -> str:
    from damoctl.flags.help import command_help

    if topic == "damon":
        about = "Turn options into a kdamonds spec and print it, or edit the one in a file. Nothing is started."
        return command_help("args damon", about, _EXAMPLES, DAMON_OWN)
    from damoctl.flags.access import FILTERS, FORMATS

    if topic == "accesses_filter":
        about = "Print which accesses the options keep."
        return command_help("args accesses_filter", about, "", form_own("--format"), [("filters", FILTERS)])
    about = "Print how the options show accesses."
    return command_help("args accesses_format", about, "", form_own("--output_format"), [("format", FORMATS)])


def run(argv: list[str], ctx: Context) -> int:
    """Print or write what the options make."""
    topics = dict(zip(TOPICS, (_damon, _accesses_filter, _accesses_format), strict=True))
    if not argv or argv[0] in ("-h", "--help"):
        ctx.print("usage: damoctl args {" + ",".join(topics) + "} [options]\n\n" + HELP + "\n\n" + of("args"))
        return 0 if argv else 2
    if argv[0] not in topics:
        from damod.near import near

        raise UsageError(
            f"args makes no {argv[0]!r}{near(argv[0], topics)}", hint=f"it makes one of {', '.join(topics)}"
        )
    if any(word in ("-h", "--help") for word in argv[1:]):
        ctx.print(_help(argv[0]))
        return 0
    return topics[argv[0]](argv[1:], ctx)
