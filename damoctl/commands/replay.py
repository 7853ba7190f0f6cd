"""damoctl replay: a recorded pattern of accesses, done again on real memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damod import units
from damod.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from damoctl.context import Context
    from damoctl.options import Parser
    from damoctl.replay.engine import Outcome, Player
    from damoctl.replay.trace import Trace

EXAMPLES = """\
  damoctl replay                                       ./damon.data, as it was
  damoctl record "damoctl replay old.data" -o new.data the same pattern, monitored again
  damoctl replay --time_range 10s 20s --write          ten seconds of it, writing instead of reading
  damoctl replay --test_perf --test_perf_runtime 5s    how much this machine could do
"""
ABOUT = """\
Touches one byte of each page that was recorded as accessed, when and as often as it was. Addresses are packed:
what is not recorded between them is left out, and only memory that is accessed at all becomes resident (see
--populate). The lines at the start say where the memory lies. A machine that is too slow does less, not later;
the summary tells how much of what was wanted was done.
"""
# Bytes that nobody waits for.
_MUCH = 1 << 30


def _kind(parse: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    """A type for argparse whose message has the text and what is wrong with it."""
    import argparse

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, OverflowError) as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    convert.__name__ = what
    return convert


def _seconds(text: str) -> float:
    value = float(units.parse_time_ns(text, "s")) / 1e9
    if value <= 0:
        raise ValueError(f"{text!r} is not longer than nothing")
    return value


def _threads(text: str) -> int:
    value = units.parse_count(text)
    if not 1 <= value <= 256:
        raise ValueError(f"{text!r}: from 1 to 256 threads")
    return value


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser("replay", ABOUT, EXAMPLES)
    seconds, size = _kind(_seconds, "time"), _kind(units.parse_size, "size")
    nanoseconds = _kind(lambda text: units.parse_time(text, "ns"), "time")
    made.add_argument("input", nargs="?", default="damon.data", metavar="FILE", help="record (default: damon.data)")
    made.add_argument(
        "--time_range", nargs=2, type=nanoseconds, metavar=("START", "END"),
        help="aggregations of this time only, from the record's beginning on (10s 20s)",
    )  # fmt: skip
    made.add_argument(
        "--address_range", nargs=2, type=size, action="append", default=[], metavar=("START", "END"),
        help="these recorded addresses only; may be repeated",
    )  # fmt: skip
    for name, what in (("--kdamond_idx", "kdamond"), ("--context_idx", "context"), ("--tid", "target id")):
        made.add_argument(
            name, type=int, metavar="N", help=f"this {what} only (default: all targets of the first kdamond)"
        )
    made.add_argument("--write", action="store_true", help="write to pages instead of reading them")
    made.add_argument(
        "--populate", action="store_true", help="make memory resident, too, that was monitored and never accessed"
    )
    made.add_argument(
        "--max_memory", type=size, metavar="SIZE",
        help="most memory to take (default: 95 %% of what is available; cgroup limits count)",
    )  # fmt: skip
    made.add_argument(
        "--threads", type=_kind(_threads, "number"), metavar="N", help="default: one per processor, at most 4"
    )
    made.add_argument("--steps", action="store_true", help="a line for each aggregation")
    made.add_argument(
        "--progress_notice_interval", type=seconds, metavar="TIME",
        help="tell so often how far it is (default: on a terminal only)",
    )  # fmt: skip
    made.add_argument("--test_perf", action="store_true", help="replay nothing; measure how fast memory can be touched")
    made.add_argument(
        "--test_perf_sz_mem", type=size, default=1 << 30, metavar="SIZE", help="memory for that (default: 1 GiB)"
    )
    made.add_argument(
        "--test_perf_runtime", type=seconds, default=60.0, metavar="TIME", help="time for that (default: 1 m)"
    )
    made.add_argument("--json", action="store_true", help="print the result for programs")
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Replay, or measure."""
    args = parser().parse_args(argv)
    args.json = args.json or ctx.json
    import os

    # pyarrow's own allocator maps a little memory a terabyte away from everything else. Who monitors the replay would
    # see that terabyte as one of the process's three regions, and DAMON's regions would be too coarse for ours.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from damoctl.replay import engine

    threads = args.threads or engine.default_threads()
    if args.test_perf:
        return _measure(args, threads, ctx)
    trace = _trace(args, ctx)
    notice = _Notice(len(trace.steps), args.progress_notice_interval, ctx)
    with engine.Player(
        trace, threads=threads, write=args.write, whole=args.populate, max_bytes=args.max_memory,
        tell=notice.preparing,
    ) as player:  # fmt: skip
        notice.clear()
        if not args.json:
            _introduce(player, ctx)
        outcome = player.play(notice)
        notice.clear()
        if args.json:
            ctx.print_json(to_plain(player, outcome))
        else:
            ctx.term.write(summary(player, outcome, steps=args.steps))
    if outcome.stopped:
        raise KeyboardInterrupt
    return 0


