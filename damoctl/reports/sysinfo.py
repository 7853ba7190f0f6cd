"""`report sysinfo`: versions, where kernel interfaces are, tracers, and DAMON's features by kind."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from damod import __version__

_KINDS = ("sysfs", "debugfs", "trace", "stat", "lru_sort", "reclaim", "interface")


class Feature(NamedTuple):
    """One thing that a kernel's DAMON may have. `kind` is one of sysfs, debugfs, trace, stat, lru_sort, reclaim and
    interface, `since` the release that brought it ("" if none has, or it is not known)."""

    kind: str
    name: str
    available: bool
    since: str
    about: str = ""

    @property
    def line(self) -> str:
        return f"- {self.kind}/{self.name} ({self.status})"

    @property
    def status(self) -> str:
        if self.since:
            return f"since Linux {self.since}"
        return "in this kernel" if self.available else "in no release"


class Tools(NamedTuple):
    """Tracers on this machine; None where there is none. damod needs neither."""

    perf_path: str | None
    perf_version: str | None
    trace_cmd_version: str | None


class Info(NamedTuple):
    """All that is known. `versions` and `mounts` are lines of name and value."""

    versions: Mapping[str, str]
    mounts: Mapping[str, str]
    tools: Tools
    features: Sequence[Feature]


def tools() -> Tools:
    """What `perf --version` and `trace-cmd --version` say."""
    perf = shutil.which("perf")
    return Tools(perf, _says(perf, "--version"), _says(shutil.which("trace-cmd"), "--version"))


def _says(program: str | None, *words: str) -> str | None:
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return lines[0].strip() if lines else None


def compute(info: Mapping[str, Any], found: Tools) -> Info:
    """What `machine.info` answers, sorted by kind."""
    features = [_feature(item) for item in info["features"]]
    for module, kind in (("damon_stat", "stat"), ("damon_lru_sort", "lru_sort"), ("damon_reclaim", "reclaim")):
        features += [
            Feature(kind, name, True, "", "module parameter") for name in sorted(info["modules"].get(module, ()))
        ]
    features.append(Feature("interface", "sysfs", True, "5.18", "what damod uses"))
    features.append(Feature("interface", "debugfs", False, "5.15", "removed in Linux 6.14; damod does not use it"))
    newest = max((_release(item.since) for item in features if item.available and item.since), default=(0, 0))
    return Info(
        versions={
            "damoctl version": __version__,
            "damod version": info["version"],
            "kernel version": f"{info['kernel']['release']} ({info['kernel']['name']})",
            "DAMON version": f"of Linux {newest[0]}.{newest[1]} or later (inferred)",
        },
        mounts={name: info["mounts"].get(name, "not mounted") for name in ("sysfs", "tracefs", "debugfs")},
        tools=found,
        features=sorted(features, key=lambda item: (_KINDS.index(item.kind), item.name)),
    )


def _release(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _feature(item: Mapping[str, Any]) -> Feature:
    name = item["name"]
    kind = "sysfs"
    for prefix in ("trace", "module"):
        if name.startswith(f"{prefix}."):
            kind = "interface" if prefix == "module" else prefix
            name = name.removeprefix(f"{prefix}.")
    about = item["about"] + (" (concluded from the release)" if item["inferred"] and item["since"] else "")
    return Feature(kind, name, item["available"], item["since"], about)


def render(info: Info, sections: Sequence[str]) -> Iterator[str]:
    """The sections asked for, in their own order."""

    def asked(section: str) -> bool:
        return section in sections or "all" in sections

    if asked("versions"):
        yield from (f"{name}: {value}" for name, value in info.versions.items())
    if asked("fs_info"):
        yield from (f"{name}: {value}" for name, value in info.mounts.items())
    if asked("trace_cmd_info"):
        yield f"trace-cmd version: {info.tools.trace_cmd_version or 'not installed (not needed)'}"
    if asked("perf_info"):
        yield f"perf path: {info.tools.perf_path or 'not installed (needed for CPU profiles only)'}"
        yield f"perf version: {info.tools.perf_version or 'not known'}"
    kinds = [kind for kind in _KINDS if asked("interfaces" if kind == "interface" else f"{kind}_features")]
    if kinds:
        yield "available DAMON features:"
        yield from _listed(item for item in info.features if item.available and item.kind in kinds)
    if asked("unavailable_features"):
        yield "unavailable DAMON features:"
        yield from _listed(item for item in info.features if not item.available)


def _listed(features: Iterator[Feature]) -> Iterator[str]:
    for item in features:
        yield item.line
        if item.about:
            yield f"  - {item.about}"


def to_plain(info: Info) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "versions": dict(info.versions),
        "mounts": dict(info.mounts),
        "tools": info.tools._asdict(),
        "features": [item._asdict() for item in info.features],
    }
