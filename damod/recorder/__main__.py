"""`python -m damod.recorder`: started by damod with open handles, never by hand. The job comes through --control."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from damod.recorder.channel import Channel
from damod.recorder.job import Job
from damod.recorder.session import Session


def main(argv: Sequence[str]) -> int:
    """Record what the job says; the exit status."""
    words = argparse.ArgumentParser(prog="python -m damod.recorder", description=__doc__)
    words.add_argument("--control", type=int, required=True, help="socket on which damod sends the job and listens")
    words.add_argument("--directory", type=int, required=True, help="directory in which the record is made")
    words.add_argument("--leash", type=int, help="socket of the caller, told how it goes; its end ends the recording")
    words.add_argument("--pages", type=int, help="socket on which damod sends the pages of its own ring")
    options = words.parse_args(argv)
    channel = Channel(socket.socket(fileno=options.control))
    leash, pages = (
        None if number is None else socket.socket(fileno=number) for number in (options.leash, options.pages)
    )
    for handle in (options.control, options.directory, options.leash, options.pages):
        if handle is not None:
            os.set_inheritable(handle, False)
    job = Job.from_wire(channel.first()["job"])
    return Session(job, options.directory, channel, leash=leash, pages=pages).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
