"""The Debian package: what is in it, that it is the same each time, and that its scripts are sound."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from install import deb, vendor

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="no dpkg-deb here: packages are made on Debian"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deb.build("trixie", tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files, and its control directory as DEBIAN."""
    into = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "-R", package, into], check=True)
    return into


def fields(package: Path) -> dict[str, str]:
    said = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, check=True).stdout
    return dict(line.split(": ", 1) for line in said.splitlines() if not line.startswith(" "))


def test_it_depends_on_what_debian_has(package: Path) -> None:
    """Security updates of these libraries reach damod; the version of Python is that of the compiled ones inside."""
    depends = fields(package)["Depends"]
    for name in ("msgpack", "numpy", "pydantic", "sdnotify", "structlog", "yaml"):
        assert re.search(rf"\bpython3-{name} \(>= [\d.]+\)", depends), name
    assert "python3 (>= 3.13~), python3 (<< 3.14~)" in depends
    assert fields(package)["Recommends"].startswith("python3-matplotlib")
    assert "pyarrow" not in depends


def test_what_debian_lacks_is_inside_and_nothing_else(unpacked: Path) -> None:
    """For trixie pyarrow and textual, with what that needs; pyarrow for its Python, without headers and tests."""
    home = unpacked / "usr/lib/damod/vendor"
    inside = {path.name.partition("-")[0] for path in home.glob("*.dist-info")}
    assert {"pyarrow", "textual", "rich"} <= inside
    assert not inside & {"numpy", "pydantic", "pydantic_core", "msgpack", "PyYAML", "structlog", "matplotlib"}
    assert list(home.glob("pyarrow/lib.cpython-313-*.so"))
    assert not [path for path in unpacked.rglob("*") if path.name in ("__pycache__", "tests", "include")]


def test_no_library_that_is_needed_was_trimmed_away(unpacked: Path) -> None:
    """Each of pyarrow's compiled parts finds those that it names."""
    home = unpacked / "usr/lib/damod/vendor/pyarrow"
    there = {path.name for path in home.iterdir()}
    named = {
        (path.name, name.decode())
        for path in home.glob("*.so*")
        for name in re.findall(rb"\0(lib(?:arrow|parquet)\w*\.so\.\d+)(?=\0)", path.read_bytes())
    }
    assert len(named) > 10
    assert {(of, name) for of, name in named if name not in there} == set()


def test_each_requirement_is_a_dependency_or_inside(package: Path) -> None:
    """In every suite; a new library in pyproject.toml must be decided on."""
    for suite in deb.SUITES.values():
        control = deb.control(suite, "1", "amd64", 1)
        for name in vendor.requirements():
            assert (name in suite.vendored) != (f"{deb.package_of(name)} (" in control), name


def test_conffiles_and_sums_are_told(unpacked: Path) -> None:
    """dpkg asks before it overwrites an administrator's settings, and can verify the rest."""
    assert (unpacked / "DEBIAN/conffiles").read_text() == "/etc/damod.yaml\n"
    sums = dict(line.split("  ")[::-1] for line in (unpacked / "DEBIAN/md5sums").read_text().splitlines())
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert set(sums) == {name for name in files if not name.startswith("DEBIAN/")} - {"etc/damod.yaml"}
    for name, md5 in sums.items():
        assert hashlib.md5((unpacked / name).read_bytes()).hexdigest() == md5


def test_files_are_roots_and_nobody_else_can_write_them(package: Path) -> None:
    """Programs are executable, everything else is not; no link leads out."""
    listing = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        mode, owner, *_, name = line.split()
        assert owner == "root/root", line
        if mode.startswith("-"):
            assert mode == ("-rwxr-xr-x" if name.startswith("./usr/bin/") else "-rw-r--r--"), line
        else:
            assert mode == "drwxr-xr-x", line


def test_the_same_sources_make_the_same_package(package: Path, tmp_path: Path) -> None:
    """Byte for byte."""
    again = deb.build("trixie", tmp_path)
    assert again.name == package.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_are_sound(name: str, unpacked: Path) -> None:
    """A shell reads them, they stop at the first error, and name no path that only bash or a developer has."""
    script = unpacked / "DEBIAN" / name
    assert script.stat().st_mode & 0o777 == 0o755
    text = script.read_text()
    assert text.startswith("#!/bin/sh\nset -e\n") and "/home" not in text
    subprocess.run(["sh", "-n", script], check=True)


def test_lintian_finds_no_error(package: Path) -> None:
    """Where there is a lintian; a private copy of a compiled library is known and explained in docs/install.md."""
    if shutil.which("lintian") is None:
        pytest.skip("no lintian here: apt-get install lintian")
    done = subprocess.run(["lintian", "--fail-on", "error", package], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_suite_is_this_machines_when_there_is_a_package_for_it(tmp_path: Path) -> None:
    """Elsewhere the newest one."""
    (tmp_path / "12").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    (tmp_path / "x").write_text("ID=other\nVERSION_CODENAME=zesty\n")
    assert deb.this_suite(tmp_path / "12") == "bookworm"
    assert deb.this_suite(tmp_path / "x") == deb.this_suite(tmp_path / "none") == "trixie"
