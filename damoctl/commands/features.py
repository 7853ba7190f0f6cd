"""damoctl features: what the running kernel's DAMON has and lacks, and with which release each came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from damod.errors import UsageError

if TYPE_CHECKING:
    from damoctl.context import Context

EXAMPLES = """\
  damoctl features                  of the running kernel, asked through the daemon
  damoctl features --kernel 6.12    of a known release, without daemon and kernel
  damoctl features unsupported      only what it lacks
"""


def render(answer: Mapping[str, Any], which: str) -> Iterator[str]:
    """One line per feature: mark, name, since when, what it is."""
    yield f"# DAMON of Linux {answer['release']}"
    width = max((len(feature["name"]) for feature in answer["features"]), default=0)
    for feature in answer["features"]:
        if (which == "supported" and not feature["available"]) or (which == "unsupported" and feature["available"]):
            continue
        mark = "+" if feature["available"] else "-"
        since = f"{feature['since']}+" if feature["since"] else ""
        yield f"{mark} {feature['name']:<{width}}  {since:<7} {feature['about']}".rstrip()


def run(argv: list[str], ctx: Context) -> int:
    """List features of the running kernel or, offline, of a known release."""
    from damoctl.options import Parser

    parser = Parser(
        "features", "What a kernel's DAMON has (+) and lacks (-), with the release that brought it.", EXAMPLES
    )
    parser.add_argument("which", nargs="?", choices=["all", "supported", "unsupported", "json"], default="all")
    parser.add_argument(
        "--kernel", metavar="RELEASE", help="a known release, such as 6.12, instead of the running kernel"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args(argv)
    if args.kernel:
        from damod.kernel.features import Features

        try:
            known = Features.known(args.kernel)
        except ValueError as exc:
            raise UsageError(f"--kernel: {exc}") from exc
        answer: Mapping[str, Any] = known.to_wire()
    else:
        with ctx.client() as client:
            answer = client.call("features.list")
    if args.json or ctx.json or args.which == "json":
        ctx.print_json(answer)
    else:
        for line in render(answer, args.which):
            ctx.print(line)
    return 0
