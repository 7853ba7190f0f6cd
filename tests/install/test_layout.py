"""`make install` puts everything where it is looked for, and what it installed runs by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from damoctl.local import LocalDaemon
from install import layout, vendor

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"


def test_everything_has_its_place() -> None:
    """Programs, units, users, settings, policies, completions, man pages."""
    found = {item.path: item for item in layout.items(layout.Target())}
    for path in (
        "/usr/bin/damod", "/usr/bin/damoctl",
        "/usr/lib/systemd/system/damod.service", "/usr/lib/systemd/system/damod.socket",
        "/usr/lib/sysusers.d/damod.conf", "/usr/lib/tmpfiles.d/damod.conf",
        "/etc/damod.yaml", "/usr/lib/damo.d/40-tiering.yaml",
        "/usr/share/bash-completion/completions/damoctl", "/usr/share/zsh/vendor-completions/_damoctl",
        "/usr/share/fish/vendor_completions.d/damoctl.fish",
        "/usr/share/man/man8/damod.8.gz", "/usr/share/man/man1/damoctl.1.gz",
        "/usr/share/man/man5/damo.d.5.gz", "/usr/share/man/man5/damod.yaml.5.gz",
        "/usr/lib/damod/damod/cli.py", "/usr/lib/damod/damod/kernel/sim/abi/6.12.txt",
    ):  # fmt: skip
        assert path in found, path
        assert found[path].mode == (0o755 if "/bin/" in path else 0o644)
    assert not [path for path in found if "__pycache__" in path or "/tests/" in path or path.endswith("demo.py")]


def test_shipped_policies_are_disabled() -> None:
    """Installing damod changes nothing about how memory is managed."""
    found = [item for item in layout.items(layout.Target()) if item.path.startswith("/usr/lib/damo.d/")]
    assert len(found) >= 5
    assert all(yaml.safe_load(item.data)["enabled"] is False for item in found)


def test_the_unit_fits_systemd_and_prefix() -> None:
    """notify-reload is not known before 253; then reloading is a kill, and the type one that is known."""
    new, old = (layout.service(layout.Target(prefix="/usr/local", systemd=version)) for version in (257, 252))
    assert "\nType=notify-reload\n" in new and "\nExecReload=" not in new
    assert "\nType=notify\nExecReload=/bin/kill -HUP $MAINPID\n" in old and "Type=notify-reload" not in old
    assert "\nExecStart=/usr/local/bin/damod\n" in new


def test_settings_of_an_administrator_are_kept(tmp_path: Path) -> None:
    """Installing again replaces the program, not /etc/damod.yaml."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/damod.yaml").write_text("viewers: all\n")
    layout.write(tmp_path, list(layout.items(layout.Target())))
    layout.write(tmp_path, list(layout.items(layout.Target())))
    assert (tmp_path / "etc/damod.yaml").read_text() == "viewers: all\n"
    assert (tmp_path / "usr/bin/damod").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/damo.d").is_dir()


def test_libraries_that_are_there_are_not_carried_along() -> None:
    """The requirements are pyproject.toml's; the environment of the tests has all of them."""
    assert vendor.lacking(sys.executable) == ()
    assert {"pyarrow", "pydantic", "msgpack"} <= set(vendor.requirements())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make install DESTDIR=... RUN_PYTHON=/usr/bin/python3`, with whatever that Python lacks.

    The launchers name absolute places; those get the directory put before them, as a chroot would.
    """
    if not Path(SYSTEM_PYTHON).exists() or vendor.version_of(SYSTEM_PYTHON) < (3, 11):
        pytest.skip(f"{SYSTEM_PYTHON} is missing or older than 3.11")
    destdir = tmp_path_factory.mktemp("installed")
    words = [f"DESTDIR={destdir}", "PREFIX=/usr", f"RUN_PYTHON={SYSTEM_PYTHON}"]
    done = subprocess.run(["make", "-C", str(ROOT), "install", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("damod", "damoctl"):
        launcher = destdir / "usr/bin" / name
        launcher.write_text(launcher.read_text().replace('"/usr/lib', f'"{destdir}/usr/lib'))
    return destdir


def run(program: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": "/nowhere", **environ}
    return subprocess.run([program, *words], capture_output=True, text=True, env=environ, cwd="/", check=False)


def test_the_installed_programs_run_by_themselves(installed: Path) -> None:
    """With the system's Python, without this checkout's environment."""
    done = run(installed / "usr/bin/damoctl", "features", "--kernel", "6.12")
    assert done.returncode == 0 and "quota" in done.stdout, done.stderr
    done = run(installed / "usr/bin/damod", "--check")
    assert done.returncode == 0 and "record_dir" in done.stdout, done.stderr
    assert (installed / "usr/bin/damod").read_text().startswith("#!/usr/bin/python3 -I\n")


def test_the_installed_daemon_records_and_its_client_reports(installed: Path, tmp_path: Path) -> None:
    """The recorder, a process of its own, finds the private libraries too; so do the reports."""
    # LocalDaemon starts PYTHON -m damod; the installed program takes the words after that.
    stub = tmp_path / "damod-launcher"
    stub.write_text(f'#!/bin/sh\nshift 2\nexec {installed}/usr/bin/damod "$@"\n')
    stub.chmod(0o755)
    damoctl, out = installed / "usr/bin/damoctl", str(tmp_path / "damon.data")
    with LocalDaemon("--kernel", "sim", python=(str(stub),)) as damod:
        reach = ("--socket", str(damod.socket))
        done = run(damoctl, *reach, "start", "--take_over", "paddr")
        assert done.returncode == 0, done.stderr
        done = run(damoctl, *reach, "record", "--timeout", "1", "--out", out)
        assert done.returncode == 0, done.stderr + damod.log.read_text()
        done = run(damoctl, "report", "wss", "--input", out)
        assert done.returncode == 0 and re.search(r"\d", done.stdout), done.stderr
