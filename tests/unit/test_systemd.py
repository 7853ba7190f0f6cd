"""What systemd hands over and is told; the rest is in daemon/test_service.py, with a whole process."""

from __future__ import annotations

import os

import pytest

from damod.errors import UsageError
from damod.systemd import activated_socket, watchdog_interval_s


def test_sockets_for_another_process_are_not_ours() -> None:
    """LISTEN_PID must be ours; the variables are taken away in any case, so that no child thinks them its own."""
    for environ in ({}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}):
        assert activated_socket(environ) is None
        assert environ == {}


def test_more_than_one_socket_is_a_mistake_of_the_unit() -> None:
    """It says so instead of taking the first."""
    with pytest.raises(UsageError, match="handed over 2 sockets"):
        activated_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"})


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_due_twice_in_its_time(environ: dict[str, str], interval_s: float | None) -> None:
    """Only when it is meant for this process."""
    assert watchdog_interval_s(environ) == interval_s
