"""The tables below the picture: regions at the left, what it costs and what schemes did at the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from damoctl.term.ramp import Ramp, level
from damoctl.watch import regions
from damoctl.watch.counters import Scheme
from damoctl.watch.heatlines import address
from damoctl.watch.layout import WIDE, Layout
from damoctl.watch.model import Model, Target
from damoctl.watch.text import BOLD, DIM, Line, Piece, fit, joined, length, percent, printable, rate, size, spread, time
from damod.access.snapshot import Snapshot

_ORDERS = {
    "hot": "hot first",
    "cold": "cold first",
    "size": "large first",
    "address": "by address",
    "access": "accessed first",
    "age": "old first",
}


def region_lines(model: Model, target: Target, place: Layout, ramp: Ramp) -> list[Line]:
    """The regions of the snapshot at the cursor, as many as there is room for."""
    shot = target.shown
    found = regions.rows(shot, model.sort)
    human = target.physical
    wide = place.left >= WIDE
    shown = place.table - 1
    width = 14 if human else 16
    head = f"   {'start':>{width}} {'size':>10} {'access':>7} {'age':>7}"
    if wide:
        head = f"   {'start':>{width}} {'end':>{width}} {'size':>10} {'access':>7} {'age':>7}  {'temperature':>14}"
    lines = [fit([(head, DIM)], place.left)]
    most = max((row.samples for row in found), default=1) or 1
    for row in found[:shown]:
        step = level(row.samples * 100 / most if row.percent is None else row.percent, ramp.steps)
        char, style = ramp.cell(step, step)
        text = f" {address(row.start, human=human):>{width}}"
        if wide:
            text += f" {address(row.end, human=human):>{width}}"
        text += f" {size(row.size):>10} {_access(row):>7} {_age(row):>7}"
        if wide:
            text += f"  {row.heat:>14,}"
        lines.append(fit([(char * 2, style), (text, "")], place.left))
    return lines


def _access(row: regions.Row) -> str:
    """Percent, or samples of a record that does not tell out of how many."""
    if row.percent is None:
        return f"{row.samples:,}"
    return f"{row.percent:.0f} %" if row.percent >= 10 or not row.percent else f"{row.percent:.1f} %"


def _age(row: regions.Row) -> str:
    return "-" if row.age_us < 0 else time(row.age_us * 1000)


def side_lines(model: Model, target: Target | None, place: Layout) -> list[Line]:
    """Schemes, then costs; schemes get shorter, and then fewer, where there is no room for all."""
    costs = _costs(model, target)
    room = place.table - len(costs) - 1
    lines: list[Line] = []
    for form in (_long, _short):
        lines = _schemes(model, target, place.right, form) if target is not None else []
        if len(lines) <= room:
            break
    if len(lines) > room:
        kept = max(room - 1, 0)
        lines = [*lines[:kept], [(f"... and {len(lines) - kept} more", DIM)]]
    if lines:
        lines.append([])
    lines += [spread([(name, DIM)], [(value, "")], place.right) for name, value in costs]
    return [fit(line, place.right) for line in lines[: place.table]]


def _schemes(model: Model, target: Target, width: int, form: Callable[[Scheme, bool], list[Line]]) -> list[Line]:
    kdamond = model.counters.kdamonds.get(target.series.kdamond)
    found: Sequence[Scheme] = kdamond.schemes if kdamond is not None else ()
    if not model.live:
        found = _recorded(target)
    lines = []
    for scheme in found:
        first, *more = form(scheme, model.live)
        quota = joined(_quota(scheme), width - length(first) - 1, ", ")
        lines += [spread(first, quota, width) if more else first, *more]
    return lines


def _quota(scheme: Scheme) -> list[Piece]:
    """The quota in force, and how often it was used up."""
    parts = [(f"quota {size(scheme.quota_bytes)}", DIM)] if scheme.quota_bytes else []
    return [*parts, (f"exceeded {scheme.exceeded:,} x", DIM)] if scheme.exceeded else parts


def _long(scheme: Scheme, live: bool) -> list[Line]:
    """A scheme in lines of its own: its name, what was tried, what was applied."""
    parts = [("found" if scheme.only_counts else "tried", scheme.tried, scheme.tried_per_s)]
    if not scheme.only_counts:
        parts.append(("applied", scheme.applied, scheme.applied_per_s))
    lines: list[Line] = [[(f"{scheme.number} {scheme.action}", BOLD)]]
    for what, total, per_s in parts:
        speed = f" {rate(per_s):>12}" if live else ""
        lines.append([(f"  {what:<7}", DIM), (f"{size(total):>10}{speed}", "")])
    return lines


def _short(scheme: Scheme, live: bool) -> list[Line]:
    """A scheme in a line: what it did."""
    total, per_s = scheme.applied, scheme.applied_per_s
    if scheme.only_counts:
        total, per_s = scheme.tried, scheme.tried_per_s
    name = f"{scheme.number} {scheme.action}"[:9]
    return [[(f"{name:<9}", BOLD), (f" {size(total):>10}" + (f" {rate(per_s):>12}" if live else ""), "")]]


def _recorded(target: Target) -> list[Scheme]:
    stats = target.shown.stats
    if not stats:
        return []
    index = target.series.scheme or 0
    return [
        Scheme(
            index,
            "of the record",
            stats.get("sz_tried", 0),
            stats.get("sz_applied", 0),
            stats.get("qt_exceeds", 0),
            None,
        )
    ]


def _costs(model: Model, target: Target | None) -> list[tuple[str, str]]:
    """Names and values of what the machine bears."""
    if not model.live:
        return list(model.aside(target.view.cursor_ns)) if target is not None else []
    machine = model.counters.machine
    rows = [("memory pressure", percent(machine.pressure))] if machine.pressure is not None else []
    for kdamond in model.counters.kdamonds.values():
        name = f" ({printable(kdamond.name, 12)})" if kdamond.name else ""
        rows.append((f"kdamond {kdamond.number}{name}", f"{percent(kdamond.cpu)} CPU"))
    if machine.daemon_rss is not None:
        rows.append(("damod", f"{size(machine.daemon_rss)}, {percent(machine.daemon_cpu)} CPU"))
    if model.own_cpu is not None:
        rows.append(("this view", f"{percent(model.own_cpu)} CPU"))
    return rows


def facts(model: Model, target: Target, snapshot: Snapshot) -> list[str]:
    """What is true of the snapshot as a whole, most important first."""
    own = snapshot.regions
    total = sum(own.end) - sum(own.start)
    used = sum(end - start for start, end, count in zip(own.start, own.end, own.nr_accesses, strict=True) if count)
    words = [
        f"working set {size(used)} of {size(total)}",
        f"{len(own):,} regions" + ("" if model.edit else f", {_ORDERS[model.sort]}"),
    ]
    if snapshot.aggr_us:
        words.append(f"{time(snapshot.sample_us * 1000)} / {time(snapshot.aggr_us * 1000)}")
    if target.history.lost:
        words.append(f"{target.history.lost:,} events lost")
    if target.history.stride > 1:
        words.append(f"every {target.history.stride}. snapshot")
    return words
