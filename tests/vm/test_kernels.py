"""Names of kernels, and what a machine's apt configuration says, without asking any archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import kernels

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
# between fields, too
Suites: trixie
 trixie-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: trixie-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: trixie
Components: main

Types: deb
URIs: https://vendor.example/apt
Suites: nodistro
Components: main
"""

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/some/key.gpg] http://mirror.example/debian bookworm main contrib # ours
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/security bookworm-security main
deb http://vendor.example/apt stable vendor
"""


def test_both_forms_of_apt_sources_are_read(tmp_path: Path) -> None:
    """deb822 and one-line sources add up; other vendors, disabled and source-only entries do not count."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text(ONE_LINE.replace("mirror.example", "second.example"))
    archive, security = kernels.apt_uris(tmp_path)
    assert archive == ["http://second.example/debian", "http://mirror.example/debian"]
    assert security == ["http://second.example/security", "http://mirror.example/security"]


def test_a_machine_without_sources_has_no_mirror(tmp_path: Path) -> None:
    """No configuration is an empty answer, not an error."""
    assert kernels.apt_uris(tmp_path) == ([], [])


def test_only_complete_plain_releases_count() -> None:
    """Cloud, rt and unsigned flavours are no kernels for us, nor is a binary whose modules left the archive."""
    packages = [
        "linux-image-6.12.9+deb13-amd64",
        "linux-image-6.12.10+deb13-amd64-unsigned",
        "linux-image-6.12.10+deb13-cloud-amd64",
        "linux-image-6.1.0-48-amd64",
        "linux-image-7.0.4+deb13-amd64",
        "linux-binary-7.0.4+deb13-amd64",
        "linux-image-7.3.4+deb13-amd64",
        "linux-binary-7.3.4+deb13-amd64",
        "linux-modules-7.3.4+deb13-amd64",
    ]
    assert kernels.complete_releases(packages) == {"6.12.9+deb13-amd64", "7.3.4+deb13-amd64"}


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("newest", "7.3.4+deb13-amd64"),
        ("6.12", "6.12.115+deb13.1-amd64"),
        ("6.12.9", "6.12.9+deb13-amd64"),
        ("6.12.115+deb13-amd64", "6.12.115+deb13-amd64"),
    ],
)
def test_a_name_means_its_newest_release(name: str, release: str) -> None:
    """Versions are compared as numbers, and a rebuild of the same version is newer than the first build."""
    offered = [
        "6.12.9+deb13-amd64",
        "6.12.115+deb13-amd64",
        "6.12.115+deb13.1-amd64",
        "7.3.4+deb13-amd64",
    ]
    assert kernels.choose(name, offered) == release


def test_an_unknown_name_says_what_there_is() -> None:
    """`6.1` is not `6.12`, and the error lists the series that can be had."""
    with pytest.raises(kernels.KernelUnavailable, match=r"no kernel called '6\.1'; the archive has: 6\.12, newest"):
        kernels.choose("6.1", ["6.12.9+deb13-amd64"])


def test_a_cached_kernel_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the cache is used as it is; apt is not even started."""
    monkeypatch.setenv("DAMOD_VM_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")
    root = tmp_path / "kernels/release-6.12.9+deb13-amd64"
    (root / "boot").mkdir(parents=True)
    (root / "boot/vmlinuz-6.12.9+deb13-amd64").touch()
    (tmp_path / "kernels/6.12").symlink_to(root.name)
    kernel = kernels.get("6.12")
    assert kernel.release == "6.12.9+deb13-amd64"
    assert kernel.vmlinuz == root / "boot/vmlinuz-6.12.9+deb13-amd64"
