"""damoctl monitor: start DAMON for something, and report again and again what it sees, until Ctrl-C.

What is reported is what came from the daemon's stream since the report before; nothing is written to files. All that
was started for it, the command too, ends with it.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from damod.errors import DamodError, NoData, UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping

    from damoctl.context import Context
    from damoctl.options import Parser
    from damoctl.reports.spread import Values
    from damod.access.snapshot import Snapshot

EXAMPLES = """\
  damoctl monitor "./workload --fast"      run a command and show what it accesses
  damoctl monitor 1234 --delay 10          a process, every ten seconds
  damoctl monitor paddr --report_type wss  working set sizes of the whole machine
  damoctl monitor ongoing --count 5        what is monitored already, five times
"""
TYPES = ("heats", "wss", "holistic")
_RESOL = (10, 80)
_HOLISTIC_ROWS = 5
_END_S = 2.0
"""How long the command may take to end when it is told to."""


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser(
        "monitor", "Start DAMON for a target and report what it sees, again and again, until Ctrl-C.", EXAMPLES
    )
    made.add_argument("target", help="a command, a pid, paddr, or ongoing for what is monitored already")
    made.add_argument("--report_type", choices=TYPES, default="heats", help="what to report (default: heats)")
    made.add_argument("--delay", default="3", metavar="SECONDS", help="time between two reports (default: 3)")
    made.add_argument("--count", type=int, default=0, metavar="N", help="end after so many reports (default: 0, never)")
    made.add_argument(
        "--take_over", "--take-over", action="store_true",
        help="stop somebody else's DAMON or the damon_stat module that is in the way",
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help="each report as a line of JSON")
    return made


class _Stop(Exception):
    """A signal asks for the end."""


def run(argv: list[str], ctx: Context) -> int:
    """Monitor until the count, Ctrl-C, or the end of the target."""
    args = parser().parse_args(argv)
    delay_s = _delay(args.delay)
    if args.count < 0:
        raise UsageError(f"monitor: --count {args.count} is less than none", hint="0 goes on until Ctrl-C")
    with suppress(_Stop), _signals(), _started(args, ctx) as slots:
        _repeat(args, ctx, delay_s, slots)
    return 0


def _delay(text: str) -> float:
    from damod.units import parse_time_ns

    try:
        found = float(parse_time_ns(text, "s")) / 1e9
    except ValueError as exc:
        raise UsageError(f"monitor: --delay: {exc}") from exc
    if not 0 < found <= 86_400:
        raise UsageError(f"monitor: --delay {text}: more than nothing, and at most a day")
    return found


@contextmanager
def _signals() -> Iterator[None]:
    """Ctrl-C, kill and a closed terminal end it in the same way, with everything put back."""

    def stop(number: int, frame: object) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)  # what follows is to be done to its end
        raise _Stop

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _started(args: Namespace, ctx: Context) -> Iterator[set[int] | None]:
    """The kdamonds of the target, started and in the end stopped; None for whatever runs already."""
    from damoctl.commands import start
    from damoctl.flags.compile import compile_words
    from damoctl.flags.deduce import deduce

    own = ["--take_over"] if args.take_over else []
    if deduce(args.target).command:
        own.append("--include_child_tasks")
    compiled = compile_words([args.target, *own], own=start.OWN)
    if compiled.ongoing:
        yield None
        return
    name = f"monitor-{os.getpid()}"
    child = None
    try:
        with ctx.client() as client:
            started, child = start.begin(client, compiled, name=name)
        for note in [*compiled.notes, *started["notes"]]:
            ctx.note(f"note: {note}")
        yield {row["index"] for row in started["kdamonds"]}
    finally:
        _stop_set(ctx, name)
        if child:
            _end(child.pid)


def _stop_set(ctx: Context, name: str) -> None:
    """Stop the set; its target's end may have ended it, and a daemon that is gone has nothing to stop."""
    with suppress(DamodError), ctx.client() as client:
        client.call("kdamonds.stop", name=name)


def _end(pid: int) -> None:
    """End the command as a terminal would, and reap it."""
    with suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        handle = os.pidfd_open(pid)
        try:
            import select

            os.kill(pid, signal.SIGTERM)
            if not select.select([handle], [], [], _END_S)[0]:
                os.kill(pid, signal.SIGKILL)
        finally:
            os.close(handle)
        os.waitpid(pid, 0)


