"""A process that walks through its memory in steps: each of PARTS equal parts is hot for SECONDS, one after the other.

Prints one line of JSON as soon as the memory is there, waits for a line on standard input, walks, and prints another:

    {"pid": 123, "start": 140..., "part": 10485760, "parts": 10}
    {"steps_ns": [...]}

`steps_ns` are the begins of the steps and the end of the last, CLOCK_MONOTONIC. In an emulated machine start it through
pinned.py (see hot.py).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import sys
import time

MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description="Touch one part of a mapping after the other.")
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--part-mib", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each part is hot")
    args = parser.parse_args()

    size = args.part_mib * MIB
    memory = mmap.mmap(-1, args.parts * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    pages = memoryview(memory)[:: mmap.PAGESIZE]
    pages[:] = bytes(len(pages))
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    print(json.dumps({"pid": os.getpid(), "start": start, "part": size, "parts": args.parts}), flush=True)
    sys.stdin.readline()

    per_part = size // mmap.PAGESIZE
    steps_ns = [time.monotonic_ns()]
    for part in range(args.parts):
        hot = pages[part * per_part : (part + 1) * per_part]
        until = steps_ns[0] + int((part + 1) * args.seconds * 1e9)
        while time.monotonic_ns() < until:
            hot.tobytes()
        steps_ns.append(time.monotonic_ns())
    print(json.dumps({"steps_ns": steps_ns}), flush=True)


if __name__ == "__main__":
    main()
