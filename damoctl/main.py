"""The entry point: find the command in a static table, run it, turn every error into a sentence and an exit status.

Nothing is imported here that `damoctl status` does not need; a test holds the list of modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from damod.errors import DamodError, Internal, NoMemory, UsageError


class Command(NamedTuple):
    """A verb: the module in damoctl.commands that has its `run(argv, ctx)`, and its line in the overview."""

    module: str
    help: str


COMMANDS: dict[str, Command] = {
    "status": Command("status", "what the daemon, its kdamonds and others' kdamonds are doing"),
    "start": Command("start", "start DAMON with given parameters"),
    "schemes": Command("schemes", "run operation schemes until Ctrl-C or the target's end"),
    "tune": Command("tune", "change parameters of running DAMON"),
    "stop": Command("stop", "stop DAMON that damod started"),
    "policy": Command("policy", "what this machine is to keep to: check, apply, compare, look after"),
    "record": Command("record", "record what monitoring finds, in files"),
    "stream": Command("stream", "what happens, as it happens, for programs and people"),
    "metrics": Command("metrics", "the daemon's metrics, as Prometheus gets them"),
    "log": Command("log", "who changed what, and when"),
    "adopt": Command("adopt", "make somebody else's running kdamonds damod's"),
    "watch": Command("watch", "see memory live, or a recording, on the whole screen"),
    "monitor": Command("monitor", "start DAMON and report what it sees, again and again"),
    "module": Command("module", "DAMON's own modules: stat, reclaim, lru_sort"),
    "reclaim": Command("reclaim", "control damon_reclaim (short for `module reclaim`)"),
    "lru_sort": Command("lru_sort", "control damon_lru_sort (short for `module lru_sort`)"),
    "report": Command("report", "show accesses, kdamonds, ..."),
    "convert_record_format": Command("convert_record_format", "write a record in another format"),
    "adjust": Command("adjust", "filter a record, or join its snapshots, into a new one"),
    "validate": Command("validate", "check whether a record is valid"),
    "replay": Command("replay", "do recorded accesses again, on real memory"),
    "args": Command("args", "make and edit parameter files for other commands, offline"),
    "diagnose": Command("diagnose", "what is wrong with DAMON here, why, and what to do"),
    "features": Command("features", "what this kernel's DAMON has and lacks"),
    "help": Command("help", "help on a command; long lists of options and keywords"),
    "completion": Command("completion", "make bash, zsh or fish complete damoctl's words"),
    "setup_cli_completion": Command("completion", ""),
    "version": Command("version", "versions of damoctl, the daemon and the kernel"),
}

_USAGE = """\
usage: damoctl [--socket PATH] [--json] [--color WHEN] <command> [options]

examples:
  damoctl start paddr                 watch the physical memory
  damoctl start "./workload"          run a command and watch its memory
  damoctl report access               what is hot, what is cold, now
  damoctl stop

commands:
{commands}

options:
  --socket PATH    where damod listens (default: $DAMOD_SOCKET, /run/damod/damod.sock,
                   or without root $XDG_RUNTIME_DIR/damod.sock)
  --json           print data for programs instead of text
  --color WHEN     always, never or auto (default)
  -h, --help       this text; `damoctl <command> --help` for one command
  --version        the same as `damoctl version`
"""


def usage() -> str:
    """The overview. damo's old names have no help of their own and are left out."""
    shown = {name: command for name, command in COMMANDS.items() if command.help}
    width = max(map(len, shown))
    return _USAGE.format(commands="\n".join(f"  {name:<{width}}  {cmd.help}" for name, cmd in shown.items()))


class _Words:
    """Options that stand before the command."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.socket: str | None = None
        self.json = False
        self.color: Any = "auto"
        self.command: str | None = None
        self.rest: list[str] = []
        words = list(argv)
        while words:
            word = words.pop(0)
            name, eq, value = word.partition("=")
            if name in ("--socket", "--color"):
                if not eq:
                    if not words:
                        raise UsageError(f"{name} needs a value", hint="damoctl --help")
                    value = words.pop(0)
                setattr(self, name[2:], value)
            elif word == "--json":
                self.json = True
            elif word in ("-h", "--help", "--version"):
                self.command = word
                return
            elif word.startswith("-"):
                raise UsageError(f"unknown option {word} before the command", hint="damoctl --help")
            else:
                self.command, self.rest = word, words
                return
        if self.color not in ("auto", "always", "never"):
            raise UsageError(f"--color {self.color}: allowed are always, never, auto")


def _split_common(words: _Words) -> list[str]:
    """--socket and --color are also taken after the command, as people type them; --json is the command's own."""
    rest, kept = list(words.rest), []
    while rest:
        word = rest.pop(0)
        name, eq, value = word.partition("=")
        if name == "--socket" and (eq or rest):
            words.socket = value if eq else rest.pop(0)
        elif name == "--color" and (eq or rest):
            words.color = value if eq else rest.pop(0)
            if words.color not in ("auto", "always", "never"):
                raise UsageError(f"--color {words.color}: allowed are always, never, auto")
        else:
            kept.append(word)
    return kept


def run(argv: Sequence[str]) -> int:
    """Run one command line; raises DamodError. Returns the exit status."""
    if argv and argv[0] == "--cli_complete":
        from damoctl.complete import main as complete

        return complete(argv[1:])
    words = _Words(argv)
    if words.command in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    if words.command is None:
        raise UsageError("no command given", hint="damoctl --help lists them; `damoctl status` is a good first one")
    name = "version" if words.command == "--version" else words.command
    command = COMMANDS.get(name)
    if command is None:
        from damoctl.renamed import gone
        from damod.near import near

        hint = gone(name) or near(name, COMMANDS).removeprefix("; ") or "damoctl --help lists the commands"
        raise UsageError(f"unknown command {name!r}", hint=hint)
    rest = _split_common(words)
    from importlib import import_module

    from damoctl.context import Context

    module = import_module(f"damoctl.commands.{command.module}")
    ctx = Context(socket=words.socket, json=words.json, color=words.color)
    status: int = module.run(rest, ctx)
    return status


def _tell(error: DamodError) -> int:
    lines = [f"damoctl: {error.message}"]
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    sys.stderr.write("\n".join(lines) + "\n")
    return error.exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """The process's entry point: errors become sentences on stderr, `| head` and Ctrl-C end quietly."""
    try:
        status = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except DamodError as error:
        return _tell(error)
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not try to flush the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    except MemoryError:
        return _tell(
            NoMemory(
                "there is not enough memory for this",
                hint="ask for less at a time: --time_range, --address, --snapshot_idx; a parquet record needs least",
            )
        )
    except Exception as exc:
        if os.environ.get("DAMOD_DEBUG"):
            raise
        return _tell(
            Internal(
                f"a bug in damoctl: {type(exc).__name__}: {exc}",
                hint="DAMOD_DEBUG=1 shows where; please report it with that text",
            )
        )


if __name__ == "__main__":
    sys.exit(main())
