"""Who has which role."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest

from damod.rpc import auth
from damod.rpc.auth import Access, Peer, Role, peer_of

BY_GROUP = Access(operator_gid=50, viewer_gid=60, everybody_views=False, own_uid=1000)


@pytest.mark.parametrize(
    ("uid", "gids", "role"),
    [
        (0, (), Role.OPERATOR),
        (1000, (), Role.OPERATOR),
        (2000, (50,), Role.OPERATOR),
        (2000, (60, 50), Role.OPERATOR),
        (2000, (60,), Role.VIEWER),
        (2000, (61,), Role.NONE),
        (2000, (), Role.NONE),
    ],
)
def test_role_by_uid_and_groups(uid: int, gids: tuple[int, ...], role: Role) -> None:
    """Root, the daemon's own user and the operators' group operate; the viewers' group views; others have no role."""
    assert BY_GROUP.role(Peer(1, uid, frozenset(gids))) is role


def test_everybody_may_view_when_so_set() -> None:
    """`viewers: all` makes everybody a viewer, and nobody an operator."""
    access = Access(operator_gid=None, viewer_gid=None, everybody_views=True, own_uid=1000)
    assert access.role(Peer(1, 2000, frozenset({2000}))) is Role.VIEWER


def test_a_group_that_does_not_exist_has_no_members() -> None:
    """A missing group gives nobody a role and is no error."""
    access = Access.of(operator_group="no-such-group-1", viewer_group="no-such-group-2", everybody_views=False)
    assert (access.operator_gid, access.viewer_gid, access.wide) == (None, None, False)
    assert access.role(Peer(1, 2**31 - 7, frozenset({1, 2, 3}))) is Role.NONE


def test_the_peer_is_whom_the_kernel_names() -> None:
    """pid, uid and all groups of the other end, without a word from it."""
    left, right = socket.socketpair()
    with left, right:
        assert peer_of(left) == Peer(os.getpid(), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def test_groups_come_from_proc_where_the_socket_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 4.13, and peers with more than 256 groups, are asked about in /proc; another user's pid is not."""
    left, right = socket.socketpair()

    class Without:
        def getsockopt(self, level: int, option: int, size: int) -> Any:
            if option == auth._SO_PEERGROUPS:
                raise OSError(errno.ENOPROTOOPT, "Protocol not available")
            return left.getsockopt(level, option, size)

    with left, right:
        assert peer_of(Without()).gids == {os.getegid(), *os.getgroups()}  # type: ignore[arg-type]
    assert auth._groups_of_process(1, 2**31 - 7) == set()
    assert auth._groups_of_process(2**22 + 1, 0) == set()
