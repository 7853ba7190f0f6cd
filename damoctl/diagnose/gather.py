"""Where facts come from: the daemon, or without one this machine as far as a client may read it. Nothing is written.

Without a daemon the same code that it uses looks (`daemon.view`, `kernel.survey`), on a kernel whose trees refuse every
write, so that a mistake there cannot change anything.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from damoctl.diagnose.facts import Facts, Seen
from damod import __version__
from damod.access.snapshot import Snapshot
from damod.errors import DamodError, NotAllowed, SpecInvalid
from damod.kernel.interface import Kernel, Tree
from damod.spec.kdamond import parse_kdamonds

if TYPE_CHECKING:
    from damod.rpc.client import Client

T = TypeVar("T")
_LOOK_S = 8.0
"""How long to wait for what a kdamond sees; several of its aggregations, at the usual intervals."""


def from_daemon(client: Client) -> Facts:
    """Everything that the daemon tells. What fails is told in `untold`, so that the rest is still judged."""
    untold: list[str] = []

    def ask(method: str, **params: Any) -> dict[str, Any]:
        try:
            return dict(client.call(method, **params))
        except DamodError as error:
            untold.append(f"{method}: {error.message}")
            return {}

    version = client.call("daemon.version")
    status, survey = ask("daemon.status"), ask("diagnose.survey")
    rows = ask("kdamonds.show", stats=True).get("kdamonds", [])
    looks = {row["index"]: _look(client, row["index"]) for row in rows}
    seen, nonsense = _kdamonds(rows, status, survey, looks)
    return Facts(
        kernel=version["kernel"]["name"],
        release=version["kernel"]["release"],
        survey=survey,
        status=status,
        kdamonds=seen,
        nonsense=nonsense,
        modules=ask("modules.list").get("modules", []),
        features=ask("features.list"),
        policies=ask("policy.list").get("policies", []),
        recordings=ask("record.list").get("recordings", []),
        untold=untold,
        client=__version__,
    )


def _look(client: Client, index: int) -> tuple[list[Snapshot] | None, str]:
    try:
        answer = client.call("kdamonds.snapshot", kdamond=index, source="ring", timeout_s=_LOOK_S)
    except DamodError as error:
        return None, error.message
    return [Snapshot.from_wire(item) for item in answer["snapshots"]], ""


def _kdamonds(
    rows: Sequence[Mapping[str, Any]],
    status: Mapping[str, Any],
    survey: Mapping[str, Any],
    looks: Mapping[int, tuple[list[Snapshot] | None, str]],
) -> tuple[list[Seen], list[tuple[str, str]]]:
    started = {item["index"]: item["started_ns"] for item in status.get("kdamonds", ())}
    found, nonsense = [], []
    for row in rows:
        try:
            (spec,) = parse_kdamonds([row["spec"]])
        except SpecInvalid as error:
            nonsense.append((f"kdamond {row['index']}", error.message))
            continue
        began = started.get(row["index"])
        snapshots, blind = looks.get(row["index"], (None, ""))
        found.append(
            Seen(
                index=row["index"],
                spec=spec,
                name=row["name"],
                ran_s=(survey["time_ns"] - began) / 1e9 if began and "time_ns" in survey else None,
                cpu_s=row["cpu_ns"] / 1e9 if row["cpu_ns"] is not None else None,
                snapshots=snapshots,
                blind=blind,
                drift=row["drift"],
                tuned=row["tuned_intervals"],
            )
        )
    return found, nonsense


class ReadOnlyTree:
    """A tree that refuses to be written."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def write(self, path: str, value: str) -> None:
        raise OSError(errno.EROFS, "damoctl diagnose does not write", path)

    def at(self, path: str) -> ReadOnlyTree:
        return ReadOnlyTree(self._tree.at(path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tree, name)


class ReadOnlyKernel:
    """A kernel of which everything can be read and nothing written."""

    def __init__(self, kernel: Kernel) -> None:
        self.name, self.release = kernel.name, kernel.release
        self.damon: Tree = ReadOnlyTree(kernel.damon)
        self.modules: Tree = ReadOnlyTree(kernel.modules)
        self.trace, self.proc, self.clock = kernel.trace, kernel.proc, kernel.clock
        self.close = kernel.close


def without_daemon(why: str, open_kernel: Callable[[], Kernel] | None = None) -> Facts:
    """What can be read from here without a daemon; `why` is why there is none."""
    from damod.kernel.linux import LinuxKernel
    from damod.kernel.survey import of_parts, survey

    try:
        kernel = ReadOnlyKernel(open_kernel() if open_kernel else LinuxKernel())
    except DamodError as error:
        from damod.kernel.features import Features
        from damod.kernel.linux import LinuxClock
        from damod.kernel.procfs import LinuxProc

        release = os.uname().release
        facts = of_parts(release, LinuxProc(Path("/proc"), Path("/sys")), LinuxClock())
        return Facts(
            reached=False,
            unreachable=why,
            release=release,
            survey={**facts, "sysfs": error.message, "denied": isinstance(error, NotAllowed)},
            features=Features.known(release).to_wire(),
            client=__version__,
        )
    try:
        return _by_reading(kernel, why, survey(kernel))
    finally:
        kernel.close()


def _by_reading(kernel: Kernel, why: str, facts: dict[str, Any]) -> Facts:
    from damod.daemon.view import View
    from damod.kernel import features, modules

    # A view that owns nothing gives no commands, and saves nothing in its directory.
    view = View(kernel, Path(os.devnull))
    seen, nonsense = _kdamonds(view.show(stats=True), {}, facts, {})
    found = [
        {"name": one.name, "enabled": one.enabled, "owner": "other", "pid": one.pid, "parameters": one.parameters}
        for one in modules.modules(kernel)
    ]
    return Facts(
        reached=False,
        unreachable=why,
        kernel=kernel.name,
        release=kernel.release,
        survey=facts,
        kdamonds=seen,
        nonsense=nonsense,
        modules=found,
        features=features.probe(kernel).to_wire(),
        client=__version__,
    )
