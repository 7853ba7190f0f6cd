"""Who is asking, as the kernel says it (SO_PEERCRED, SO_PEERGROUPS), and what they may do. Never from the message."""

from __future__ import annotations

import errno
import grp
import os
import socket
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

# Linux 4.13 (28b5ba2aa0f5, "net: introduce SO_PEERGROUPS getsockopt"); Python has no name for it.
_SO_PEERGROUPS = 59
_UCRED = struct.Struct("iII")
# Python's getsockopt takes no larger buffer; it holds 256 groups.
_GROUPS_BYTES = 1024


class Role(IntEnum):
    """What a peer may do; each role may do what those below it may."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Peer:
    """The process at the other end when it connected. `pid` is 0 when it lives in another pid namespace.

    `gids` are all its groups, `gid` the one that its files get (None: not known).
    """

    pid: int
    uid: int
    gids: frozenset[int]
    gid: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Access:
    """Who has which role. A group that does not exist is None, and nobody is in it."""

    operator_gid: int | None
    viewer_gid: int | None
    everybody_views: bool
    own_uid: int

    @classmethod
    def of(cls, *, operator_group: str, viewer_group: str, everybody_views: bool) -> Access:
        return cls(_gid(operator_group), _gid(viewer_group), everybody_views, os.geteuid())

    @property
    def wide(self) -> bool:
        """Whether others than root, this user and the operators' group need to connect."""
        return self.everybody_views or self.viewer_gid is not None

    def role(self, peer: Peer) -> Role:
        if peer.uid in (0, self.own_uid) or self.operator_gid in peer.gids:
            return Role.OPERATOR
        if self.everybody_views or self.viewer_gid in peer.gids:
            return Role.VIEWER
        return Role.NONE


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def peer_of(sock: socket.socket) -> Peer:
    """The peer of a connected Unix socket. Raises OSError."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        packed = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
        groups = set(struct.unpack(f"{len(packed) // 4}I", packed))
    except OSError as exc:
        if exc.errno not in (errno.ENOPROTOOPT, errno.ERANGE):
            raise
        groups = _groups_of_process(pid, uid)
    return Peer(pid, uid, frozenset(groups | {gid}), gid)


def _groups_of_process(pid: int, uid: int) -> set[int]:
    """The groups of a process as /proc says them now; none if the pid is another user's by now."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return set()
    fields = {name: words.split() for name, _, words in (line.partition(":") for line in lines)}
    if fields.get("Uid", [""])[0] != str(uid):
        return set()
    return {int(word) for word in fields.get("Groups", [])}
