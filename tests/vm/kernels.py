"""Stock Debian kernels by name, downloaded once and never installed.

Debian builds DAMON into its kernels, so a test needs no kernel of its own: `6.12` is what Debian 13 runs, `newest` is
the head of its backports, and any other series the archive has at the moment can be asked for (`7.2`, `6.18`). Old
patch levels leave the archive, so a name is a *series* and means its newest complete release at the time of the first
download.

The machine's own apt configuration stays as it is: a private sources list asks for suites it does not have, from the
mirror it already uses. Nothing but apt checks the signatures, and `dpkg -x` only unpacks.

    python3 tests/vm/kernels.py 6.12 newest     # print the path of each vmlinuz
    python3 tests/vm/kernels.py --list          # what is cached, and what the archive offers
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ALIASES = ("newest",)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Debian 12's own kernel, 6.1, has no DAMON; its backports and security suites carry the 6.12 of Debian 13.
SUITES = ("trixie", "trixie-backports", "bookworm-backports")
SECURITY_SUITES = ("trixie-security", "bookworm-security")

# Only the plain flavour: `6.12.117+deb13-amd64`, not `...-cloud-amd64`, `...-rt-amd64` or `...-amd64-unsigned`.
_PACKAGE = re.compile(r"linux-(?P<part>image|binary|modules)-(?P<release>\d+(?:\.\d+)+\+[a-z]+[\d.]+-amd64)")
_DEBIAN_SUITE = re.compile(r"(?:bookworm|trixie|forky|sid|unstable|testing|stable|oldstable)(?:-[a-z-]+)?(?:/updates)?")


class KernelUnavailable(RuntimeError):
    """No such kernel, and the message says what was tried."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: the name it was asked by, its `uname -r`, and where it lies."""

    name: str
    release: str
    root: Path

    @property
    def vmlinuz(self) -> Path:
        """The bootable image; packages up to 6.18 ship it in /boot, later ones beside the modules."""
        for candidate in (
            self.root / f"boot/vmlinuz-{self.release}",
            self.root / f"usr/lib/modules/{self.release}/vmlinuz",
            self.root / f"lib/modules/{self.release}/vmlinuz",
        ):
            if candidate.exists():
                return candidate
        raise KernelUnavailable(f"no vmlinuz for {self.release} below {self.root}")

    @property
    def modules(self) -> Path:
        """The directory whose name is the release and which holds modules.dep."""
        return self.root / "lib/modules" / self.release


