"""Recordings: a child process each, watched from its first word to its last, and what is known of those that ended.

The daemon writes nothing of a record and reads nothing of it. It starts the recorder with a directory handle, answers
its questions, and notices how it ends; if it crashes, what it has written is sealed by another child. kdamonds that
were started with a recording end with it, also when the daemon died in between (`daemon.record_store`).

A foreground recording lies where its caller says, in a directory that the caller opened; a detached one in a directory
of its name below `record_dir`, which is its caller's as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from damod.daemon.children import Follower
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.look import Looker
from damod.daemon.owner import Owner
from damod.daemon.record_feed import send_changes, send_snapshots
from damod.daemon.record_job import job_of
from damod.daemon.record_sets import RecordedSets
from damod.daemon.record_store import RecordStore
from damod.daemon.recorder import Recorder, seal
from damod.daemon.recording import Ask, Recording
from damod.daemon.view import Watched
from damod.errors import Busy, Conflict, NotAllowed, NotFound, UsageError, from_wire
from damod.kernel.interface import Kernel
from damod.recorder.job import Caller, Job, Message
from damod.rpc.auth import Peer

log = structlog.get_logger(__name__)

READY_S = 60.0
"""How long a recorder may take until it has opened the ring. Loading its libraries takes half a second;
on an emulated machine, half a minute."""
END_S = 10.0
"""How long one may take to end after it was told; sealing an hour's record takes a second or two."""


