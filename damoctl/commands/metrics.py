"""damoctl metrics: the daemon's metrics once, as Prometheus would get them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damoctl.context import Context

_EXAMPLES = """\
  damoctl metrics                            the text that Prometheus scrapes
  damoctl metrics | promtool check metrics
  damoctl metrics --json                     the same as data
"""


def parser() -> argparse.ArgumentParser:
    from damoctl.options import Parser

    words = Parser(
        "metrics",
        "The daemon's metrics, once. To have them collected, set metrics_address or metrics_textfile in damod.yaml\n"
        "(docs/metrics.md, with a dashboard for Grafana).",
        _EXAMPLES,
    )
    words.add_argument("--openmetrics", action="store_true", help="in OpenMetrics' format")
    words.add_argument("--json", action="store_true", help="for programs")
    return words


def run(argv: list[str], ctx: Context) -> int:
    """Ask for the samples and print them."""
    args = parser().parse_args(argv)
    with ctx.client() as client:
        families = client.call("metrics.get")["metrics"]
    if args.json or ctx.json:
        from damod.metrics.catalog import BY_NAME

        ctx.print_json(
            {
                name: [
                    {"labels": dict(zip(BY_NAME[name].labels, values, strict=True)), "value": value}
                    for values, value in samples
                ]
                for name, samples in families.items()
                if name in BY_NAME
            }
        )
        return 0
    from damod.metrics.expose import render

    text, _ = render(families, "application/openmetrics-text; version=1.0.0" if args.openmetrics else "")
    ctx.stdout.write(text.decode())
    return 0
