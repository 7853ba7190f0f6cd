"""Private copies of the libraries that a system's Python lacks, or has too old: pip into a directory, then trimmed.

Which are needed is asked of that Python itself, by the requirements of pyproject.toml.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]

# What no import of ours reaches: pyarrow's headers, tests, network service and query planner for other languages. A
# third of its size; tests/install imports the rest.
TRIM = (
    "bin",
    "**/tests",
    "**/__pycache__",
    "pyarrow/include",
    "pyarrow/src",
    "pyarrow/**/*.pxd",
    "pyarrow/**/*.pyx",
    "pyarrow/**/*.pxi",
    "pyarrow/**/*.h",
    "pyarrow/*_flight*",
    "pyarrow/*flight*.so*",
    "pyarrow/*gandiva*",
)

_ASK = """
import importlib.metadata, json, sys
print(json.dumps([list(sys.version_info[:2]), {d.name: d.version for d in importlib.metadata.distributions()}]))
"""


def requirements() -> dict[str, Requirement]:
    """What damod needs, by canonical name."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(item.name): item for item in map(Requirement, project["dependencies"])}


def version_of(python: str) -> tuple[int, int]:
    """(3, 13) for a Python that can be run."""
    return tuple(_ask(python)[0])  # type: ignore[return-value]


def lacking(python: str) -> tuple[str, ...]:
    """The names of libraries that this Python lacks or has too old."""
    has = {canonicalize_name(name): version for name, version in _ask(python)[1].items() if name}
    return tuple(
        name
        for name, wanted in requirements().items()
        if name not in has or not wanted.specifier.contains(has[name], prereleases=True)
    )


def _ask(python: str) -> list[object]:
    # Isolated as the launchers run it: what lies in the caller's own directories does not count.
    done = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"install: {python} does not run: {done.stderr.strip()}")
    return list(json.loads(done.stdout))


def install(into: Path, names: Sequence[str], version: tuple[int, int]) -> None:
    """Fill `into` with those libraries and what they need, for that version of Python, without byte code."""
    shutil.rmtree(into, ignore_errors=True)
    wanted = [str(requirements()[canonicalize_name(name)]) for name in names]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(into)]
    if version != sys.version_info[:2]:
        machine = platform.machine()
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={version[0]}.{version[1]}"]
        command += [f"--platform=manylinux_{libc}_{machine}" for libc in ("2_28", "2_27", "2_24", "2_17")]
        command += [f"--platform=manylinux2014_{machine}"]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"install: pip could not fetch {', '.join(wanted)}:\n{done.stderr.strip()}")
    for pattern in TRIM:
        for path in sorted(into.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for path in into.rglob("*.dist-info/direct_url.json"):
        path.unlink()
