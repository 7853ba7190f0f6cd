"""`damod` on a kernel that does nothing, or blocks: for tests of the daemon's life. Run as a program or imported."""

from __future__ import annotations

import sys
import threading
from typing import Any

from damod import cli
from damod.daemon import methods
from damod.rpc.auth import Role
from damod.rpc.registry import Call, Result, method

# Set in a test to let a blocked kernel go on.
RELEASE = threading.Event()


class FakeKernel:
    """As much of a Kernel as a life without kdamonds asks for."""

    name = "fake"
    release = "0.0"
    damon: Any = None
    modules: Any = None
    trace: Any = None
    proc: Any = None
    clock: Any = None

    def close(self) -> None:
        pass


@method("test.block", needs=Role.OPERATOR)
async def block(call: Call[Any], *, timeout_s: float = 60) -> Result:
    """Block the kernel thread, as a write into sysfs may."""
    return {"released": await call.daemon.kernel_thread.run(RELEASE.wait, timeout_s)}


if __name__ == "__main__":
    methods.block = block  # type: ignore[attr-defined]
    cli.open_kernel = lambda settings: FakeKernel()
    sys.exit(cli.main())
