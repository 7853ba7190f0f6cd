"""damoctl diagnose: what is wrong with DAMON here, why, and what to do. Reads only, with or without a daemon."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from damod.errors import DaemonUnreachable, NotAllowed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from damoctl.context import Context
    from damoctl.diagnose.facts import Facts
    from damoctl.diagnose.finding import Finding
    from damoctl.options import Parser

EXAMPLES = """\
  damoctl diagnose               this machine: kernel, rights, modules, schemes that do nothing, ...
  damoctl diagnose damon.data    a record: whether it is whole, without gaps, fine enough
  damoctl diagnose bundle        a file for a bug report, without names of yours
  damoctl diagnose --verbose     also all that this kernel is known for
"""
ABOUT = """\
Tells what is wrong, why, and what to do. Exit status: 0 if nothing is, 1 if something is (notes do not count).
Nothing is written, to DAMON or elsewhere. Without a daemon what can be read is looked at."""


def parser() -> Parser:
    """The command's words."""
    from damoctl.options import Parser

    made = Parser("diagnose", ABOUT, EXAMPLES)
    made.add_argument("what", nargs="?", metavar="bundle|RECORD", help="make a bug report's file, or look at a record")
    made.add_argument("--output", "-o", metavar="FILE", help="the bundle (default: damod-diagnose-TIME.tar.gz)")
    made.add_argument("--log", metavar="FILE", help="the daemon's log for the bundle (default: the journal's)")
    made.add_argument("--verbose", action="store_true", help="also what this kernel is known for")
    made.add_argument("--json", action="store_true", help="for programs")
    return made


def run(argv: list[str], ctx: Context) -> int:
    """Look, judge, tell."""
    args = parser().parse_args(argv)
    as_json = args.json or ctx.json
    if args.what not in (None, "bundle"):
        if args.output or args.log:
            raise UsageError("--output and --log are for `diagnose bundle`", hint="damoctl diagnose --help")
        return _record(args.what, as_json, ctx)
    from damoctl.diagnose.checks import judge
    from damoctl.diagnose.finding import wrong

    facts = _facts(ctx)
    findings = judge(facts)
    if args.what == "bundle":
        return _bundle(facts, findings, args.output, args.log, as_json, ctx)
    if as_json:
        ctx.print_json(_plain(facts, findings, args.verbose))
    else:
        ctx.term.write(_lines(facts, findings, args.verbose, ctx.term.width))
    return int(wrong(findings))


def _facts(ctx: Context) -> Facts:
    from damoctl.diagnose import gather

    try:
        client = ctx.client()
    except (DaemonUnreachable, NotAllowed) as error:
        return gather.without_daemon(error.message)
    with client:
        return gather.from_daemon(client)


def _plain(facts: Facts, findings: Sequence[Finding], verbose: bool) -> dict[str, Any]:
    from damoctl.diagnose.finding import wrong

    value: dict[str, Any] = {
        "kernel": {"name": facts.kernel, "release": facts.release},
        "daemon": facts.status.get("daemon") if facts.reached else None,
        "wrong": wrong(findings),
        "findings": [finding.to_json() for finding in findings],
    }
    if verbose:
        from damoctl.diagnose.quirks import known

        value["quirks"] = [
            {key: item for key, item in quirk._asdict().items() if key != "bites"} for quirk in known(facts)
        ]
        value["survey"] = dict(facts.survey)
        value["modules"] = list(facts.modules)
        value["policies"] = list(facts.policies)
        value["kdamonds"] = [seen.spec.model_dump(mode="json") for seen in facts.kdamonds]
    return value


def _lines(facts: Facts, findings: Sequence[Finding], verbose: bool, width: int) -> Iterator[str]:
    width = max(60, min(width, 100))
    where = f"Linux {facts.release}" + ("" if facts.kernel == "linux" else f" ({facts.kernel})")
    with_daemon = f"damod {facts.status['daemon']['version']}" if facts.status.get("daemon") else "no daemon"
    kdamonds, policies = len(facts.kdamonds), len(facts.policies)
    yield (
        f"{where}, {with_daemon}, {kdamonds} kdamond{'s' * (kdamonds != 1)},"
        f" {policies} polic{'ies' if policies != 1 else 'y'}"
    )
    yield from _told(findings, width)
    if verbose:
        from damoctl.diagnose.quirks import known

        yield ""
        yield "this kernel is known for"
        for quirk in known(facts):
            yield from _wrapped(f"{quirk.what} ({quirk.releases}; {quirk.change})", width, "  - ")


def _told(findings: Sequence[Finding], width: int) -> Iterator[str]:
    counts = {level: sum(one.level == level for one in findings) for level in ("error", "warning", "note")}
    for one in findings:
        yield ""
        about = f"{one.about}: " if one.about else ""
        yield from _wrapped(f"{about}{one.message}", width, f"{one.level}: ")
        if one.todo:
            yield from _wrapped(one.todo, width, "  to do: ")
    yield ""
    said = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items() if count)
    yield said or "nothing is wrong"


def _wrapped(text: str, width: int, first: str) -> list[str]:
    rest = " " * min(len(first), 9)
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False)


def _record(name: str, as_json: bool, ctx: Context) -> int:
    from damoctl.diagnose import record
    from damoctl.diagnose.finding import ordered, wrong
    from damoctl.named import located
    from damod.records.reader import open_record

    with open_record(located(name, ctx)) as opened:
        health = record.look(opened)
    findings = ordered(record.judge(health))
    if as_json:
        ctx.print_json(
            {
                "record": health.name,
                "type": health.type,
                "wrong": wrong(findings),
                "findings": [finding.to_json() for finding in findings],
            }
        )
    else:
        total = sum(tally.snapshots for tally in health.tallies)
        ctx.print(f"{health.name} ({health.type}): {len(health.tallies)} series, {total:,} snapshots")
        ctx.term.write(_told(findings, max(60, min(ctx.term.width, 100))))
    return int(wrong(findings))


def _bundle(
    facts: Facts, findings: Sequence[Finding], output: str | None, log: str | None, as_json: bool, ctx: Context
) -> int:
    from time import gmtime, strftime

    from damoctl.diagnose import bundle

    text, why = bundle.log_text(log)
    files = bundle.contents(facts, findings, _lines(facts, findings, True, 100), text)
    path = output or strftime("damod-diagnose-%Y%m%dT%H%M%SZ.tar.gz", gmtime())
    bundle.write(path, files)
    if as_json:
        ctx.print_json({"file": path, "contents": {name: len(data) for name, data in files.items()}, "no_log": why})
        return 0
    for name, data in files.items():
        ctx.print(f"  {name:<16} {len(data):>8,} bytes")
    if why:
        ctx.note(f"note: without the daemon's log: {why}")
    ctx.print(f"written to {path}, for you alone; look through it before you send it")
    return 0
