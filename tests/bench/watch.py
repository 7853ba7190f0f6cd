"""What `damoctl watch` costs while 1,000 regions come ten times a second: CPU, memory, bytes to the terminal."""

from __future__ import annotations

import os
import pty
import select
import struct
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

from damoctl.local import LocalDaemon
from damod.rpc.client import Client

SECONDS, SETTLE_S = 20, 10
SPEC = [
    {
        "contexts": [
            {
                "ops": "paddr",
                "intervals": {"sample_us": "5 ms", "aggr_us": "100 ms", "ops_update_us": "1 s"},
                "nr_regions": {"min": 1000, "max": 1200},
                "schemes": [{"action": "stat"}],
            }
        ]
    }
]


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _drain(master: int, seconds: float) -> int:
    """Read what is drawn for some time; how many bytes that were."""
    end, count = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            try:
                count += len(os.read(master, 1 << 16))
            except OSError:  # it has ended
                break
    return count


def measure(socket: str, width: int, height: int, term: str, colorterm: str) -> None:
    """Print one row."""
    argv = [sys.executable, "-m", "damoctl", "--socket", socket, "watch"]
    pid, master = pty.fork()
    if pid == 0:
        environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        os.execvpe(argv[0], argv, {**environ, "TERM": term, "COLORTERM": colorterm})
    ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    _drain(master, SETTLE_S)
    before = _cpu_s(pid)
    drawn = _drain(master, SECONDS)
    used = _cpu_s(pid) - before
    rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
    os.write(master, b"q")
    _drain(master, 1.0)
    os.close(master)
    os.waitpid(pid, 0)
    size = f"{width}x{height}"
    cost = f"{used / SECONDS:6.1%} of a core  {drawn / SECONDS / 1024:6.1f} KiB/s  {rss:5.0f} MiB"
    print(f"{size:>7}  {term:<15} {colorterm or '-':<10} {cost}")


def main() -> None:
    """Print the table."""
    with LocalDaemon("--kernel", "sim:moving") as daemon:
        with Client(str(daemon.socket)) as client:
            client.call("kdamonds.start", kdamonds=SPEC, take_over=True)
            time.sleep(SETTLE_S)
            (shot,) = client.call("kdamonds.snapshot")["snapshots"]
        print(f"{len(shot['regions']['start'])} regions each {shot['aggr_us'] / 1000:g} ms, ", end="")
        print(f"load {os.getloadavg()[0]:.1f}")
        for width, height in ((80, 24), (160, 50)):
            for term, colorterm in (("xterm-256color", "truecolor"), ("xterm-256color", ""), ("linux", "")):
                measure(str(daemon.socket), width, height, term, colorterm)


if __name__ == "__main__":
    main()
