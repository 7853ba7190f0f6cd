"""What every test relies on of the process it runs in."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Ctrl-C is not ignored, as it is in what a shell starts in the background: children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
