"""`damoctl report trace`: DAMON's trace events as they come, or from a file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing, suppress
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from damoctl.flags import recording
from damoctl.flags.option import Option, Word
from damoctl.named import located
from damoctl.reports import trace
from damod.errors import DamodError, NotAllowed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context
    from damoctl.flags.recording import Given

_NAMES = tuple(f"damon:{name}" for name in trace.EVENTS)
# Seconds that a read of the daemon waits for events; as often an end of the time is seen.
_WAIT_S = 1.0
OPTIONS = (
    Option(("--event",), "filter", "Events to show, with or without `damon:`.", (Word("event"),), more=True,
           default="all"),
    Option(("--no_event",), "filter", "Events to leave out.", (Word("event"),), more=True),
    Option(
        ("--input", "-i"), "source",
        "Show the events of a file: text or data of perf or trace-cmd, what --output saved, a record; - is standard"
        " input.",
        (Word("file", "file"),),
    ),
    Option(("--output", "-o"), "format", "Save the events as lines of perf, too; --input reads them.",
           (Word("file", "file"),)),
    Option(("--timeout",), "source", "Listen so long (default: until Ctrl-C).", (Word("time", "seconds"),)),
    Option(("--count",), "source", "Show so many events (default: all).", (Word("number", "count"),)),
    Option(("--raw",), "format", "The lines as the tracer has them."),
    Option(("--max_cols",), "format", "Longer lines are wrapped; 0 wraps none.", (Word("number", "count"),),
           default="100"),
    Option(("--json",), "format", "One JSON object per event and line."),
    Option(("--tracer",), "source", "Not needed: damod reads the kernel's ring itself.",
           (Word("tracer", choices=("perf", "trace-cmd")),), hidden=True),
    recording.HELP,
)  # fmt: skip
EXAMPLES = (
    ("damoctl report trace --timeout 5s", "what DAMON tells in the next five seconds"),
    ("damoctl report trace --event damos_before_apply", "only what schemes are applied to"),
    ("damoctl report trace --output events.txt", "keep the events, too"),
    ("damoctl report trace --input events.txt", "show them again"),
)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show trace events until there are no more, the time is over, or Ctrl-C."""
    given = recording.read(argv, ctx, "trace", (OPTIONS,), examples=EXAMPLES)
    if given is None:
        return 0
    wanted = _wanted(given)
    if "input" in given and "timeout" in given:
        raise UsageError(
            "--timeout is for listening; a file ends by itself", hint="--count shows only the first events"
        )
    compact = trace.Compact(given.one("max_cols", trace.MAX_COLS))
    with ExitStack() as stack:
        lines = _lines(given, wanted, ctx, stack)
        out = _saved(given.one("output"), given.one("input"), stack)
        events = (event for line in lines if (event := trace.parse(line)) and event.name in wanted)
        with suppress(KeyboardInterrupt):
            for event in islice(events, given.one("count")):
                if out:
                    out.write(event.line + "\n")
                ctx.stdout.write(_shown(event, given, compact) + "\n")
        ctx.stdout.flush()
    return 0


def _wanted(given: Given) -> trace.Wanted:
    names = [name for use in given.every("event") for name in use]
    without = [name for use in given.every("no_event") for name in use]
    for name in (*names, *without):
        if not name.removeprefix("damon:").startswith("damo") and name != "all":
            raise UsageError(f"{name!r} is not a DAMON event", hint=f"such as {', '.join(trace.EVENTS)}")
    return trace.Wanted(names, without)


def _shown(event: trace.Event, given: Given, compact: trace.Compact) -> str:
    if given.json:
        import json

        return json.dumps(event.to_plain())
    return event.line if "raw" in given else compact(event)


def _saved(path: str | None, source: str | None, stack: ExitStack) -> TextIO | None:
    """The file of --output with its header."""
    if path is None:
        return None
    if source is not None and os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):  # noqa: PTH110, PTH121
        raise UsageError(f"--output {path} is the file that is read")
    try:
        file = stack.enter_context(os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"))
    except OSError as exc:
        raise NotAllowed(f"cannot write {path}: {exc.strerror}") from exc
    file.writelines(f"{line}\n" for line in trace.header(time.time()))
    return file


def _lines(given: Given, wanted: trace.Wanted, ctx: Context, stack: ExitStack) -> Iterable[str]:
    if "input" not in given:
        return stack.enter_context(closing(_listen(wanted, given.one("timeout"), ctx)))
    from damoctl.reports import trace_files

    return trace_files.lines(located(given.one("input"), ctx), stack)


def _listen(wanted: trace.Wanted, timeout_s: float | None, ctx: Context) -> Generator[str, None, None]:
    """Lines of what happens from now on; says at the end how many events were lost."""
    lost = 0
    with ctx.client() as client:
        from damoctl.commands.features import names

        there = [
            name.removeprefix("trace.")
            for name in names(client.call("features.list"), available=True)
            if name.startswith("trace.")
        ]
        opened = client.call("trace.open", events=wanted.of(there))
        number = opened["listener"]
        if sys.stdout.isatty():
            ctx.note(f"damoctl: listening to {', '.join(opened['events'])}; Ctrl-C ends")
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while until is None or time.monotonic() < until:
                left = _WAIT_S if until is None else min(_WAIT_S, until - time.monotonic())
                answer = client.call("trace.read", listener=number, wait_s=max(left, 0.0))
                lost += answer["lost"]
                yield from trace.lines_of_ring(answer, opened["formats"])
                ctx.stdout.flush()
        finally:
            if lost:
                ctx.note(f"damoctl: {lost:,} events were lost: they came faster than they were read")
            with suppress(DamodError, KeyboardInterrupt):
                client.call("trace.close", listener=number)
