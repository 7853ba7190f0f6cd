"""damoctl version: ours, and where it answers the daemon's and the kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damod import __version__
from damod.errors import DamodError

if TYPE_CHECKING:
    from damoctl.context import Context


def run(argv: list[str], ctx: Context) -> int:
    """Works without a daemon: then only our own version is known."""
    from damoctl.options import Parser

    parser = Parser("version", "Versions of damoctl, of the daemon and of the kernel that it runs on.")
    parser.add_argument("--json", action="store_true", help="for programs")
    as_json = parser.parse_args(argv).json or ctx.json
    try:
        with ctx.client() as client:
            daemon = client.call("daemon.version")
    except DamodError as error:
        daemon, why = None, error.message
    if as_json:
        ctx.print_json({"damoctl": __version__, "damod": daemon})
        return 0
    ctx.print(f"damoctl {__version__}")
    if daemon is None:
        ctx.note(f"damod: {why}")
    else:
        ctx.print(f"damod {daemon['version']} (protocol {daemon['protocol']})")
        ctx.print(f"kernel {daemon['kernel']['name']} {daemon['kernel']['release']}")
    return 0