def _trace(args: argparse.Namespace, ctx: Context) -> Trace:
    import mmap

    from damoctl.named import located
    from damoctl.replay.trace import Choice, compile_trace
    from damod.records.reader import open_record

    for name, low, high in [("--time_range", *args.time_range)] if args.time_range else []:
        if low >= high:
            raise UsageError(f"{name} {low} {high}: the first is not before the second")
    for low, high in args.address_range:
        if low >= high:
            raise UsageError(f"--address_range {low} {high}: the first is not below the second")
    choice = Choice(
        args.kdamond_idx, args.context_idx, args.tid, tuple(args.time_range) if args.time_range else None,
        [tuple(span) for span in args.address_range],
    )  # fmt: skip
    with open_record(located(args.input, ctx)) as record:
        trace = compile_trace(record.aggregations(), choice, page=mmap.PAGESIZE)
        for warning in dict.fromkeys(record.warnings):
            ctx.note(f"damoctl: {warning}")
    if trace.others and args.kdamond_idx is None and args.context_idx is None and args.tid is None:
        ctx.note(f"damoctl: {', '.join(trace.others)} left out; --kdamond_idx and --context_idx choose another")
    return trace


def _introduce(player: Player, ctx: Context) -> None:
    """Where the memory is, while there is time to start monitoring it."""
    import os

    for target, memory in zip(player.trace.targets, player.memories, strict=True):
        whose = "" if target.pid is None else f" (recorded pid {target.pid})"
        ctx.print(
            f"target {target.index}{whose}: {memory.start:#x}-{memory.end:#x} of pid {os.getpid()},"
            f" {units.size(memory.end - memory.start)}"
        )
    ctx.stdout.flush()


class _Notice:
    """How far it is: in place on a terminal, or as lines where an interval was asked for."""

    def __init__(self, steps: int, interval_s: float | None, ctx: Context) -> None:
        self._steps, self._interval_s, self._ctx = steps, interval_s, ctx
        self._tty = ctx.stderr.isatty() and interval_s is None
        self._due_s = interval_s or 0.0
        self._shown = False

    def __call__(self, done: int, seconds: float) -> None:
        text = f"{done}/{self._steps} snapshots replayed in {units.time(int(seconds * 1e9))}"
        if self._tty:
            self._draw(text)
        elif self._interval_s is not None and seconds >= self._due_s:
            self._ctx.note(text)
            self._due_s += self._interval_s

    def preparing(self, ready: int, of: int) -> None:
        """Making much memory resident takes a while before anything is replayed."""
        if self._tty and of >= _MUCH:
            self._draw(f"{units.size(ready)} of {units.size(of)} made resident")

    def _draw(self, text: str) -> None:
        self._ctx.stderr.write(f"\r{text}\x1b[K")
        self._ctx.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._ctx.stderr.write("\r\x1b[K")
            self._ctx.stderr.flush()


def _share(touched: int, wanted: int) -> str:
    return f"{100 * touched / wanted:.1f} %" if wanted else "-"


