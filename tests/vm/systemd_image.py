"""The disk of the systemd guest: Debian 13 with what damod depends on, and the freshly built package installed in it.

Two layers, both below the cache directory and named by what they contain. The *base* is a tar from mmdebstrap: systemd,
udev, Python and the libraries that the package depends on, from the mirror that this machine's apt is configured with
(35 s). The *image* is that, plus `dpkg -i damod.deb` in a chroot, as an ext4 file (10 s); it is kept as long as the
package's bytes are the same. Everything about the base that an installed server would not have is in `_prepare`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from install import deb
from tests.vm import kernels
from tests.vm.guest import GuestError, MissingTool, _tool_path

SUITE = "trixie"
# program -> Debian package.
TOOLS = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "dpkg-deb": "dpkg", "xz": "xz-utils"}

PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "procps", "numactl", "linux-perf", "init-system-helpers"),
    # What the package depends on; dpkg refuses it if one is missing here.
    *("python3", "python3-msgpack", "python3-numpy", "python3-pydantic"),
    *("python3-sdnotify", "python3-structlog", "python3-yaml"),
)
IMAGE_SIZE = "1500M"
KEPT_IMAGES = 3
_EPOCH = 1_700_000_000
# Nobody logs in here, nothing is updated here, and each of these costs the emulated processor a second or more.
MASKED = (
    *(
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "e2scrub_reap.service",
    ),
    *("fstrim.timer", "getty@tty1.service", "serial-getty@ttyS0.service", "systemd-hwdb-update.service"),
    *("ldconfig.service", "systemd-journal-catalog-update.service", "systemd-update-done.service"),
    *("systemd-pcrlock.socket", "man-db.timer", "logrotate.timer"),
)

# The runner: what a test hands in is /host/run.sh; it may reboot, and is then run again (see SystemdGuest).
_RUNNER = """\
#!/bin/bash
# Written by tests/vm/systemd_image.py.
export LC_ALL=C.UTF-8 HOME=/root DAMOD_GUEST=1 DAMOD_GUEST_OUT=/host
echo x >>/host/guest/boots
cat /proc/uptime >>/host/guest/booted
cd /root
bash /host/guest/run.sh >>/host/stdout 2>>/host/stderr </dev/null &
trap 'kill $!; wait; exit 0' TERM
wait $!
status=$?
[ -e /run/rebooting ] && exit 0
journalctl -b --no-hostname -o short-monotonic >/host/guest/journal
dmesg >/host/guest/dmesg
echo "$status" >/host/guest/returncode.part
mv /host/guest/returncode.part /host/guest/returncode
sync
systemctl poweroff --force --force
"""
_UNIT = """\
[Unit]
Description=What the test wants to have run
After=multi-user.target
Requires=multi-user.target
[Service]
Type=exec
ExecStart=/usr/local/sbin/damod-test
TimeoutStopSec=5
"""
_TARGET = """\
[Unit]
Description=A machine that is up, and its test
Requires=multi-user.target
Wants=damod-test.service
After=multi-user.target
AllowIsolate=yes
"""


def require_tools() -> None:
    """Raise MissingTool, with the command that helps, unless images can be made here."""
    missing = [package for program, package in TOOLS.items() if shutil.which(program, path=_tool_path()) is None]
    if missing:
        raise MissingTool(f"the systemd guest needs: apt-get install --no-install-recommends {' '.join(missing)}")
    if os.geteuid() != 0:
        raise MissingTool("the systemd guest's image has root's files in it, so it is made by root")


def image() -> Path:
    """An ext4 file with the package of this checkout installed, made unless it is there."""
    require_tools()
    at = kernels.cache_dir() / "systemd"
    with kernels.locked(kernels.cache_dir() / "lock.systemd"):
        system = base(at)
        with tempfile.TemporaryDirectory(prefix=".deb-", dir=at) as scratch:
            # Always of the same time, so that a commit which changes nothing in it needs no new image.
            package = deb.build(SUITE, Path(scratch), cache=at, epoch=_EPOCH)
            told = hashlib.sha256(package.read_bytes() + system.name.encode() + _own()).hexdigest()[:16]
            found = at / f"image-{told}.ext4"
            if found.exists():
                os.utime(found)
                return found
            _make(system, package, found)
        for old in sorted(at.glob("image-*.ext4"), key=lambda path: path.stat().st_mtime)[:-KEPT_IMAGES]:
            old.unlink()
    return found


def _own() -> bytes:
    return Path(__file__).read_bytes()


def base(at: Path) -> Path:
    """The tar of the system without damod."""
    at.mkdir(parents=True, exist_ok=True)
    recipe = (SUITE, PACKAGES)
    found = at / f"base-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]}.tar"
    if found.exists():
        return found
    archive, security = kernels.apt_uris()
    if not archive:
        raise GuestError("this machine's apt has no Debian archive configured, from which a system could be made")
    sources = [f"deb {archive[0]} {SUITE} main", *(f"deb {uri} {SUITE}-security main" for uri in security[:1])]
    fresh = found.with_suffix(".part")
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}", *excludes),
        # A user's dpkg leaves nothing out, and what damod's package brings is to be looked at.
        "--customize-hook=rm -f $1/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
        *(SUITE, str(fresh), *sources),
    ]
    _told("making the systemd guest's base system", command)
    fresh.rename(found)
    for old in at.glob("base-*.tar"):
        if old != found:
            old.unlink()
    return found


def _make(base: Path, package: Path, found: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".image-", dir=found.parent) as scratch:
        root = Path(scratch) / "root"
        unpack(base, root)
        _prepare(root)
        shutil.copy(package, root / "root/damod.deb")
        in_root(root, "dpkg", "-i", "/root/damod.deb")
        (root / "root/damod.deb").unlink()
        _people(root)
        fresh = found.with_suffix(".part")
        fresh.unlink(missing_ok=True)
        with fresh.open("wb") as file:
            file.truncate(int(IMAGE_SIZE.rstrip("M")) << 20)
        _told("making the image", ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(fresh)])
        fresh.rename(found)


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _prepare(root: Path) -> None:
    """What makes a system of packages a guest: its runner, mounts' places, and nothing that only costs time."""
    # A machine that has booted before: no first-boot presets, no caches to be made anew.
    (root / "etc/machine-id").write_text("d" * 32 + "\n")
    (root / "etc/hostname").write_text("damod-guest\n")
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw 0 0\n")
    units = root / "etc/systemd/system"
    for name in MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    (units / "damod-test.service").write_text(_UNIT)
    (units / "damod-test.target").write_text(_TARGET)
    runner = root / "usr/local/sbin/damod-test"
    runner.write_text(_RUNNER)
    runner.chmod(0o755)
    for name in ("host", "checkout", "usr/lib/modules"):
        (root / name).mkdir(exist_ok=True)


