"""damoctl start: options, a keyword, a pid, a command or a whole spec become running kdamonds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damoctl.flags.option import Option, Word
from damod.errors import DamodError, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from damoctl.child import HeldChild
    from damoctl.context import Context
    from damoctl.flags.compile import Compiled
    from damoctl.flags.words import Line
    from damod.rpc.client import Client

EXAMPLES = """\
  damoctl start paddr                      physical memory, default parameters
  damoctl start 1234                       the memory of a process
  damoctl start "./workload --fast"        a command, watched from its first instruction
  damoctl start tiering.yaml               a whole set-up, as `args damon --format yaml` prints it
  damoctl start --damos_action pageout --damos_access_rate 0% 0% --damos_age 30s max
"""

NAME = Option(("--name",), "command", "Name of the set of kdamonds (default: adhoc).", (Word("name"),))
JSON = Option(("--json",), "command", "Print the answer for programs.")
DRY_RUN = Option(("--dry_run", "--dry-run"), "command", "Only tell what would be done.")
# Taken for damo's users and without effect: damod logs what it writes itself, and knows one interface.
DEBUG = Option(("--debug_damon",), "command", "Accepted for damo's users; the daemon's log has it.", hidden=True)
INTERFACE = Option(
    ("--damon_interface_DEPRECATED", "--damon_interface"),
    "command",
    "Accepted for damo's users; only sysfs is left.",
    (Word("interface", choices=("sysfs", "debugfs", "auto")),),
    hidden=True,
)
OWN = (
    NAME,
    Option(
        ("--take_over", "--take-over"),
        "command",
        "Stop somebody else's DAMON or the damon_stat module that is in the way.",
    ),
    Option(
        ("--save",),
        "command",
        "Make it a policy of that name in /etc/damo.d, which also runs after a reboot.",
        (Word("name"),),
    ),
    Option(("--include_child_tasks",), "command", "Monitor the targets' present and future child processes too."),
    DRY_RUN,
    JSON,
    DEBUG,
    INTERFACE,
)


def node_ram(client: Client) -> Any:
    """A callable nid -> [(start, end), ...] that asks the daemon, whose kernel's nodes count; LookupError if none."""

    def ask(nid: int) -> list[tuple[int, int]]:
        try:
            return [(start, end) for start, end in client.call("machine.node_ram", nid=nid)["ranges"]]
        except NotFound as exc:
            raise LookupError(nid) from exc

    return ask


def run(argv: list[str], ctx: Context) -> int:
    """Start kdamonds; a command target runs from the moment that DAMON watches it."""
    if any(word in ("-h", "--help") for word in argv):
        from damoctl.flags.help import command_help

        ctx.print(command_help("start", "Start DAMON with given parameters.", EXAMPLES, OWN))
        return 0
    from damoctl.flags.compile import compile_words

    with ctx.client() as client:
        compiled = compile_words(argv, own=OWN, node_ram=node_ram(client))
        line = compiled.line
        if line.has("--save"):
            return _save(line, compiled, client, ctx)
        result, child = begin(client, compiled, name=line.last("--name", "adhoc"))
    if line.has("--json") or ctx.json:
        ctx.print_json(result)
        return 0
    for note in [*compiled.notes, *result["notes"]]:
        ctx.note(f"note: {note}")
    if line.has("--dry_run"):
        for kdamond in result["kdamonds"]:
            for path, value in kdamond["writes"]:
                ctx.print(f"{path} <- {value}")
        return 0
    for text in told(result, child):
        ctx.print(text)
    return 0


def begin(client: Client, compiled: Compiled, *, name: str) -> tuple[Any, HeldChild | None]:
    """Start what was compiled as a set of that name: the daemon's answer, and the command that runs now, if one does.

    With --dry_run the command is not run. Errors are told in the words of the command line.
    """
    from damoctl.child import dropped_on_error, held

    line = compiled.line
    dry_run = line.has("--dry_run")
    child = held(compiled)
    with dropped_on_error(child, compiled):
        result = client.call(
            "kdamonds.start",
            kdamonds=compiled.spec["kdamonds"],
            name=name,
            take_over=line.has("--take_over"),
            include_child_tasks=line.has("--include_child_tasks"),
            dry_run=dry_run,
        )
    if child:
        child.drop() if dry_run else child.release()
    return result, child


def told(result: Any, child: HeldChild | None) -> Iterator[str]:
    """A line for each kdamond that was started."""
    for kdamond in result["kdamonds"]:
        target = f", watching pid {child.pid}" if child else ""
        yield f"started kdamond {kdamond['index']} (pid {kdamond['pid']}) of {result['name']}{target}"


def _save(line: Line, compiled: Compiled, client: Client, ctx: Context) -> int:
    """Make a policy of what would have been started."""
    from damoctl.flags.compile import explain

    if compiled.command or line.has("--dry_run") or line.has("--name"):
        raise UsageError(
            "--save makes a policy of its own name, which runs at once and after each boot",
            hint="it takes neither a command to start, nor --name, nor --dry_run",
        )
    try:
        result = client.call(
            "policy.save",
            name=line.last("--save"),
            kdamonds=compiled.spec["kdamonds"],
            take_over=line.has("--take_over"),
        )
    except DamodError as error:
        raise explain(error, compiled.given) from error
    if line.has("--json") or ctx.json:
        ctx.print_json(result)
        return 0
    for note in [*compiled.notes, *result["notes"]]:
        ctx.note(f"note: {note}")
    for kdamond in result["kdamonds"]:
        ctx.print(f"started kdamond {kdamond['index']} (pid {kdamond['pid']}) of policy {result['name']}")
    ctx.print(f"saved as {result['file']}")
    return 0
