"""`make bench`: every measurement, or those that are named. Each prints rows for docs/performance.md."""

from __future__ import annotations

import argparse

from tests.bench import beside, day, guest, record, record_daemon, record_size, replay, reports, streams, watch

MEASUREMENTS = {
    "record": record.main,
    "record_daemon": record_daemon.main,
    "record_size": record_size.main,
    "replay": replay.main,
    "reports": reports.main,
    "beside": beside.main,
    "streams": streams.main,
    "day": day.main,
    "guest": guest.main,
    "watch": watch.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)} (default: all)")
    names = parser.parse_args().names or list(MEASUREMENTS)
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    for name in names:
        MEASUREMENTS[name]()


if __name__ == "__main__":
    main()
