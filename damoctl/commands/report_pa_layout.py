"""`damoctl report pa_layout`: asks the daemon; root may look without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from damoctl.flags import recording
from damoctl.flags.option import Option, Word
from damod.errors import DaemonUnreachable, NotAllowed, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from damoctl.context import Context

OPTIONS = (
    Option(("--numa_node",), "filter", "Only what is on this node.", (Word("node id", "index"),)),
    Option(
        ("--numa_addr",), "format", "Only the ranges of System RAM of this node, one per line.",
        (Word("node id", "index"),),
    ),
    recording.RAW,
    recording.JSON,
    recording.HELP,
)  # fmt: skip
EXAMPLES = (
    ("damoctl report pa_layout", "what is where, and what paddr watches by default"),
    ("damoctl report pa_layout --numa_node 1", "only the second node"),
    ("damoctl report pa_layout --numa_addr 1", "the addresses of its memory, for --regions"),
)


def run(argv: Sequence[str], ctx: Context) -> int:
    """Show what lies where in physical memory."""
    given = recording.read(argv, ctx, "pa_layout", (OPTIONS,), examples=EXAMPLES)
    if given is None:
        return 0
    from damoctl.reports import pa_layout

    rows = pa_layout.compute(_layout(ctx))
    default = pa_layout.monitored(rows)
    raw = "raw_number" in given
    node = given.one("numa_node", given.one("numa_addr"))
    if node is not None:
        nodes = sorted({row.node for row in rows})
        if node not in nodes:
            raise NotFound(
                f"this machine has no memory on a NUMA node {node}", hint=f"nodes are {', '.join(map(str, nodes))}"
            )
        rows = [row for row in rows if row.node == node]
    if "numa_addr" in given:
        spans = pa_layout.ram(rows)
        if given.json:
            ctx.print_json([{"start": start, "end": end} for start, end in spans])
        else:
            ctx.term.write(pa_layout.span_line(span, raw=raw) for span in spans)
    elif given.json:
        shown = None if default is None else {"start": default[0], "end": default[1]}
        ctx.print_json({"ranges": [row._asdict() for row in rows], "default_paddr_range": shown})
    else:
        ctx.term.write(pa_layout.render(rows, default, raw=raw))
    return 0


def _layout(ctx: Context) -> Mapping[str, Any]:
    try:
        with ctx.client() as client:
            return dict(client.call("machine.layout"))
    except DaemonUnreachable:
        # Nothing of it is the daemon's; who was told which daemon to ask wants its answer and no other.
        if os.geteuid() != 0 or ctx.socket is not None or "DAMOD_SOCKET" in os.environ:
            raise
    from pathlib import Path

    from damod.kernel.procfs import LinuxProc

    try:
        return LinuxProc(Path("/proc"), Path("/sys")).memory_layout()._asdict()
    except OSError as exc:
        raise NotAllowed(f"cannot read the layout of the memory: {exc}", hint="/proc/iomem shows it to root") from exc
