"""Run a command on one CPU together with a busy competitor, so that an emulated machine's DAMON sees its accesses.

DAMON clears the accessed bits of page table entries without flushing the TLB; on real processors entries leave the
TLB soon enough. QEMU's software TLB is large and keeps them, so a loop over hot memory never walks the page table
again and shows as 0 Hz. Switching to another process flushes it, and a competitor on the same CPU makes the scheduler
switch all the time.

    python3 pinned.py 1 python3 hot.py --total-mib 100 --hot-mib 20

The command replaces this process, so the pid is the command's; the competitor dies with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    if len(argv) < 2:
        sys.exit("usage: pinned.py CPU COMMAND [ARGS...]")
    os.sched_setaffinity(0, {int(argv[0])})
    parent = os.getpid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The competitor must not keep the command's output open, or a reader would wait for both.
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        while os.getppid() == parent:
            for _ in range(100_000):
                pass
        os._exit(0)
    os.execvp(argv[1], argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
