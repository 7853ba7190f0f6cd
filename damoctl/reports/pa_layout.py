"""`report pa_layout`: what lies where in physical memory, and on which node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from damod import units

RAM = "System RAM"


class Row(NamedTuple):
    """A range [start, end) of one resource inside of memory blocks of one node and state."""

    start: int
    end: int
    node: int
    state: str
    resource: str

    @property
    def size(self) -> int:
        return self.end - self.start


def compute(layout: Mapping[str, Sequence[Sequence[Any]]]) -> list[Row]:
    """The rows, ascending, of what `machine.layout` answers; what lies in no memory block is left out."""
    rows = []
    for start, end, name in layout["resources"]:
        for low, high, node, state in layout["blocks"]:
            first, last = max(start, low), min(end, high)
            if first < last:
                rows.append(Row(first, last, node, state, name))
    return sorted(rows)


def monitored(rows: Sequence[Row]) -> tuple[int, int] | None:
    """The range that paddr monitoring watches unless told otherwise: the largest of System RAM, whatever its nodes."""
    return max(ram(rows), key=lambda span: span[1] - span[0], default=None)


def ram(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """The ranges of System RAM, those that touch as one."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if row.resource != RAM:
            continue
        if found and found[-1][1] == row.start:
            found[-1] = (found[-1][0], row.end)
        else:
            found.append((row.start, row.end))
    return found


def span_line(span: tuple[int, int], *, raw: bool) -> str:
    """``[4.000 GiB, 6.000 GiB) (size 2.000 GiB)``."""
    start, end, size = (units.size(value, raw=raw) for value in (*span, span[1] - span[0]))
    return f"[{start}, {end}) (size {size})"


def render(rows: Sequence[Row], default: tuple[int, int] | None, *, raw: bool) -> Iterator[str]:
    """The lines of the report; `default` is what paddr monitoring watches."""
    yield f"#{'start':>14} {'end':>14}\tnode\tstate\tresource\tsize"
    for row in rows:
        start, end, size = (units.size(value, raw=raw) for value in (row.start, row.end, row.size))
        yield f"{start:>15} {end:>14}\t{row.node}\t{row.state}\t{row.resource}\t{size}"
    if default is not None:
        yield f"Default paddr monitoring range: {span_line(default, raw=raw)}"
