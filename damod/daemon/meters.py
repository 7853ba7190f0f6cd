"""The daemon's metrics: one look at everything serves all who scrape at about the same time.

Accesses come from the ring as `report access` reads it. A kdamond with long aggregations does not hold up a scrape:
what did not come within `PATIENCE_S` is left out, and is there the next time, since the ring stays open between scrapes
that are less than a minute apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from damod.access.snapshot import Snapshot
from damod.errors import DamodError
from damod.metrics.collect import Family, Seen, collect
from damod.metrics.expose import MetricsServer, need_library, write_textfile

log = structlog.get_logger(__name__)

PATIENCE_S = 1.0
_SAME_S = 0.5


class Meters:
    """`look` gives the parts of `Seen` that the daemon's other parts know, `snapshots` what is accessed now."""

    def __init__(
        self,
        look: Callable[[], Awaitable[Mapping[str, Any]]],
        snapshots: Callable[[float], Awaitable[list[Snapshot]]],
    ) -> None:
        self._look = look
        self._snapshots = snapshots
        self._started_s = time.time()
        self._looking = asyncio.Lock()
        self._families: dict[str, Family] = {}
        self._looked_s = 0.0
        self._server = MetricsServer(self.families)
        self._trouble = ""
        self._writing: asyncio.Task[None] | None = None

    async def families(self) -> dict[str, Family]:
        """The samples of all metrics, at most half a second old."""
        async with self._looking:
            clock = asyncio.get_running_loop()
            if not self._families or clock.time() - self._looked_s > _SAME_S:
                found: list[Snapshot] = []
                # Nothing runs, or it said nothing in time, or there is no ring.
                with suppress(DamodError):
                    found = await self._snapshots(PATIENCE_S)
                parts = await self._look()
                open_fds = sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
                seen = Seen(snapshots=found, open_fds=open_fds, start_s=self._started_s, **parts)
                self._families, self._looked_s = collect(seen), clock.time()
            return self._families

    async def serve(self, address: str | None, textfile: str | None) -> None:
        """Have an address served, and see that a file can be written. Raises UsageError."""
        if address is not None:
            await self._server.start(address)
            log.info("metrics are served", address=address)
        if textfile is not None:
            need_library()

    def write(self, textfile: str | None, interval_s: float, tasks: asyncio.TaskGroup) -> None:
        """Write the file from now on."""
        if textfile is not None:
            self._writing = tasks.create_task(self._keep_writing(textfile, interval_s), name="metrics textfile")

    async def close(self, textfile: str | None) -> None:
        """Serve nobody any more; what a dead daemon last saw must not be taken for what is."""
        await self._server.close()
        if self._writing is not None:
            self._writing.cancel()
        if textfile is not None:
            with suppress(OSError):
                Path(textfile).unlink()

    async def _keep_writing(self, path: str, interval_s: float) -> None:
        while True:
            try:
                write_textfile(path, await self.families())
                self._trouble = ""
            except (OSError, DamodError) as exc:
                why = exc.message if isinstance(exc, DamodError) else str(exc.strerror)
                if why != self._trouble:
                    log.error("the metrics file cannot be written", path=path, why=why)
                self._trouble = why
            except Exception:  # metrics that fail must not take the daemon with them
                log.exception("metrics could not be collected")
            await asyncio.sleep(interval_s)
