"""damoctl stream: what damod tells as it happens, one line for each event."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from damod import units
from damod.errors import UsageError

if TYPE_CHECKING:
    from damoctl.context import Context

KINDS = ("snapshots", "status", "policies", "stats", "log")

_EXAMPLES = """\
  damoctl stream                          a line for each aggregation of each target
  damoctl stream --json | my-program      whole snapshots, as lines of JSON
  damoctl stream status policies log      what changes
  damoctl stream stats --interval 10s     what the schemes have done, every ten seconds
  damoctl stream --access_rate 50% 100% --sz_region 2M max --json
"""


class _Kinds(tuple[str, ...]):
    """The kinds as choices; none at all is one too, which argparse (3.11) would refuse."""

    def __contains__(self, value: object) -> bool:
        return value == [] or super().__contains__(value)


def parser() -> argparse.ArgumentParser:
    from damoctl.options import Parser

    words = Parser("stream", "What happens, as it happens, until Ctrl-C (or --count events).", _EXAMPLES)
    about = f"{', '.join(KINDS)} (default: snapshots)"
    words.add_argument("kinds", nargs="*", metavar="KIND", choices=_Kinds(KINDS), help=about)
    for name in ("kdamond", "context", "target"):
        words.add_argument(f"--{name}", type=int, metavar="INDEX", help=f"only of this {name}")
    words.add_argument("--interval", metavar="TIME", help="at most one snapshot of a target, and stats, in this time")
    words.add_argument(
        "--address", nargs=2, action="append", metavar=("START", "END"), help="only regions in [START, END)"
    )
    words.add_argument("--access_rate", nargs=2, metavar=("MIN", "MAX"), help="only regions with this access rate")
    words.add_argument("--age", nargs=2, metavar=("MIN", "MAX"), help="only regions of this age")
    words.add_argument("--sz_region", nargs=2, metavar=("MIN", "MAX"), help="only regions of this size")
    words.add_argument("--count", "-n", type=int, metavar="N", help="end after N events")
    words.add_argument("--json", action="store_true", help="each event as a line of JSON, for programs")
    return words


def run(argv: list[str], ctx: Context) -> int:
    """Subscribe, and print until nobody wants to see it any more."""
    args = parser().parse_args(argv)
    if args.count is not None and args.count < 1:
        raise UsageError(f"stream: --count {args.count} shows nothing")
    as_json = args.json or ctx.json
    try:
        with ctx.client() as client:
            for number, event in enumerate(client.stream(args.kinds or ["snapshots"], **_wishes(args)), start=1):
                if as_json:
                    import json

                    ctx.print(json.dumps(event, default=_text))
                else:
                    if event["lost"]:
                        ctx.note(f"damoctl: {event['lost']} events were lost, since they were not read in time")
                    for line in render(event):
                        ctx.print(line)
                ctx.stdout.flush()
                if number == args.count:
                    break
    except KeyboardInterrupt:
        pass
    return 0


def _wishes(args: argparse.Namespace) -> dict[str, Any]:
    wishes: dict[str, Any] = {
        name: getattr(args, name) for name in ("kdamond", "context", "target") if getattr(args, name) is not None
    }
    if args.interval is not None:
        wishes["interval_s"] = float(_read("--interval", args.interval, _seconds))
    filters: dict[str, Any] = {}
    if args.address:
        filters["address"] = [[_read("--address", word, units.parse_size) for word in pair] for pair in args.address]
    for option, name, parse in (
        ("--access_rate", "access_rate", lambda text: float(units.parse_share(text, "percent"))),
        ("--age", "age_us", units.parse_time),
        ("--sz_region", "size", units.parse_size),
    ):
        words = getattr(args, option[2:])
        if words:
            filters[name] = [None if word == "max" else _read(option, word, parse) for word in words]
    if filters:
        wishes["filters"] = filters
    return wishes


def _seconds(text: str) -> float:
    return float(units.parse_time_ns(text, "s")) / 1e9


def _read(option: str, word: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(word)
    except ValueError as exc:
        raise UsageError(f"stream: {option} {word}: {exc}", hint="damoctl stream --help") from exc


def _text(value: object) -> str:
    """Names that are no UTF-8."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def render(event: Mapping[str, Any]) -> Iterator[str]:
    """The lines of an event for a person."""
    found = event[event["kind"]]
    yield from _LINES[event["kind"]](found)


def _snapshot(found: Mapping[str, Any]) -> Iterator[str]:
    regions = found["regions"]
    sizes = [end - start for start, end in zip(regions["start"], regions["end"], strict=True)]
    accessed = sum(size for size, nr in zip(sizes, regions["nr_accesses"], strict=True) if nr)
    at = _clock(found["end_ns"] + found["wall_offset_ns"])
    of = f"kdamond {found['kdamond']} target {found['target']}"
    lost = f", the kernel lost {found['lost']} events" if found["lost"] else ""
    yield f"{at} {of}: {len(sizes)} regions, {units.size(sum(sizes))}, accessed {units.size(accessed)}{lost}"


def _status(found: Mapping[str, Any]) -> Iterator[str]:
    from damoctl.commands.status import kdamond_line

    running = "; ".join(kdamond_line(item) for item in found["kdamonds"]) or "no kdamond is running"
    yield f"status: {running}"
    for problem in found["problems"]:
        yield f"  problem: {problem}"


def _policy(found: Mapping[str, Any]) -> Iterator[str]:
    why = f", {found['reason']}" if found["reason"] else ""
    before = f" (was {found['before']})" if found["before"] not in (None, found["stage"]) else ""
    yield f"{_clock(found['wall_ns'])} policy {found['name']}: {found['stage']}{before}{why}"


def _stats(found: Mapping[str, Any]) -> Iterator[str]:
    at = _clock(found["wall_ns"])
    for kdamond in found["kdamonds"]:
        for index, scheme in enumerate(kdamond["schemes"]):
            stats = scheme["stats"]
            yield (
                f"{at} kdamond {kdamond['kdamond']} scheme {index} {scheme['action']}:"
                f" tried {units.size(stats['sz_tried'])}, applied {units.size(stats['sz_applied'])},"
                f" quota exceeded {stats['qt_exceeds']} times"
            )
        if not kdamond["schemes"]:
            yield f"{at} kdamond {kdamond['kdamond']} has no schemes"
    if not found["kdamonds"]:
        yield f"{at} no kdamond is running"


def _log(found: Mapping[str, Any]) -> Iterator[str]:
    from damoctl.commands.log import line

    yield line(found)


def _clock(wall_ns: int) -> str:
    from time import localtime, strftime

    return f"{strftime('%H:%M:%S', localtime(wall_ns // 10**9))}.{wall_ns // 10**6 % 1000:03}"


_LINES: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "snapshot": _snapshot,
    "status": _status,
    "policy": _policy,
    "stats": _stats,
    "log": _log,
}
