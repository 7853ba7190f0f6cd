"""The daemon's command line: words to settings, a kernel by its name, and a mistake as a sentence."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from damod import __version__, log
from damod.errors import DamodError, UsageError
from damod.kernel.interface import Kernel
from damod.settings import SETTINGS, Resolved, Settings, resolve


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint="`damod --help` lists the options")


def parser() -> argparse.ArgumentParser:
    """`damod`'s options; those that are settings derive from their declaration."""
    words = _Parser(
        prog="damod",
        description="The daemon that owns Linux DAMON on this machine. damoctl is its client.",
        epilog="A setting comes from the command line, else from $DAMOD_<NAME>, else from the file, else the default.",
        allow_abbrev=False,
    )
    words.add_argument("--config", metavar="FILE", help="settings (default: /etc/damod.yaml for root, none for others)")
    for name, item in SETTINGS.items():
        about = item.metadata
        if about["flag"]:
            action = "append" if str(item.type).startswith("tuple") else "store"
            words.add_argument(about["flag"], dest=name, metavar=about["metavar"], help=about["about"], action=action)
    words.add_argument("--check", action="store_true", help="show the settings and where they come from, then exit")
    words.add_argument("--version", action="version", version=f"damod {__version__}")
    return words


def open_kernel(settings: Settings) -> Kernel:
    """The kernel that the settings name. Raises NoDamon, NotAllowed or UsageError."""
    if settings.kernel == "linux":
        from damod.kernel.linux import LinuxKernel

        return LinuxKernel()
    from damod.kernel.sim.kernel import SimKernel

    try:
        # Real processes may be targets too, and of their forks a simulation is not told.
        return SimKernel(settings.kernel_version or "7.3", settings.scenario or "moving", process_events=False)
    except ValueError as exc:
        raise UsageError(f"there is no such simulated kernel: {exc}", hint="see --kernel, --kernel-version") from exc


def run(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Do what the words say; returns when the daemon was told to stop. Raises DamodError."""
    options = vars(parser().parse_args(argv))
    given = {name: options[name] for name in SETTINGS if options.get(name) is not None}

    def settings() -> Resolved:
        return resolve(options["config"], environ, given)

    if options["check"]:
        print("\n".join(settings().explain()))
        return
    asyncio.run(_serve(settings().settings, lambda: settings().settings))


async def _serve(settings: Settings, reread: Callable[[], Settings]) -> None:
    from damod.daemon import methods, policy_methods, record_methods
    from damod.daemon.service import Service
    from damod.rpc.registry import Registry

    log.setup(settings.log_level)
    # The watchdog ends a daemon that hangs with SIGABRT; then the journal has where each thread was.
    faulthandler.enable()
    await Service(settings, open_kernel(settings), Registry.of(methods, policy_methods, record_methods), reread).run()


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, or that of the error, which is printed."""
    try:
        run(sys.argv[1:] if argv is None else argv, os.environ)
    except DamodError as exc:
        print(f"damod: {exc.message}", file=sys.stderr)
        if exc.hint:
            print(f"  hint: {exc.hint}", file=sys.stderr)
        return exc.exit_status
    return 0
