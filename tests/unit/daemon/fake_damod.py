"""`damod` on a kernel that can be blocked: for tests of the daemon's life. Run as a program or imported."""

from __future__ import annotations

import sys
import threading
from typing import Any

from damod import cli
from damod.daemon import methods
from damod.kernel.sim.kernel import SimKernel
from damod.rpc.auth import Role
from damod.rpc.registry import Call, Result, method

# Set in a test to let a blocked kernel go on.
RELEASE = threading.Event()


class FakeKernel(SimKernel):
    """The simulated kernel under a name that no test takes for a real one."""

    def __init__(self) -> None:
        super().__init__("6.12")
        self.name, self.release = "fake", "0.0"


@method("test.block", needs=Role.OPERATOR)
async def block(call: Call[Any], *, timeout_s: float = 60) -> Result:
    """Block the kernel thread, as a write into sysfs may."""
    return {"released": await call.daemon.kernel_thread.run(RELEASE.wait, timeout_s)}


if __name__ == "__main__":
    methods.block = block  # type: ignore[attr-defined]
    cli.open_kernel = lambda settings: FakeKernel()
    sys.exit(cli.main())
