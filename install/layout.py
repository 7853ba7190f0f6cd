"""What an installation consists of: every file with its place, as values; `make install` writes them below DESTDIR.

The program is a private directory (PREFIX/lib/damod) with a launcher for each command. Libraries come from the system's
Python; those that it lacks, or has too old, lie in PREFIX/lib/damod/vendor (see `install.vendor`). Policies go to
/usr/lib/damo.d and the settings to /etc whatever PREFIX is, because that is where damod looks for them.

    python -m install.layout --destdir DIR --prefix /usr/local --python /usr/bin/python3
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("damod", "damoctl")
# Only for development: the demo needs a checkout.
LEFT_OUT = ("damoctl/demo.py",)
# From this systemd on a service can be told to reload and be waited for; before, `kill -HUP` must do.
NOTIFY_RELOAD_SINCE = 253

_LAUNCHER = """\
#!{python} -I
# Isolated: neither the caller's environment nor their directory decides which code root runs.
import sys

sys.path[0:0] = [{paths}]
from {package}.{module} import main

sys.exit(main())
"""
_PROGRAMS = {"damod": "cli", "damoctl": "main"}


class Item(NamedTuple):
    """One installed file: absolute place, contents, permissions."""

    path: str
    data: bytes
    mode: int = 0o644


class Target(NamedTuple):
    """The machine it is for. `vendored` says whether there is a directory of private libraries."""

    prefix: str = "/usr"
    python: str = "/usr/bin/python3"
    systemd: int = NOTIFY_RELOAD_SINCE
    vendored: bool = True

    @property
    def home(self) -> str:
        """The private directory of the program."""
        return f"{self.prefix}/lib/damod"


def items(target: Target) -> Iterator[Item]:
    """All files but the private libraries, in a fixed order."""
    yield from _program(target)
    yield from _units(target)
    yield Item("/etc/damod.yaml", _read("etc/damod.yaml"))
    for path in sorted((CHECKOUT / "etc/damo.d").glob("*.yaml")):
        yield Item(f"/usr/lib/damo.d/{path.name}", path.read_bytes())
    yield from _completions(target)
    yield from _manuals(target)
    yield from _documents(target)


def conffiles() -> tuple[str, ...]:
    """What an administrator edits, and an upgrade keeps."""
    return ("/etc/damod.yaml",)


def _program(target: Target) -> Iterator[Item]:
    paths = [target.home, *([f"{target.home}/vendor"] if target.vendored else [])]
    for package, module in _PROGRAMS.items():
        text = _LAUNCHER.format(
            python=target.python, paths=", ".join(f'"{path}"' for path in paths), package=package, module=module
        )
        yield Item(f"{target.prefix}/bin/{package}", text.encode(), 0o755)
    for package in PACKAGES:
        for path in sorted((CHECKOUT / package).rglob("*")):
            name = path.relative_to(CHECKOUT).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and name not in LEFT_OUT:
                yield Item(f"{target.home}/{name}", path.read_bytes())


def service(target: Target) -> str:
    """damod.service for that systemd and prefix."""
    text = _read("systemd/damod.service").decode()
    text = text.replace("ExecStart=/usr/bin/", f"ExecStart={target.prefix}/bin/")
    if target.systemd < NOTIFY_RELOAD_SINCE:
        text = re.sub(r"^Type=notify-reload$", "Type=notify\nExecReload=/bin/kill -HUP $MAINPID", text, flags=re.M)
    return text


def _units(target: Target) -> Iterator[Item]:
    units = f"{target.prefix}/lib/systemd/system"
    yield Item(f"{units}/damod.service", service(target).encode())
    yield Item(f"{units}/damod.socket", _read("systemd/damod.socket"))
    yield Item(f"{target.prefix}/lib/sysusers.d/damod.conf", _read("systemd/damod.sysusers"))
    yield Item(f"{target.prefix}/lib/tmpfiles.d/damod.conf", _read("systemd/damod.tmpfiles"))


def _completions(target: Target) -> Iterator[Item]:
    from damoctl.complete import SCRIPTS

    share = f"{target.prefix}/share"
    # Debian's zsh looks into vendor-completions for packages, and zsh itself into site-functions.
    zsh = "vendor-completions" if target.prefix == "/usr" else "site-functions"
    yield Item(f"{share}/bash-completion/completions/damoctl", SCRIPTS["bash"].encode())
    yield Item(f"{share}/zsh/{zsh}/_damoctl", SCRIPTS["zsh"].encode())
    yield Item(f"{share}/fish/vendor_completions.d/damoctl.fish", SCRIPTS["fish"].encode())


def _manuals(target: Target) -> Iterator[Item]:
    from install.man.pages import pages

    for name, text in pages().items():
        section = name.rpartition(".")[2]
        yield Item(f"{target.prefix}/share/man/man{section}/{name}.gz", _gzip(text.encode()))


def _documents(target: Target) -> Iterator[Item]:
    doc = f"{target.prefix}/share/doc/damod"
    yield Item(f"{doc}/README.md", _read("README.md"))
    yield Item(f"{doc}/changelog.gz", _gzip(_read("CHANGELOG.md")))
    for path in sorted((CHECKOUT / "docs").glob("*.md")):
        yield Item(f"{doc}/{path.name}", path.read_bytes())
    for path in sorted((CHECKOUT / "etc/examples").glob("*")):
        yield Item(f"{doc}/examples/{path.name}", path.read_bytes())


def _read(name: str) -> bytes:
    return (CHECKOUT / name).read_bytes()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def write(destdir: Path, found: Sequence[Item]) -> None:
    """Put the files below `destdir`. What an administrator edits is left as it is when it is there."""
    for item in found:
        path = destdir / item.path.lstrip("/")
        if item.path in conffiles() and path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new file each, so that a program that runs keeps the one it opened.
        path.unlink(missing_ok=True)
        path.write_bytes(item.data)
        path.chmod(item.mode)
    for name in ("etc/damo.d", "usr/lib/damo.d"):
        (destdir / name).mkdir(parents=True, exist_ok=True)


def systemd_version() -> int:
    """This machine's, or one that knows everything when there is none."""
    with_path = shutil.which("systemctl")
    if with_path is None:
        return NOTIFY_RELOAD_SINCE
    said = subprocess.run([with_path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else NOTIFY_RELOAD_SINCE


def main(argv: Sequence[str] | None = None) -> int:
    words = argparse.ArgumentParser(prog="make install", description=__doc__)
    words.add_argument("--destdir", type=Path, default=Path("/"), help="write below it, for packages")
    words.add_argument("--prefix", default="/usr/local")
    words.add_argument("--python", default=shutil.which("python3") or "/usr/bin/python3", help="what will run it")
    words.add_argument("--vendor", default="auto", help="private libraries: auto (what that Python lacks), none, names")
    options = words.parse_args(argv)
    from install import vendor

    python = os.path.abspath(options.python)  # noqa: PTH100 - links are meant to stay
    wanted = vendor.lacking(python) if options.vendor == "auto" else tuple(options.vendor.split(","))
    wanted = () if options.vendor == "none" else wanted
    target = Target(options.prefix.rstrip("/") or "/", python, systemd_version(), bool(wanted))
    write(options.destdir, list(items(target)))
    if wanted:
        vendor.install(options.destdir / target.home.lstrip("/") / "vendor", wanted, vendor.version_of(python))
    print(f"installed below {options.destdir}: {target.home}, {target.prefix}/bin/damod, {target.prefix}/bin/damoctl")
    if str(options.destdir) == "/":
        print("now: systemd-sysusers; systemd-tmpfiles --create damod.conf; systemctl daemon-reload;")
        print("     systemctl enable --now damod.socket damod.service")
    return 0


if __name__ == "__main__":
    sys.exit(main())