def unpack(base: Path, root: Path) -> None:
    """The base system as a directory tree, with as much of /dev as maintainer scripts want."""
    root.mkdir()
    _told("unpacking the base", ["tar", "-xf", str(base), "-C", str(root), "--exclude=./dev/*"])
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (root / "dev/null").chmod(0o666)


def in_root(root: Path, *command: str) -> str:
    """What a command says that runs in the tree as in a machine that is off: /proc, no network, no systemd.

    Its mounts end with it. Raises GuestError if it fails.
    """
    return _told(
        f"{command[0]} in a new system",
        [
            *("unshare", "--mount", "--net", "--pid", "--fork", f"--mount-proc={root}/proc"),
            *("chroot", str(root), "env", "-i", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", f"PATH={_PATH}"),
            *command,
        ],
    )


def _people(root: Path) -> None:
    """alice may use damod, bob may not."""
    in_root(root, "useradd", "--create-home", "--shell", "/bin/bash", "--groups", "damod", "alice")
    in_root(root, "useradd", "--create-home", "--shell", "/bin/bash", "bob")
    now = time.time()
    for name in ("etc/.updated", "var/.updated"):
        (root / name).touch()
        os.utime(root / name, (now + 3600, now + 3600))
    os.utime(root / "usr", (now, now))


def _told(what: str, command: list[str]) -> str:
    env = {**os.environ, "PATH": _tool_path()}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise GuestError(f"{what} failed ({done.returncode}): {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    started = time.time()
    print(image(), f"({time.time() - started:.0f} s)", file=sys.stdout)
