"""A process with a known hot part: maps TOTAL MiB, touches all of it once, then the hot part of it for ever.

Prints one line of JSON as soon as the memory is there, and touching begins:

    {"pid": 123, "start": 140..., "end": 140..., "hot_start": 140..., "hot_end": 140...}

With --hot-mib 0 the memory is idle from then on, and the process sleeps. Touching is a strided copy in C, one byte per
page, as fast as an interpreter can ask for it. In an emulated machine DAMON sees none of it unless something flushes
the TLB: start it through pinned.py there. No page is all zeros, since the kernel does not take those to swap; with
--populate they are, and there in a fifth of the time.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import time

MIB = 1 << 20
PR_SET_NAME = 15


def main() -> None:
    parser = argparse.ArgumentParser(description="Touch a known part of a known mapping for ever.")
    parser.add_argument("--total-mib", type=int, default=100)
    parser.add_argument("--hot-mib", type=int, default=20)
    parser.add_argument("--hot-at-mib", type=int, default=0, help="where in the mapping the hot part begins")
    parser.add_argument("--write", action="store_true", help="write to the hot pages rather than read them")
    parser.add_argument("--huge", action="store_true", help="allow huge pages; else an access marks 4 KiB only")
    parser.add_argument("--populate", action="store_true", help="have the kernel make the memory, as zeros")
    parser.add_argument("--seconds", type=float, help="end after this long (default: never)")
    parser.add_argument("--name", help="what the process is called from the start on (its comm)")
    args = parser.parse_args()
    if args.name:
        ctypes.CDLL(None).prctl(PR_SET_NAME, args.name.encode())

    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | (mmap.MAP_POPULATE if args.populate else 0)
    memory = mmap.mmap(-1, args.total_mib * MIB, flags=flags)
    memory.madvise(mmap.MADV_HUGEPAGE if args.huge else mmap.MADV_NOHUGEPAGE)
    pages = memoryview(memory)[:: mmap.PAGESIZE]
    if not args.populate:
        pages[:] = b"\1" * len(pages)

    per_mib = MIB // mmap.PAGESIZE
    hot = pages[args.hot_at_mib * per_mib : (args.hot_at_mib + args.hot_mib) * per_mib]
    ones = b"\1" * len(hot)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    hot_start = start + args.hot_at_mib * MIB
    facts = {
        "pid": os.getpid(),
        "start": start,
        "end": start + args.total_mib * MIB,
        "hot_start": hot_start,
        "hot_end": hot_start + args.hot_mib * MIB,
    }
    print(json.dumps(facts), flush=True)

    deadline = time.monotonic() + args.seconds if args.seconds else float("inf")
    while not len(hot) and time.monotonic() < deadline:
        time.sleep(min(deadline - time.monotonic(), 3600))
    while time.monotonic() < deadline:
        if args.write:
            hot[:] = ones
        else:
            hot.tobytes()


if __name__ == "__main__":
    main()
