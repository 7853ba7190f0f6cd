"""`make deb`: the layout as a Debian package, by dpkg-deb alone.

What Debian has new enough is depended on, so that its security updates reach damod; what it lacks is carried along in
/usr/lib/damod/vendor: pyarrow and textual for Debian 13, also pydantic and others for Debian 12 (docs/install.md).
Compiled libraries tie a package to one version of Python, which `Depends` says.

The same sources and the same wheels give the same bytes: times are the last commit's, order and owners are fixed.

    python -m install.deb --suite trixie --out dist
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from install import vendor
from install.layout import CHECKOUT, Target, conffiles, items, write

SCRIPTS = CHECKOUT / "install/debian"
MAINTAINER = "damod developers <damod@localhost>"


class Suite(NamedTuple):
    """A Debian release: its Python, its systemd, and which of our libraries it has too old or not at all."""

    python: tuple[int, int]
    systemd: int
    vendored: tuple[str, ...]


SUITES = {
    "bookworm": Suite((3, 11), 252, ("matplotlib", "numpy", "pyarrow", "pydantic", "structlog", "textual")),
    "trixie": Suite((3, 13), 257, ("pyarrow", "textual")),
}
# A requirement's name in Debian, where it is not python3-NAME.
_PACKAGES = {"pyyaml": "python3-yaml"}
# Only `report heatmap --output plot.png` draws pictures.
_RECOMMENDED = ("matplotlib",)

_CONTROL = """\
Package: damod
Version: {version}
Section: admin
Priority: optional
Architecture: {arch}
Maintainer: {maintainer}
Installed-Size: {size_kib}
Depends: {depends}
{recommends}Suggests: linux-perf, python3-prometheus-client
Description: system daemon that owns Linux DAMON, and its client
 DAMON, in the Linux kernel, tells which memory is used and which is not, and
 schemes (DAMOS) act on it: reclaim, tiering between NUMA nodes, LRU sorting.
 .
 damod is the daemon that owns DAMON on a server: it keeps to declarative
 policies in /etc/damo.d, adopts what runs over restarts, and records and
 streams what monitoring finds. damoctl is its command line client.
"""


def this_suite(os_release: Path = Path("/etc/os-release")) -> str:
    """The suite of this machine if packages can be made for it, else the newest that they can be made for."""
    text = os_release.read_text() if os_release.exists() else ""
    found = re.search(r"^VERSION_CODENAME=(\w+)$", text, flags=re.M)
    return found[1] if found and found[1] in SUITES else "trixie"


def version() -> str:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def package_of(name: str) -> str:
    """Debian's package of a library."""
    return _PACKAGES.get(name, f"python3-{name}")


def control(suite: Suite, of_version: str, arch: str, size_kib: int) -> str:
    """The package's control file."""
    major, minor = suite.python
    depends = [f"python3 (>= {major}.{minor}~)", f"python3 (<< {major}.{minor + 1}~)"]
    recommends = []
    for name, wanted in vendor.requirements().items():
        if name in suite.vendored:
            continue
        least = next((item.version for item in wanted.specifier if item.operator == ">="), "")
        entry = package_of(name) + (f" (>= {least})" if least else "")
        (recommends if name in _RECOMMENDED else depends).append(entry)
    # systemd-sysusers and systemd-tmpfiles are called by postinst.
    depends += ["init-system-helpers (>= 1.52)", f"systemd (>= {min(suite.systemd, 252)})"]
    return _CONTROL.format(
        version=of_version,
        arch=arch,
        maintainer=MAINTAINER,
        size_kib=size_kib,
        depends=", ".join(depends),
        recommends=f"Recommends: {', '.join(recommends)}\n" if recommends else "",
    )


