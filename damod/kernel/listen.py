"""DAMON's trace events as they come, whichever they are: what `report trace` shows.

Nothing is put together to snapshots here (`kernel.aggregations` does that); each event is told with all its fields, so
that a kernel's new events and fields show without a change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from damod.errors import NotFound, UsageError
from damod.kernel import events as event_formats
from damod.kernel.interface import Kernel
from damod.kernel.pages import Run
from damod.kernel.ring import RingReader

BUFFER_KB = 1024
MOST_EVENTS = 50_000
"""Told at once; the rest at the next read. An event is some 60 bytes on the socket."""
# A wait is cut into slices, since nothing else ends it when the daemon stops.
_SLICE_S = 0.05


class Listener:
    """A ring of its own, open until `close`. `events` are names without the prefix ``damon:``; none are all.

    `formats` has how the kernel prints each event, as `events.print_format` says.

    Raises NotFound where the kernel has none, UsageError for one that it lacks, OSError where tracefs may not be used.
    """

    def __init__(self, kernel: Kernel, events: Sequence[str] = (), *, buffer_kb: int = BUFFER_KB) -> None:
        formats = {name: event_formats.parse(text) for name, text in kernel.trace.events().items()}
        if not formats:
            raise NotFound("this kernel shows no DAMON events", hint="mount -t tracefs nodev /sys/kernel/tracing")
        if missing := sorted(set(events) - set(formats)):
            raise UsageError(
                f"this kernel has no event {', '.join(missing)}", hint=f"it has {', '.join(sorted(formats))}"
            )
        self._kernel = kernel
        self.events = sorted(events or formats)
        raw = kernel.trace.open(self.events, buffer_kb=buffer_kb)
        self._reader = RingReader(raw, kernel.trace.header_page(), [formats[name] for name in self.events])
        self.formats = {name: event_formats.print_format(text) for name, text in kernel.trace.events().items()}
        self._names: dict[int, str] = {}
        self._waiting: deque[Run] = deque()
        self._stopping = False

    def read(self, wait_s: float = 0.0) -> dict[str, Any]:
        """What came since the last read, after waiting up to `wait_s` if nothing has.

        {"runs": [{"event", "fields": [names], "ns": [times], "columns": [[values] per field]}], in order of time,
        "lost": events lost before them, "tasks": {pid: name}}. A field `pid` is the kdamond's.
        """
        clock = self._kernel.clock
        deadline = clock.monotonic_ns() + int(wait_s * 1e9)
        while not self._waiting and not self._stopping and (left := deadline - clock.monotonic_ns()) > 0:
            if self._reader.wait(min(left / 1e9, _SLICE_S)):
                break
        batch = self._reader.read()
        self._waiting += batch.runs
        runs, count = [], 0
        while self._waiting and count < MOST_EVENTS:
            run = self._waiting.popleft()
            count += run.count
            runs.append(_plain(run))
        pids = {pid for run in runs for pid in run["columns"][0]}
        return {"runs": runs, "lost": batch.lost, "tasks": {str(pid): self._name(pid) for pid in sorted(pids)}}

    def stop(self) -> None:
        """End a `read` that waits in another thread."""
        self._stopping = True

    def close(self) -> None:
        """Take the ring out of the kernel."""
        self._reader.close()

    def _name(self, pid: int) -> str:
        if pid not in self._names:
            self._names[pid] = self._kernel.proc.command(pid) or "kdamond"
        return self._names[pid]


def _plain(run: Run) -> dict[str, Any]:
    own = tuple(field.name for field in run.form.fields if not field.name.startswith("common_"))
    columns = run.columns(("common_pid", *own))
    return {"event": run.form.name, "fields": ["pid", *own], "ns": run.times(), "columns": columns}
