"""The entry point: find the command in the table, run it, turn every error into a sentence and an exit status.

Nothing is imported here that `damoctl status` does not need; a test holds the list of modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from damoctl.verbs import COMMANDS, usage
from damod.errors import DamodError, Internal, NoMemory, UsageError


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
