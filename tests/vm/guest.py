"""Boot a real kernel in QEMU and run one command in it.

virtme-ng gives the guest this machine's own file system (read-only, with overlays in memory over /usr, /etc, /tmp,
...), so whatever is installed here, the project's virtual environment included, is there at the same path. The
command's output and exit status travel through files in a directory both sides see, because the emulated console
loses output.

Two things are not as virtme-ng does them by default, both measured in docs/kernels.md. The root is mounted with the
guest's page cache on (`cache=loose`): without it each open of each `.pyc` is a round trip, every time, and a Python
start takes four times as long. And QEMU emulates the processor (TCG) unless DAMOD_VM_ACCEL=kvm says otherwise:
/dev/kvm often exists where it cannot boot a stock kernel.

    guest = Guest(kernel="newest", memory="2G", cpus=2)
    result = guest.run(["uname", "-r"], timeout_s=60)
    result.returncode, result.stdout, result.outdir
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.vm import kernels

CHECKOUT = Path(__file__).resolve().parents[2]

# What the guest needs from this machine: program -> Debian package.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "modprobe": "kmod",
    # virtme-ng learns a kernel's version from `file`, and dies with a traceback when there is neither `file` nor
    # `strings`.
    "file": "file",
}

_KERNEL_COMPLAINT = re.compile(r"WARNING: .* at |BUG: |Oops|general protection fault|Kernel panic|soft lockup")

_INIT = """\
#!/bin/bash
# Written by tests/vm/guest.py; runs as root in the guest, and everything it has to say goes to files beside it.
exec >{control}/init.log 2>&1
echo "$(cat /proc/uptime)" >{control}/booted
mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing
mountpoint -q /sys/kernel/debug || mount -t debugfs nodev /sys/kernel/debug
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 nodev /sys/fs/cgroup
echo "+cpu +memory" >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p "$HOME"
cd {cwd} || exit 125
env -i {env} {command} >{out}/stdout 2>{out}/stderr </dev/null
status=$?
dmesg >{control}/dmesg
echo "$status" >{control}/returncode.part
mv {control}/returncode.part {control}/returncode
sync
"""

# `virtme-run` with the guest's page cache on for the root. The mount line is in a template of virtme-ng with no
# option for it; should a later version word it otherwise, nothing is replaced and guests are only slower.
_VIRTME_RUN = """\
#!{python}
import sys

from virtme import mkinitramfs
from virtme.commands import run

mkinitramfs._MOUNT_ROOT_HOST = mkinitramfs._MOUNT_ROOT_HOST.replace("access=any,msize", "access=any,cache=loose,msize")
sys.exit(run.main())
"""


# The kernel patches its own code while it runs (int3 first, then the rest), and multi-threaded TCG does not always tell
# the other processor in time: seen in about one boot of thirty, mostly while booting. No fault of kernel or test.
_EMULATOR_PANIC = "Oops: int3"
_ATTEMPTS = 3
# QEMU goes on after one: systemd's guests may reboot, so they are not told to end then.
_PANIC = "Kernel panic - not syncing"


class GuestError(RuntimeError):
    """The guest did not do its part; the message holds the end of what it said."""


class MissingTool(GuestError):
    """This machine lacks a program the guests need."""


class CannotBoot(GuestError):
    """The kernel never reached our first command."""


class GuestDied(GuestError):
    """The guest booted, and went away before the command ended: a panic, out of memory, or somebody's poweroff."""


class GuestTimeout(GuestError):
    """The guest booted, but the command was not done in time. What it wrote until then is in `outdir`."""

    def __init__(self, message: str, outdir: Path) -> None:
        super().__init__(message)
        self.outdir = outdir


