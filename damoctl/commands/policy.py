"""damoctl policy: what a machine is to keep to, checked, compared, applied and looked after."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from damod.errors import DamodError, NotFound, UsageError

if TYPE_CHECKING:
    import argparse

    from damoctl.context import Context
    from damod.policy.load import Document

EXAMPLES = """\
  damoctl policy list                             all policies and what they do
  damoctl policy check 50-tiering.yaml            is the file right? (needs no daemon)
  damoctl policy check --kernel 6.12              would all of them work on that kernel?
  damoctl policy diff                             what would a reload change?
  damoctl policy reload                           do it
  damoctl policy apply tiering --probation 60s    try it; it is rolled back if it hurts
  damoctl policy apply tiering --shadow           only count what it would touch
  damoctl policy enable tiering                   keep it, also after a reboot
  damoctl policy verify                           does the kernel still have what we set?
"""
DIRECTORIES = ("/usr/lib/damo.d", "/run/damo.d", "/etc/damo.d")
FOUND = 1
"""The exit status of check, diff and verify when there is something to tell, of reload when a file is wrong."""


def run(argv: list[str], ctx: Context) -> int:
    """One verb of `damoctl policy`."""
    args = parser().parse_args(argv)
    args.json = args.json or ctx.json
    verbs = {
        "list": _list, "show": _show, "cat": _cat, "check": _check, "diff": _diff, "reload": _reload,
        "enable": _switch, "disable": _switch, "apply": _apply, "verify": _verify, "schema": _schema,
    }  # fmt: skip
    return verbs[args.verb](args, ctx)


def parser() -> argparse.ArgumentParser:
    """The command's words."""
    from damoctl.options import Parser

    class Verb(Parser):
        """A parser of one verb, with the manners of damoctl."""

        def __init__(self, *, prog: str, help: str = "", **_: Any) -> None:  # noqa: A002 - argparse's own name
            # argparse hands over the prog of the parent, its positionals included.
            super().__init__(prog.removeprefix("damoctl "), help)
            self.add_argument("--json", action="store_true", default=False, help="for programs")

    parser = Parser("policy", "What this machine is to keep to: policies in /etc/damo.d.", EXAMPLES)
    parser.set_defaults(json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=Verb)

    def verb(name: str, about: str) -> Any:
        return verbs.add_parser(name, help=about)

    verb("list", "all policies and what they do")
    verb("show", "one policy with its kdamonds and what they did").add_argument("name", metavar="POLICY")
    verb("cat", "what counts of a policy, each key with its file and line").add_argument("name", metavar="POLICY")
    check = verb("check", "what is wrong with policy files, without a daemon")
    check.add_argument(
        "file", nargs="*", metavar="FILE", help="policy files, or directories of them (default: those that count)"
    )
    check.add_argument("--kernel", metavar="RELEASE", help="also: what a kernel of this release lacks")
    check.add_argument("--policy-dir", action="append", metavar="DIR", help="look here instead of in /etc/damo.d & co.")
    verb("diff", "what a reload would change in the kernel")
    verb("reload", "read the files again and apply them")
    verb("enable", "run a policy, now and after each boot").add_argument("name", metavar="POLICY")
    verb("disable", "stop a policy, now and for good").add_argument("name", metavar="POLICY")
    apply = verb("apply", "run a policy until the next reload, guarded or only counting")
    apply.add_argument("name", metavar="POLICY")
    apply.add_argument("--probation", metavar="TIME", help="watch it so long, and roll it back if a limit is passed")
    apply.add_argument("--shadow", action="store_true", help="count what it would touch, and touch nothing")
    apply.add_argument("--no-wait", action="store_true", help="do not wait for the end of the probation")
    verb("verify", "whether the kernel still has what the policies say")
    verb("schema", "the JSON Schema of a policy file, for editors")
    return parser


# -- with the daemon ---------------------------------------------------------------------------------------------------


def _call(ctx: Context, method: str, **params: Any) -> Mapping[str, Any]:
    with ctx.client() as client:
        result: Mapping[str, Any] = client.call(method, **params)
    return result


def line_of(row: Mapping[str, Any]) -> str:
    """One policy in a list."""
    words = f"{row['name']}: {row['stage']}"
    if row.get("shadow"):
        words += " (shadow: it only counts)"
    if row.get("probation"):
        words += " (on probation)"
    if row.get("drift"):
        words += f" ({len(row['drift'])} parameters were changed by somebody else)"
    if len(row.get("problems") or ()) > 1:
        return "\n  ".join([words, *row["problems"]])
    return f"{words}, {row['reason']}" if row["reason"] else words


def _list(args: argparse.Namespace, ctx: Context) -> int:
    rows = _call(ctx, "policy.list")
    if args.json:
        ctx.print_json(rows)
        return 0
    for row in rows["policies"]:
        ctx.print(line_of(row))
    if not rows["policies"]:
        ctx.print("no policies; `damoctl start ... --save NAME` makes one, docs/policies.md explains them")
    return 0


