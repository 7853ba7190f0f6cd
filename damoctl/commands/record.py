"""damoctl record: what monitoring finds, kept. In the foreground in the caller's files, or by damod in the background.

A foreground recording is made by a recorder that damod starts. damoctl opens the directory of `--out` and passes the
handle, and one end of a socket on which the recorder tells how it goes; so the files are the caller's, and the
recording ends with damoctl, whatever ends that, while the end of damod does not spoil it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from damoctl.commands.start import DEBUG, INTERFACE, JSON, NAME, node_ram
from damoctl.flags.access import FILTERS
from damoctl.flags.option import Option, Word
from damod.errors import NotAllowed, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from damoctl.context import Context

EXAMPLES = """\
  damoctl record                           what runs, into ./damon.data, until Ctrl-C
  damoctl record "./workload --fast"       a command, from its first instruction to its end
  damoctl record 1234 --timeout 60         a process, for a minute
  damoctl record paddr --detach --name day in the background, into damod's directory
  damoctl record --snapshot 10s 6          six snapshots of what runs, ten seconds apart
  damoctl record list | show NAME | stop NAME | rm NAME | recover FILE
"""
KINDS = ("access", "cpu_profile", "mem_footprint", "vmas", "proc_stats", "damon_trace_events")
TYPES = ("parquet", "json_compressed", "json", "perf_script")


def _own(names: tuple[str, ...], about: str, *words: Word, **more: Any) -> Option:
    return Option(names, "command", about, words, **more)


OWN = (
    _own(("--out", "-o"), "The record's file.", Word("file", "file"), default="damon.data"),
    _own(("--detach",), "Record in the background, into damod's directory; needs --name."),
    NAME._replace(about="Name of the recording, and of the set of kdamonds that is started for it."),
    _own(("--timeout",), "End after this time.", Word("time", "seconds")),
    _own(
        ("--snapshot",),
        "Take a snapshot every delay, count times (for ever), instead of recording every aggregation.",
        Word("delay", "seconds"), Word("count", "count"), least=1,
    ),
    _own(
        ("--snapshot_damos_filter",),
        "Record of each region of a snapshot the bytes that pass this filter; as --damos_filter. May be repeated.",
        Word("filter"), more=True, repeat=True,
    ),
    _own(("--schemes_target_regions",), "Record the regions that schemes try to apply to, instead of all."),
    _own(
        ("--do_record",), "What to record.", Word("what", choices=KINDS), more=True,
        default="access mem_footprint vmas proc_stats",
    ),
    _own(("--do_profile",), "Record a CPU profile as well (`perf record`), in <out>.profile."),
    _own(
        ("--output_type",), "The type of the finished file.", Word("type", choices=(*TYPES, "perf_data")),
        default="parquet",
    ),
    _own(("--output_permission",), "Permission of all files, octal.", Word("mode"), default="600"),
    _own(
        ("--output_flush_sec",), "Begin a new file, in a directory <out>.<time> of its own, every so often.",
        Word("time", "seconds"), default="3600",
    ),
    _own(("--keep_time",), "Of these directories, remove those older than this.", Word("time", "seconds")),
    _own(("--keep_size",), "Of these directories, remove the oldest beyond this size.", Word("size", "bytes")),
    _own(("--force",), "Replace a record of the same name instead of keeping it as <out>.old."),
    _own(("--perf_path",), "The perf to run.", Word("file", "file")),
    _own(("--record_kdamond",), "Of what runs, record only this kdamond.", Word("index", "kdamond")),
    _own(("--record_set",), "Of what runs, record only this set of kdamonds.", Word("set", "set")),
    _own(("--exclude_child_tasks",), "Do not follow the targets' children."),
    _own(("--include_child_tasks",), "Follow the targets' children, as is the default.", hidden=True),
    _own(("--take_over", "--take-over"), "Stop somebody else's DAMON or the damon_stat module that is in the way."),
    JSON,
    DEBUG,
    INTERFACE,
    _own(
        ("--damon_tracer",), "Accepted for damo's users; no tracer is needed.",
        Word("tracer", choices=("perf", "trace-cmd")), hidden=True,
    ),
)  # fmt: skip


def run(argv: list[str], ctx: Context) -> int:
    """Record, or (list, show, stop, rm, recover) look after recordings."""
    if argv and argv[0] in _VERBS:
        if any(word in ("-h", "--help") for word in argv):
            ctx.print(_verb_help(argv[0]))
            return 0
        return _VERBS[argv[0]](argv[1:], ctx)
    if any(word in ("-h", "--help") for word in argv):
        from damoctl.flags.help import command_help

        ctx.print(command_help("record", "Record what monitoring finds.", EXAMPLES, OWN))
        return 0
    from damoctl.child import dropped_on_error, held
    from damoctl.flags.compile import compile_line
    from damoctl.flags.table import OPTIONS
    from damoctl.flags.words import parse

    line = parse(argv, [*OPTIONS, *OWN, *FILTERS])
    filters = [use for use in line.uses if use.option.level == "filter"]
    line = line._replace(uses=[use for use in line.uses if use.option.level != "filter"])
    params = _params(line, filters)
    with ctx.client() as client:
        compiled = compile_line(line, node_ram=node_ram(client))
        child = held(compiled)
        handles: list[int] = []
        try:
            with dropped_on_error(child, compiled):
                if compiled.anything:
                    params["kdamonds"] = compiled.spec["kdamonds"]
                if not params["detach"]:
                    handles.append(_directory(line.last("--out", "damon.data")))
                    from socket import AF_UNIX, SOCK_SEQPACKET, socketpair

                    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
                    handles.append(theirs.detach())
                client.timeout_s = 90.0
                started = client.call_with_files(handles, "record.start", params)
        finally:
            for handle in handles:
                os.close(handle)
        for note in [*compiled.notes, *started["notes"]]:
            ctx.note(f"note: {note}")
        if child:
            child.release()
    as_json = line.has("--json") or ctx.json
    if params["detach"]:
        if as_json:
            ctx.print_json(started)
        else:
            ctx.print(f"recording {started['name']} into {started['directory']}/{started['out']}")
        return 0
    from damoctl.foreground import Foreground

    out, pid = line.last("--out", "damon.data"), child.pid if child else None
    return Foreground(ctx, started["name"], ours, out, pid, as_json=as_json).run()


def _directory(out: str) -> int:
    """A handle on the directory in which `out` is to be."""
    where = os.path.dirname(out) or "."  # noqa: PTH120 (pathlib is slow to load)
    try:
        return os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise NotFound(f"cannot record to {out}: there is no directory {where}", hint=f"mkdir -p {where}") from exc
    except OSError as exc:
        raise NotAllowed(f"cannot record to {out}: {where}: {exc.strerror}", errno=exc.errno) from exc


def _params(line: Any, filters: Sequence[Any]) -> dict[str, Any]:
    """The parameters of `record.start` that the words say, all but the kdamonds."""
    from damoctl.flags.access import values

    given = values([use for use in line.uses if use.option.level == "command"])

    def last(name: str, default: Any = None) -> Any:
        return given[name][-1][0] if name in given else default

    out = line.last("--out", "damon.data")
    name = os.path.basename(out)  # noqa: PTH119
    if not name:
        raise UsageError(f"--out {out}: it names a directory", hint="give the name of a file in it")
    kinds = given["do_record"][-1] if "do_record" in given else None
    if "do_profile" in given:
        kinds = [*(kinds or ("access", "mem_footprint", "vmas", "proc_stats")), "cpu_profile"]
    if last("output_type") == "perf_data":
        raise UsageError(
            "--output_type perf_data: damod records without perf, so there is no perf.data",
            hint=f"one of {', '.join(TYPES)}",
        )
    detach = "detach" in given
    if detach and "out" in given:
        raise UsageError("--out and --detach: a detached record lies in damod's directory", hint="give --name only")
    params = {
        "name": last("name"),
        "detach": detach,
        "out": name,
        "take_over": "take_over" in given,
        "kdamond": last("record_kdamond"),
        "of": last("record_set"),
        "snapshot": given["snapshot"][-1] if "snapshot" in given else None,
        "snapshot_filters": _damos_filters(given.get("snapshot_damos_filter", ())),
        "schemes_target_regions": "schemes_target_regions" in given,
        "kinds": kinds,
        "output_type": last("output_type", "parquet"),
        "permission": _permission(last("output_permission", "600")),
        "flush_s": last("output_flush_sec", 3600.0),
        "timeout_s": last("timeout"),
        "keep_s": last("keep_time"),
        "keep_bytes": last("keep_size"),
        "force": "force" in given,
        "perf": last("perf_path"),
        "follow": "exclude_child_tasks" not in given,
        "selection": _selection(values(filters)) if filters else None,
    }
    if params["snapshot"] is not None and len(params["snapshot"]) == 1:
        params["snapshot"] = [*params["snapshot"], 0]
    return {name: value for name, value in params.items() if value is not None}


def _permission(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise UsageError(f"--output_permission {text}: not an octal number from 0 to 777")
    return mode


def _damos_filters(uses: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    if not uses:
        return []
    from damoctl.flags.phrase import filters

    try:
        return [item for words in uses for item in filters(words)]
    except ValueError as exc:
        raise UsageError(f"--snapshot_damos_filter: {exc}") from exc


def _selection(given: Mapping[str, Any]) -> dict[str, Any]:
    """The Selection that group F means, as it travels: rates as text of fractions."""
    from damoctl.reports.options import selection
    from damod.access.measure import DEFAULT_WEIGHTS

    plain = selection(given, DEFAULT_WEIGHTS)._asdict()
    if plain["rates"] is not None:
        plain["rates"] = [str(value) for value in plain["rates"]]
    return {name: value for name, value in plain.items() if value not in (None, ()) and name != "weights"}


# -- looking after recordings ----------------------------------------------------------------------------------------


def _one(argv: Sequence[str], verb: str, what: str) -> tuple[str, bool]:
    """The only word, and whether --json is there."""
    words = [word for word in argv if word != "--json"]
    if any(word.startswith("-") for word in words) or len(words) != 1:
        raise UsageError(f"record {verb} takes one {what}", hint=f"damoctl record {verb} {what.upper()}")
    return words[0], len(words) != len(argv)


def _list(argv: Sequence[str], ctx: Context) -> int:
    if [word for word in argv if word != "--json"]:
        raise UsageError("record list takes nothing but --json")
    with ctx.client() as client:
        answer = client.call("record.list")
    if argv or ctx.json:
        ctx.print_json(answer)
        return 0
    for item in answer["recordings"]:
        ctx.print(summary(item))
    if not answer["recordings"]:
        ctx.print("no recordings; `damoctl record --detach --name NAME` starts one")
    return 0


def _show(argv: Sequence[str], ctx: Context) -> int:
    name, as_json = _one(argv, "show", "name")
    with ctx.client() as client:
        item = client.call("record.show", name=name)["recording"]
    if as_json or ctx.json:
        ctx.print_json(item)
        return 0
    for text in details(item):
        ctx.print(text)
    return 0


def _stop(argv: Sequence[str], ctx: Context) -> int:
    name, as_json = _one(argv, "stop", "name")
    with ctx.client() as client:
        item = client.call("record.stop", name=name)["recording"]
    if as_json or ctx.json:
        ctx.print_json(item)
    else:
        ctx.print(summary(item))
    return 0


def _rm(argv: Sequence[str], ctx: Context) -> int:
    name, _ = _one(argv, "rm", "name")
    with ctx.client() as client:
        item = client.call("record.rm", name=name)["recording"]
    ctx.print(f"removed {item['directory']}")
    return 0


def _recover(argv: Sequence[str], ctx: Context) -> int:
    """Seal an interrupted record; needs no daemon."""
    path, _ = _one(argv, "recover", "file")
    path = path.removesuffix(".part")
    from damod.recorder.seal import seal_everything

    directory = _directory(path)
    try:
        name = os.path.basename(path)  # noqa: PTH119
        try:
            mode = os.stat(f"{name}.part", dir_fd=directory, follow_symlinks=False).st_mode & 0o777
        except FileNotFoundError:
            raise NotFound(
                f"there is no {path}.part, so nothing to recover", hint="an interrupted record's file ends in .part"
            ) from None
        for warning in seal_everything(directory, name, mode, "parquet"):
            ctx.note(f"note: {warning}")
    finally:
        os.close(directory)
    ctx.print(f"sealed {path}")
    return 0


def summary(item: Mapping[str, Any]) -> str:
    """One line about a recording."""
    from damod import units

    words = [
        f"{item['name']}: {item['state']}",
        f"{item['snapshots']:,} snapshots",
        f"{item['regions']:,} regions",
        units.size(item["bytes"]),
    ]
    if item["lost"]:
        words.append(f"{item['lost']:,} events lost")
    if item.get("policy"):
        words.append("a policy's")
    return ", ".join(words)


def details(item: Mapping[str, Any]) -> list[str]:
    """All about a recording."""
    from datetime import datetime

    def when(seconds: float | None) -> str:
        return "-" if seconds is None else datetime.fromtimestamp(seconds).isoformat(" ", "seconds")

    lines = [summary(item)]
    if item["directory"]:
        # With segments there is no such file; a report takes the name all the same.
        lines.append(
            f"  {'records' if item['segments'] or item['policy'] else 'file'}: {item['directory']}/{item['out']}"
        )
    lines += [f"  segment: {name}" for name in item["segments"]]
    lines.append(f"  started {when(item['started_s'])}, ended {when(item['ended_s'])}")
    if item["why"]:
        lines.append(f"  ended because {item['why']}")
    return lines + [f"  problem: {problem}" for problem in item["problems"]]


TAKES = {"list": "", "show": "recording", "stop": "recording", "rm": "recording", "recover": "file"}
"""What each verb is about; a recording's name or a file."""
_ABOUT = {
    "list": "The recordings that run, and the detached ones that ended.",
    "show": "How one recording is going, or how it went.",
    "stop": "End a recording properly; its files are sealed then.",
    "rm": "Remove a detached record that has ended, with its files.",
    "recover": "Make a whole record of what a crash left in FILE.part.",
}


def _verb_help(verb: str) -> str:
    from damoctl.examples import of

    takes = {"": "", "recording": " NAME", "file": " FILE"}[TAKES[verb]]
    usage = f"usage: damoctl record {verb}{takes} [--json]"
    return "\n\n".join([usage, _ABOUT[verb], of(f"record {verb}"), "options:\n  --json    for programs"])


_VERBS = {"list": _list, "show": _show, "stop": _stop, "rm": _rm, "recover": _recover}