def build(
    suite_name: str, out: Path, of_version: str | None = None, *, cache: Path | None = None, epoch: int | None = None
) -> Path:
    """Make the package in directory `out` and return its path. Raises SystemExit with what went wrong.

    `cache` keeps the private libraries between builds. `epoch` is the time of all files, in seconds; by default that of
    $SOURCE_DATE_EPOCH or the last commit.
    """
    suite, of_version = SUITES[suite_name], of_version or version()
    arch = _said("dpkg", "--print-architecture")
    if epoch is None:
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or _last_commit_s())
    target = Target(python="/usr/bin/python3", systemd=suite.systemd, vendored=bool(suite.vendored))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="damod-deb-") as scratch:
        root = Path(scratch) / "root"
        root.mkdir()
        write(root, list(items(target)))
        _vendored(root / target.home.lstrip("/") / "vendor", suite, arch, cache)
        _write(root / "usr/share/doc/damod/copyright", _copyright())
        files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        sums = "".join(
            f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n"
            for path in files
            if f"/{path.relative_to(root)}" not in conffiles()
        )
        size_kib = sum(-(-path.stat().st_size // 1024) for path in files)
        meta = root / "DEBIAN"
        _write(meta / "control", control(suite, of_version, arch, size_kib))
        _write(meta / "conffiles", "".join(f"{path}\n" for path in conffiles()))
        _write(meta / "md5sums", sums)
        for script in ("postinst", "prerm", "postrm"):
            _write(meta / script, (SCRIPTS / script).read_text(), 0o755)
        for path in (root, *root.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
            elif meta not in path.parents:
                path.chmod(0o755 if path.stat().st_mode & 0o100 and path.parent.name == "bin" else 0o644)
        for path in (*root.rglob("*"), root):
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        package = out / f"damod_{of_version}_{arch}.deb"
        environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        command = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", str(root), str(package)]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        if done.returncode:
            raise SystemExit(f"install.deb: dpkg-deb: {done.stderr.strip()}")
    return package


def _vendored(into: Path, suite: Suite, arch: str, cache: Path | None) -> None:
    """The private libraries of a suite, copied from the cache if they were fetched before."""
    if not suite.vendored:
        return
    wanted = [str(vendor.requirements()[name]) for name in suite.vendored]
    key = hashlib.sha256(repr((wanted, suite.python, arch, vendor.TRIM)).encode()).hexdigest()[:16]
    kept = (cache or CHECKOUT / "build") / f"vendor-{key}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".vendor-", dir=kept.parent) as scratch:
            fresh = Path(scratch) / "vendor"
            vendor.install(fresh, suite.vendored, suite.python)
            fresh.rename(kept)
    shutil.copytree(kept, into, symlinks=True, dirs_exist_ok=True)


def _copyright() -> str:
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: damod\n\n"
        "Files: *\nCopyright: the damod developers\nLicense: Apache-2.0\n"
        " On Debian systems the license is in /usr/share/common-licenses/Apache-2.0.\n\n"
        "Files: usr/lib/damod/vendor/*\nCopyright: their authors\nLicense: see-there\n"
        " Each library's *.dist-info directory beside it has its authors and license.\n"
    )


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _last_commit_s() -> str:
    found = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    # Without git (an unpacked archive) the changelog's time stands for the release's.
    return found.stdout.strip() or str(int((CHECKOUT / "CHANGELOG.md").stat().st_mtime))


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except FileNotFoundError:
        raise SystemExit(f"install.deb: {command[0]} is missing: apt-get install dpkg") from None


def main(argv: Sequence[str] | None = None) -> int:
    words = argparse.ArgumentParser(prog="make deb", description="Make damod's Debian package.")
    words.add_argument("--suite", choices=SUITES, default=this_suite(), help="for which Debian (default: %(default)s)")
    words.add_argument("--out", type=Path, default=CHECKOUT / "dist", help="where to (default: dist)")
    words.add_argument("--version", help="default: that of pyproject.toml")
    options = words.parse_args(argv)
    package = build(options.suite, options.out, options.version)
    print(f"{package} ({package.stat().st_size / 1e6:.1f} MB, for {options.suite})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
