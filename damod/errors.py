"""Every trouble a user can meet, as one class each: what was attempted, what came back, what to do now.

`code` travels over the socket and `exit_status` is what `damoctl` ends with, so both are part of the interface
(docs/protocol.md). Only `damoctl/main.py` and the daemon's log print an error; everything else raises.
"""

from __future__ import annotations

# `typing` alone costs damoctl as much start-up time as everything that it needs to call the daemon.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class DamodError(Exception):
    """Base of all errors that are told to a user as a sentence, never as a traceback.

    `message` says what was attempted, on what, and what came back; `hint` says what to do now; `facts` are
    msgpack-able details for programs (errno, path, pid, ...).
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts

    def to_wire(self) -> dict[str, Any]:
        """The error object of a MessagePack-RPC response."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "facts": self.facts}


class UsageError(DamodError):
    """The words of a command line or the fields of a request make no sense together."""

    code = "usage"
    exit_status = 2


class SpecInvalid(UsageError):
    """A kdamonds spec has wrong values. `facts["problems"]` lists {"path", "message"} of each."""

    code = "spec-invalid"


class DaemonUnreachable(DamodError):
    """Nobody answers on the socket, or the answer stopped in the middle."""

    code = "daemon-unreachable"
    exit_status = 3


class NotAllowed(DamodError):
    """The caller's role, or the daemon's own permissions on the kernel, do not suffice."""

    code = "not-allowed"
    exit_status = 4


class Conflict(DamodError):
    """Somebody else's DAMON, or another set of our own, is in the way."""

    code = "conflict"
    exit_status = 5


class AlreadyRunning(Conflict):
    """A second damod on the same socket or the same kernel."""

    code = "already-running"


class FeatureMissing(DamodError):
    """This kernel has no such attribute or keyword; nothing was written."""

    code = "feature-missing"
    exit_status = 6


class NotFound(DamodError):
    """A kdamond, process, file or name that does not exist (any more)."""

    code = "not-found"
    exit_status = 7


class KernelRefused(DamodError):
    """The kernel answered a write or a command with an errno; what was before has been put back."""

    code = "kernel-refused"
    exit_status = 8


class NoDamon(DamodError):
    """This kernel is built without DAMON or without its sysfs interface."""

    code = "no-damon"
    exit_status = 9


class NoData(DamodError):
    """Nothing to look at: no snapshot came within its time, or nothing is running."""

    code = "no-data"
    exit_status = 10


class BadRecord(DamodError):
    """A file that is no record of monitoring results, or a damaged or unfinished one."""

    code = "bad-record"
    exit_status = 13


class DiskFull(DamodError):
    """No room to write; what had been written before is whole."""

    code = "disk-full"
    exit_status = 14


class NoMemory(DamodError):
    """What was asked for needs more memory than there is, or than was allowed."""

    code = "no-memory"
    exit_status = 15


class ProtocolError(DamodError):
    """A peer sent what is not MessagePack-RPC, or more of it than allowed."""

    code = "protocol"
    exit_status = 11


class Busy(DamodError):
    """The daemon has as many connections open, or an answer is as large, as it allows."""

    code = "busy"
    exit_status = 12


class Internal(DamodError):
    """A bug of ours. The daemon's log has the traceback."""

    code = "internal"
    exit_status = 70


def _tree(cls: type[DamodError]) -> dict[str, type[DamodError]]:
    found = {cls.code: cls}
    for sub in cls.__subclasses__():
        found.update(_tree(sub))
    return found


def from_wire(error: object) -> DamodError:
    """The exception a response's error object stands for; unknown codes become a plain DamodError."""
    if not isinstance(error, dict):
        return DamodError(str(error))
    cls = _tree(DamodError).get(str(error.get("code")), DamodError)
    facts = error.get("facts")
    return cls(
        str(error.get("message", "")),
        hint=str(error.get("hint", "")),
        **({str(k): v for k, v in facts.items()} if isinstance(facts, dict) else {}),
    )