def cache_dir() -> Path:
    """Where everything that was downloaded or built for the guests lives, outside the checkout."""
    if explicit := os.environ.get("DAMOD_VM_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "damod-vm"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, so that two test runs do not download the same thing twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# --- what the machine's own apt says ---------------------------------------------------------------------------------


def apt_uris(etc_apt: Path = Path("/etc/apt")) -> tuple[list[str], list[str]]:
    """(archive URIs, security URIs) of the Debian archives this machine is configured with, in their order.

    Both forms of apt's configuration count: `*.sources` (deb822) and one-line `*.list`.
    """
    archive: list[str] = []
    security: list[str] = []
    for uri, suites in _apt_entries(etc_apt):
        for suite in suites:
            if not _DEBIAN_SUITE.fullmatch(suite):
                continue
            kind = security if "-security" in suite or suite.endswith("/updates") else archive
            if uri not in kind:
                kind.append(uri)
    return archive, security


def _apt_entries(etc_apt: Path) -> Iterator[tuple[str, list[str]]]:
    parts = etc_apt / "sources.list.d"
    for path in (etc_apt / "sources.list", *sorted(parts.glob("*.list"))):
        if path.is_file():
            yield from parse_one_line(path.read_text())
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822(path.read_text())


def parse_one_line(text: str) -> Iterator[tuple[str, list[str]]]:
    """`deb [options] URI suite components...`, one source per line, only those with `main`."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)", line)
        if match and "main" in match["components"].split():
            yield match["uri"], [match["suite"]]


def parse_deb822(text: str) -> Iterator[tuple[str, list[str]]]:
    """Stanzas of `Key: value` with continuation lines, only the enabled binary ones with `main`."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields: dict[str, list[str]] = {}
        key = ""
        for line in stanza.splitlines():
            if line[:1].isspace() and key:
                fields[key] += line.split()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.split()
        if fields.get("enabled", ["yes"]) == ["no"] or "deb" not in fields.get("types", []):
            continue
        if "main" in fields.get("components", []):
            for uri in fields.get("uris", []):
                yield uri, fields.get("suites", [])


# --- the archive, through a private apt ------------------------------------------------------------------------------


class Archive:
    """apt-get and apt-cache over suites of our own choosing, with lists and cache of their own."""

    def __init__(self, at: Path) -> None:
        self._at = at
        self._sources = at / "sources.list"
        self._update_said = ""

    def update(self) -> None:
        """Fetch the package lists. A suite that is gone or unreachable is survived: the others may be enough."""
        archive, security = apt_uris()
        if not archive:
            raise KernelUnavailable(
                "no Debian archive among this machine's apt sources, so no mirror to ask for kernels"
            )
        if not KEYRING.exists():
            raise KernelUnavailable(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        wanted = [(archive[0], suite) for suite in SUITES]
        wanted += [(security[0], suite) for suite in SECURITY_SUITES] if security else []
        (self._at / "lists/partial").mkdir(parents=True, exist_ok=True)
        (self._at / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        self._sources.write_text(
            "".join(f"deb [arch=amd64 signed-by={KEYRING}] {uri} {suite} main\n" for uri, suite in wanted)
        )
        done = self._apt("apt-get", "-q", "update")
        self._update_said = done.stdout + done.stderr

    def releases(self) -> list[str]:
        """Every complete kernel release on offer, oldest first."""
        done = self._apt("apt-cache", "search", "--names-only", r"^linux-(image|binary|modules)-[0-9]")
        names = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
        found = complete_releases(names)
        if not found:
            raise KernelUnavailable(f"the archive offers no kernel; apt said:\n{self._update_said or done.stderr}")
        return sorted(found, key=release_key)

    def fetch(self, release: str, into: Path) -> None:
        """Download and unpack all packages of one release."""
        # `base` holds what depmod wants to know about built-in modules; releases up to 6.18 have no such package.
        pattern = f"^linux-(image|binary|modules|base)-{re.escape(release)}$"
        done = self._apt("apt-cache", "search", "--names-only", pattern)
        packages = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
        with tempfile.TemporaryDirectory(dir=self._at) as downloads:
            got = self._apt("apt-get", "-q", "download", *packages, cwd=Path(downloads))
            if got.returncode != 0:
                raise KernelUnavailable(f"downloading {', '.join(packages)} failed:\n{got.stdout}{got.stderr}")
            for package in sorted(Path(downloads).glob("*.deb")):
                subprocess.run(["dpkg", "-x", package, into], check=True)

    def _apt(self, program: str, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        if shutil.which(program) is None:
            raise KernelUnavailable(f"{program} is missing: kernels come from Debian packages, so this needs Debian")
        options = {
            "Dir::Etc::sourcelist": self._sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State::Lists": self._at / "lists",
            "Dir::Cache": self._at / "cache",
            # The cache lies in a home directory, which apt's own unprivileged download user cannot enter.
            "APT::Sandbox::User": "root",
            "APT::Architecture": "amd64",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
        }
        flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run([program, *flags, *args], capture_output=True, text=True, cwd=cwd, env=env, check=False)


def complete_releases(packages: Iterable[str]) -> set[str]:
    """The releases among these package names that can be booted *and* have their modules.

    Up to 6.18 `linux-image-R` is the whole kernel. From 6.19 it is an empty package that depends on `linux-binary-R`
    and `linux-modules-R`, and the archive drops an old version's modules before its binary.
    """
    parts: dict[str, set[str]] = {}
    for name in packages:
        if match := _PACKAGE.fullmatch(name):
            parts.setdefault(match["release"], set()).add(match["part"])
    return {
        release
        for release, have in parts.items()
        if {"binary", "modules"} <= have or ("image" in have and "binary" not in have)
    }


def release_key(release: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Order by kernel version, then by the packaging's: 6.12.9 < 6.12.10 < 6.12.115+deb13 < 6.12.115+deb13.1."""
    version, _, packaging = release.partition("+")
    packaging = packaging.removesuffix("-amd64")
    return tuple(map(int, version.split("."))), tuple(map(int, re.findall(r"\d+", packaging)))


def choose(name: str, releases: Sequence[str]) -> str:
    """The newest release that `name` can mean: `newest`, a series (`6.12`), or a whole release."""
    matching = [
        release
        for release in releases
        if name == "newest" or release == name or re.match(re.escape(name) + r"[.+]", release)
    ]
    if not matching:
        have = sorted({series(release) for release in releases}, key=lambda s: tuple(map(int, s.split("."))))
        raise KernelUnavailable(f"no kernel called {name!r}; the archive has: {', '.join(have)}, newest")
    return max(matching, key=release_key)


def series(release: str) -> str:
    """`7.3.4+deb13-amd64` is of series `7.3`."""
    return ".".join(release.split(".")[:2]).partition("+")[0]


# --- the cache -------------------------------------------------------------------------------------------------------


def get(name: str, *, refresh: bool = False) -> Kernel:
    """The kernel called `name`, from the cache if it is there, else downloaded.

    A kernel that is cached is used without asking the network; `refresh` asks for a newer release of the same name.
    Raises KernelUnavailable with what apt said.
    """
    kernels = cache_dir() / "kernels"
    link = kernels / name
    if not refresh and (cached := _cached(name, link)):
        return cached
    with locked(cache_dir() / "lock.kernels"):
        if not refresh and (cached := _cached(name, link)):
            return cached
        archive = Archive(cache_dir() / "apt")
        archive.update()
        release = choose(name, archive.releases())
        root = kernels / f"release-{release}"
        if not root.is_dir():
            _unpack(archive, release, root)
        # The name is a link that is replaced in one step, so a reader sees the old kernel or the new one.
        fresh = kernels / f".{name}.{os.getpid()}"
        fresh.symlink_to(root.name)
        fresh.replace(link)
    return Kernel(name, release, root)


def _cached(name: str, link: Path) -> Kernel | None:
    if not link.is_symlink() or not link.exists():
        return None
    root = link.resolve()
    return Kernel(name, root.name.removeprefix("release-"), root)


def _unpack(archive: Archive, release: str, root: Path) -> None:
    """Unpack beside the final place and rename, so that an interrupted download never looks like a kernel."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root.parent) as scratch:
        tree = Path(scratch) / "root"
        tree.mkdir()
        archive.fetch(release, tree)
        # Packages of today have /usr/lib/modules only, while modprobe and virtme-ng look below /lib.
        if not (tree / "lib").exists():
            (tree / "lib").symlink_to("usr/lib")
        depmod = shutil.which("depmod", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if depmod is None:
            raise KernelUnavailable("depmod is missing: apt-get install kmod")
        subprocess.run([depmod, "-b", tree, release], check=True)
        Kernel(release, release, tree).vmlinuz  # noqa: B018 - raises if the packages held no image
        tree.chmod(0o755)
        tree.rename(root)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch stock Debian kernels for the virtual machine tests.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="newest, a series (6.12) or a whole release")
    parser.add_argument("--list", action="store_true", help="say what is cached and what the archive offers")
    parser.add_argument("--refresh", action="store_true", help="ask for a newer release even if one is cached")
    args = parser.parse_args(argv)
    try:
        if args.list:
            for path in sorted((cache_dir() / "kernels").glob("[!.]*")):
                if path.is_symlink():
                    print(f"cached   {path.name:<8} {path.resolve().name.removeprefix('release-')}")
            archive = Archive(cache_dir() / "apt")
            archive.update()
            newest: dict[str, str] = {series(release): release for release in archive.releases()}
            for name, release in newest.items():
                print(f"archive  {name:<8} {release}")
        for name in args.names:
            print(get(name, refresh=args.refresh).vmlinuz)
    except KernelUnavailable as exc:
        print(f"kernels: {exc}", file=sys.stderr)
        return 1
    if not args.names and not args.list:
        parser.print_usage(sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
