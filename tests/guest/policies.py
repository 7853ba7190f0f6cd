"""The policies that come with damod, in the hands of a guest's daemon."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from damoctl.local import LocalDaemon
from damod import units
from damod.rpc.client import Client
from tests.guest.driver import Damoctl, ok, wait

SHIPPED = Path(__file__).parents[2] / "etc/damo.d"


class Policies:
    """What an operator does with policies, on the daemon of this guest."""

    def __init__(self, daemon: LocalDaemon, damoctl: Damoctl, client: Client) -> None:
        self.directory = daemon.policies
        self._damoctl = damoctl
        self._client = client

    def install(self, name: str) -> None:
        """Take a shipped policy as it is, and enable it."""
        (source,) = SHIPPED.glob(f"*-{name}.yaml")
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, self.directory)
        ok(self._damoctl("policy", "reload"))
        assert f"{name}: " in ok(self._damoctl("policy", "enable", name))

    def drop_in(self, stem: str, text: str) -> None:
        """A change of a policy file, which is not applied yet."""
        directory = self.directory / f"{stem}.d"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "50-guest.yaml").write_text(text)

    def write(self, name: str, text: str) -> None:
        """A policy of one's own, which is not applied yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / f"{name}.yaml").write_text(text)

    def show(self, name: str) -> dict[str, Any]:
        """What `damoctl policy show NAME --json` prints."""
        found: dict[str, Any] = self._client.call("policy.show", name=name)
        return found

    def running(self, name: str) -> dict[str, Any]:
        """Wait until a policy runs."""
        return wait(lambda: row if (row := self.show(name))["stage"] == "running" else None, f"{name} runs")

    def bytes_of(self, name: str, key: str = "sz_applied") -> list[int]:
        """Bytes per scheme, as `damoctl policy show` has them, kdamond by kdamond."""
        return [
            units.parse_size((scheme["stats"] or {}).get(key, 0))
            for kdamond in self.show(name)["kdamonds"]
            for context in kdamond["spec"]["contexts"]
            for scheme in context["schemes"]
        ]

    def remove_all(self) -> None:
        """No policy any more."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._client.call("policy.reload")
