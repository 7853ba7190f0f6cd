"""`damoctl report access`: where the snapshots come from, and how often.

Source, first that there is: the records given; what the running kdamonds see; ./damon.data; the idle times of
damon_stat.
"""

from __future__ import annotations

import os
from dataclasses import replace
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol

from damoctl.flags import access as flags
from damoctl.flags import words
from damoctl.flags.option import Option, Word
from damoctl.named import all_located
from damoctl.reports import access, options
from damod.access.record import Record, from_live
from damod.access.snapshot import Snapshot
from damod.errors import DaemonUnreachable, NoData, NotAllowed, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from damoctl.context import Context
    from damoctl.reports.options import Options
    from damoctl.term.term import Term

DEFAULT_RECORD = "damon.data"
# Bytes; below, records are shown region by region.
_SMALL = 1 << 16
_TRIED = "tried_regions_of"


class Caller(Protocol):
    """The part of `damod.rpc.client.Client` that is used here."""

    def call(self, method: str, /, **params: Any) -> Any: ...


OPTIONS: tuple[Option, ...] = (
    Option(
        ("--input", "-i"), "source",
        "A record: a file, a directory of segments, the name of a recording, or - for standard input; 'tried_regions_of"
        " <kdamond> <context> <scheme>' is what an installed scheme was tried on. May be repeated.",
        (Word("file", "file"),), more=True, repeat=True,
    ),
    Option(
        ("--tried_regions_of",), "source", "Old form of --input tried_regions_of.",
        (Word("kdamond", "index"), Word("context", "index"), Word("scheme", "index")), repeat=True, hidden=True,
    ),
    Option(("--input_file",), "source", "Old form of --input.", (Word("file", "file"),), more=True, hidden=True),
    Option(
        ("--snapshot_damos_filter",), "source",
        "Count per region the bytes of pages that pass these filters: allow|reject [none] <type> ... (live only).",
        (Word("filter"),), more=True, repeat=True,
    ),
    Option(
        ("--repeat",), "source", "Show it again every delay (1s), count times (for ever). A bare delay is in seconds.",
        (Word("delay", "seconds"), Word("count", "count")), least=0,
    ),
    Option(
        ("--follow",), "source",
        "Go on with each new snapshot, at most one in this time (1s; 0: every one): redrawn on a terminal, one after"
        " the other elsewhere, with --json a line for each.", (Word("interval", "seconds"),), least=0,
    ),
    Option(
        ("--exec",), "source",
        "Call main(records, words) of a Python script instead of printing; or `interpreter`. See docs/exec.md.",
        (Word("script and arguments"),),
    ),
    Option(
        ("--compat",), "format", "Compute as damo (3.3, or 3.4) does, including what it gets wrong.",
        (Word("tool", choices=flags.COMPAT),),
    ),
    Option(("--help", "-h"), "format", "Show this help."),
    Option(("--debug_damon",), "source", "Accepted for damo's users; the daemon's log has it.", hidden=True),
    Option(
        ("--damon_interface_DEPRECATED", "--damon_interface"), "source", "Accepted for damo's users.",
        (Word("interface", choices=("sysfs", "debugfs", "auto")),), hidden=True,
    ),
)  # fmt: skip


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show the accesses as the words say; the words are all of option groups F and X and `OPTIONS`."""
    line = words.parse(argv, (*OPTIONS, *flags.FILTERS, *flags.FORMATS))
    if line.rest:
        raise UsageError(f"report access takes no {' '.join(line.rest)!r}", hint="a record is given with --input")
    given = flags.values(line.uses)
    if "help" in given:
        ctx.term.write(usage())
        return 0
    compat = "compat" in given
    listed = next((name.removeprefix("ls_") for name in given if name.startswith("ls_")), None)
    if listed is not None:
        ctx.print(f"use '{'damo' if compat else 'damoctl'} help access_format_options {listed}' instead")
        return 0
    shown = options.from_words(given, compat=compat, newest=compat and given["compat"][-1][0] == flags.NEWEST)
    if ctx.json:
        shown = replace(shown, as_json=True)
    paths, schemes = inputs(given)
    paths = all_located(paths, ctx)
    term = ctx.term
    if repeat(given)[1] != 1:
        term = term._replace(pager=False)
    filters = page_filters(given)
    check_sources(paths, schemes, filters)
    if "follow" in given:
        from damoctl.commands import report_follow

        others = [name for name in ("repeat", "exec") if name in given]
        if others or filters or paths or schemes:
            named = f"--{others[0]}" if others else "--snapshot_damos_filter" if filters else "--input"
            raise UsageError(f"--follow and {named} exclude each other", hint="--repeat shows other sources again")
        said = given["follow"][-1]
        return report_follow.follow(ctx, shown, term._replace(pager=False), said[0] if said else 1.0)
    if any("<vma>" in template for *_, template in shown.edits):
        from damoctl.reports.vmas import Names

        shown = replace(shown, vmas=Names(paths or [DEFAULT_RECORD]))
    source = Source(ctx, paths, filters, schemes, compat=compat)

    def show() -> None:
        if "exec" not in given and paths and source.bulk(shown, term):
            return
        present(access.compute(source.records(), shown, live=source.live), given, term)

    return repeated(given, show)


def present(made: access.Report, given: dict[str, list[list[Any]]], term: Term) -> None:
    """Print a report, or hand its records to the script of --exec."""
    if "exec" in given:
        from damoctl.reports import script

        script.run(given["exec"][-1][0], made.records)
    else:
        term.write(access.render(made, term))


def repeated(given: dict[str, list[list[Any]]], show: Callable[[], None]) -> int:
    """Show as often as --repeat says (a script of --exec runs once); Ctrl-C ends that without complaint."""
    delay_s, count = repeat(given)
    due = monotonic()
    try:
        while True:
            show()
            count -= 1
            if count == 0 or "exec" in given:
                return 0
            due = max(due + delay_s, monotonic())
            sleep(max(due - monotonic(), 0))
    except KeyboardInterrupt:
        if "repeat" not in given:
            raise
        return 0


def inputs(given: dict[str, list[list[Any]]]) -> tuple[list[str], list[tuple[int, int]]]:
    """Files, and (kdamond, scheme) of the schemes whose tried regions are wanted."""
    paths: list[str] = []
    tried = [list(use) for use in given.get("tried_regions_of", ())]
    for use in (use for name in ("input", "input_file") for use in given.get(name, ())):
        if use and use[0] == _TRIED:
            if len(use) != 4 or not all(str(word).isdecimal() for word in use[1:]):
                raise UsageError(
                    f"--input {' '.join(map(str, use))}: wanted are three indices, counted from 0",
                    hint=f"--input {_TRIED} <kdamond> <context> <scheme>",
                )
            tried.append(list(map(int, use[1:])))
        else:
            paths += use
    for kdamond, context, _ in tried:
        if context != 0:
            raise UsageError(f"kdamond {kdamond} has no context {context}; every kernel so far takes exactly one, 0")
    return paths, [(kdamond, scheme) for kdamond, _, scheme in tried]


def check_sources(paths: Sequence[str], schemes: Sequence[tuple[int, int]], filters: Sequence[Any]) -> None:
    """UsageError for sources that cannot stand beside each other."""
    if filters and paths:
        raise UsageError(
            "--snapshot_damos_filter is for live snapshots, not for records",
            hint="a record has the passed bytes of the filters it was recorded with",
        )
    if schemes and (filters or paths):
        beside = "--snapshot_damos_filter" if filters else paths[0]
        raise UsageError(f"tried_regions_of is what a scheme saw; {beside} cannot stand beside it")


def repeat(given: dict[str, list[list[Any]]]) -> tuple[float, int]:
    """Delay in seconds and how many times; a negative count never reaches zero."""
    if "repeat" not in given:
        return 0.0, 1
    said = given["repeat"][-1]
    delay_s = said[0] if said else 1.0
    if delay_s < 0:
        raise UsageError(f"--repeat {delay_s:g}: the delay is negative")
    if len(said) > 1 and said[1] == 0:
        raise UsageError("--repeat: 0 times shows nothing")
    return delay_s, said[1] if len(said) > 1 else -1


class Source:
    """Where the records come from, asked once per showing; keeps the connection between showings.

    `filters` are page-level DAMOS filters for a live snapshot, `schemes` (kdamond, scheme) of those whose tried regions
    are wanted. What was live once is never replaced by an old file.
    """

    def __init__(
        self,
        ctx: Context,
        paths: Sequence[str],
        filters: Sequence[dict[str, Any]],
        schemes: Sequence[tuple[int, int]],
        *,
        compat: bool,
    ) -> None:
        self._ctx = ctx
        self._paths = paths
        self._schemes = schemes
        self._params = {"filters": list(filters)} if filters else {}
        self._compat = compat
        self._client: Caller | None = None
        self.live = False

    @property
    def probed(self) -> Any:
        """The kdamonds that run, as `kdamonds.show` has them; of a live source only."""
        self._client = self._client or self._ctx.client()
        return self._client.call("kdamonds.show", stats=False)["kdamonds"]

    def records(self) -> list[Record]:
        """The records to show now; `live` tells whether they are a running kdamond's."""
        if self._paths:
            return self._read(self._paths)
        if self._schemes:
            self._client = self._client or self._ctx.client()
            self.live = True
            return self._tried(self._client)
        trouble: DaemonUnreachable | NotAllowed | NoData
        try:
            self._client = self._client or self._ctx.client()
            found = self._snapshots(self._client)
        except (DaemonUnreachable, NotAllowed) as exc:
            trouble = exc
        except NoData as exc:
            # Running but silent is not the same as not running: an old file would be mistaken for the answer.
            if self._client is not None and _running(self._client):
                raise
            trouble = exc
        else:
            file_first = all(snapshot.source == "damon_stat" for snapshot in found) and _there(DEFAULT_RECORD)
            if found and not file_first:
                self.live = True
                return from_live(found)
            trouble = NoData("no kdamond is running", hint="damoctl start, or give a record with --input")
        if self.live or self._params or not _there(DEFAULT_RECORD):
            raise trouble
        self._ctx.note(f"damoctl: showing ./{DEFAULT_RECORD}: {trouble.message}")
        return self._read([DEFAULT_RECORD])

    def _snapshots(self, client: Caller) -> list[Snapshot]:
        return [Snapshot.from_wire(wire) for wire in client.call("kdamonds.snapshot", **self._params)["snapshots"]]

    def _tried(self, client: Caller) -> list[Record]:
        found = []
        for kdamond, scheme in self._schemes:
            answer = client.call("kdamonds.snapshot", kdamond=kdamond, scheme=scheme)["snapshots"]
            (record,) = from_live(map(Snapshot.from_wire, answer))
            found.append(replace(record, scheme=scheme))
        return found

    def bulk(self, shown: Options, term: Term) -> bool:
        """Show the record(s) at the paths on columns, if they are large and columns can show them; False if not."""
        if shown.compat or all(_small(path) for path in self._paths):
            return False
        from damod.records import lean

        lean.load()
        from damoctl.reports import bulk, load

        with load.opened(self._paths, self._ctx) as source:
            if source.has_more:
                return False
            found = bulk.outlines(source, shown)
            templates = bulk.layout(found, shown)
            if not bulk.can(shown, templates) or (bulk.tells_stats(shown, templates) and source.has_stats):
                return False
            if term.tty:
                source.silence()
            term.write(bulk.render(source, found, templates, shown, term))
        return True

    def _read(self, paths: Sequence[str]) -> list[Record]:
        from damod.records import reader

        found: list[Record] = []
        for path in paths:
            with reader.open_record(path, compat=self._compat) as file:
                found += file.records()
                for warning in file.warnings:
                    self._ctx.note(f"damoctl: {warning}")
        return found


def _small(path: str) -> bool:
    """Whether a record is so small that loading numpy costs more than it saves."""
    try:
        return os.stat(path).st_size < _SMALL and not os.path.isdir(path)  # noqa: PTH112, PTH116
    except OSError:
        return True


def _there(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 (pathlib is slow to load)


def _running(client: Caller) -> bool:
    return any(kdamond.get("state") == "on" for kdamond in client.call("daemon.status").get("kdamonds", ()))


def page_filters(given: dict[str, list[list[Any]]]) -> list[dict[str, Any]]:
    """The page-level filters of all --snapshot_damos_filter, in order."""
    if "snapshot_damos_filter" not in given:
        return []
    from damoctl.flags import phrase

    try:
        return [item for use in given["snapshot_damos_filter"] for item in phrase.filters(use)]
    except ValueError as exc:
        raise UsageError(f"--snapshot_damos_filter: {exc}") from exc


def usage() -> list[str]:
    """The lines of ``damoctl report access --help``."""
    from damoctl.flags.help import command_help

    groups = (("which accesses", flags.FILTERS), ("how to show them", flags.FORMATS))
    about = "Access patterns of the monitored memory, now or from a record."
    return command_help("report access", about, "", OPTIONS, groups).split("\n")
