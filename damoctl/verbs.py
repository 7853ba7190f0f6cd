"""Every command of damoctl, in the order of the overview; a static table, so that none is loaded to be named."""

from __future__ import annotations

from typing import NamedTuple


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