def _show(args: argparse.Namespace, ctx: Context) -> int:
    from damod import units

    row = _call(ctx, "policy.show", name=args.name)
    if args.json:
        ctx.print_json(row)
        return 0
    ctx.print(line_of(row))
    if row["description"]:
        ctx.print(f"  {row['description']}")
    ctx.print(f"  from {', '.join(row['files']) or row['file']}")
    for note in row["notes"]:
        ctx.print(f"  note: {note}")
    if row["recording"]:
        from damoctl.commands.record import details

        for text in details(row["recording"]):
            ctx.print(f"  recording {text}" if not text.startswith(" ") else f"  {text}")
    if row["not_recorded"]:
        ctx.print(f"  not recorded: {row['not_recorded']}")
    would = {(item["kdamond"], item["scheme"]): item for item in row["would_touch"]}
    for at, kdamond in enumerate(row["kdamonds"]):
        ctx.print(f"  kdamond {kdamond['index']} (pid {kdamond['spec']['pid']})")
        for context in kdamond["spec"]["contexts"]:
            for index, scheme in enumerate(context["schemes"]):
                if item := would.get((at, index)):
                    ctx.print(
                        f"    scheme {index} ({item['action']}): would have touched {units.size(item['sz_bytes'])}"
                    )
                    continue
                stats = scheme["stats"] or {}
                tried, applied = (units.size(units.parse_size(stats.get(key, 0))) for key in ("sz_tried", "sz_applied"))
                ctx.print(f"    scheme {index} ({scheme['action']}): tried {tried}, applied {applied}")
    for change in row["drift"]:
        ctx.print(f"  drift: {_change(change)}")
    return 0


def _cat(args: argparse.Namespace, ctx: Context) -> int:
    found = _call(ctx, "policy.cat", name=args.name)
    if args.json:
        ctx.print_json(found)
        return 0
    ctx.print(f"# policy {found['name']}: {', '.join(found['files'])}")
    rows = list(_lines(found["policy"], "", 0, found["origins"]))
    width = min(max((len(text) for text, _ in rows), default=0), 72)
    for text, origin in rows:
        ctx.print(f"{text:<{width}}  # {origin}" if origin else text)
    return 0


