"""`make run`: a damod on the simulated kernel with an example set-up, and what it sees, redrawn in place.

Needs neither root nor DAMON. On a terminal it goes on until Ctrl-C; elsewhere it prints three snapshots and ends.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

from damoctl.commands import report, start
from damoctl.context import Context
from damoctl.local import LocalDaemon
from damoctl.term.screen import CLEAR, redraw
from damod.errors import DamodError
from damod.units import parse_size, size

EXAMPLE = Path(__file__).parent.parent / "etc" / "examples" / "demo.yaml"
SNAPSHOTS = 3
TITLE = "damod on the simulated kernel: a hot set moves through the memory (Ctrl-C ends)"


def look(socket: str, *, color: bool) -> list[str]:
    """The lines of one `report access`, and what the example's scheme has counted."""
    out = io.StringIO()
    ctx = Context(stdout=out, socket=socket, color="always" if color else "never")
    report.run(["access"], ctx)
    with ctx.client() as client:
        (kdamond,) = client.call("kdamonds.show")["kdamonds"]
    stats = kdamond["spec"]["contexts"][0]["schemes"][0]["stats"]
    tried = size(parse_size(stats["sz_tried"]))
    return [*out.getvalue().splitlines(), f"scheme stat: found cold memory {stats['nr_tried']} times, {tried} in all"]


def main() -> int:
    """Run the demo; Ctrl-C ends the daemon too."""
    live = sys.stdout.isatty()
    with LocalDaemon("--kernel", "sim:moving") as daemon:
        socket = str(daemon.socket)
        # Debian's kernels from 6.17 on, and so the simulated one, run damon_stat; it makes room as on a real machine.
        start.run([str(EXAMPLE), "--take_over"], Context(socket=socket))
        if live:
            sys.stdout.write(CLEAR)
        shown = 0
        while live or shown < SNAPSHOTS:
            time.sleep(1)
            lines = look(socket, color=live)
            if live:
                import shutil

                sys.stdout.write(redraw(TITLE, lines, shutil.get_terminal_size().lines))
            else:
                sys.stdout.write("\n".join(lines) + "\n\n")
            sys.stdout.flush()
            shown += 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
    except DamodError as error:
        sys.stderr.write(f"demo: {error.message}\n  hint: {error.hint}\n")
        sys.exit(error.exit_status)
