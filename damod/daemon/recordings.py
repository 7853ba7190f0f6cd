"""Recordings: a child process each, watched from its first word to its last, and what is known of those that ended.

The daemon writes nothing of a record and reads nothing of it. It starts the recorder with a directory handle, answers
its questions, and notices how it ends; if it crashes, what it has written is sealed by another child. kdamonds that
were started with a recording end with it, also when the daemon died in between: `recordings.json` in the runtime
directory remembers them.

A foreground recording lies where its caller says, in a directory that the caller opened; a detached one in a directory
of its name below `record_dir`, which is its caller's as well. Beside it `<name>.json` says how it went.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

import damod
from damod.daemon.children import Follower
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.look import Looker
from damod.daemon.owner import Owner
from damod.daemon.slots import check_name
from damod.daemon.view import Watched
from damod.errors import (
    Busy,
    Conflict,
    DamodError,
    FeatureMissing,
    Internal,
    NoData,
    NotAllowed,
    NotFound,
    UsageError,
    from_wire,
)
from damod.kernel.interface import Kernel, RawRing
from damod.kernel.ring import INTERVALS, REGIONS, REGIONS_AND_PROBES
from damod.recorder.channel import pack, pack_page, page_sockets, unpacker
from damod.recorder.job import (
    DEFAULT_KINDS,
    KINDS,
    OUTPUT_TYPES,
    RECORD_NAME,
    Caller,
    Events,
    Job,
    Message,
    Watch,
    seal_command,
)
from damod.rpc.auth import Peer
from damod.spec.filter import Filter
from damod.spec.kdamond import Kdamond

log = structlog.get_logger(__name__)

TRIED = "damos_before_apply"
READY_S = 60.0
"""How long a recorder may take until it has opened the ring. Loading its libraries takes half a second;
on an emulated machine, half a minute."""
END_S = 10.0
"""How long one may take to end after it was told; sealing an hour's record takes a second or two."""
FOLLOW_S = 3.0
_EVENT_BYTES = 56
_RING_S = 2.0
_RING_KB = (256, 16384)
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Ask:
    """What is to be recorded and how; see `record.start` in methods.py. Times are in seconds.

    Of what runs, `kdamond` (an index) or `of` (the name of a set) may choose; without `kdamonds` of its own.
    """

    name: str | None = None
    detach: bool = False
    out: str = RECORD_NAME
    kdamonds: Sequence[Kdamond] = ()
    take_over: bool = False
    kdamond: int | None = None
    of: str | None = None
    snapshot: tuple[float, int] | None = None
    snapshot_filters: Sequence[Filter] = ()
    schemes_target_regions: bool = False
    kinds: tuple[str, ...] = DEFAULT_KINDS
    output_type: str = "parquet"
    permission: int = 0o600
    flush_s: float = 3600.0
    timeout_s: float | None = None
    keep_s: float | None = None
    keep_bytes: int | None = None
    force: bool = False
    perf: str | None = None
    selection: Mapping[str, Any] | None = None
    follow: bool = True

    def check(self) -> None:
        """Raise UsageError for what cannot be meant."""
        if self.name is not None:
            check_name(self.name)
        if self.detach and self.name is None:
            raise UsageError("a detached recording needs a name", hint="give --name NAME")
        if "/" in self.out or self.out in ("", ".", "..") or "\0" in self.out:
            raise UsageError(f"{self.out!r} is no file name", hint="the directory is given as an open handle")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise UsageError(f"there is nothing called {unknown[0]!r} to record", hint=f"one of {', '.join(KINDS)}")
        if self.output_type not in OUTPUT_TYPES:
            raise UsageError(f"records are not written as {self.output_type!r}", hint=f"as {', '.join(OUTPUT_TYPES)}")
        if not 0 <= self.permission <= 0o777:
            raise UsageError(f"{self.permission:o} is no file permission", hint="three octal digits, such as 600")
        for what, value in (("flush", self.flush_s), ("timeout", self.timeout_s), ("retention", self.keep_s)):
            if value is not None and value <= 0:
                raise UsageError(f"a {what} time of {value:g} s makes no sense")
        if self.snapshot is not None and (self.snapshot[0] < 0 or self.snapshot[1] < 0):
            raise UsageError("delay and count of snapshots cannot be negative")


