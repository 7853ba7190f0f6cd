"""The child of one recording as the daemon has it: started, spoken to, fed with pages where the ring is ours.

Also the children that seal what a recorder left behind. What they do is in `damod.recorder`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import damod
from damod.errors import Internal
from damod.kernel.interface import Kernel, RawRing
from damod.recorder.channel import pack, pack_page, page_sockets, unpacker
from damod.recorder.job import Caller, Job, Message, seal_command

_CHUNK_BYTES = 1 << 16


class Recorder:
    """A recorder process and our ends of its channels. `start` makes one."""

    def __init__(self, process: asyncio.subprocess.Process, pump: PagePump | None) -> None:
        self.process = process
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self._helpers: list[asyncio.Task[None]] = []
        self._pump = pump
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, job: Job, handles: Sequence[int], kernel: Kernel, ring: RawRing | None) -> Recorder:
        """Start a recorder with the directory (and the caller's leash) in `handles`; it has been sent its job.

        The pages of a `ring` in this process are carried to it from now on. Raises OSError.
        """
        ours, theirs = socket.socketpair()
        passed = [theirs.fileno(), *handles]
        argv = [
            sys.executable,
            "-P",
            "-m",
            "damod.recorder",
            "--control",
            str(passed[0]),
            "--directory",
            str(passed[1]),
        ]
        if len(handles) > 1:
            argv += ["--leash", str(handles[1])]
        pump: PagePump | None = None
        pages: socket.socket | None = None
        try:
            if ring is not None:
                near, pages = page_sockets()
                pump = PagePump(kernel, ring, near, [item.pid for item in job.watches])
                if job.events:
                    job = replace(job, events=replace(job.events, cpus=tuple(ring.cpus)))
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
            if pump:
                pump.drop()
            elif ring is not None:
                ring.close()
            raise
        finally:
            theirs.close()
            if pages:
                pages.close()
        made = cls(process, pump)
        made._reader, made._writer = await asyncio.open_unix_connection(sock=ours)
        made.send({"kind": "job", "job": job.to_wire()})
        if pump:
            pump.start()
        return made

    def send(self, message: Message) -> None:
        """Tell the recorder; nothing happens if it is gone."""
        if not self._writer.is_closing():
            self._writer.write(pack(message))

    async def drain(self) -> None:
        """Wait until it has heard most of what it was told. Raises ConnectionError."""
        await self._writer.drain()

    def help(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do something beside it for as long as it lives."""
        self._helpers.append(asyncio.create_task(work, name=name))

    async def messages(self) -> AsyncIterator[Message]:
        """What it says, until it is gone."""
        decoder = unpacker()
        while data := await self._hear():
            decoder.feed(data)
            for message in decoder:
                yield message

    async def _hear(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK_BYTES)
        except ConnectionError:
            return b""

    def starve(self) -> None:
        """Carry no more pages to it; it ends when it has taken what there is."""
        if self._pump:
            self._pump.stop()

    def close(self) -> None:
        """Let go of a recorder that has ended or is to end by itself."""
        self._writer.close()
        self.starve()
        for helper in self._helpers:
            helper.cancel()
        if not self.ready.done():
            self.ready.set_exception(Internal("the recorder ended before it was ready", hint="see damod's log"))
            # Who started it may be gone by now.
            self.ready.exception()


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

    def drop(self) -> None:
        """Close what a thread that was never started holds."""
        self._ring.close()
        self._socket.close()

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
            self.drop()

    def _carry(self) -> None:
        for cpu in self._ring.cpus:
            while page := self._ring.read(cpu):
                self._socket.sendall(pack_page(cpu, page, self._ring.overrun()))


async def seal(directory: int, out: str, mode: int, output_type: str, caller: Caller | None) -> str:
    """Seal what lies unfinished in a directory; why that failed, or nothing."""
    process = await asyncio.create_subprocess_exec(
        *seal_command(directory, out, mode, output_type, caller, "--segments"),
        pass_fds=(directory,),
        env=recorder_environ(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _, said = await process.communicate()
    if not process.returncode:
        return ""
    return (said.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"])[0]


def recorder_environ() -> dict[str, str]:
    """The recorder's environment: our own modules wherever they lie, and libraries that keep small."""
    root = str(Path(damod.__file__).parents[1])
    # All of our own path: an installed damod has libraries in a directory that only its launcher knows.
    paths = dict.fromkeys([root, *filter(None, sys.path)])
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