def _repeat(args: Namespace, ctx: Context, delay_s: float, slots: set[int] | None) -> None:
    """Report until the count or the end of what is monitored."""
    from queue import SimpleQueue

    from damoctl.watch.live import LiveSource
    from damoctl.watch.source import Update

    told: SimpleQueue[Update] = SimpleQueue()
    source = LiveSource(ctx.client, interval_s=0.0)
    source.start(told.put)
    round_ = _Round(args.report_type, delay_s, slots)
    try:
        shown = 0
        while not round_.over and (not args.count or shown < args.count):
            round_.collect(told)
            if not round_.snapshots:
                if not round_.over:
                    ctx.note(f"damoctl: no snapshot came within {delay_s:g} s{round_.why}")
                continue
            if shown and not (args.json or ctx.json):
                ctx.print()
            round_.show(ctx, as_json=args.json or ctx.json)
            shown += 1
        if round_.over:
            ctx.note("damoctl: what was monitored has ended")
    finally:
        source.close()


class _Round:
    """What came in one delay, and its report."""

    def __init__(self, kind: str, delay_s: float, slots: set[int] | None) -> None:
        self._kind = kind
        self._delay_s = delay_s
        self._slots = slots
        self._footprints: list[Mapping[str, Any]] = []
        self.snapshots: list[Snapshot] = []
        self.over = False
        self.why = ""

    def collect(self, told: Any) -> None:
        """Take what comes until the delay is over, or what is monitored ends."""
        from queue import Empty

        from damoctl.watch.source import Running, Seen, Trouble

        self.snapshots, self._footprints = [], []
        end = monotonic() + self._delay_s
        seen = False
        while (left := end - monotonic()) > 0 and not self.over:
            try:
                update = told.get(timeout=left)
            except Empty:
                break
            if isinstance(update, Seen):
                found = [shot for _, shot in update.snapshots if self._slots is None or shot.kdamond in self._slots]
                self.snapshots += found
                seen = seen or bool(found)
            elif isinstance(update, Running):
                running = {row["index"] for row in update.status["kdamonds"]}
                self.over = not running & (running if self._slots is None else self._slots)
                if self._slots is None and not running:
                    raise NoData("no kdamond is running, so there is nothing to see", hint="damoctl monitor paddr")
            elif isinstance(update, Trouble):
                self.why = f": {update.message}" if update.message else ""

    def show(self, ctx: Context, *, as_json: bool) -> None:
        """Print the report."""
        from damoctl.reports import heatmap, holistic, spread, wss
        from damoctl.reports.frames import Held
        from damod.access.record import from_live

        source = Held(from_live(self.snapshots), "what was monitored")
        term = ctx.term._replace(pager=False)
        if self._kind == "heats":
            maps = heatmap.compute(source, heatmap.Options(resol=_RESOL, time_range=(-self._delay_ns, 0, "guided_end")))
            if as_json:
                _line(ctx, heatmap.to_plain(maps))
            else:
                look = heatmap.Look(skip_example=True)
                term.write(line for line in heatmap.render(maps, look, term) if not line.startswith("#"))
        elif self._kind == "wss":
            found = wss.compute(source, wss.Options())
            if as_json:
                _line(ctx, spread.to_plain(found, spread.Look(), "wss"))
            else:
                term.write(wss.render(found, spread.Look()))
        else:
            page = holistic.compute(source, self._sizes(), (), rows=_HOLISTIC_ROWS, compat=False)
            if as_json:
                _line(ctx, holistic.to_plain(page))
            else:
                term.write(holistic.render(page, term, long=False, compat=False))
        ctx.stdout.flush()

    @property
    def _delay_ns(self) -> int:
        return int(self._delay_s * 1e9)

    def _sizes(self) -> Mapping[str, Values]:
        """What the targets and the system have of memory now, as far as this machine tells."""
        import numpy as np

        from damoctl.reports.spread import Values

        pids = {shot.pid for shot in self.snapshots if shot.pid is not None}
        sizes = [found for pid in pids if (found := _statm(pid)) is not None]
        values = {name: sum(size[index] for size in sizes) for index, name in enumerate(("vsz", "rss")) if sizes}
        used = _used()
        if used is not None:
            values["sys_used"] = used
        return {name: Values(None, np.array([value], dtype=np.int64)) for name, value in values.items()}


def _line(ctx: Context, value: object) -> None:
    import json

    ctx.print(json.dumps(value))


def _statm(pid: int) -> tuple[int, int] | None:
    """Bytes that a process has mapped, and has resident."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            size, resident = file.read().split()[:2]
    except OSError:
        return None
    page = os.sysconf("SC_PAGESIZE")
    return int(size) * page, int(resident) * page


def _used() -> int | None:
    """Bytes of memory that are not free."""
    try:
        with open("/proc/meminfo") as file:
            found = {words[0]: int(words[1]) for line in file if len(words := line.split()) > 1}
    except OSError:
        return None
    return (found["MemTotal:"] - found["MemFree:"]) * 1024
