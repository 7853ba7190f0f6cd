"""`report times`: when any memory looked as the filters say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from damoctl.reports.choose import NEED, Chooser
from damoctl.reports.frames import Series, Source
from damod.access import select
from damod.access.select import Selection
from damod.errors import NoData


class Span(NamedTuple):
    """A time in which each snapshot had a region that matched, in ns on the record's clock."""

    start_ns: int
    end_ns: int


def compute(source: Source, selection: Selection, *, compat: bool = False) -> list[Span]:
    """The times, in order; those of several targets are joined where they touch or overlap.

    damo (`compat`) tells those of each target for itself, and drops what it cannot tell of records without intervals.
    """
    series_spans: dict[Series, list[Span]] = {}
    chooser = Chooser(selection, compat=compat)
    open_spans: dict[Series, Span] = {}
    need = NEED
    for frame in source.frames(need):
        known = not len(frame) or bool(frame.aggr_us.all() and frame.sample_us.all())
        dropped = compat and not selection.temperatures
        if select.needs_intervals(selection) and not known and not dropped:
            raise NoData(
                f"the record of target {frame.series.target_id} lacks the intervals, so access rates and ages are not"
                " known",
                hint="--sz_region, --address and --snapshot_time work without them",
            )
        kept, snapshots = chooser(frame)
        matches = np.flatnonzero(snapshots & (np.diff(kept.first) > 0))
        for begin, end in zip(frame.start_ns[matches].tolist(), frame.end_ns[matches].tolist(), strict=True):
            last = open_spans.get(frame.series)
            if last is not None and last.end_ns == begin:
                open_spans[frame.series] = Span(last.start_ns, end)
            else:
                if last is not None:
                    series_spans.setdefault(frame.series, []).append(last)
                open_spans[frame.series] = Span(begin, end)
    for series, span in open_spans.items():
        series_spans.setdefault(series, []).append(span)
    found = [span for spans in series_spans.values() for span in spans]
    return found if compat else joined(sorted(found))


def joined(spans: Sequence[Span]) -> list[Span]:
    """Sorted spans, with those as one that touch or overlap."""
    made: list[Span] = []
    for span in spans:
        if made and span.start_ns <= made[-1].end_ns:
            made[-1] = Span(made[-1].start_ns, max(made[-1].end_ns, span.end_ns))
        else:
            made.append(span)
    return made


def text(span: Span) -> str:
    """``539.809434-596.606619``: seconds, as perf takes them."""
    return f"{_seconds(span.start_ns)}-{_seconds(span.end_ns)}"


def _seconds(ns: int) -> str:
    micros = (ns + 500) // 1000
    return f"{micros // 1_000_000}.{micros % 1_000_000:06}"


def render(spans: Sequence[Span]) -> Iterator[str]:
    """The lines of the report."""
    for span in spans:
        yield text(span)
        yield "# (seconds)"


def to_plain(spans: Sequence[Span]) -> list[dict[str, Any]]:
    return [span._asdict() for span in spans]
