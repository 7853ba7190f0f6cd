"""The daemon's life: take the locks, open the socket, say READY, serve, and stop within a second.

`Service` builds the parts and owns their tasks; what the parts do is theirs. SIGTERM and SIGINT stop it, SIGHUP reads
the settings again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import structlog

from damod import __version__
from damod import log as logging
from damod.daemon.audit import Audit, spelled
from damod.daemon.children import Follower
from damod.daemon.feeds import Snapshots, Stats, Status
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.listening import Listeners
from damod.daemon.lock import RuntimeLock, own_directory
from damod.daemon.look import Looker
from damod.daemon.meters import Meters
from damod.daemon.modules import Modules
from damod.daemon.owner import Owner
from damod.daemon.policies import Policies
from damod.daemon.policy_records import PolicyRecords
from damod.daemon.recordings import Recordings
from damod.daemon.streams import Streams
from damod.daemon.watchdog import Watchdog
from damod.errors import DamodError, UsageError
from damod.kernel.interface import Kernel
from damod.rpc.auth import Access, Peer
from damod.rpc.registry import Method, Registry
from damod.rpc.server import Limits, Server, listen, open_to
from damod.rpc.wire import PROTOCOL_VERSION
from damod.settings import SETTINGS, SYSTEM_STATE_DIR, Settings
from damod.systemd import Notifier, activated_socket, watchdog_interval_s

log = structlog.get_logger(__name__)

# Requests get the first part of the second in which the daemon has to be gone, a kernel write that runs the next.
REQUEST_GRACE_S = 0.3
KERNEL_GRACE_S = 0.2
# Recorders are told first and go on sealing without us; most of them need less.
RECORDER_GRACE_S = 0.2
# A busy kernel answers within an aggregation; who asks how things are should not wait longer than this.
STATUS_PATIENCE_S = 2.0


class Service:
    """One damod on one kernel.

    `run()` serves until `stop()` (or a signal) and raises DamodError if it cannot begin to. `ready` is set once it
    serves. `reread` gives the settings anew on reload; without it, reload changes nothing.
    """

    def __init__(
        self,
        settings: Settings,
        kernel: Kernel,
        registry: Registry,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self.settings = settings
        self.kernel = kernel
        self.kernel_thread = KernelThread()
        self.owner = Owner(kernel, Path(settings.state_dir))
        self.looker = Looker(kernel, self.owner, self.kernel_thread)
        self.listeners = Listeners(kernel)
        self.follower = Follower(kernel, self.owner, self.kernel_thread)
        self.modules = Modules(kernel, self.owner, self.kernel_thread)
        self.recordings = Recordings(
            kernel,
            self.owner,
            self.kernel_thread,
            self.looker,
            self.follower,
            Path(settings.state_dir),
            Path(settings.record_dir),
        )
        self.ready = asyncio.Event()
        self.policies = Policies(
            kernel,
            self.owner,
            self.kernel_thread,
            settings.policy_dir,
            settings.policy_check,
            self._tell_status,
            self._policies_changed,
        )
        self.audit = Audit(
            Path(settings.state_dir), kernel.clock.time_ns, lambda entry: self.streams.publish("log", "log", entry)
        )
        self.policy_records = PolicyRecords(self.recordings, self.policies.reconciler, self.kernel_thread)
        self.policies.on_look = self.recordings.on_end = self.policy_records.wake
        self._reread = reread
        self._notifier = Notifier()
        self._watchdog = Watchdog(self._notifier, self.kernel_thread, self.owner.as_remembered)
        self._tasks: asyncio.TaskGroup | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._started = time.monotonic()
        self._stopping = asyncio.Event()
        self._seen: Mapping[str, Any] = {"sets": [], "kdamonds": [], "slots": {}, "modules": {}, "problems": []}
        self._socket_path = settings.socket
        self._server = Server(registry, self, _access(settings), _limits(settings), self._changed)
        self.streams = Streams(self._stream_failed)
        self.meters = Meters(
            self._metered, lambda patience_s: self.looker.snapshot(source="ring", timeout_s=patience_s)
        )
        self._snapshots = Snapshots(kernel, self.owner, self.kernel_thread, self.streams)
        self._status_feed = Status(self.streams, self._stream_status)
        self.streams.feeds = {
            "snapshots": self._snapshots,
            "stats": Stats(self.streams, self.stats),
            "status": self._status_feed,
        }

    def stop(self) -> None:
        """Begin to stop; run() returns when it is done."""
        self._stopping.set()

    async def run(self) -> None:
        with ExitStack() as held:
            for directory in self._locked_directories():
                own_directory(directory)
                held.enter_context(RuntimeLock(directory))
            # Before the socket: who finds it open must find the kdamonds of an earlier damod adopted.
            found = await self.kernel_thread.run(self.owner.adopt_running)
            for fate, kdamonds in found.items():
                for kdamond in kdamonds:
                    log.info(fate, **kdamond)
            self.policies.reconciler.generation = self.audit.generation()
            await self.recordings.restore()
            await self.follower.update()
            await self.meters.serve(self.settings.metrics_address, self.settings.metrics_textfile)
            listener = self._listener(held)
            loop = asyncio.get_running_loop()
            for number, act in ((signal.SIGTERM, self.stop), (signal.SIGINT, self.stop), (signal.SIGHUP, self.reload)):
                loop.add_signal_handler(number, act)
                held.callback(loop.remove_signal_handler, number)
            async with asyncio.TaskGroup() as tasks:
                await self._server.start(listener, tasks)
                self._tasks = tasks
                watchdog = tasks.create_task(self._watchdog.feed(watchdog_interval_s()), name="watchdog")
                self.meters.write(self.settings.metrics_textfile, self.settings.metrics_interval, tasks)
                await self._first_apply(tasks)
                keeper = tasks.create_task(self.policies.keep(), name="policies")
                records = tasks.create_task(self.policy_records.keep(), name="records of policies")
                self._notifier.ready(self._summary())
                log.info("ready", socket=self._socket_path, kernel=self.kernel.name, release=self.kernel.release)
                if self._server.access.operator_gid is None:
                    log.warning(
                        "there is no operators' group; only root, and the user of damod, may change things",
                        operator_group=self.settings.operator_group,
                    )
                self.ready.set()
                await self._stopping.wait()
                self._notifier.stopping()
                log.info("stopping")
                self._tasks = None
                watchdog.cancel()
                keeper.cancel()
                records.cancel()
                if self._reloading is not None:
                    self._reloading.cancel()
                await self.meters.close(self.settings.metrics_textfile)
                await self._server.stop(REQUEST_GRACE_S)
                await self.streams.close()
            await self._snapshots.close(0.05)
            await self.recordings.close(RECORDER_GRACE_S)
            await self.follower.close()
            await self.looker.close(KERNEL_GRACE_S / 2)
            await self.listeners.close_all(KERNEL_GRACE_S / 2)
            if await self.kernel_thread.close(KERNEL_GRACE_S / 2):
                self.kernel.close()
            else:
                log.warning("stopped while the kernel still works on a command")

    def reload(self) -> None:
        """Take over what has changed in the policies, and in the settings as far as those can change while running.

        A bad file changes nothing.
        """
        if self._tasks is None:
            return
        self._notifier.reloading()
        if self._reread is not None:
            try:
                new = self._reread()
            except DamodError as exc:
                log.error("the settings stay as they were", why=exc.message)
            else:
                self._take_over(new)
        if self._reloading is not None:
            self._reloading.cancel()
        self._reloading = self._tasks.create_task(self._reload_policies(), name="reload")

    async def _reload_policies(self) -> None:
        await self._guarded(self.policies.reload())
        generation = self.policies.reconciler.generation
        self.audit.add("SIGHUP", "reload of settings and policies", generation, uid=os.geteuid(), pid=os.getpid())
        self._notifier.ready(self._summary())

    async def _first_apply(self, tasks: asyncio.TaskGroup) -> None:
        """Apply the policies, or note why not; a daemon that is told to stop does not wait for it."""
        applied = tasks.create_task(self._guarded(self.policies.reload()), name="first apply")
        stopping = tasks.create_task(self._stopping.wait(), name="stop during the first apply")
        await asyncio.wait([applied, stopping], return_when=asyncio.FIRST_COMPLETED)
        applied.cancel()
        stopping.cancel()

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # policies that cannot be applied at all must not take the daemon down
            log.exception("the policies could not be applied")

    def stop_by_hand(self, name: str | None, kdamond: int | None) -> list[dict[str, Any]]:
        """Stop sets as somebody asked; those of policies stay stopped until a reload. In the kernel thread."""
        stopped = self.owner.stop(name, kdamond)
        self.policies.reconciler.hold([str(row["name"]) for row in stopped])
        return stopped

    def _tell_status(self, _: str) -> None:
        self._notifier.status(self._summary())
        self.look_again()

    def look_again(self) -> None:
        """Something of ours has changed: who follows the kdamonds or the status looks soon."""
        self._snapshots.changed()
        self._status_feed.changed()

    def _changed(
        self, entry: Method, peer: Peer, params: Mapping[str, Any], error: DamodError | None
    ) -> Mapping[str, Any]:
        """Somebody has changed something, or tried to; what of it belongs into the daemon's log."""
        self.look_again()
        what, generation = spelled(params), self.policies.reconciler.generation
        if not params.get("dry_run"):
            code = error.code if error else None
            self.audit.add(entry.name, what, generation, uid=peer.uid, pid=peer.pid, error=code)
        return {"what": what, "generation": generation}

    def _policies_changed(self, rows: list[dict[str, Any]], acts: list[str]) -> None:
        """Policies changed, by whomever's doing; the steps are damod's own."""
        for row in rows:
            self.streams.publish("policies", "policy", row)
        for act in acts:
            self.audit.add("policies", act, self.policies.reconciler.generation, uid=os.geteuid(), pid=os.getpid())
        self.look_again()

    def _stream_failed(self, kind: str, exc: BaseException) -> None:
        log.error("a stream failed and is tried again", kind=kind, why=str(exc), exc_info=exc)

    async def stats(self) -> dict[str, Any]:
        """What the schemes did and what all costs, by one look for everybody who wants to know."""

        def look() -> tuple[list[dict[str, Any]], int | None]:
            return self.owner.scheme_stats(), self.kernel.proc.memory_pressure_us()

        rows, pressure_us = await self.kernel_thread.run(look)
        return {
            "time_ns": self.kernel.clock.monotonic_ns(),
            "wall_ns": self.kernel.clock.time_ns(),
            "kdamonds": rows,
            "memory_pressure_us": pressure_us,
            "daemon": {"cpu_ns": time.process_time_ns(), "rss_bytes": rss_bytes()},
        }

    async def _metered(self) -> Mapping[str, Any]:
        """What the metrics need of the daemon's parts."""
        recordings = self.recordings.all()
        return {
            "status": await self.status(),
            "stats": await self.stats(),
            "policies": (await self.kernel_thread.run(self.policies.rows))["policies"],
            "recordings": recordings,
            "lost": {
                "streams": self._snapshots.lost,
                "recordings": sum(int(item["lost"]) for item in recordings),
            },
            "streams_lost": self.streams.lost_events,
        }

    async def _stream_status(self) -> Mapping[str, Any]:
        """The status without what moves all the time."""
        seen = dict(await self.status())
        seen["daemon"] = {name: seen["daemon"][name] for name in ("version", "kernel", "pid")}
        seen["recordings"] = [{name: item.get(name) for name in ("name", "state")} for item in seen["recordings"]]
        return seen

    def _take_over(self, new: Settings) -> None:
        changed = [name for name in SETTINGS if getattr(new, name) != getattr(self.settings, name)]
        waiting = [name for name in changed if not SETTINGS[name].metadata["live"]]
        live = {name: getattr(new if SETTINGS[name].metadata["live"] else self.settings, name) for name in SETTINGS}
        self.settings = Settings(**live)
        logging.setup(self.settings.log_level)
        self.policies.reconciler.check_s = self.settings.policy_check
        self._server.access = _access(self.settings)
        self._server.limits = _limits(self.settings)
        try:
            open_to(self._socket_path, self._server.access)
        except OSError as exc:
            log.error("the socket's permissions stay as they were", path=self._socket_path, why=exc.strerror)
        log.info("read the settings again", changed=",".join(changed) or "nothing")
        if waiting:
            log.warning("some settings wait for a restart", settings=",".join(waiting))

    def version(self) -> Mapping[str, Any]:
        """The result of `daemon.version`."""
        kernel = {"name": self.kernel.name, "release": self.kernel.release}
        return {"version": __version__, "protocol": PROTOCOL_VERSION, "kernel": kernel}

    async def status(self) -> Mapping[str, Any]:
        """The result of `daemon.status`. A kernel that blocks does not keep it waiting: then it is the last known."""
        looking = asyncio.ensure_future(self.kernel_thread.run(self.owner.status))
        done, _ = await asyncio.wait([looking], timeout=STATUS_PATIENCE_S)
        if done:
            self._seen = looking.result()
        seen = dict(self._seen)
        if not done:
            told = f"the kernel has been busy for over {STATUS_PATIENCE_S:.0f} s; this is how things were before"
            seen["problems"] = [*seen["problems"], told]
        daemon = {
            **self.version(),
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._started, 3),
            "socket": self._socket_path,
            "connections": self._server.connections,
            "subscriptions": len(self.streams),
        }
        return {
            "daemon": daemon,
            "children": self.follower.status(),
            **seen,
            "policies": self.policies.brief(),
            "policy_generation": self.policies.reconciler.generation,
            "recordings": [item for item in self.recordings.all() if item["running"]],
            "problems": [*seen["problems"], *self.recordings.problems(), *self.policy_records.problems()],
        }

    def _locked_directories(self) -> list[str]:
        """The state directory; for root on the machine's own kernel also the system's, which stands for that kernel."""
        wanted = [self.settings.state_dir]
        if self.kernel.name == "linux" and os.geteuid() == 0:
            wanted.append(SYSTEM_STATE_DIR)
        return sorted(set(wanted))

    def _listener(self, held: ExitStack) -> socket.socket:
        handed_over = activated_socket()
        if handed_over is not None:
            held.enter_context(handed_over)
            self._socket_path = str(handed_over.getsockname())
            try:
                open_to(self._socket_path, self._server.access)
            except OSError as exc:
                raise UsageError(
                    f"systemd handed over a socket that is not at {self._socket_path} any more ({exc.strerror})",
                    hint="`systemctl restart damod.socket` makes it anew",
                    path=self._socket_path,
                ) from exc
            return handed_over
        directory = Path(self.settings.socket).parent
        if not directory.exists():
            own_directory(str(directory))
        listener = held.enter_context(listen(self.settings.socket, self._server.access))
        held.callback(_unlink, self.settings.socket)
        return listener

    def _summary(self) -> str:
        return f"on {self._socket_path}, kernel {self.kernel.name} {self.kernel.release}; {self.policies.summary()}"


def rss_bytes() -> int:
    """Memory that this process has resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _unlink(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink()


def _access(settings: Settings) -> Access:
    return Access.of(
        operator_group=settings.operator_group,
        viewer_group=settings.viewer_group,
        everybody_views=settings.viewers == "all",
    )


def _limits(settings: Settings) -> Limits:
    return Limits(connections=settings.max_connections, connections_per_user=settings.max_connections_per_user)
