"""A whole Debian 13 under systemd in QEMU, with damod's package installed as a user would: two NUMA nodes, cgroup v2.

    guest = SystemdGuest(kernel="6.12")
    result = guest.run("damoctl status >$DAMOD_GUEST_OUT/status", timeout_s=120)
    result.check().outdir / "status"

The script is bash, run by root once multi-user.target is reached, in /root. In it: DAMOD_GUEST_OUT (/host) is the one
directory whose files outlive the guest; /checkout is this checkout, read-only; `reboot_now` reboots, and the script
runs again from its beginning (the disk is the same one, `boot` says the how manyth it is). alice is in the group damod,
bob is not. The disk is a copy-on-write view of a cached image and forgotten at the end.

Kernels are those of tests/vm/kernels.py; each gets an initramfs of a few modules. All others come over 9p,
so `modprobe zram` works.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.vm import kernels, systemd_image
from tests.vm.guest import (
    CHECKOUT,
    GuestResult,
    _mebibytes,
    _tool_path,
    outcome,
    past_panics,
    require_tools,
    watch,
)

# In the order in which they can be loaded; what is built into a kernel, or is not in it, is left out. ext4 asks for
# crc32c by name, so modules.dep does not know it.
_MODULES = ("virtio_blk", "crc32c_generic", "ext4", "9pnet_virtio", "9p")

_INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module || echo "insmod $module failed"; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root
share() {{ /bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$3 $1 /root$2; }}
share host /host rw,access=any
share checkout /checkout ro,cache=loose
share modules /usr/lib/modules ro,cache=loose
/bin/busybox umount /proc
/bin/busybox umount /sys
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""

_SCRIPT = """\
boot=$(wc -l </host/guest/boots)
reboot_now() {{
    touch /run/rebooting
    sync
    systemctl reboot --no-block
    sleep infinity
}}
{environ}
{script}
"""


@dataclass(frozen=True)
class SystemdGuest:
    """A machine to be; each `run` boots it from the installed state. `numa` as in `Guest`."""

    kernel: str = "6.12"
    cpus: int = 2
    numa: Sequence[str] = ("1G,cpus=0-1", "1G")
    append: Sequence[str] = ()
    qemu: Sequence[str] = ()
    boot_timeout_s: float = 300
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, script: str, *, timeout_s: float, outdir: Path | None = None) -> GuestResult:
        """Boot, run the script as root, power off. Its output is in `stdout` and `stderr` of `outdir`.

        `timeout_s` counts from the first boot's end. Raises as Guest.run does, and tries again as it does.
        """
        require_tools()
        disk = systemd_image.image()
        out = outdir or Path(tempfile.mkdtemp(prefix="damod-systemd-"))
        return past_panics(self.kernel, out, lambda: self._once(script, timeout_s, disk, out))

    def _once(self, script: str, timeout_s: float, disk: Path, out: Path) -> GuestResult:
        image = kernels.get(self.kernel)
        control = out / "guest"
        control.mkdir(parents=True)
        for name in ("stdout", "stderr"):
            (out / name).touch()
        environ = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in self.env.items())
        (control / "run.sh").write_text(_SCRIPT.format(environ=environ, script=script))
        initramfs = control / "initramfs"
        initramfs.write_bytes(_initramfs(image))
        started = time.time()
        with subprocess.Popen(
            self._command(image, initramfs, disk, out),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=(control / "qemu.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as vm:
            booted = watch(vm, out, "boots", self.kernel, self.boot_timeout_s, timeout_s)
        initramfs.unlink()
        return outcome(out, image.release, started, booted)

    def _command(self, image: kernels.Kernel, initramfs: Path, disk: Path, out: Path) -> list[str]:
        accel = os.environ.get("DAMOD_VM_ACCEL", "tcg")
        sizes = [_mebibytes(node.partition(",")[0]) for node in self.numa]
        command = [
            *("qemu-system-x86_64", "-nographic", "-nodefaults", "-cpu", "max", "-smp", str(self.cpus)),
            *("-accel", "tcg,thread=multi,tb-size=256" if accel == "tcg" else accel, "-m", f"{sum(sizes)}M"),
            *("-serial", f"file:{out}/guest/console.log", "-kernel", str(image.vmlinuz), "-initrd", str(initramfs)),
            *("-drive", f"file={disk},format=raw,if=virtio,snapshot=on"),
        ]
        for index, (node, size) in enumerate(zip(self.numa, sizes, strict=True)):
            cpus = node.partition(",")[2]
            command += ["-object", f"memory-backend-ram,id=m{index},size={size}M"]
            command += ["-numa", f"node,nodeid={index},memdev=m{index}{',' + cpus if cpus else ''}"]
        shares = {"host": out, "checkout": CHECKOUT, "modules": image.modules.parent}
        for tag, path in shares.items():
            more = "" if tag == "host" else ",readonly=on"
            model = "security_model=none,multidevs=remap"
            command += ["-virtfs", f"local,path={path.resolve()},mount_tag={tag},{model}{more}"]
        words = ["console=ttyS0", "quiet", "rw", "systemd.unit=damod-test.target", "systemd.show_status=no"]
        words += self.append
        return [*command, "-append", " ".join(words), *self.qemu]


# --- the initramfs ---------------------------------------------------------------------------------------------------


def _initramfs(image: kernels.Kernel) -> bytes:
    """busybox, the modules of the disk and the shares, and a script that mounts them and starts systemd."""
    busybox = shutil.which("busybox", path=_tool_path())
    assert busybox is not None  # require_tools() has seen it
    modules = _with_dependencies(image)
    init = _INIT.format(modules=" ".join(modules))
    directories = ("bin", "dev", "modules", "proc", "root", "sys")
    files: dict[str, tuple[int, bytes]] = dict.fromkeys(directories, (stat.S_IFDIR | 0o755, b""))
    files["init"] = (stat.S_IFREG | 0o755, init.encode())
    files["bin/busybox"] = (stat.S_IFREG | 0o755, Path(busybox).read_bytes())
    for name, path in modules.items():
        files[f"modules/{name}"] = (stat.S_IFREG | 0o644, _plain(path))
    return cpio(files)


def _with_dependencies(image: kernels.Kernel) -> dict[str, Path]:
    """file name (without .xz) -> path of the modules, each after those it needs."""
    needs: dict[str, list[str]] = {}
    for line in (image.modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {Path(path).name.partition(".ko")[0]: path for path in needs}
    found: dict[str, Path] = {}

    def add(path: str) -> None:
        for other in needs[path]:
            add(other)
        found.setdefault(f"{Path(path).name.partition('.ko')[0]}.ko", image.modules / path)

    for name in _MODULES:
        if name in by_name:
            add(by_name[name])
    return found


def _plain(path: Path) -> bytes:
    if path.suffix == ".ko":
        return path.read_bytes()
    return subprocess.run(["xz", "-dc", str(path)], capture_output=True, check=True).stdout


def cpio(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """The archive that the kernel unpacks (newc, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    parts = []
    for inode, (name, (mode, data)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], start=1):
        words = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % word for word in words) + name.encode() + b"\0"
        parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]
    return b"".join(parts)