@dataclass(frozen=True)
class GuestResult:
    """What one command in a guest came to. `outdir` holds `stdout`, `stderr` and every file the command wrote there."""

    returncode: int
    outdir: Path
    boot_s: float
    total_s: float

    @property
    def stdout(self) -> str:
        return _read(self.outdir / "stdout")

    @property
    def stderr(self) -> str:
        return _read(self.outdir / "stderr")

    @property
    def console(self) -> str:
        """All the serial console said, kernel messages included."""
        return _read(self.outdir / "guest/console.log")

    @property
    def complaints(self) -> list[str]:
        """Lines in which the kernel reports trouble of its own; a test that drives DAMON wants this to be empty."""
        return [line for line in _read(self.outdir / "guest/dmesg").splitlines() if _KERNEL_COMPLAINT.search(line)]

    def check(self) -> GuestResult:
        """Return self, or raise with all that is known if the command failed."""
        if self.returncode != 0:
            raise GuestError(f"the guest's command ended with status {self.returncode}\n{story(self.outdir)}")
        return self


def past_panics(kernel: str, out: Path, once: Callable[[], GuestResult]) -> GuestResult:
    """What `once` gives, tried again where it met a panic of the emulator's own; what that left is kept and told."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return once()
        except (CannotBoot, GuestDied) as exc:
            if _EMULATOR_PANIC not in _read(out / "guest/console.log"):
                raise
            kept = out.with_name(f"{out.name}.panic{attempt}")
            out.rename(kept)
            print(f"{type(exc).__name__}: {kernel} met the emulator's panic ({kept}); again", file=sys.stderr)
    return once()


@dataclass(frozen=True)
class Guest:
    """A virtual machine to be; each `run` boots it afresh, so nothing one run did to the kernel reaches the next.

    `numa` is one string per node, `SIZE[,cpus=A-B]`: `("1G,cpus=0-1", "1G")` is a machine whose second node has memory
    only, a slow tier. The nodes' sizes then replace `memory`. `append` goes to the kernel command line, `qemu` to QEMU.
    """

    kernel: str = "newest"
    memory: str = "2G"
    cpus: int = 2
    numa: Sequence[str] | None = None
    append: Sequence[str] = ()
    qemu: Sequence[str] = ()
    boot_timeout_s: float = 180
    env: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path = CHECKOUT,
        outdir: Path | None = None,
    ) -> GuestResult:
        """Boot, run `argv` as root, power off.

        The command starts in `cwd` with a clean environment, a writable HOME, tracefs and cgroup v2 mounted, and
        DAMOD_GUEST_OUT naming the one directory whose files outlive the guest (`outdir`, made if not given).
        `timeout_s` counts from the end of the boot. A failing command is an ordinary result; CannotBoot, GuestDied
        and GuestTimeout are raised with the last lines of output and console. A panic that is the emulator's own
        (`_EMULATOR_PANIC`) is told on stderr and the whole run done again, at most twice.
        """
        require_tools()
        out = outdir or Path(tempfile.mkdtemp(prefix="damod-guest-"))
        return past_panics(self.kernel, out, lambda: self._once(argv, timeout_s, env or {}, cwd, out))

    def _once(
        self, argv: Sequence[str | Path], timeout_s: float, env: Mapping[str, str], cwd: Path, out: Path
    ) -> GuestResult:
        image = kernels.get(self.kernel)
        vng = ensure_virtme()
        control = out / "guest"
        control.mkdir(parents=True)
        for name in ("stdout", "stderr"):
            (out / name).touch()
        (control / "init.sh").write_text(self._init(argv, env, cwd, out))
        command = self._command(vng, image, out)

        started = time.time()
        with subprocess.Popen(
            command,
            cwd="/",
            env=_host_env(vng),
            stdin=subprocess.DEVNULL,
            # A pipe, not a file: QEMU opens /proc/self/fd/2 anew, which truncates a file and loses what was written.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as vm:
            copier = threading.Thread(
                target=_copy, args=(vm, control / "console.log"), name="guest-console", daemon=True
            )
            copier.start()
            try:
                booted = watch(vm, out, "booted", self.kernel, self.boot_timeout_s, timeout_s)
            finally:
                copier.join(timeout=10)
        return outcome(out, image.release, started, booted)

    def _init(self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path, out: Path) -> str:
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": "/run/damod-home",
            # The checkout is read-only here; byte code was compiled on the host, see compile_for_guest().
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "DAMOD_GUEST": "1",
            "DAMOD_GUEST_OUT": str(out),
            "DAMOD_GUEST_KERNEL": self.kernel,
            **self.env,
            **env,
        }
        return f"export HOME={shlex.quote(variables['HOME'])}\n" + _INIT.format(
            control=shlex.quote(str(out / "guest")),
            out=shlex.quote(str(out)),
            cwd=shlex.quote(str(cwd)),
            env=" ".join(shlex.quote(f"{name}={value}") for name, value in variables.items()),
            command=" ".join(shlex.quote(str(word)) for word in argv),
        )

    def _command(self, vng: Path, image: kernels.Kernel, out: Path) -> list[str]:
        accel = os.environ.get("DAMOD_VM_ACCEL", "tcg")
        qemu = list(self.qemu)
        command = [str(vng), "--verbose", "--force-9p", "--disable-microvm", "-r", str(image.vmlinuz)]
        if accel == "tcg":
            command.append("--disable-kvm")
            qemu = ["-accel", "tcg,thread=multi,tb-size=256", *qemu]
        if self.numa:
            for node in self.numa:
                command += ["--numa", node]
        memory = f"{sum(_mebibytes(node.partition(',')[0]) for node in self.numa)}M" if self.numa else self.memory
        command += ["--memory", memory, "--cpus", str(self.cpus), f"--rwdir={out}"]
        for word in self.append:
            command += ["--append", word]
        if qemu:
            command.append(f"--qemu-opts={shlex.join(qemu)}")
        return [*command, "--exec", f"bash {shlex.quote(str(out / 'guest/init.sh'))}"]


def watch(
    vm: subprocess.Popen[bytes], out: Path, marker: str, kernel: str, boot_timeout_s: float, timeout_s: float
) -> float | None:
    """Until the machine is off, or its time is over; then none of it is left.

    When `marker` appeared in its `guest` directory, that is the end of the (first) boot, in seconds since the epoch.
    Raises CannotBoot and GuestTimeout. The one-second tick is for the deadlines only; the end of QEMU wakes us at once.
    """
    control, started = out / "guest", time.time()
    booted: float | None = None
    try:
        while True:
            ended = _ended(vm)
            booted = booted or _mtime(control / marker)
            if ended or _PANIC in _read(control / "console.log"):
                return booted
            if booted is None and time.time() > started + boot_timeout_s:
                raise CannotBoot(f"{kernel} did not boot within {boot_timeout_s:.0f} s\n{story(out)}")
            if booted is not None and time.time() > booted + timeout_s:
                if (control / "returncode").exists():  # The command was in time, only the power-off hangs.
                    return booted
                raise GuestTimeout(f"the guest's command was not done within {timeout_s:.0f} s\n{story(out)}", out)
    finally:
        _kill(vm)


def _ended(vm: subprocess.Popen[bytes]) -> bool:
    try:
        vm.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return False
    return True


def outcome(out: Path, release: str, started: float, booted: float | None) -> GuestResult:
    """What a machine that is off has left, or CannotBoot or GuestDied."""
    if booted is None:
        raise CannotBoot(f"{release} did not boot: QEMU ended before the first command\n{story(out)}")
    code = _read(out / "guest/returncode").strip()
    if not code:
        raise GuestDied(f"{release} went away before the command ended\n{story(out)}")
    return GuestResult(int(code), out, boot_s=booted - started, total_s=time.time() - started)


def story(out: Path, lines: int = 40) -> str:
    """The end of everything a guest left behind, for an error message."""
    parts = [
        "\n".join((f"--- {name} (the last {len(tail)} lines; all of it in {out})", *tail))
        for name in ("stdout", "stderr", "guest/init.log", "guest/console.log")
        if (tail := _read(out / name).splitlines()[-lines:])
    ]
    return "\n".join(parts) or f"--- nothing at all was written to {out}"


# --- what must be there before a guest can start ---------------------------------------------------------------------


def require_tools() -> None:
    """Raise MissingTool, with the command that helps, unless this machine can run guests."""
    missing = [package for program, package in TOOLS.items() if shutil.which(program, path=_tool_path()) is None]
    if missing:
        raise MissingTool(f"guests need: apt-get install --no-install-recommends {' '.join(missing)}")
    modules = Path("/lib/modules")
    if not modules.is_dir():
        # virtme-ng mounts the guest's modules over it, and cannot make a directory in a read-only root.
        try:
            modules.mkdir()
        except OSError as exc:
            raise MissingTool(f"guests need the directory {modules} on this machine (mkdir, as root): {exc}") from exc


def ensure_virtme() -> Path:
    """The `vng` program, installed by pip into an environment of its own the first time."""
    home = kernels.cache_dir() / f"virtme-ng-py{sys.version_info.major}.{sys.version_info.minor}"
    vng, ready = home / "bin/vng", home / ".ready"
    shim = home / "shim/virtme-run"
    with kernels.locked(kernels.cache_dir() / "lock.virtme-ng"):
        if not (ready.exists() and vng.exists()):
            shutil.rmtree(home, ignore_errors=True)
            for step in (
                [sys.executable, "-m", "venv", str(home)],
                [str(home / "bin/pip"), "install", "--quiet", "virtme-ng>=1.30,<2"],
            ):
                done = subprocess.run(step, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise MissingTool(f"installing virtme-ng failed: {shlex.join(step)}\n{done.stdout}{done.stderr}")
            ready.touch()
        text = _VIRTME_RUN.format(python=home / "bin/python")
        if _read(shim) != text:
            shim.parent.mkdir(exist_ok=True)
            shim.write_text(text)
            shim.chmod(0o755)
    return vng


def compile_for_guest(python: Path, *trees: Path) -> None:
    """Write byte code on the host, where it costs a moment: the guest cannot write it and takes twenty times as long.

    Explicit, because pip and this project's own tools may run with PYTHONDONTWRITEBYTECODE set.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True, env=env)
    # Not checked: some packages ship files that are no valid Python on purpose. The standard library came compiled.
    subprocess.run(
        [python, "-m", "compileall", "-qq", "-j", "0", done.stdout.strip(), *trees],
        check=False,
        capture_output=True,
        env=env,
    )


# --- small things ----------------------------------------------------------------------------------------------------


def _tool_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _host_env(vng: Path) -> dict[str, str]:
    env = {**os.environ, "PATH": f"{vng.parent.parent / 'shim'}:{vng.parent}:{_tool_path()}"}
    # Whoever runs the tests may have pointed Python elsewhere; virtme-ng is a program with an environment of its own.
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        env.pop(name, None)
    return env


def _copy(vm: subprocess.Popen[bytes], path: Path) -> None:
    assert vm.stdout is not None
    with path.open("wb", buffering=0) as console:
        while chunk := os.read(vm.stdout.fileno(), 65536):
            console.write(chunk)


def _kill(vm: subprocess.Popen[bytes]) -> None:
    """End vng and the QEMU below it, by the process group we made for them."""
    if vm.poll() is None:
        os.killpg(vm.pid, signal.SIGKILL)
    vm.wait()


def _mtime(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _mebibytes(size: str) -> int:
    """`2G` and `512M`, as QEMU spells them."""
    match = re.fullmatch(r"(\d+)([MG])", size)
    if match is None:
        raise ValueError(f"not a memory size like 512M or 2G: {size!r}")
    return int(match[1]) * (1024 if match[2] == "G" else 1)
