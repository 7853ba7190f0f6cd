"""What a wrong command line or spec is answered, as whole texts: bad_input.txt, one command after the other.

Every command runs against a daemon's owner on the simulated kernel whose every write would fail the test. The file is
compared, not made: a message is changed there by hand, and read there in review.
"""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import pytest

from damoctl.commands import start
from damoctl.context import Context
from damod.daemon.owner import Owner
from damod.errors import DamodError, NotFound
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.kernel import SimKernel
from damod.spec.kdamond import parse_kdamonds

PICTURE = Path(__file__).with_name("bad_input.txt")
BLOCKS = [block for block in PICTURE.read_text().split("\n\n") if block.startswith("$ ")]


class Daemon:
    """Answers as damod does, without a socket."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def call(self, method: str, /, **params: Any) -> Any:
        if method == "machine.node_ram":
            try:
                return {"ranges": self.owner.kernel.proc.numa_node_ram(params["nid"])}
            except LookupError as exc:
                raise NotFound(str(exc)) from exc
        assert method == "kdamonds.start"
        return self.owner.start(params.pop("name"), parse_kdamonds(params.pop("kdamonds")), **params)


def answer(command: str, tmp_path: Path) -> tuple[str, list[tuple[str, str]]]:
    """What stands on stderr, and all writes to the kernel. ``[6.12] damoctl start ...`` is on that kernel."""
    version, words = "7.3", shlex.split(command)
    if words[0].startswith("["):
        version = words.pop(0).strip("[]")
    assert words[:2] == ["damoctl", "start"]
    kernel = SimKernel(version, clock=SimClock())
    if "damon_stat" in kernel.modules.names():
        kernel.modules.write("damon_stat/parameters/enabled", "N")
    owner = Owner(kernel, tmp_path)
    written: list[tuple[str, str]] = []
    write = kernel.damon.write
    kernel.damon.write = lambda path, value: (written.append((path, value)), write(path, value))[1]  # type: ignore
    ctx = Context(stdout=io.StringIO(), stderr=io.StringIO())
    ctx.client = lambda: Daemon(owner)  # type: ignore[assignment,return-value,method-assign]
    with pytest.raises(DamodError) as info:
        start.run(words[2:], ctx)
    hint = f"\n  hint: {info.value.hint}" if info.value.hint else ""
    return f"damoctl: {info.value.message}{hint}\n[{info.value.exit_status}]", written


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0][2:])
def test_each_is_told_before_a_write(block: str, tmp_path: Path) -> None:
    """The whole text and exit status; no kdamond was configured for it (the pool and a scratch slot at most)."""
    command, _, wanted = block.partition("\n")
    told, written = answer(command[2:], tmp_path)
    assert told == wanted.rstrip("\n")
    assert not [path for path, _ in written if path.startswith("kdamonds/0/") or path.endswith("state")]
