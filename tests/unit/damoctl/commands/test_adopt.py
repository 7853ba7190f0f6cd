"""damoctl adopt: what it asks for and what it says."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from damoctl.commands import adopt
from damoctl.context import Context


class Client:
    """Answers as a daemon that has adopted one kdamond."""

    calls: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def call(self, method: str, **params: Any) -> Any:
        self.calls.append((method, params))
        return {"adopted": [{"index": 2, "pid": 77}]}


def test_adopt() -> None:
    """The set's name is passed on, and each kdamond that became ours is told."""
    out = io.StringIO()
    ctx = Context(stdout=out)
    ctx.client = Client  # type: ignore[assignment,method-assign]
    assert adopt.run(["--name", "tiering"], ctx) == 0
    assert Client.calls == [("kdamonds.adopt", {"name": "tiering"})]
    assert out.getvalue() == "adopted kdamond 2 (pid 77) as tiering\n"
