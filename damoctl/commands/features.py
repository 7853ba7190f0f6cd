"""damoctl features: what the running kernel's DAMON has and lacks, and with which release each came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from damod.errors import UsageError

if TYPE_CHECKING:
    from damoctl.context import Context
    from damoctl.options import Parser

EXAMPLES = """\
  damoctl features                  of the running kernel, asked through the daemon
  damoctl features --kernel 6.12    of a known release, without daemon and kernel
  damoctl features unsupported      only the names of what it lacks
"""


def render(answer: Mapping[str, Any]) -> Iterator[str]:
    """One line per feature: whether it is there, name, the release that brought it, what it is; then what is odd."""
    features = answer["features"]
    there = sum(feature["available"] for feature in features)
    yield f"DAMON of Linux {answer['release']}: {there} of {len(features)} features (+ has, - lacks)"
    width = max((len(feature["name"]) for feature in features), default=0)
    for feature in features:
        mark = "+" if feature["available"] else "-"
        since = f"Linux {feature['since']}" if feature["since"] else "no release"
        yield f"{mark} {feature['name']:<{width}}  {since:<10}  {feature['about']}".rstrip()
    if answer.get("no_effect"):
        yield "accepted by this kernel, but without effect"
        for item in answer["no_effect"]:
            until = f"before Linux {item['since']}" if item["since"] else "in any release"
            yield f"! {item['action']} on {item['ops']} ({until})"
    guessed = sum(feature.get("inferred", False) and bool(feature["since"]) for feature in features)
    if answer.get("asked") and guessed:
        yield f"{guessed} of these follow from the release; the rest was seen. After the first start all is seen."


def names(answer: Mapping[str, Any], available: bool) -> list[str]:
    """What the kernel has, or lacks."""
    return [feature["name"] for feature in answer["features"] if feature["available"] is available]


def parser() -> Parser:
    """The command's words."""
    import argparse

    from damoctl.options import Parser

    made = Parser(
        "features", "What a kernel's DAMON has (+) and lacks (-), with the release that brought it.", EXAMPLES
    )
    made.add_argument(
        "which",
        nargs="?",
        choices=["all", "supported", "unsupported", "json"],
        default="all",
        help="a table of all (default), only names, or a JSON object of names and truth values as damo prints it",
    )
    made.add_argument(
        "--kernel", metavar="RELEASE", help="a known release, such as 6.12, instead of the running kernel"
    )
    made.add_argument("--infer_version", action="store_true", help="only the kernel's release")
    made.add_argument("--json", action="store_true", help="everything, for programs")
    # Nothing is kept from one look to the next.
    made.add_argument("--invalidate_cache", action="store_true", help=argparse.SUPPRESS)
    made.for_damo()
    return made


def run(argv: list[str], ctx: Context) -> int:
    """List features of the running kernel or, offline, of a known release."""
    args = parser().parse_args(argv)
    if args.kernel:
        from damod.kernel.features import Features

        try:
            known = Features.known(args.kernel)
        except ValueError as exc:
            raise UsageError(f"--kernel: {exc}") from exc
        answer: Mapping[str, Any] = known.to_wire()
    else:
        with ctx.client() as client:
            answer = {**client.call("features.list"), "asked": True}
    if args.infer_version:
        ctx.print(str(answer["release"]))
    elif args.json or ctx.json:
        ctx.print_json({name: value for name, value in answer.items() if name != "asked"})
    elif args.which == "json":
        ctx.print_json(
            {item["name"]: item["available"] for item in sorted(answer["features"], key=lambda one: one["name"])}
        )
    elif args.which == "all":
        for line in render(answer):
            ctx.print(line)
    else:
        for name in names(answer, args.which == "supported"):
            ctx.print(name)
    return 0
