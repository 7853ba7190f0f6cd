"""damoctl schemes: run operation schemes for as long as you watch: start, wait for Ctrl-C or the target's end, stop."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from damoctl.commands.start import DEBUG, INTERFACE, JSON, begin, node_ram, told
from damoctl.flags.option import Option, Word
from damod import units
from damod.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from damoctl.context import Context
    from damod.rpc.client import Client

EXAMPLES = """\
  damoctl schemes --damos_action pageout --damos_access_rate 0% 0% --damos_age 30s max
  damoctl schemes "./workload --fast" --damos_action stat
"""
OWN = (
    Option(("--name",), "command", "Name of the set of kdamonds (default: schemes).", (Word("name"),)),
    Option(
        ("--take_over", "--take-over"),
        "command",
        "Stop somebody else's DAMON or the damon_stat module that is in the way.",
    ),
    Option(("--include_child_tasks",), "command", "Monitor the targets' present and future child processes too."),
    JSON,
    DEBUG,
    INTERFACE,
)
# Whether the kdamond still runs is asked so often; its target's end is heard of at once.
_LOOK_S = 1.0


def run(argv: list[str], ctx: Context) -> int:
    """Start, wait, tell what the schemes did, stop."""
    if any(word in ("-h", "--help") for word in argv):
        from damoctl.flags.help import command_help

        about = "Start DAMON with given schemes, wait for Ctrl-C or the end of the target, and stop it."
        ctx.print(command_help("schemes", about, EXAMPLES, OWN))
        return 0
    from damoctl.flags.compile import compile_words

    with ctx.client() as client:
        compiled = compile_words(argv, own=OWN, node_ram=node_ram(client))
        name = compiled.line.last("--name", "schemes")
        as_json = compiled.line.has("--json") or ctx.json
        with _Signals() as asked:
            result, child = begin(client, compiled, name=name)
            for note in [*compiled.notes, *result["notes"]]:
                ctx.note(f"note: {note}")
            if not as_json:
                for text in told(result, child):
                    ctx.print(text)
                ctx.note("Ctrl-C ends it")
                ctx.stdout.flush()
            try:
                _wait(client, name, [child.pid] if child else _pids(result, compiled.spec), asked)
            finally:
                rows = [row for row in client.call("kdamonds.show")["kdamonds"] if row["name"] == name]
                # Already ended with its target, or stopped by somebody else: as it should be.
                with suppress(NotFound):
                    client.call("kdamonds.stop", name=name)
    if child:
        with suppress(ChildProcessError):
            os.waitpid(child.pid, os.WNOHANG)
    if as_json:
        ctx.print_json({"name": name, "kdamonds": rows})
        return 0
    for text in _did(rows):
        ctx.print(text)
    ctx.print(f"stopped {name}")
    return 0


class _Signals:
    """SIGINT, SIGTERM and SIGHUP become readable on `fd` instead of ending us."""

    def __enter__(self) -> int:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = {
            number: signal.signal(number, lambda *_: os.write(self._write, b"x"))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        return self._read

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)


def _pids(result: Mapping[str, Any], spec: Mapping[str, Any]) -> list[int]:
    """The processes that the set watches."""
    return [
        target["pid"]
        for kdamond in spec["kdamonds"]
        for context in kdamond["contexts"]
        if context.get("ops") != "paddr"
        for target in context.get("targets", ())
        if target.get("pid")
    ]


def _wait(client: Client, name: str, pids: Sequence[int], asked: int) -> None:
    """Return when a signal came, all processes have ended, or the set does not run any more."""
    watched = []
    try:
        for pid in pids:
            # Gone already, or simulated.
            with suppress(OSError):
                watched.append(os.pidfd_open(pid))
        left = list(watched)
        while True:
            ready, _, _ = select.select([asked, *left], [], [], _LOOK_S)
            left = [fd for fd in left if fd not in ready]
            if asked in ready or (watched and not left):
                return
            if not ready and name not in client.call("daemon.status")["sets"]:
                return
    finally:
        for fd in watched:
            os.close(fd)


def _did(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What each scheme did."""
    for row in rows:
        for context in row["spec"]["contexts"]:
            for index, scheme in enumerate(context["schemes"]):
                stats = scheme.get("stats") or {}
                tried, applied = (
                    f"{units.number(units.parse_count(stats.get(f'nr_{word}', 0)))} regions"
                    f" ({units.size(units.parse_size(stats.get(f'sz_{word}', 0)))})"
                    for word in ("tried", "applied")
                )
                yield f"kdamond {row['index']} scheme {index} ({scheme['action']}): tried {tried}, applied {applied}"