class Recordings:
    """All recordings of a daemon. `owner` is asked in the kernel thread."""

    def __init__(
        self,
        kernel: Kernel,
        owner: Owner,
        kernel_thread: KernelThread,
        looker: Looker,
        follower: Follower,
        state_dir: Path,
        record_dir: Path,
    ) -> None:
        self._kernel = kernel
        self._owner = owner
        self._kernel_thread = kernel_thread
        self._looker = looker
        self._store = RecordStore(state_dir, record_dir)
        self._recordings: dict[str, Recording] = {}
        self._recorders: dict[str, Recorder] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sets = RecordedSets(owner, kernel_thread, follower)
        self._closing = False
        self._last = 0
        self.on_end: Callable[[], None] = lambda: None
        """Called when a recording has ended."""

    # -- what clients ask --------------------------------------------------------------------------------------------

    async def start(self, ask: Ask, peer: Peer | None = None, files: Sequence[int] = ()) -> dict[str, Any]:
        """Start recording; returns once the recorder listens, so that nothing after this is missed.

        `files` of a foreground recording are a directory handle and a SOCK_SEQPACKET socket on which the recorder
        tells how it goes and may be told to stop. Without a `peer` it is damod's own.
        """
        ask.check()
        name = ask.name or self._free_name()
        if name in self._recordings and self._recordings[name].running:
            raise Conflict(
                f"a recording named {name!r} is running", hint="`damoctl record stop NAME`, or another --name"
            )
        uid = os.geteuid() if peer is None else peer.uid
        recording = Recording(name, ask.detach, ask.out, uid, round(time.time(), 3), policy=ask.policy)
        caller = None if peer is None else self._caller(peer)
        # Its name is taken from here on, also while what follows waits.
        before = self._recordings.get(name)
        self._recordings[name] = recording
        handles: list[int] = []
        try:
            if ask.detach:
                handles.append(self._store.make(recording, caller, reuse=ask.force or ask.policy))
            elif len(files) != 2:
                raise UsageError("record.start needs a directory and a socket as open files", hint="or detach: true")
            else:
                handles += files
            notes = await self._sets.start(ask, recording, self._save)
            watched = await self._sets.watched(ask, recording)
            job = await self._job(ask, recording, watched, caller)
            await self._spawn(job, recording, handles, ask)
        except BaseException as exc:
            await self._give_up(recording, before, exc)
            raise
        finally:
            if ask.detach:
                for handle in handles:
                    os.close(handle)
        self._save()
        return {
            **recording.to_wire(),
            "kdamonds": [{"index": item.slot, "pid": item.pid} for item in watched],
            "notes": notes,
        }

    def all(self) -> list[dict[str, Any]]:
        """All that run and the detached ones that ended, oldest first."""
        found = {name: item.to_wire() for name, item in self._recordings.items() if item.running or item.detached}
        return sorted(found.values(), key=lambda item: float(item["started_s"]))

    def find(self, name: str) -> Recording | None:
        """A recording that runs or has run, if there is one of that name."""
        return self._recordings.get(name)

    def show(self, name: str) -> dict[str, Any]:
        """One recording. Raises NotFound."""
        return self._find(name).to_wire()

    async def wait(self, name: str) -> dict[str, Any] | None:
        """A recording once it has ended and all that was started for it is stopped; None if that is long ago."""
        recording, recorder = self._recordings.get(name), self._recorders.get(name)
        if recorder is not None:
            await recorder.over.wait()
        return None if recording is None else recording.to_wire()

    async def stop(self, name: str, why: str = "it was stopped") -> dict[str, Any]:
        """End a recording properly and wait until it is sealed, as long as END_S."""
        recording = self._find(name)
        recorder = self._recorders.get(name)
        if recorder is None:
            raise NotFound(f"the recording {name!r} has ended already", hint="`damoctl record list` lists them")
        specs = await self._sets.specs(recording)
        recorder.send({"kind": "stop", "why": why, "specs": specs})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await recorder.over.wait()
        return recording.to_wire()

    async def remove(self, name: str) -> dict[str, Any]:
        """Remove a detached record and its files. Raises Conflict while it is written."""
        recording = self._find(name)
        if recording.running:
            raise Conflict(f"the recording {name!r} is running", hint=f"`damoctl record stop {name}` first")
        await asyncio.to_thread(self._store.remove, recording)
        del self._recordings[name]
        return recording.to_wire()

    def look(self) -> None:
        """Somebody has changed a kdamond: what records it is to know at once."""
        self._sets.look()

    def problems(self) -> list[str]:
        """What is wrong with recordings that run."""
        told = []
        for name, item in self._recordings.items():
            if item.running and item.state == "no room":
                told.append(
                    f"recording {name!r} has stopped for want of room; what it has is safe, and it goes on when there"
                    " is room"
                )
        return told

    # -- life of the daemon ------------------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Take over what an earlier damod left: stop kdamonds of recordings that ended with it, seal their files."""
        left = await asyncio.to_thread(self._store.load)
        for recording in left:
            self._recordings[recording.name] = recording
            if recording.running:
                self._background(self._take_leave(recording), f"leave {recording.name}")

    async def close(self, grace_s: float) -> None:
        """Let go of the recorders: they seal what they have and end by themselves, also without us."""
        self._closing = True
        for recorder in self._recorders.values():
            recorder.send({"kind": "stop", "why": "damod was stopped"})
            recorder.starve()
        for recording in self._recordings.values():
            if recording.running and recording.set_name:
                # If the kernel is too slow for this, the next damod stops them.
                self._kernel_thread.post(partial(self._owner.stop, recording.set_name))
        if self._recorders:
            waiting = [asyncio.ensure_future(item.over.wait()) for item in self._recorders.values()]
            _, late = await asyncio.wait(waiting, timeout=grace_s)
            for wait in late:
                wait.cancel()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for recorder in self._recorders.values():
            recorder.close()

    # -- starting ----------------------------------------------------------------------------------------------------

    def _free_name(self) -> str:
        self._last += 1
        return f"foreground-{os.getpid()}-{self._last}"

    def _find(self, name: str) -> Recording:
        if name not in self._recordings:
            names = ", ".join(sorted(self._recordings)) or "there is none"
            raise NotFound(f"there is no recording named {name!r}", hint=f"`damoctl record list` lists them: {names}")
        return self._recordings[name]

    def _caller(self, peer: Peer) -> Caller | None:
        if os.geteuid() == 0:
            gid = min(peer.gids, default=0) if peer.gid is None else peer.gid
            return Caller(peer.uid, gid, tuple(sorted(peer.gids)))
        if peer.uid not in (0, os.geteuid()):
            raise NotAllowed(
                f"this damod runs as uid {os.geteuid()} and cannot write files as uid {peer.uid}",
                hint="record with the damod that root runs",
                uid=peer.uid,
            )
        return None

    async def _job(self, ask: Ask, recording: Recording, watched: Sequence[Watched], caller: Caller | None) -> Job:
        specs = await self._sets.specs(recording, watched)
        return job_of(ask, recording.name, self._kernel, watched, specs, caller)

    async def _spawn(self, job: Job, recording: Recording, handles: Sequence[int], ask: Ask) -> None:
        ring = None
        if job.events and job.events.piped:
            events = job.events
            ring = await self._kernel_thread.run(
                lambda: self._kernel.trace.open(events.names, buffer_kb=events.buffer_kb)
            )
        recorder = await Recorder.start(job, handles, self._kernel, ring)
        recording.pid = recorder.process.pid
        self._recorders[recording.name] = recorder
        directory = os.dup(handles[0])
        self._background(self._supervise(recording, recorder, job, directory), f"recording {recording.name}")
        try:
            async with asyncio.timeout(READY_S):
                await asyncio.shield(recorder.ready)
        except TimeoutError:
            raise Busy(
                f"the recorder was not ready within {READY_S:g} s", hint="this machine is very busy; try again"
            ) from None
        recording.state = "recording"
        if ask.snapshot:
            alive = self._kernel.proc.alive
            recorder.help(send_snapshots(recorder, job, ask, self._looker, alive), f"snapshots {recording.name}")
        look, specs = partial(self._sets.now, recording), partial(self._sets.specs, recording)
        recorder.help(send_changes(recorder, job, look, specs, self._sets.changed), f"changes {recording.name}")

    async def _give_up(self, recording: Recording, before: Recording | None, exc: BaseException) -> None:
        """Undo a start that failed."""
        recorder = self._recorders.get(recording.name)
        if recorder is not None:
            recorder.send({"kind": "abort"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await recorder.over.wait()
        await self._sets.stop(recording)
        self._store.drop(recording)
        self._recordings.pop(recording.name, None)
        if before is not None:
            self._recordings[recording.name] = before
        self._save()

    # -- watching ----------------------------------------------------------------------------------------------------

    async def _supervise(self, recording: Recording, recorder: Recorder, job: Job, directory: int) -> None:
        done = False
        try:
            async for message in recorder.messages():
                done |= message["kind"] in ("done", "failed")
                await self._on(recording, recorder, message)
            status = await recorder.process.wait()
            if not done and not self._closing:
                await self._crashed(recording, job, directory, status)
        finally:
            os.close(directory)
            recorder.close()
            if not self._closing:
                await self._sets.stop(recording)
            recording.ended_s = round(time.time(), 3)
            self._recorders.pop(recording.name, None)
            recorder.over.set()
            self._save()
            if not recording.detached:
                self._recordings.pop(recording.name, None)
            self.on_end()
            log.info(
                "a recording has ended", name=recording.name, state=recording.state, why=recording.to_wire()["why"]
            )

    async def _on(self, recording: Recording, recorder: Recorder, message: Message) -> None:
        kind = message["kind"]
        if kind == "ready":
            if not recorder.ready.done():
                recorder.ready.set_result(None)
        elif kind == "failed":
            recording.state, error = "failed", from_wire(message["error"])
            recording.problems.append(error.message)
            if not recorder.ready.done():
                recorder.ready.set_exception(error)
                recorder.ready.exception()
        elif kind == "ask_kdamonds":
            recorder.send({"kind": "kdamonds", "specs": await self._sets.specs(recording)})
        elif kind in ("progress", "done"):
            numbers = {name: value for name, value in message.items() if name not in ("kind", "state")}
            recording.progress = {**recording.progress, **numbers}
            if message["state"] != recording.state and recording.state != "starting":
                log.info("a recording's state", name=recording.name, state=message["state"])
            if recording.state != "starting" or kind == "done":
                recording.state = message["state"]

    async def _crashed(self, recording: Recording, job: Job, directory: int, status: int) -> None:
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        recording.state = "crashed"
        recording.problems.append(f"the recorder died ({how}); what it had written until then is kept")
        log.error("a recorder died", name=recording.name, how=how)
        await self._recover(recording, directory, job.mode, job.output_type, job.caller)

    async def _recover(
        self, recording: Recording, directory: int, mode: int, output_type: str, caller: Caller | None
    ) -> None:
        """Seal what lies unfinished in a directory."""
        if why := await seal(directory, recording.out, mode, output_type, caller):
            recording.problems.append(f"what was written could not be sealed ({why}); the .part file is readable")

    def _background(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)

        def over(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if not done.cancelled() and (exc := done.exception()):
                log.error("a recording's task ended by a bug", task=name, exc_info=exc)

        task.add_done_callback(over)

    def _save(self) -> None:
        self._store.save(self._recordings.values())

    async def _take_leave(self, recording: Recording) -> None:
        """End what an earlier damod's recording left; its recorder ends by itself, it is waited for."""
        await self._sets.stop(recording)
        if recording.pid:
            await asyncio.to_thread(_wait_for, recording.pid)
        recording.state = "interrupted"
        recording.why = "damod ended while it ran"
        recording.ended_s = round(time.time(), 3)
        if recording.detached and recording.directory:
            try:
                handle = self._store.open(recording)
            except OSError as exc:
                recording.problems.append(f"its directory is gone ({exc.strerror})")
            else:
                try:
                    status = os.fstat(handle)
                    caller = Caller(status.st_uid, status.st_gid) if os.geteuid() == 0 else None
                    await self._recover(recording, handle, 0o600, "parquet", caller)
                finally:
                    os.close(handle)
        self._save()
        if not recording.detached:
            self._recordings.pop(recording.name, None)
        self.on_end()


def _wait_for(pid: int) -> None:
    """Return when a recorder of that pid has ended, after END_S at most."""
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return
        if b"damod.recorder" not in words:
            return
        time.sleep(0.05)