@dataclass
class Recording:
    """One recording. `state`: starting, recording, no room, sealing, done, aborted, failed, crashed, interrupted."""

    name: str
    detached: bool
    out: str
    uid: int
    started_s: float
    state: str = "starting"
    set_name: str | None = None
    directory: str | None = None
    pid: int | None = None
    ended_s: float | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    why: str = ""

    @property
    def running(self) -> bool:
        return self.ended_s is None

    def to_wire(self) -> dict[str, Any]:
        """What record.show answers."""
        numbers = {name: self.progress.get(name, 0) for name in ("snapshots", "regions", "bytes", "lost", "incomplete")}
        return {
            "name": self.name,
            "state": self.state,
            "running": self.running,
            "detached": self.detached,
            "directory": self.directory,
            "out": self.out,
            "uid": self.uid,
            "pid": self.pid,
            "set": self.set_name,
            "started_s": self.started_s,
            "ended_s": self.ended_s,
            **numbers,
            "segments": self.progress.get("segments", []),
            "problems": [*self.problems, *self.progress.get("problems", [])],
            "why": self.why or self.progress.get("why", ""),
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Recording:
        """The inverse of `to_wire`, as far as it is kept. Raises what wrong data raises."""
        numbers = ("snapshots", "regions", "bytes", "lost", "incomplete", "segments")
        return cls(
            name=str(data["name"]),
            detached=bool(data["detached"]),
            out=str(data["out"]),
            uid=int(data["uid"]),
            started_s=float(data["started_s"]),
            state=str(data["state"]),
            set_name=data["set"],
            directory=data["directory"],
            pid=data["pid"],
            ended_s=data["ended_s"],
            progress={name: data[name] for name in numbers},
            problems=list(data["problems"]),
            why=str(data["why"]),
        )


class _Recorder:
    """The child of one recording and the daemon's ends of its channels."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self.process = process
        self.control = control
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.pump: PagePump | None = None
        self.helpers: list[asyncio.Task[None]] = []

    def send(self, message: Message) -> None:
        """Tell the recorder; nothing happens if it is gone."""
        if not self.writer.is_closing():
            self.writer.write(pack(message))


class PagePump(threading.Thread):
    """Carries the pages of a ring in this process (the simulated kernel's) to a recorder.

    It ends with the recorder, with `stop()`, or when none of the `pids` lives any more.
    """

    def __init__(self, kernel: Kernel, ring: RawRing, sock: socket.socket, pids: Sequence[int]) -> None:
        super().__init__(name="pages", daemon=True)
        self._kernel = kernel
        self._ring = ring
        self._socket = sock
        self._pids = list(pids)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let the thread end, soon."""
        self._stopped.set()

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                alive = any(self._kernel.proc.alive(pid) for pid in self._pids)
                if self._ring.wait(0.3):
                    self._carry()
                elif not alive:
                    return
        except OSError:
            return  # the recorder is gone
        finally:
            self._ring.close()
            self._socket.close()

    def _carry(self) -> None:
        for cpu in self._ring.cpus:
            while page := self._ring.read(cpu):
                self._socket.sendall(pack_page(cpu, page, self._ring.overrun()))


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
        self._follower = follower
        self._state = state_dir / "recordings.json"
        self._record_dir = record_dir
        self._recordings: dict[str, Recording] = {}
        self._recorders: dict[str, _Recorder] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._last = 0

    # -- what clients ask --------------------------------------------------------------------------------------------

    async def start(self, ask: Ask, peer: Peer, files: Sequence[int]) -> dict[str, Any]:
        """Start recording; returns once the recorder listens, so that nothing after this is missed.

        `files` of a foreground recording are a directory handle and a SOCK_SEQPACKET socket on which the recorder
        tells how it goes and may be told to stop.
        """
        ask.check()
        name = ask.name or self._free_name()
        if name in self._recordings and self._recordings[name].running:
            raise Conflict(
                f"a recording named {name!r} is running", hint="`damoctl record stop NAME`, or another --name"
            )
        recording = Recording(name, ask.detach, ask.out, peer.uid, round(time.time(), 3))
        caller = self._caller(peer)
        # Its name is taken from here on, also while what follows waits.
        before = self._recordings.get(name)
        self._recordings[name] = recording
        handles: list[int] = []
        try:
            if ask.detach:
                handles.append(self._make_directory(recording, caller, ask.force))
            elif len(files) != 2:
                raise UsageError("record.start needs a directory and a socket as open files", hint="or detach: true")
            else:
                handles += files
            notes = await self._start_kdamonds(ask, recording)
            watched = await self._watched(ask, recording)
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
        specs = await self._specs(recording)
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
        if recording.directory:
            # rmtree follows no link on the way (it works with handles), whoever owns the directory.
            await asyncio.to_thread(shutil.rmtree, recording.directory, ignore_errors=False)
        with contextlib.suppress(FileNotFoundError):
            self._info(name).unlink()
        del self._recordings[name]
        return recording.to_wire()

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
        left = await asyncio.to_thread(self._load)
        for recording in left:
            self._recordings[recording.name] = recording
            if recording.running:
                self._background(self._take_leave(recording), f"leave {recording.name}")

    async def close(self, grace_s: float) -> None:
        """Let go of the recorders: they seal what they have and end by themselves, also without us."""
        self._closing = True
        for recorder in self._recorders.values():
            recorder.send({"kind": "stop", "why": "damod was stopped"})
            if recorder.pump:
                recorder.pump.stop()
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
            recorder.writer.close()

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

    def _make_directory(self, recording: Recording, caller: Caller | None, force: bool) -> int:
        path = self._record_dir / recording.name
        try:
            self._record_dir.mkdir(0o755, parents=True, exist_ok=True)
            path.mkdir(0o755)
            if caller:
                os.chown(path, caller.uid, caller.gid)
        except FileExistsError:
            if not force:
                raise Conflict(
                    f"there is a record named {recording.name!r} already",
                    hint=f"`damoctl record rm {recording.name}` removes it, --force records into its directory",
                    path=str(path),
                ) from None
        except OSError as exc:
            raise NotAllowed(
                f"damod cannot make {path}: {exc.strerror}", hint="see record_dir in damod.yaml", path=str(path)
            ) from exc
        recording.directory = str(path)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    async def _start_kdamonds(self, ask: Ask, recording: Recording) -> list[str]:
        if not ask.kdamonds:
            return []
        recording.set_name = recording.name
        # Remembered first: kdamonds must not stay behind if we die in between.
        self._save()
        try:
            processes = any(target.pid for item in ask.kdamonds for ctx in item.contexts for target in ctx.targets)
            started = await self._kernel_thread.run(
                self._owner.start,
                recording.name,
                ask.kdamonds,
                take_over=ask.take_over,
                include_child_tasks=ask.follow and processes,
            )
            await self._follower.update()
        except BaseException:
            recording.set_name = None
            raise
        return list(started["notes"])

    async def _watched(self, ask: Ask, recording: Recording) -> list[Watched]:
        watched = await self._kernel_thread.run(self._owner.watched, ask.kdamond)
        of = recording.set_name or ask.of
        if of:
            mine = await self._kernel_thread.run(self._owner.slots_of, of)
            watched = [item for item in watched if item.slot in mine]
        if not watched:
            raise NoData(
                "no kdamond is running, so there is nothing to record",
                hint="`damoctl start paddr` starts one; `damoctl record paddr` starts one for as long as it records",
            )
        return watched

    async def _job(self, ask: Ask, recording: Recording, watched: Sequence[Watched], caller: Caller | None) -> Job:
        return Job(
            name=recording.name,
            out=ask.out,
            kernel=self._kernel.name,
            release=self._kernel.release,
            watches=tuple(_watch(item) for item in watched),
            kdamonds=await self._specs(recording, watched),
            events=None if ask.snapshot else self._events(ask, watched),
            caller=caller,
            mode=ask.permission,
            force=ask.force,
            output_type=ask.output_type,
            kinds=ask.kinds,
            timeout_s=ask.timeout_s,
            flush_s=ask.flush_s,
            keep_s=ask.keep_s,
            keep_bytes=ask.keep_bytes,
            wall_offset_ns=None
            if self._kernel.name == "linux"
            else self._kernel.clock.time_ns() - self._kernel.trace.now_ns(),
            perf=ask.perf,
            selection=ask.selection,
        )

    def _events(self, ask: Ask, watched: Sequence[Watched]) -> Events:
        trace = self._kernel.trace
        formats = trace.events()
        if ask.schemes_target_regions:
            regions = TRIED
        elif any(item.probes for item in watched) and REGIONS_AND_PROBES in formats:
            regions = REGIONS_AND_PROBES
        else:
            regions = REGIONS
        if regions not in formats:
            raise FeatureMissing(
                f"cannot record from the trace ring: there is no {regions} event",
                hint="mount tracefs (mount -t tracefs nodev /sys/kernel/tracing), or record with --snapshot",
            )
        # An interval that the kernel tunes may become as short as its goal allows.
        room = sum(
            item.max_nr_regions * _EVENT_BYTES * _RING_S * 1e6 / max(_shortest_aggr_us(item), 1) for item in watched
        )
        names = tuple(name for name in (regions, INTERVALS) if name in formats)
        least, most = _RING_KB
        buffer_kb = min(max(int(room / 1024), least), most)
        if self._kernel.name == "linux":
            return Events(names, buffer_kb)
        texts = {name: formats[name] for name in names}
        return Events(names, buffer_kb, piped=True, header_page=trace.header_page(), formats=texts)

    async def _specs(self, recording: Recording, watched: Sequence[Watched] = ()) -> list[Any]:
        """The kdamonds as `.kdamonds` has them, with state and statistics; empty if they cannot be told now."""
        try:
            rows = await self._kernel_thread.run(self._owner.show)
        except DamodError as exc:
            log.warning("a recording goes on without the state of its kdamonds", name=recording.name, why=exc.message)
            return []
        slots = {item.slot for item in watched} or set(recording.progress.get("slots", ()))
        recording.progress["slots"] = sorted(slots)
        return [row["spec"] for row in rows if row["index"] in slots]

    async def _spawn(self, job: Job, recording: Recording, handles: Sequence[int], ask: Ask) -> None:
        ours, theirs = socket.socketpair()
        passed = [theirs.fileno(), *handles]
        argv = [sys.executable, "-m", "damod.recorder", "--control", str(passed[0]), "--directory", str(passed[1])]
        if len(handles) > 1:
            argv += ["--leash", str(handles[1])]
        pump: PagePump | None = None
        pages: socket.socket | None = None
        try:
            if job.events and job.events.piped:
                ring = await self._kernel_thread.run(
                    lambda: self._kernel.trace.open(job.events.names, buffer_kb=job.events.buffer_kb)  # type: ignore[union-attr]
                )
                near, pages = page_sockets()
                pump = PagePump(self._kernel, ring, near, [item.pid for item in job.watches])
                job = _with_cpus(job, ring.cpus)
                argv += ["--pages", str(pages.fileno())]
                passed.append(pages.fileno())
            process = await asyncio.create_subprocess_exec(
                *argv,
                pass_fds=passed,
                env=recorder_environ(),
                stdin=subprocess.DEVNULL,
                # Ctrl-C in the daemon's terminal is the daemon's to handle.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if pages:
                pages.close()
        recorder = _Recorder(process, ours)
        recorder.pump = pump
        recorder.reader, recorder.writer = await asyncio.open_unix_connection(sock=ours)
        recording.pid = process.pid
        self._recorders[recording.name] = recorder
        recorder.send({"kind": "job", "job": job.to_wire()})
        if pump:
            pump.start()
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
            taking = self._take_snapshots(recorder, job, ask)
            recorder.helpers.append(asyncio.create_task(taking, name=f"snapshots {recording.name}"))
        if ask.follow and recording.set_name and any(pid for item in job.watches for pid in item.target_pids):
            following = self._follow(recording, recorder)
            recorder.helpers.append(asyncio.create_task(following, name=f"children {recording.name}"))

    async def _give_up(self, recording: Recording, before: Recording | None, exc: BaseException) -> None:
        """Undo a start that failed."""
        recorder = self._recorders.get(recording.name)
        if recorder is not None:
            recorder.send({"kind": "abort"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await recorder.over.wait()
        await self._stop_set(recording)
        if recording.directory:
            with contextlib.suppress(OSError):
                Path(recording.directory).rmdir()
                self._info(recording.name).unlink()
        self._recordings.pop(recording.name, None)
        if before is not None:
            self._recordings[recording.name] = before
        self._save()

    # -- watching ----------------------------------------------------------------------------------------------------

    async def _supervise(self, recording: Recording, recorder: _Recorder, job: Job, directory: int) -> None:
        decoder = unpacker()
        done = False
        try:
            while data := await self._hear(recorder):
                decoder.feed(data)
                for message in decoder:
                    done |= message["kind"] in ("done", "failed")
                    await self._on(recording, recorder, message)
            status = await recorder.process.wait()
            if not done and not self._closing:
                await self._crashed(recording, recorder, job, directory, status)
        finally:
            os.close(directory)
            recorder.writer.close()
            if recorder.pump:
                recorder.pump.stop()
            for helper in recorder.helpers:
                helper.cancel()
            if not recorder.ready.done():
                recorder.ready.set_exception(Internal("the recorder ended before it was ready", hint="see damod's log"))
                # Who started it may be gone by now.
                recorder.ready.exception()
            if not self._closing:
                await self._stop_set(recording)
            recording.ended_s = round(time.time(), 3)
            self._recorders.pop(recording.name, None)
            recorder.over.set()
            self._save()
            if not recording.detached:
                self._recordings.pop(recording.name, None)
            log.info(
                "a recording has ended", name=recording.name, state=recording.state, why=recording.to_wire()["why"]
            )

    async def _hear(self, recorder: _Recorder) -> bytes:
        try:
            return await recorder.reader.read(_CHUNK_BYTES)
        except ConnectionError:
            return b""

    async def _on(self, recording: Recording, recorder: _Recorder, message: Message) -> None:
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
            recorder.send({"kind": "kdamonds", "specs": await self._specs(recording)})
        elif kind in ("progress", "done"):
            numbers = {name: value for name, value in message.items() if name not in ("kind", "state")}
            recording.progress = {**recording.progress, **numbers}
            if message["state"] != recording.state and recording.state != "starting":
                log.info("a recording's state", name=recording.name, state=message["state"])
            if recording.state != "starting" or kind == "done":
                recording.state = message["state"]

    async def _crashed(self, recording: Recording, recorder: _Recorder, job: Job, directory: int, status: int) -> None:
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        recording.state = "crashed"
        recording.problems.append(f"the recorder died ({how}); what it had written until then is kept")
        log.error("a recorder died", name=recording.name, how=how)
        await self._recover(recording, directory, job.mode, job.output_type, job.caller)

    async def _recover(
        self, recording: Recording, directory: int, mode: int, output_type: str, caller: Caller | None
    ) -> None:
        """Seal what lies unfinished in a directory."""
        process = await asyncio.create_subprocess_exec(
            *seal_command(directory, recording.out, mode, output_type, caller, "--segments"),
            pass_fds=(directory,),
            env=recorder_environ(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        _, said = await process.communicate()
        if process.returncode:
            last = said.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            recording.problems.append(f"what was written could not be sealed ({last[0]}); the .part file is readable")

    async def _take_snapshots(self, recorder: _Recorder, job: Job, ask: Ask) -> None:
        """Send the recorder a snapshot of each kdamond every `delay`, `count` times (0: without end)."""
        delay_s, count = ask.snapshot or (0.0, 0)
        loop = asyncio.get_running_loop()
        due, taken, why = loop.time(), 0, "all snapshots are taken"
        while not count or taken < count:
            wires: list[dict[str, Any]] = []
            for item in job.watches:
                with contextlib.suppress(NoData, NotFound):
                    found = await self._looker.snapshot(item.index, filters=ask.snapshot_filters)
                    wires += [shot.to_wire() for shot in found]
            if not wires and not any(self._kernel.proc.alive(item.pid) for item in job.watches):
                why = "its kdamonds have ended"
                break
            recorder.send({"kind": "snapshots", "snapshots": wires})
            await recorder.writer.drain()
            taken += 1
            if count and taken == count:
                break
            due = max(due + delay_s, loop.time())
            await asyncio.sleep(due - loop.time())
        recorder.send({"kind": "stop", "why": why})

    async def _follow(self, recording: Recording, recorder: _Recorder) -> None:
        """Tell the recorder of targets that came and went, as the daemon's follower made them."""
        name, told = recording.set_name, None
        while name is not None and recording.set_name == name:
            # At once when the follower has been at work; now and then in any case, since a kdamond may have ended.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FOLLOW_S):
                    await self._follower.looked()
            mine = await self._kernel_thread.run(self._owner.slots_of, name)
            watched = [item for item in await self._kernel_thread.run(self._owner.watched) if item.slot in mine]
            watches = [asdict(_watch(item)) for item in watched]
            if told is not None and watches != told:
                specs = await self._specs(recording, watched)
                recorder.send({"kind": "kdamonds", "specs": specs, "watches": watches})
            told = watches

    async def _stop_set(self, recording: Recording) -> None:
        """Stop the kdamonds that were started for a recording."""
        if recording.set_name is None:
            return
        name, recording.set_name = recording.set_name, None
        try:
            await self._kernel_thread.run(self._owner.stop, name)
        except NotFound:
            pass  # ended with its target
        except DamodError as exc:
            recording.problems.append(f"its kdamonds could not be stopped: {exc.message}")
            log.error("the kdamonds of a recording stay", name=recording.name, why=exc.message)

    def _background(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)

        def over(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if not done.cancelled() and (exc := done.exception()):
                log.error("a recording's task ended by a bug", task=name, exc_info=exc)

        task.add_done_callback(over)

    # -- memory ------------------------------------------------------------------------------------------------------

    def _info(self, name: str) -> Path:
        return self._record_dir / f"{name}.json"

    def _save(self) -> None:
        """Write what the next damod must know; a full disk must not end a recording."""
        running = [item.to_wire() for item in self._recordings.values() if item.running]
        try:
            _write_json(self._state, running)
            for item in self._recordings.values():
                if item.detached and item.directory:
                    _write_json(self._info(item.name), item.to_wire())
        except OSError as exc:
            log.warning("what runs could not be written down", path=exc.filename, why=exc.strerror)

    def _load(self) -> list[Recording]:
        found: dict[str, Recording] = {}
        files = sorted(self._record_dir.glob("*.json")) if self._record_dir.is_dir() else []
        for path in files:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                item = Recording.from_wire(json.loads(path.read_text()))
                found[item.name] = item
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            for data in json.loads(self._state.read_text()):
                item = Recording.from_wire(data)
                found[item.name] = item
        return list(found.values())

    async def _take_leave(self, recording: Recording) -> None:
        """End what an earlier damod's recording left; its recorder ends by itself, it is waited for."""
        await self._stop_set(recording)
        if recording.pid:
            await asyncio.to_thread(_wait_for, recording.pid)
        recording.state = "interrupted"
        recording.why = "damod ended while it ran"
        recording.ended_s = round(time.time(), 3)
        if recording.detached and recording.directory:
            try:
                handle = os.open(recording.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
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


def recorder_environ() -> dict[str, str]:
    """The recorder's environment: our own modules wherever they lie, and libraries that keep small."""
    root = str(Path(damod.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        # What is done with goes back to the kernel at once: a sealing child is half as large then.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _watch(item: Watched) -> Watch:
    return Watch(
        index=item.slot,
        pid=item.pid,
        ops=item.ops,
        sample_us=item.sample_us,
        aggr_us=item.aggr_us,
        target_pids=tuple(item.target_pids),
        intervals_goal=item.intervals_goal,
    )


def _shortest_aggr_us(item: Watched) -> int:
    goal = item.intervals_goal
    if not goal or not item.sample_us:
        return item.aggr_us
    return min(item.aggr_us, item.aggr_us * int(goal["min_sample_us"]) // item.sample_us)


def _with_cpus(job: Job, cpus: Sequence[int]) -> Job:
    return replace(job, events=replace(job.events, cpus=tuple(cpus))) if job.events else job


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


def _write_json(path: Path, value: Any) -> None:
    partial = path.with_suffix(".json.part")
    with open(partial, "w") as out:
        json.dump(value, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    partial.rename(path)
