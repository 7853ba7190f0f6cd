"""The arrows of docs/architecture.md: who may import whom, and what a light command may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Each package or module -> what of ours it may import (itself is always allowed). Longest prefix counts.
ALLOWED: dict[str, tuple[str, ...]] = {
    "damod.errors": (),
    "damod.units": (),
    "damod.near": (),
    "damod.room": ("damod.errors", "damod.units"),
    "damod.access": ("damod.errors", "damod.units"),
    "damod.spec": ("damod.errors", "damod.units", "damod.near"),
    "damod.records": ("damod.errors", "damod.units", "damod.room", "damod.access"),
    "damod.kernel": ("damod.errors", "damod.units", "damod.access", "damod.spec"),
    "damod.metrics": ("damod.errors", "damod.access"),
    "damod.policy": ("damod.errors", "damod.units", "damod.near", "damod.spec", "damod.kernel"),
    "damod.recorder.job": (),
    "damod.recorder.channel": ("damod.recorder.job",),
    "damod.recorder": (
        "damod.errors", "damod.units", "damod.access", "damod.spec", "damod.kernel", "damod.records",
    ),
    "damod.rpc.wire": ("damod.errors",),
    "damod.rpc.client": ("damod.errors", "damod.rpc.wire"),
    "damod.rpc": ("damod.errors", "damod.near", "damod.log"),
    "damod.daemon": (
        "damod.errors", "damod.units", "damod.near", "damod.access", "damod.spec", "damod.kernel", "damod.policy",
        "damod.metrics", "damod.rpc",
        "damod.settings", "damod.log", "damod.systemd", "damod.__init__",
        # What a recorder is told and tells; the recorder itself is a process of its own.
        "damod.recorder.job", "damod.recorder.channel",
    ),
    "damod.settings": ("damod.errors", "damod.units", "damod.near", "damod.rpc.client"),
    "damod.log": ("damod.errors",),
    "damod.systemd": ("damod.errors",),
    "damod": ("damod",),
    # Checks are functions of facts: they know neither the kernel nor the socket.
    **{f"damoctl.diagnose.{name}": ("damod.units", "damod.spec", "damod.kernel.features", "damoctl.diagnose")
       for name in ("machine", "owners", "monitoring", "schemes", "quirks")},
    "damoctl.diagnose.facts": ("damod.access", "damod.spec", "damod.kernel.features"),
    "damoctl.diagnose": ("damod",),
    "damoctl": ("damod", "damoctl"),
}  # fmt: skip


def modules() -> list[tuple[str, Path]]:
    """Every module of ours by dotted name."""
    found = []
    for package in ("damod", "damoctl"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports(path: Path) -> set[str]:
    """Absolute names of ours that a module imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name for name in names if name.split(".")[0] in ("damod", "damoctl")}


def rule(name: str) -> tuple[str, tuple[str, ...]]:
    """The longest prefix of `name` that has a rule."""
    while name not in ALLOWED:
        name = name.rpartition(".")[0]
    return name, ALLOWED[name]


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_follow_the_arrows(name: str, path: Path) -> None:
    """A module imports only what lies before it in the architecture."""
    prefix, allowed = rule(name)
    wrong = {
        target
        for target in imports(path)
        if not any(target == ok or target.startswith(ok + ".") for ok in (*allowed, prefix))
        and target != "damod"  # __version__ only; the package file imports nothing
    }
    assert not wrong, f"{name} may import {allowed}, not {wrong}"


def test_the_library_does_not_know_its_client() -> None:
    """damod never imports damoctl."""
    assert not [
        name
        for name, path in modules()
        if name.startswith("damod")
        and any(target.startswith("damoctl") for target in imports(path))
        and not name.startswith("damoctl")
    ]


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_package_files_import_nothing(name: str, path: Path) -> None:
    """A package's __init__ has a docstring and no imports, so that loading a leaf loads nothing else."""
    if path.name == "__init__.py":
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), name
        # What a function imports when it is called costs nothing on loading.
        nodes = [node for top in tree.body if not isinstance(top, ast.FunctionDef) for node in ast.walk(top)]
        assert not [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))], name


HEAVY = {
    "asyncio",
    "pydantic",
    "pydantic_core",
    "numpy",
    "yaml",
    "structlog",
    "rich",
    "pyarrow",
    "ssl",
    "hypothesis",
    "textual",
}


def loaded(code: str) -> set[str]:
    """Top-level modules in sys.modules after running `code` in a fresh interpreter."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}\nprint('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {line.split(".")[0] for line in out.stdout.splitlines()}


@pytest.mark.parametrize(
    "command",
    ["status", "stop", "version", "features", "report", "start", "policy", "record", "module", "schemes", "diagnose"],
)
def test_light_commands_load_no_heavy_module(command: str) -> None:
    """A command that only talks to the daemon starts without asyncio, pydantic, numpy and the like."""
    code = f"from damoctl.main import main\nimport damoctl.commands.{command}, damod.rpc.client"
    assert not loaded(code) & HEAVY


def test_a_daemon_without_metrics_does_not_load_their_library() -> None:
    """prometheus_client is loaded by the first exposition; nor does the daemon load what only recorders need."""
    assert not loaded("import damod.cli, damod.daemon.methods, damod.daemon.service") & {
        "prometheus_client", "numpy", "pyarrow", "matplotlib", "textual",
    }  # fmt: skip


def test_only_the_terminal_of_a_view_knows_textual() -> None:
    """textual (and rich below it) is dear to load; what is shown is decided without it."""
    users = set()
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {word.split(".")[0] for word in found} & {"textual", "rich"}:
                users.add(name)
    assert users == {"damoctl.watch.app"}
