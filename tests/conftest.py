"""What every test relies on of the process it runs in."""

from __future__ import annotations

import os
import signal


def pytest_configure() -> None:
    """Ctrl-C is not ignored, as it is in what a shell starts in the background: children would inherit that.

    Examples of hypothesis have no deadline, since machines are busy at times.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "DAMOD_GUEST_OUT" not in os.environ:  # an emulated processor loads it for seconds, and no test there needs it
        from hypothesis import settings

        settings.register_profile("damod", deadline=None)
        settings.load_profile("damod")