def _lines(value: Any, at: str, depth: int, origins: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """(line of YAML, origin) of plain values."""
    pad = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{at}.{key}" if at else str(key)
            if isinstance(item, (dict, list)) and item:
                yield f"{pad}{key}:", ""
                yield from _lines(item, here, depth + (0 if isinstance(item, list) else 1), origins)
            else:
                yield f"{pad}{key}: {_scalar(item)}", origins.get(here, "")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            here = f"{at}[{index}]"
            if isinstance(item, dict) and item:
                inner = list(_lines(item, here, depth + 1, origins))
                first, origin = inner[0]
                yield f"{pad}- {first.strip()}", origin
                yield from inner[1:]
            else:
                yield f"{pad}- {_scalar(item)}", origins.get(here, "")


def _scalar(value: Any) -> str:
    import json

    if isinstance(value, str):
        import re

        return value if re.fullmatch(r"[A-Za-z/][A-Za-z0-9 ._/%*-]*", value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _change(change: Mapping[str, Any]) -> str:
    old, new = (_brief(change[side]) for side in ("old", "new"))
    where = f"  ({change['line']})" if change.get("line") else ""
    return f"{change['path']}: {old} -> {new}{where}"


def _brief(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return str(value.get("action") or value.get("filter_type") or value.get("metric") or "{...}")
    return str(value)


def _diff(args: argparse.Namespace, ctx: Context) -> int:
    found = _call(ctx, "policy.diff")
    if args.json:
        ctx.print_json(found)
    else:
        for step in found["steps"]:
            ctx.print(step["step"] + (f"  ({step['file']})" if step["file"] else ""))
            for change in step["changes"]:
                ctx.print(f"  kdamond {change['kdamond']}: {_change(change)}")
        for change in found["records"]:
            ctx.print(change["step"] + (f"  ({change['line']})" if change["line"] else ""))
        for name, reason in found["reasons"].items():
            ctx.note(f"note: {name} does not run: {reason}")
        if not found["steps"] and not found["records"]:
            ctx.print("nothing would change")
    return FOUND if found["steps"] or found["records"] else 0


def _reload(args: argparse.Namespace, ctx: Context) -> int:
    found = _call(ctx, "policy.reload")
    if args.json:
        ctx.print_json(found)
        return 0
    for row in found["policies"]:
        ctx.print(line_of(row))
    for change in found["records"]:
        ctx.print(change["step"])
    steps = found["steps"]
    if steps or not found["records"]:
        ctx.print(f"{steps} step{'s were' if steps > 1 else ' was'} done" if steps else "nothing changes")
    return FOUND if any(row["problems"] for row in found["policies"]) else 0


def _switch(args: argparse.Namespace, ctx: Context) -> int:
    row = _call(ctx, f"policy.{args.verb}", name=args.name)
    if args.json:
        ctx.print_json(row)
        return 0
    ctx.note(f"note: wrote {row['written']}")
    ctx.print(line_of(row))
    return 0


def _apply(args: argparse.Namespace, ctx: Context) -> int:
    from damod.units import parse_time

    try:
        probation_s = parse_time(args.probation, "ms") / 1000 if args.probation else None
    except ValueError as exc:
        raise UsageError(f"--probation: {exc}") from exc
    with ctx.client() as client:
        row = client.call("policy.apply", name=args.name, probation_s=probation_s, shadow=args.shadow)
        # The list waits for no kernel (`show` has it bring statistics up to date, which takes long when it is busy).
        while row["probation"] and not args.no_wait:
            time.sleep(1)
            rows = client.call("policy.list")["policies"]
            row = next((item for item in rows if item["name"] == args.name), {**row, "probation": False})
    if args.json:
        ctx.print_json(row)
    else:
        ctx.print(line_of(row))
        if row["stage"] == "running" and not row["enabled"]:
            ctx.note(f"note: it runs until the next reload; `damoctl policy enable {args.name}` keeps it")
    return 0 if row["stage"] == "running" else FOUND


def _verify(args: argparse.Namespace, ctx: Context) -> int:
    found = _call(ctx, "policy.verify")
    wrong = 0
    for row in found["policies"]:
        dead = row["expected"] - row["kdamonds"]
        wrong += len(row["drift"]) + dead
        if not args.json:
            differences = f"{len(row['drift'])} differences" if row["drift"] or dead else "as it should be"
            ctx.print(f"{row['name']}: {differences}")
            if dead:
                ctx.print(f"  {dead} of its kdamonds do not run")
            for change in row["drift"]:
                ctx.print(f"  kdamond {change['kdamond']}: {_change(change)}")
    if args.json:
        ctx.print_json(found)
    elif not found["policies"]:
        ctx.print("no policy runs")
    return FOUND if wrong else 0


# -- without -----------------------------------------------------------------------------------------------------------


def _schema(args: argparse.Namespace, ctx: Context) -> int:
    from damod.policy.schema import schema

    ctx.print_json(schema())
    return 0


def _check(args: argparse.Namespace, ctx: Context) -> int:
    from damod.kernel.features import Features
    from damod.policy.load import load, of_texts, read

    features = None
    if args.kernel:
        try:
            features = Features.known(args.kernel)
        except ValueError as exc:
            raise UsageError(f"--kernel: {exc}") from exc
    if args.file == ["-"]:
        import sys

        from damod.policy.text import MAX_BYTES

        documents = [of_texts("policy", [("<stdin>", sys.stdin.read(MAX_BYTES + 1))])]
    elif args.file:
        from pathlib import Path

        missing = [name for name in args.file if not Path(name).exists()]
        if missing:
            raise NotFound(f"there is no file {missing[0]}", hint="`damoctl policy check` alone checks the directories")
        documents = [
            document for name in args.file for document in (load([name]) if Path(name).is_dir() else [read(name)])
        ]
    else:
        documents = load(args.policy_dir or DIRECTORIES)
    rows = [{"name": item.name, "file": item.file, **_verdict(item, features)} for item in documents]
    wrong = sum(len(row["problems"]) + len(row["missing"]) for row in rows)
    if args.json:
        ctx.print_json({"policies": rows})
        return FOUND if wrong else 0
    for row in rows:
        for told in [*row["problems"], *row["missing"]]:
            ctx.print(told)
        for note in row["notes"]:
            ctx.note(f"note: {note}")
        if not row["problems"] and not row["missing"]:
            ctx.print(f"{row['file']}: {row['name']} is right{f' for Linux {args.kernel}' if features else ''}")
    if not rows:
        ctx.print(f"no policies in {', '.join(args.file or args.policy_dir or DIRECTORIES)}")
    return FOUND if wrong else 0


def _verdict(document: Document, features: Any) -> dict[str, list[str]]:
    """Problems, what the kernel lacks, and notes, as sentences."""
    policy = document.policy
    verdict: dict[str, list[str]] = {"problems": list(map(str, document.problems)), "missing": [], "notes": []}
    if policy is None or features is None:
        return verdict
    from damod.kernel.writer import notes
    from damod.policy.fit import lacking, reduce

    kdamonds = policy.kdamonds
    try:
        if policy.on_missing == "skip":
            kdamonds, told = reduce(kdamonds, features)
            verdict["notes"] = [f"{document.file}: {text}" for text in told]
        for name, path in lacking(kdamonds, features):
            since = features.since(name)
            first = f"Linux {since} is the first that has it" if since else "no released Linux has it"
            verdict["missing"].append(
                f"{document.of(path)}: {path} needs {name}, which Linux {features.release} lacks ({first})"
            )
        verdict["notes"] += [f"{document.file}: {note}" for item in kdamonds for note in notes(item, features)]
    except DamodError as exc:
        verdict["missing"].append(f"{document.file}: {exc.message}")
    return verdict
