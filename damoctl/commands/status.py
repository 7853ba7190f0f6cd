"""damoctl status: the daemon, its sets of kdamonds, and everybody else's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from damod import units

if TYPE_CHECKING:
    from damoctl.context import Context


def render(status: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a `daemon.status` answer."""
    daemon = status["daemon"]
    kernel = daemon["kernel"]
    uptime = units.time(int(daemon["uptime_s"]) * units.TIME_NS["s"])
    yield f"damod {daemon['version']} (pid {daemon['pid']}), up {uptime}, on {kernel['name']} {kernel['release']}"
    for kdamond in status["kdamonds"]:
        yield "  " + kdamond_line(kdamond)
    for name, pid in status["modules"].items():
        ours = ", enabled by damod" if name in status.get("own_modules", ()) else ""
        yield f"  module {name} is on" + (f", its kdamond has pid {pid}" if pid else "") + ours
    children = status.get("children")
    if children and children["why"]:
        yield f"  children of targets are looked for each second, for lack of events: {children['why']}"
    if not status["kdamonds"] and not status["modules"]:
        yield "  no kdamond is running; `damoctl start paddr` starts one"
    for policy in status.get("policies", ()):
        if policy["stage"] not in ("disabled", "masked"):
            yield f"  policy {policy['name']}: {policy['stage']}" + (
                f", {policy['reason']}" if policy["reason"] else ""
            )
    for recording in status.get("recordings", ()):
        from damoctl.commands.record import summary

        yield f"  recording {summary(recording)}"
    for problem in status["problems"]:
        yield f"  problem: {problem}"


def kdamond_line(kdamond: Mapping[str, Any]) -> str:
    """One kdamond: index, state, pid, whose it is, what it does."""
    whose = kdamond["name"] if kdamond["owner"] == "damod" else "(not damod's)"
    words = [
        f"kdamond {kdamond['index']}: {kdamond['state']}",
        f"pid {kdamond['pid']}" if kdamond["pid"] else "",
        whose,
    ]
    words.append(", ".join(filter(None, [kdamond["ops"], *kdamond["actions"]])))
    if kdamond.get("followed") is not None:
        words.append(f"children included ({kdamond['followed']} processes)")
    return ", ".join(word for word in words if word)


def run(argv: list[str], ctx: Context) -> int:
    """Ask the daemon how things are."""
    as_json = ctx.json
    for word in argv:
        if word == "--json":
            as_json = True
        else:
            from damoctl.options import Parser

            parser = Parser("status", "What the daemon, its kdamonds and others' kdamonds are doing.")
            parser.add_argument("--json", action="store_true", help="for programs")
            parser.parse_args(argv)
    with ctx.client() as client:
        status = client.call("daemon.status")
    if as_json:
        ctx.print_json(status)
    else:
        for line in render(status):
            ctx.print(line)
    return 0
