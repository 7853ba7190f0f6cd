"""Region events put together to aggregations: all regions of one target at the end of one aggregation interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from damod.access.snapshot import Regions
from damod.kernel.events import INTERVALS, REGIONS, REGIONS_AND_PROBES, Format
from damod.kernel.pages import Run

if TYPE_CHECKING:
    from damod.kernel.ring import Batch


class Aggregation(NamedTuple):
    """All regions of one target at the end of one aggregation.

    `start_ns` is the end of the aggregation before, None if that was not seen whole. `sample_us` is the sampling
    interval in force if the kernel tunes it and has said so, else None.
    """

    start_ns: int | None
    end_ns: int
    regions: Regions
    pid: int
    target_id: int
    sample_us: int | None = None


@dataclass(slots=True)
class _Part:
    """An aggregation of one target of which not all regions have come yet, as a list per field."""

    nr_regions: int
    first_ns: int
    sample_us: int | None
    columns: list[list[Any]]


# Fields that all regions of an aggregation share.
_SHARED = ("common_pid", "target_id", "nr_regions")


class Aggregations:
    """Puts region events together to whole aggregations, per (kdamond's pid, target).

    One that misses a region, or that a gap in the ring could have glued together from two, is never handed out;
    `incomplete` counts them. What was under way when the ring was opened is not counted.
    """

    def __init__(self) -> None:
        self.incomplete = 0
        self._parts: dict[tuple[int, int], _Part] = {}
        self._ended_ns: dict[tuple[int, int], int | None] = {}
        self._sample_us: dict[int, int] = {}
        self._orders: dict[Format, _Order] = {}

    def feed(self, batch: Batch) -> list[Aggregation]:
        """The aggregations that became whole with these events, in order."""
        whole: list[Aggregation] = []
        for run in batch.runs:
            if run.form.name == INTERVALS:
                for pid, sample_us in zip(*run.columns(("common_pid", "sample_us")), strict=True):
                    self._sample_us[pid] = sample_us
            elif run.form.name in (REGIONS, REGIONS_AND_PROBES):
                at = 0
                while at < run.count:
                    at += self._add(run, at, batch.gaps, whole)
        if batch.gaps:
            until = max(last for _, last in batch.gaps)
            for key in [key for key, part in self._parts.items() if part.first_ns <= until]:
                self._drop(key)
        return whole

    def _add(self, run: Run, at: int, gaps: Sequence[tuple[int, int]], whole: list[Aggregation]) -> int:
        """Add events of a run from `at` on to the part that the first one belongs to; how many they were."""
        order = self._orders.get(run.form)
        if order is None:
            order = self._orders[run.form] = _Order.of(run.form)
        first = {name: column[0] for name, column in zip(order.head, run.columns(order.head, at, 1), strict=True)}
        key, nr_regions = (first["common_pid"], first["target_id"]), first["nr_regions"]
        part = self._parts.get(key)
        if part and (first["start"] <= part.columns[order.start][-1] or nr_regions != part.nr_regions):
            self._drop(key)
            part = None
        if part is None:
            part = _Part(nr_regions, run.time_ns(at), self._sample_us.get(key[0]), [[] for _ in order.columns])
            self._parts[key] = part

        count: int = min(nr_regions - len(part.columns[0]), run.count - at)
        columns = run.columns(order.columns, at, count)
        # Other kdamonds' regions in between, or addresses that fall, since another aggregation begins.
        if not run.agree(order.shared, at, count) or not _rises(columns[order.start]):
            count = 1
            columns = run.columns(order.columns, at, count)
        for column, more in zip(part.columns, columns, strict=True):
            column += more
        if len(part.columns[0]) >= nr_regions:
            last_ns = run.time_ns(at + count - 1) if gaps else 0
            if any(gap_from <= last_ns and part.first_ns <= gap_to for gap_from, gap_to in gaps):
                self._drop(key)
            else:
                whole.append(self._whole(key, part, order))
        return count

    def _drop(self, key: tuple[int, int]) -> None:
        del self._parts[key]
        if key in self._ended_ns:
            self.incomplete += 1
        self._ended_ns[key] = None

    def _whole(self, key: tuple[int, int], part: _Part, order: _Order) -> Aggregation:
        del self._parts[key]
        regions = Regions(**dict(zip(order.columns, part.columns, strict=True)))
        before = self._ended_ns.get(key)
        self._ended_ns[key] = part.first_ns
        return Aggregation(before, part.first_ns, regions, *key, part.sample_us)


class _Order(NamedTuple):
    """Names of fields in the order in which an event has them: those that say whose it is, and a region's own.

    `shared` are the words of the payload in which the fields lie that all regions of an aggregation share.
    """

    head: tuple[str, ...]
    columns: tuple[str, ...]
    start: int
    shared: tuple[int, ...]

    @classmethod
    def of(cls, form: Format) -> _Order:
        names = [item.name for item in form.fields]
        own = tuple(name for name in names if name in ("start", "end", "nr_accesses", "age", "probe_hits"))
        head = tuple(name for name in names if name in (*_SHARED, "start"))
        fields = [form.field(name) for name in _SHARED]
        shared = {byte // 4 for item in fields for byte in range(item.offset, item.offset + item.size)}
        return cls(head, own, own.index("start"), tuple(sorted(shared)))


def _rises(values: tuple[int, ...]) -> bool:
    return sorted(values) == list(values)
