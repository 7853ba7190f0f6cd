"""damoctl tune: change just what is said of a running set, or give it a whole new set-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damoctl.commands.start import DEBUG, DRY_RUN, INTERFACE, JSON, node_ram
from damoctl.flags.option import Option, Word
from damoctl.flags.partial import SCHEME
from damod.errors import DamodError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damoctl.context import Context

EXAMPLES = """\
  damoctl tune --monitoring_intervals 10ms 200ms 1s     only the intervals
  damoctl tune --scheme pageout --damos_quota_space 1G  only that scheme's quota
  damoctl tune --dry_run --damos_age 1m max             what would change
  damoctl tune tiering.yaml                 a whole set-up; what it leaves out gets its default
"""

OWN = (
    Option(("--name",), "command", "The set to change (default: the only one, or adhoc).", (Word("set", "set"),)),
    SCHEME,
    Option(("--full",), "command", "What is not given goes back to its default, as with damo."),
    Option(("--quota_goals_only",), "command", "Only the quota goals (of what is given) are changed."),
    Option(("--include_child_tasks",), "command", "Monitor the targets' child processes from now on."),
    Option(("--exclude_child_tasks",), "command", "Do so no longer."),
    DRY_RUN,
    JSON,
    DEBUG,
    INTERFACE,
)


def run(argv: list[str], ctx: Context) -> int:
    """Print what changes, then change it."""
    if any(word in ("-h", "--help") for word in argv):
        from damoctl.flags.help import command_help

        ctx.print(command_help("tune", "Change parameters of running DAMON, without a restart.", EXAMPLES, OWN))
        return 0
    from damoctl.flags.compile import compile_line, explain, parse_line
    from damoctl.flags.partial import apply_partial, of_compiled

    line = parse_line(argv, OWN)
    with ctx.client() as client:
        nodes = node_ram(client)
        compiled = compile_line(line, node_ram=nodes, partial=not line.has("--full"))
        if compiled.command:
            raise UsageError(
                f"{compiled.command.text!r} is neither a spec nor a pid; tune starts no commands",
                hint="`damoctl start` starts and watches a command",
            )
        name = line.last("--name") or None
        children = True if line.has("--include_child_tasks") else False if line.has("--exclude_child_tasks") else None
        base = None
        if compiled.whole or line.has("--full"):
            wanted = compiled.spec["kdamonds"]
        else:
            change = of_compiled(compiled) if compiled.anything or children is None else None
            base = client.call("kdamonds.specs", name=name)["kdamonds"]
            wanted = apply_partial(base, change) if change else base
        words = {
            "kdamonds": wanted,
            "name": name,
            "base": base,
            "quota_goals_only": line.has("--quota_goals_only"),
            "include_child_tasks": children,
        }
        as_json = line.has("--json") or ctx.json
        try:
            if line.has("--dry_run") or not as_json:
                result = client.call("kdamonds.tune", **words, dry_run=True)
                if not as_json:
                    _tell(result, compiled.notes, ctx)
            if not line.has("--dry_run"):
                result = client.call("kdamonds.tune", **words)
        except DamodError as error:
            raise explain(error, compiled.given) from error
    if as_json:
        ctx.print_json(result)
    return 0


def _tell(result: dict[str, Any], notes: Sequence[str], ctx: Context) -> None:
    """What is going to change, and what will be done otherwise than the words suggest."""
    for note in [*notes, *result["notes"]]:
        ctx.note(f"note: {note}")
    from damod.spec.diff import Change

    for item in result["changes"]:
        ctx.print(str(Change(**item)))
    if not result["changes"]:
        ctx.print("nothing changes")
    # Before the kernel is touched, also where nobody sees it at once.
    ctx.stdout.flush()