def summary(player: Player, outcome: Outcome, *, steps: bool) -> list[str]:
    """What was wanted and what was done."""
    from damoctl.replay.engine import PAGE

    lines = []
    if steps:
        lines.append("snapshot  begin      wanted        touched       share    late")
        for number, (step, done) in enumerate(zip(player.trace.steps, outcome.steps, strict=False)):
            lines.append(
                f"{number:<9} {step.start_ns / 1e9:<10.3f} {done.wanted:<13,} {done.touched:<13,}"
                f" {_share(done.touched, done.wanted):<8} {done.late_ns / 1e6:.1f} ms"
            )
    seconds = max(outcome.seconds, 1e-9)
    short = sum(done.touched < done.wanted for done in outcome.steps)
    lines += [
        f"{len(outcome.steps)} of {len(player.trace.steps)} snapshots of {len(player.trace.targets)} target(s)"
        f" in {units.time(int(outcome.seconds * 1e9))}, {outcome.threads} thread(s),"
        f" {units.size(player.resident_bytes)} resident",
        f"page accesses: {outcome.touched:,} of {outcome.wanted:,} wanted ({_share(outcome.touched, outcome.wanted)}),"
        f" {units.size(outcome.touched * PAGE / seconds)} of memory per second",
        f"timing: at most {outcome.late_ns / 1e6:.1f} ms late, {short} snapshot(s) with fewer accesses than wanted",
        "stopped before the end" if outcome.stopped else "all snapshots are replayed",
    ]
    return lines


def to_plain(player: Player, outcome: Outcome) -> dict[str, Any]:
    """The result for programs; times are nanoseconds, sizes bytes, accesses touches of a page.

    `began_ns` is on the monotonic clock, as times of records are; those of steps count from there.
    """
    import os

    return {
        "pid": os.getpid(),
        "threads": outcome.threads,
        "began_ns": player.began_ns,
        "seconds": outcome.seconds,
        "stopped": outcome.stopped,
        "wanted": outcome.wanted,
        "touched": outcome.touched,
        "late_ns": outcome.late_ns,
        "resident_bytes": player.resident_bytes,
        "targets": [
            {
                "target": target.index,
                "recorded_pid": target.pid,
                "start": memory.start,
                "end": memory.end,
                "ranges": [
                    {"recorded_start": low, "recorded_end": high, "start": start}
                    for low, high, start in _places(target, memory.start)
                ],
            }
            for target, memory in zip(player.trace.targets, player.memories, strict=True)
        ],
        "steps": [
            {
                "target": step.target,
                "start_ns": step.start_ns,
                "end_ns": step.end_ns,
                "wanted": done.wanted,
                "touched": done.touched,
                "late_ns": done.late_ns,
            }
            for step, done in zip(player.trace.steps, outcome.steps, strict=False)
        ],
    }


def _places(target: Any, start: int) -> list[tuple[int, int, int]]:
    from damoctl.replay.engine import PAGE

    return [
        (low * PAGE, high * PAGE, start + at * PAGE)
        for low, high, at in zip(target.low.tolist(), target.high.tolist(), target.at.tolist(), strict=True)
    ]


def _measure(args: argparse.Namespace, threads: int, ctx: Context) -> int:
    from damoctl.replay import engine

    rates: list[float] = []
    try:
        for rate in engine.measure(
            args.test_perf_sz_mem, args.test_perf_runtime, threads, write=args.write, max_bytes=args.max_memory
        ):
            rates.append(rate)
            if not args.json:
                ctx.print(f"replayer can access {units.size(rate * engine.PAGE)} memory per second")
                ctx.stdout.flush()
    finally:
        if args.json:
            ctx.print_json(
                {
                    "threads": threads,
                    "size_bytes": args.test_perf_sz_mem,
                    "page_bytes": engine.PAGE,
                    "pages_per_second": rates,
                    "mean_bytes_per_second": engine.PAGE * sum(rates) / len(rates) if rates else 0,
                }
            )
    return 0
