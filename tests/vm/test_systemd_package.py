"""dpkg's side of the package, in a tree of Debian 13 that is not running: install, upgrade, remove, purge."""

from __future__ import annotations

from pathlib import Path

import pytest

from install import deb
from tests.vm import kernels, systemd_image
from tests.vm.systemd_image import in_root

pytestmark = pytest.mark.vm

ASK = "dpkg-query -W -f '${Status} ${Version}' damod"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system, with two versions of the package in /root."""
    systemd_image.require_tools()
    at = kernels.cache_dir() / "systemd"
    with kernels.locked(kernels.cache_dir() / "lock.systemd"):
        base = systemd_image.base(at)
    tree = tmp_path_factory.mktemp("debian") / "root"
    systemd_image.unpack(base, tree)
    for version in ("0.9", "0.10"):
        deb.build(systemd_image.SUITE, tree / "root", version, cache=at)
    return tree


def links(root: Path) -> list[str]:
    """The units that would be started at boot."""
    return sorted(path.name for path in root.glob("etc/systemd/system/*.wants/damod*"))


def test_a_life_of_the_package(root: Path) -> None:
    """Installed, it is enabled and has its groups; upgraded, it keeps settings and what was disabled; removed, it is
    gone but for settings; purged, only what people made is left."""
    in_root(root, "dpkg", "-i", "/root/damod_0.9_amd64.deb")
    assert links(root) == ["damod.service", "damod.socket"]
    assert "\ndamod:" in (root / "etc/group").read_text() and "\ndamod-view:" in (root / "etc/group").read_text()
    assert (root / "usr/lib/damod/damod/__pycache__").is_dir(), "byte code is made at installation"
    assert "quota" in in_root(root, "damoctl", "features", "--kernel", "6.12")
    assert "/var/lib/damod/records" in in_root(root, "damod", "--check")
    in_root(root, "python3", "-I", "-c", "import sys; sys.path[0:0] = ['/usr/lib/damod', '/usr/lib/damod/vendor']\n"
            "import damod.recorder.session, damod.records.reader, pyarrow.parquet")  # fmt: skip

    (root / "etc/damod.yaml").write_text("viewers: all\n")
    in_root(root, "systemctl", "disable", "damod.service")
    assert links(root) == [], "the service takes its socket along"
    in_root(root, "dpkg", "--force-confold", "-i", "/root/damod_0.10_amd64.deb")
    assert in_root(root, "sh", "-c", ASK) == "install ok installed 0.10"
    assert (root / "etc/damod.yaml").read_text() == "viewers: all\n"
    assert links(root) == [], "what an administrator has disabled stays so"
    assert in_root(root, "dpkg", "--verify", "damod").split() == ["??5??????", "c", "/etc/damod.yaml"]

    (root / "etc/damo.d/50-mine.yaml").write_text("enabled: false\n")
    (root / "var/lib/damod/records/day").mkdir(parents=True)
    in_root(root, "dpkg", "--remove", "damod")
    assert (root / "etc/damod.yaml").exists()
    assert not (root / "usr/lib/damod").exists() and not (root / "usr/bin/damod").exists()

    in_root(root, "dpkg", "--purge", "damod")
    assert links(root) == []
    left = sorted(
        str(path.relative_to(root))
        for top in ("etc", "usr", "var/lib")
        for path in (root / top).rglob("*damo*")
        if "dpkg" not in path.parts and not path.is_relative_to(root / "usr/lib/python3")
    )
    # The groups stay, as Debian's policy has it: files of theirs may be anywhere.
    assert left == ["etc/damo.d", "var/lib/damod"]
    assert (root / "etc/damo.d/50-mine.yaml").exists() and (root / "var/lib/damod/records/day").is_dir()
