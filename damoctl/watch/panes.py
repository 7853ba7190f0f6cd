"""The tables below the picture: regions at the left, what it costs and what schemes did at the right."""

from __future__ import annotations

from collections.abc import Sequence

from damoctl.term.ramp import Ramp, level
from damoctl.watch import regions
from damoctl.watch.counters import Scheme
from damoctl.watch.heatlines import address
from damoctl.watch.layout import Layout
from damoctl.watch.model import Model, Target
from damoctl.watch.text import BOLD, DIM, Line, fit, length, percent, printable, rate, size, spread, time
from damod.access.snapshot import Snapshot

_TITLES = {
    "hot": "hottest first",
    "cold": "coldest first",
    "size": "largest first",
    "address": "by address",
    "access": "most accessed first",
    "age": "oldest first",
}


def region_lines(model: Model, target: Target, place: Layout, ramp: Ramp) -> list[Line]:
    """The regions of the snapshot at the cursor, as many as there is room for."""
    shot = target.shown
    found = regions.rows(shot, model.sort)
    human = target.physical
    wide = place.left >= 60
    shown = place.table - 1
    width = 14 if human else 16
    head = f"   {'start':>{width}} {'size':>10} {'access':>7} {'for':>7}"
    if wide:
        head = f"   {'start':>{width}} {'end':>{width}} {'size':>10} {'access':>7} {'for':>7}  {'temperature':>14}"
    title = _TITLES[model.sort] + (f" ({len(found):,})" if len(found) > shown else "")
    lines = [spread([(head, DIM)], [(title, DIM)], place.left) if wide else fit([(head, DIM)], place.left)]
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
    """Schemes, then costs; schemes give way where there is no room for all."""
    lines: list[Line] = []
    costs = _costs(model, target)
    room = place.table - len(costs) - 1
    if target is not None:
        lines += _schemes(model, target, place.right)
    if len(lines) > room:
        lines = [*lines[: max(room - 1, 0)], [(f"... {len(lines) - max(room - 1, 0)} more lines", DIM)]][: max(room, 0)]
    if lines:
        lines.append([])
    lines += [spread([(name, DIM)], [(value, "")], place.right) for name, value in costs]
    return [fit(line, place.right) for line in lines[: place.table]]


def _schemes(model: Model, target: Target, width: int) -> list[Line]:
    kdamond = model.counters.kdamonds.get(target.series.kdamond)
    found: Sequence[Scheme] = kdamond.schemes if kdamond is not None else ()
    if not model.live:
        found = _recorded(target)
    wide = width >= 56
    lines: list[Line] = []
    for scheme in found:
        lines += _wide(scheme, width, model.live) if wide else _narrow(scheme, width, model.live)
    if wide and lines:
        columns = f"{'tried':>10} {'':>12} {'applied':>10} {'':>12}"
        lines.insert(0, spread([("scheme", DIM)], [(columns, DIM)], width))
    return lines


def _recorded(target: Target) -> list[Scheme]:
    stats = target.shown.stats
    if not stats:
        return []
    index = target.series.scheme or 0
    return [
        Scheme(index, "scheme", stats.get("sz_tried", 0), stats.get("sz_applied", 0), stats.get("qt_exceeds", 0), None)
    ]


def _name(scheme: Scheme) -> str:
    return f"{scheme.index} {scheme.action}"


def _quota(scheme: Scheme) -> str:
    words = [f"quota {size(scheme.quota_bytes)}"] if scheme.quota_bytes else []
    words += [f"exceeded {scheme.exceeded:,} times"] if scheme.exceeded else []
    return ", ".join(words)


def _narrow(scheme: Scheme, width: int, live: bool) -> list[Line]:
    def line(name: str, what: str, total: int, per_s: float | None) -> Line:
        speed = f" {rate(per_s):>12}" if live else ""
        return spread([(name, BOLD)], [(f"{what:>8}", DIM), (f"{size(total):>11}{speed}", "")], width)

    if scheme.only_counts:
        lines = [line(_name(scheme), "found", scheme.tried, scheme.tried_per_s)]
    else:
        lines = [
            line(_name(scheme), "tried", scheme.tried, scheme.tried_per_s),
            line("", "applied", scheme.applied, scheme.applied_per_s),
        ]
    quota = _quota(scheme)
    return [*lines, [("  " + quota, DIM)]] if quota else lines


def _wide(scheme: Scheme, width: int, live: bool) -> list[Line]:
    tried, applied = (rate(value) if live else "" for value in (scheme.tried_per_s, scheme.applied_per_s))
    text = f"{size(scheme.tried):>10} {tried:>12} "
    text += f"{'-':>10} {'':>12}" if scheme.only_counts else f"{size(scheme.applied):>10} {applied:>12}"
    lines: list[Line] = [spread([(_name(scheme), BOLD)], [(text, "")], width)]
    quota = _quota(scheme)
    return [*lines, [("  " + quota, DIM)]] if quota else lines


def _costs(model: Model, target: Target | None) -> list[tuple[str, str]]:
    """Names and values of what the machine bears."""
    if not model.live:
        return list(model.aside(target.view.cursor_ns)) if target is not None else []
    machine = model.counters.machine
    rows = [("memory pressure", percent(machine.pressure))] if machine.pressure is not None else []
    for kdamond in model.counters.kdamonds.values():
        name = f" ({printable(kdamond.name, 12)})" if kdamond.name else ""
        rows.append((f"kdamond {kdamond.index}{name}", f"{percent(kdamond.cpu)} of a core"))
    if machine.daemon_rss is not None:
        rows.append(("damod", f"{size(machine.daemon_rss)}, {percent(machine.daemon_cpu)} of a core"))
    if model.own_cpu is not None:
        rows.append(("this view", f"{percent(model.own_cpu)} of a core"))
    return rows


def facts(target: Target, snapshot: Snapshot) -> list[str]:
    """What is true of the snapshot as a whole, most important first."""
    own = snapshot.regions
    total = sum(own.end) - sum(own.start)
    used = sum(end - start for start, end, count in zip(own.start, own.end, own.nr_accesses, strict=True) if count)
    words = [
        f"working set {size(used)} of {size(total)}",
        f"{len(own):,} regions",
    ]
    if snapshot.aggr_us:
        words.append(f"{time(snapshot.sample_us * 1000)} / {time(snapshot.aggr_us * 1000)}")
    if target.history.lost:
        words.append(f"{target.history.lost:,} events lost")
    if target.history.stride > 1:
        words.append(f"every {target.history.stride}. snapshot")
    return words


def width_of(lines: Sequence[Line]) -> int:
    """The longest of the lines."""
    return max(map(length, lines), default=0)
