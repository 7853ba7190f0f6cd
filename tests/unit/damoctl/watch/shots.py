"""Snapshots and models to test with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from damoctl.reports.frames import Series
from damoctl.watch.model import Model
from damoctl.watch.source import Seen
from damod.access.snapshot import Regions, Snapshot

MS, S = 1_000_000, 1_000_000_000
MIB = 1 << 20
SERIES = Series(0, 0, None, 0)


def shot(
    end_ns: int,
    rows: Sequence[tuple[int, int, int, int]],
    *,
    aggr_us: int = 100_000,
    pid: int | None = None,
    kdamond: int = 0,
) -> Snapshot:
    """A snapshot that ends at a time, of (start, end, nr_accesses out of 20, age) rows."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    return Snapshot(
        kdamond, 0, 0, end_ns - aggr_us * 1000, end_ns, 0, aggr_us // 20, aggr_us, Regions(*columns), pid=pid,
        ops="paddr" if pid is None else "vaddr",
    )  # fmt: skip


def walk(count: int, parts: int = 10, every_ns: int = 100 * MS) -> Iterator[Snapshot]:
    """Snapshots one after the other; one part of ten MiB is hot and moves on with each ten snapshots."""
    for index in range(count):
        hot = index // 10 % parts
        rows = [
            (part * MIB, (part + 1) * MIB, 20 if part == hot else 0, index % 10 if part == hot else index)
            for part in range(parts)
        ]
        yield shot((index + 1) * every_ns, rows)


def recording(snapshots: Sequence[Snapshot] | None = None) -> Model:
    """A model of a recording: a hot MiB walks through ten within ten seconds."""
    model = Model("walk.data", live=False)
    model.feed(Seen([(SERIES, item) for item in (walk(100) if snapshots is None else snapshots)]))
    return model


def status(*kdamonds: int, modules: Sequence[str] = ()) -> dict[str, object]:
    """As much of a status as a view looks at."""
    return {"kdamonds": [{"index": index} for index in kdamonds], "modules": dict.fromkeys(modules)}


def stats(
    time_ns: int, tried: int, *, cpu_ns: int = 0, pressure_us: int | None = 0, action: str = "pageout"
) -> dict[str, object]:
    """The daemon's stats with one kdamond that has one scheme."""
    done = {"nr_tried": 1, "sz_tried": tried, "nr_applied": 1, "sz_applied": tried // 2, "qt_exceeds": 3}
    scheme = {"action": action, "stats": done, "effective_quota_bytes": 4 * MIB}
    kdamond = {"kdamond": 0, "name": "adhoc", "pid": 77, "cpu_ns": cpu_ns, "schemes": [scheme]}
    return {
        "time_ns": time_ns, "kdamonds": [kdamond], "memory_pressure_us": pressure_us,
        "daemon": {"cpu_ns": cpu_ns // 2, "rss_bytes": 40 * MIB},
    }  # fmt: skip
