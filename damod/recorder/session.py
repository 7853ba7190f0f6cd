"""One recording from its first event to its last sealed file: read, put together, write, rotate, end.

The loop wakes when somebody says something, and a few times a second to take what the ring has. It is not woken by the
ring itself: at each event would cost more than all the rest, and the ring is large enough to hold seconds.

What ends it: a stop from the daemon or the caller, the daemon or the caller being gone, the time being over, or all of
its kdamonds having ended. Sealing is done by children (`recorder.seal`), so that a rotation takes no longer than a
rename, and the memory of Parquet's writer is not ours.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Loaded while we are ourselves: the caller may not be able to read where it lies.
import pyarrow.compute
import pyarrow.ipc  # noqa: F401

from damod import __version__
from damod.access.snapshot import Snapshot
from damod.errors import DamodError, DiskFull, NotAllowed
from damod.kernel import events as event_formats
from damod.kernel.interface import RawRing
from damod.kernel.tracefs import TraceFs
from damod.recorder.assemble import Assembler, Intervals
from damod.recorder.bulk import BulkReader
from damod.recorder.channel import Channel, PipedRing, pack
from damod.recorder.job import ACCESS, Job, Message, watch
from damod.recorder.place import Place
from damod.recorder.segment import FLUSH_S, Segment
from damod.recorder.segments import Segments
from damod.recorder.shots import Shot, kept, selection, snapshot
from damod.records.schema import RecordMeta
from damod.records.writer import RecordWriter

READ_S = FLUSH_S
"""How often the ring is emptied into the file."""
SIDES_S = 1.0
# Reads in a row of a ring that fills as fast as it is read, before somebody else is listened to.
_READS = 16
_ROOM_BYTES = 1 << 20
_ASK_AHEAD_S = 2.0
_SEAL_POLL_S = 0.05


@dataclass(slots=True)
class Counts:
    """What was recorded so far. `lost` are events that the ring or a full disk cost, `incomplete` snapshots that
    were not written for missing some of their events."""

    snapshots: int = 0
    regions: int = 0
    lost: int = 0
    incomplete: int = 0


class Session:
    """A recorder at work. `run()` returns the exit status."""

    def __init__(
        self,
        job: Job,
        directory: int,
        channel: Channel,
        *,
        leash: socket.socket | None = None,
        pages: socket.socket | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.job = job
        self.place = Place(directory, job.out, job.mode, job.caller)
        self.counts = Counts()
        self.problems: list[str] = []
        self._channel = channel
        self._leash = leash
        self._pages = pages
        self._monotonic_ns = monotonic_ns
        self._watches = {item.pid: item for item in job.watches}
        self._kdamonds: Sequence[Mapping[str, Any]] = job.kdamonds
        self._assembler = Assembler({item.pid: Intervals(item.sample_us, item.aggr_us) for item in job.watches})
        self._reader: BulkReader | None = None
        self._segment: Segment | None = None
        self.segments = Segments(self.place, job, self._complain, self._uncomplain)
        self._closed_bytes = 0
        self._rotated = job.segmented
        self._stop = ""
        self._aborted = False
        self._no_room = False
        self._asked = False
        self._lost_unsaid = 0
        self._snapshots = self._rows = 0
        self._offset_ns = 0
        self._flush_due = 0.0
        self._selection = selection(job.selection)

    # -- life --------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Record until something ends it. What goes wrong before the first event is told as `failed`."""
        signal.signal(signal.SIGTERM, lambda *_: self._end("it was told to end (SIGTERM)"))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._open()
        except DamodError as exc:
            self._say({"kind": "failed", "error": exc.to_wire()})
            return exc.exit_status
        except OSError as exc:
            error = NotAllowed(f"cannot record to {self.job.out}: {exc.strerror or exc}", errno=exc.errno)
            self._say({"kind": "failed", "error": error.to_wire()})
            return error.exit_status
        self._say({"kind": "ready", "pid": os.getpid()})
        try:
            self._loop()
        finally:
            if self._reader:
                self._reader.raw.close()
        if not self._aborted:
            self._finish()
        if self._aborted:
            if self._segment:
                self._segment.stop_perfs()
            self.segments.kill()
        self._say({"kind": "done", **self._progress(), "state": "aborted" if self._aborted else "done"})
        return 0

    def _open(self) -> None:
        self.place.check()
        if self.job.events is not None:
            raw, header, formats = self._ring()
            known = [event_formats.parse(formats[name]) for name in self.job.events.names]
            self._reader = BulkReader(raw, header, known)
        try:
            self._make_way(self.place.claim())
            self._begin_segment()
        except BaseException:
            if self._reader:
                self._reader.raw.close()
            raise

    def _make_way(self, left: bool) -> None:
        """For the new record; `left`: an interrupted recording left a part, which is sealed meanwhile."""
        place = self.place
        if self.job.segmented:
            modified_s = place.modified_s()
            if modified_s is not None:
                name, directory = place.rotation(modified_s)
                place.move_all(directory)
                # Without a part there is nothing to do for the child, and that is no error.
                self.segments.seal(directory, name)
            return
        if left:
            place.set_aside()
        if not self.job.force:
            place.keep_old()
        if left:
            # As the old record that it is.
            self.segments.seal(place.directory, "", f"{self.job.out}.old")

    def _ring(self) -> tuple[RawRing, str, Mapping[str, str]]:
        events = self.job.events
        if events is None:
            raise ValueError("a job without events has no ring")
        if self._pages is not None:
            return PipedRing(self._pages, events.cpus), events.header_page, events.formats
        trace = TraceFs(Path("/sys"), Path("/proc"))
        try:
            return trace.open(events.names, buffer_kb=events.buffer_kb), trace.header_page(), trace.events()
        except OSError as exc:
            raise NotAllowed(
                f"cannot read DAMON's trace events: {exc}", hint="mount tracefs and run damod as root", errno=exc.errno
            ) from exc

    def _begin_segment(self) -> None:
        """Raises DiskFull, and then there is no segment."""
        segment = Segment(self.place, self.job, self._complain)
        if ACCESS in self.job.kinds:
            segment.begin(self._metadata())
        segment.begin_sides(self._kdamonds)
        self._segment = segment
        self._flush_due = time.monotonic() + self.job.flush_s
        self._asked = False

    @property
    def _writer(self) -> RecordWriter | None:
        return self._segment.writer if self._segment else None

    def _metadata(self) -> RecordMeta:
        self._offset_ns = self._wall_offset_ns()
        return RecordMeta(
            kernel=self.job.release,
            wall_offset_ns=self._offset_ns,
            created_wall_ns=self._monotonic_ns() + self._offset_ns,
            tool=f"damod {__version__}",
            host={"name": os.uname().nodename, "backend": self.job.kernel, "selection": self.job.selection},
            kdamonds=list(self._kdamonds),
        )

    def _wall_offset_ns(self) -> int:
        if self.job.wall_offset_ns is not None:
            return self.job.wall_offset_ns
        return time.time_ns() - self._monotonic_ns()

    def _loop(self) -> None:
        began = time.monotonic()
        deadline = None if self.job.timeout_s is None else began + self.job.timeout_s
        read_due = sides_due = began
        while not self._stop:
            now = time.monotonic()
            if now >= sides_due:
                self._tick()
                sides_due = max(sides_due + SIDES_S, now)
            if now >= read_due:
                self._take()
                read_due = now if self._reader and self._reader.behind else max(read_due + READ_S, now)
            if deadline is not None and now >= deadline:
                self._end("its time is over")
            elif now >= self._flush_due:
                self._rotate()
            elif now >= self._flush_due - _ASK_AHEAD_S and not self._asked:
                self._asked = True
                self._say_daemon({"kind": "ask_kdamonds"})
            if not self._stop:
                until = min(filter(None, (read_due, sides_due, deadline, self._flush_due)))
                self._listen(max(until - time.monotonic(), 0))
        if not self._aborted:
            self._take()
            while self._reader and self._reader.behind and not self._aborted:
                self._take()

    def _end(self, why: str) -> None:
        if not self._stop:
            self._stop = why

    # -- being told --------------------------------------------------------------------------------------------------

    def _listen(self, timeout_s: float) -> None:
        sources: list[Any] = [] if self._channel.closed else [self._channel]
        if self._leash is not None:
            sources.append(self._leash)
        ready, _, _ = select.select(sources, [], [], timeout_s)
        if self._channel in ready:
            for message in self._channel.receive():
                self._hear(message)
            if self._channel.closed:
                self._end("damod is gone")
        if self._leash is not None and self._leash in ready:
            self._hear_caller(self._leash)

    def _hear_caller(self, leash: socket.socket) -> None:
        try:
            word = leash.recv(64)
        except OSError:
            word = b""
        if word == b"abort":
            self._aborted = True
        self._end("the caller ended it" if word else "the caller is gone")
        if not word:
            self._leash = None

    def _hear(self, message: Message) -> None:
        kind = message["kind"]
        if kind == "stop":
            self._end(str(message.get("why", "it was told to end")))
            self._kdamonds = message.get("specs") or self._kdamonds
        elif kind == "abort":
            self._aborted = True
            self._end("it was told to end at once")
        elif kind == "kdamonds":
            if not self._stop:
                # What is in the ring was seen before the change.
                self._take()
            self._kdamonds = message["specs"]
            for item in map(watch, message.get("watches", ())):
                self._watches[item.pid] = item
                self._assembler.given(item.pid, Intervals(item.sample_us, item.aggr_us))
        elif kind == "snapshots":
            self._write([(Snapshot.from_wire(wire), None) for wire in message["snapshots"]])

    def _say(self, message: Message) -> None:
        self._say_daemon(message)
        if self._leash is not None:
            last = message["kind"] in ("done", "failed")
            self._leash.setblocking(last)
            try:
                if last:
                    self._leash.settimeout(1.0)
                self._leash.send(pack(message))
            except OSError:
                # Who does not listen misses a progress line; that they are gone is noticed when reading.
                pass

    def _say_daemon(self, message: Message) -> None:
        if not self._channel.closed:
            self._channel.send(message)

    def _progress(self) -> Message:
        counts = self.counts
        growing = self._writer.bytes if self._writer else 0
        return {
            "state": "no room" if self._no_room else "recording",
            "snapshots": counts.snapshots,
            "regions": counts.regions,
            "bytes": self._closed_bytes + growing,
            "lost": counts.lost,
            "incomplete": self._assembler.incomplete,
            "segments": list(self.segments.names),
            "problems": list(self.problems),
            "why": self._stop,
        }

    # -- recording ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        targets = [pid for item in self._watches.values() for pid in item.target_pids if pid]
        kdamonds = list(self._watches)
        if self._segment:
            if not self._no_room:
                self._segment.take_sides(time.time_ns(), self._monotonic_ns(), dict.fromkeys(targets), kdamonds)
            self._segment.check_perfs()
        self.segments.reap()
        if not self._no_room and self._has_room():
            self.segments.seal_again()
        self._say({"kind": "progress", **self._progress()})
        if self.job.events is not None and not self.job.events.piped and not any(map(_alive, kdamonds)):
            self._end("its kdamonds have ended")

    def _take(self) -> None:
        """Everything that is in the ring, into the file."""
        if self._reader is None:
            return
        for _ in range(_READS):
            self._take_once(self._reader)
            if not self._reader.behind:
                break
        if isinstance(self._reader.raw, PipedRing) and self._reader.raw.ended:
            self._end("its kdamonds have ended")

    def _take_once(self, reader: BulkReader) -> None:
        read = reader.read()
        self.counts.lost += read.lost
        self._lost_unsaid += read.lost
        found = [*self._assembler.feed(read), *self._assembler.flush(self._monotonic_ns())]
        self._write([snapshot(item, self._watches[item.key[0]], self._offset_ns) for item in found])

    def _write(self, found: Sequence[Shot]) -> None:
        if not found or ACCESS not in self.job.kinds:
            return
        if self._no_room and not self._has_room():
            self._lose(sum(len(shot.regions) for shot, _ in found))
            return
        if self._writer is None:
            try:
                self._begin_segment()
            except DiskFull:
                self._lose(sum(len(shot.regions) for shot, _ in found))
                return
        if self._selection is not None:
            found = kept(found, self._selection)
        writer = self._writer
        if writer is None:
            return
        try:
            with self.place.acting():
                for shot, scheme in found:
                    if self._lost_unsaid:
                        shot, self._lost_unsaid = replace(shot, lost=self._lost_unsaid), 0
                    writer.append(shot, scheme=scheme)
                writer.flush()
        except DiskFull:
            # Some batches may have been written; what was not is lost, and said so with the next one.
            self._no_room = True
            writer.discard()
            self._lose(sum(len(shot.regions) for shot, _ in found) - (writer.rows - self._rows))
        else:
            self._no_room = False
        self.counts.snapshots += writer.snapshots - self._snapshots
        self.counts.regions += writer.rows - self._rows
        self._snapshots, self._rows = writer.snapshots, writer.rows

    def _lose(self, events: int) -> None:
        self.counts.lost += events
        self._lost_unsaid += events

    def _has_room(self) -> bool:
        state = os.fstatvfs(self.place.directory)
        return state.f_bavail * state.f_frsize >= _ROOM_BYTES

    # -- segments ----------------------------------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Move what is written into a directory of its own, to be sealed there, and go on with new files."""
        self._take()
        segment = self._segment
        if segment is None or self._no_room or not self._has_room():
            self._flush_due = time.monotonic() + SIDES_S
            return
        try:
            name, directory = self.place.rotation(time.time())
        except OSError as exc:
            # No room for a directory: go on with the same files and try again.
            self._flush_due = time.monotonic() + SIDES_S
            self._complain(f"the record could not be cut: {exc.strerror}")
            return
        self._close_segment(segment)
        segment.move(directory)
        self._rotated = True
        with contextlib.suppress(DiskFull):
            self._begin_segment()
        self._no_room = self._writer is None and ACCESS in self.job.kinds
        self.segments.seal(directory, name)
        self.segments.retain()

    def _close_segment(self, segment: Segment) -> None:
        self._closed_bytes += segment.close(self._kdamonds)
        self._segment = None
        self._rows = self._snapshots = 0

    def _finish(self) -> None:
        """Seal what is left and say so. After a rotation the last segment gets a directory too, unless it is empty."""
        self._say({"kind": "progress", **self._progress(), "state": "sealing"})
        segment = self._segment
        if segment is not None:
            self._finish_segment(segment)
        self._wait_for_seals()
        if not self._no_room and self._has_room():
            self.segments.seal_again()
        self._wait_for_seals()
        self.segments.retain()

    def _finish_segment(self, segment: Segment) -> None:
        rotated = self._rotated
        empty = segment.writer is not None and not segment.writer.rows
        name, directory = "", self.place.directory
        if rotated and not empty:
            try:
                name, directory = self.place.rotation(time.time())
            except OSError as exc:
                self._complain(f"the last segment has no directory of its own: {exc.strerror}")
        self._close_segment(segment)
        if rotated and empty:
            segment.discard()
            return
        if name:
            segment.move(directory)
        self.segments.seal(directory, name)

    def _wait_for_seals(self) -> None:
        while self.segments.working and not self._aborted:
            self._listen(_SEAL_POLL_S)
            self.segments.reap()

    def _complain(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems = [*self.problems[-9:], problem]

    def _uncomplain(self, about: str) -> None:
        self.problems = [problem for problem in self.problems if not problem.startswith(about)]


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
