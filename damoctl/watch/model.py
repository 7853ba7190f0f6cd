"""Everything that the screen shows and keys change; no terminal in it.

`feed` takes what a source tells, `act` what a key means, `tick` the time that went by. `version` grows whenever the
screen would look different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from damoctl.reports.frames import Series
from damoctl.watch import view as views
from damoctl.watch.counters import Counters
from damoctl.watch.history import LIVE_REGIONS, RECORD_REGIONS, History
from damoctl.watch.picture import Picture
from damoctl.watch.regions import SORTS
from damoctl.watch.source import Counted, Running, Seen, Trouble, Update
from damoctl.watch.view import View
from damod.access.snapshot import Snapshot
from damod.errors import NoData

_FIRST_ROW_NS = 500_000_000
_MOST_PHYSICAL = 1 << 44


@dataclass(frozen=True)
class Start:
    """What to show first: which target (None: any), what time after the beginning, how much time at once.

    Or exactly the `times` (ns, on the record's clock) and `addresses`, [low, high) each.
    """

    kdamond: int | None = None
    context: int | None = None
    scheme: int | None = None
    target_id: int | None = None
    at_ns: int | None = None
    window_ns: int | None = None
    times: views.Span | None = None
    addresses: views.Span | None = None

    def fits(self, series: Series) -> bool:
        """Whether a target may be the one."""
        return all(wanted in (None, own) for wanted, own in zip(self._series, series, strict=True))

    def asks(self, series: Series) -> bool:
        """Whether a target was asked for."""
        return any(wanted is not None for wanted in self._series) and self.fits(series)

    @property
    def _series(self) -> tuple[int | None, ...]:
        return self.kdamond, self.context, self.scheme, self.target_id


class Target:
    """One monitored target: its history, and how it is looked at."""

    def __init__(self, series: Series, *, live: bool) -> None:
        self.series = series
        self.history = History(series, LIVE_REGIONS if live else RECORD_REGIONS, evenly=not live)
        self.picture = Picture(self.history)
        self.view = View(follow=live)
        self.running = live
        self.placed = False
        # a recording is shown from beginning to end until somebody looks closer
        self.fits = not live

    @property
    def newest(self) -> Snapshot:
        """The newest snapshot. A target is made by its first one."""
        found = self.history.newest
        assert found is not None
        return found

    @property
    def shown(self) -> Snapshot:
        """The snapshot at the cursor."""
        return self.history.at(self.view.cursor_ns) or self.newest

    @property
    def physical(self) -> bool:
        """Whether addresses are those of the machine's memory; damo's records do not tell, but their size does."""
        shot, stretches = self.newest, self.history.axis.stretches
        return shot.pid is None and shot.ops == "paddr" and (not stretches or stretches[-1][1] < _MOST_PHYSICAL)

    @property
    def label(self) -> str:
        shot, series = self.newest, self.series
        what = f"target {series.target_id}" if shot.pid is None else f"pid {shot.pid}"
        what = "physical memory" if self.physical else what
        scheme = "" if series.scheme is None else f", scheme {series.scheme}"
        return f"kdamond {series.kdamond}{scheme}, {what}"

    def settle(self) -> None:
        """Bring the view in line with what was seen."""
        self.view = views.settled(self.view, self.history.span, self.history.axis.total)

    def place(self, start: Start) -> None:
        """How it is looked at first: a live one in rows of half a second, a recording from beginning to end."""
        self.placed = True
        view, span, axis = self.view, self.history.span, self.history.axis
        if view.follow:
            row_ns = max(self.newest.aggr_us * 1000, _FIRST_ROW_NS)
            if start.window_ns is not None:
                row_ns = start.window_ns // view.rows
            self.view = replace(view, row_ns=views.step(row_ns))
            return
        self.whole()
        at = None if start.at_ns is None else min(span[0] + start.at_ns, span[1])
        times = start.times
        if start.window_ns is not None:
            end = span[1] if at is None else min(at + start.window_ns // 2, span[1])
            times = (end - start.window_ns, end)
        if times is not None:
            self.view = views.with_times(self.view, times)
            self.fits = False
        if start.addresses is not None:
            low, high = map(axis.offset, start.addresses)
            if low < high:
                self.view = replace(self.view, space=(low, high), whole=False)
        if at is not None:
            self.view = views.sought(self.view, at, span)

    def whole(self) -> None:
        """Show everything."""
        span = self.history.span
        if self.view.follow:  # how old memory is goes back to before anybody looked
            span = (self.history.began_ns, span[1])
        self.view = views.fitted(self.view, span, self.history.axis.total)
        if not self.view.follow:
            self.view = replace(self.view, cursor_ns=span[1])


class Model:
    """`live`: data go on coming. `edit`: it is about the part of a record that is shown, not about its regions.

    `aside` tells names and values to show beside the regions of a recording at a time; `idle`: nothing is monitored.
    """

    def __init__(self, name: str, *, live: bool, edit: bool = False) -> None:
        self.name = name
        self.live = live
        self.edit = edit
        self.version = 0
        self.targets: list[Target] = []
        self.counters = Counters()
        self.trouble: Trouble | None = None
        self.sort = SORTS[0]
        self.relative = False
        self.help = False
        self.playing = False
        self.done = False
        self.idle = False
        self.modules: list[str] = []
        self.own_cpu: float | None = None
        self.aside: Callable[[int], Iterable[tuple[str, str]]] = lambda time_ns: ()
        self._chosen: Target | None = None
        self._size = (1, 1)
        self._by_series: dict[Series, Target] = {}
        self._ticked_ns: int | None = None
        self._start = Start()

    # -- what comes in ---------------------------------------------------------------------------------------------

    def feed(self, update: Update) -> None:
        """Take what a source tells."""
        self.version += 1
        if isinstance(update, Seen):
            for series, snapshot in update.snapshots:
                self._see(series, snapshot)
        elif isinstance(update, Counted):
            self.counters.feed(update.stats)
        elif isinstance(update, Running):
            running = {row["index"] for row in update.status["kdamonds"]}
            self.idle = not running
            self.modules = list(update.status["modules"])
            self._judge(running)
        else:
            self.trouble = update if update.message else None

    def settle(self) -> None:
        """Bring all views in line with what came."""
        for target in self.targets:
            if not target.placed:
                target.place(self._start)
            target.settle()

    def _see(self, series: Series, snapshot: Snapshot) -> None:
        target = self._by_series.get(series)
        if target is None:
            target = Target(series, live=self.live)
            target.view = views.resized(target.view, *self._size)
            self._by_series[series] = target
            target.history.add(snapshot)
            self.targets = sorted([*self.targets, target], key=lambda item: _order(item.series))
            if self._chosen is None or (self.live and not self._chosen.running) or self._start.asks(series):
                self._chosen = target
        else:
            target.history.add(snapshot)
        target.running = self.live

    def _judge(self, running: set[int]) -> None:
        """Those whose kdamond has ended are of the past."""
        for target in self.targets:
            target.running = target.series.kdamond in running
        self.counters.kdamonds = {index: item for index, item in self.counters.kdamonds.items() if index in running}

    # -- what is shown ---------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> Target | None:
        """The target that is shown."""
        return self._chosen

    @property
    def number(self) -> int:
        """Which of the targets that is, from 1."""
        return self.targets.index(self._chosen) + 1 if self._chosen else 0

    def begin(self, start: Start) -> None:
        """What to show first. A live view waits for such a target; of a recording that has none NoData is raised."""
        self._start = start
        fitting = [target for target in self.targets if start.fits(target.series)]
        if fitting:
            self._chosen = fitting[0]
        elif not self.live:
            raise NoData(
                f"{self.name} has no such target", hint="`damoctl report heatmap --guide_human` shows what it has"
            )

    def resize(self, rows: int, columns: int) -> None:
        """The picture has so many pixels of time and of memory."""
        if (rows, columns) == self._size:
            return
        self._size = (rows, columns)
        self.version += 1
        for target in self.targets:
            cursor = target.view.cursor_ns
            target.view = views.resized(target.view, rows, columns)
            if target.placed and target.fits:
                target.whole()
                target.view = replace(target.view, cursor_ns=cursor)

    def tick(self, now_ns: int) -> None:
        """Time went by: a recording that plays goes on."""
        before, self._ticked_ns = self._ticked_ns, now_ns
        target = self._chosen
        if not self.playing or target is None or before is None:
            return
        self.version += 1
        span = target.history.span
        at = target.view.cursor_ns + now_ns - before
        target.view = views.sought(target.view, at, span)
        self.playing = at < span[1]

    # -- what keys do ----------------------------------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Do what a key means (an `action` of `keys.KEYS`)."""
        self.version += 1
        if self.help:
            self.help = False
            if action == "help":
                return
        if action == "quit":
            self.done = True
        elif action == "help":
            self.help = True
        elif action in ("next", "previous"):
            self._turn(1 if action == "next" else -1)
        elif action in ("sort", "sort_back"):
            step = 1 if action == "sort" else -1
            self.sort = SORTS[(SORTS.index(self.sort) + step) % len(SORTS)]
        elif action == "contrast":
            self.relative = not self.relative
        elif self._chosen is not None and self._chosen.placed:
            self._look(self._chosen, action)

    def _turn(self, by: int) -> None:
        if self._chosen is None:
            return
        self._chosen = self.targets[(self.targets.index(self._chosen) + by) % len(self.targets)]
        self.playing = False

    def _look(self, target: Target, action: str) -> None:
        view, span, total = target.view, target.history.span, target.history.axis.total
        step = 1 if action in ("zoom_in", "time_in", "right", "down") else -1
        if action in ("zoom_in", "zoom_out"):
            view = views.zoomed_space(view, step, total)
        elif action in ("time_in", "time_out"):
            view = views.zoomed_time(view, step)
        elif action in ("left", "right"):
            view = views.panned(view, step, total)
        elif action in ("up", "down"):
            view = (
                views.scrolled(view, step * max(view.rows // 8, 1), span)
                if self.edit
                else (views.moved(view, step, span))
            )
        elif action in ("page_up", "page_down"):
            view = views.scrolled(view, view.rows * (-1 if action == "page_up" else 1), span)
        elif action == "home":
            view = views.sought(view, span[0], span)
        elif action == "end":
            view = views.sought(view, span[1], span)
            view = replace(view, follow=self.live)
        elif action == "pause":
            view = self._pause(view, span)
        elif action == "whole":
            target.whole()
            target.fits = not self.live
            return
        self.playing = self.playing and action not in ("up", "down", "page_up", "page_down", "home", "end")
        target.fits = target.fits and view.row_ns == target.view.row_ns and view.bottom == target.view.bottom
        target.view = views.settled(view, span, total)

    def _pause(self, view: View, span: views.Span) -> View:
        if self.live:
            return replace(view, follow=not view.follow)
        self.playing = not self.playing
        if self.playing and view.cursor_ns >= span[1]:
            return views.sought(view, span[0], span)
        return view

    def point(self, row: int) -> None:
        """The mouse points at a row of the picture: the cursor goes there."""
        target = self._chosen
        if target is None or not target.placed:
            return
        self.version += 1
        view = target.view
        at = (view.bottom - view.rows + row + 1) * view.row_ns
        if not self.edit:
            self.playing = False
            target.view = views.sought(view, at, target.history.span)

    def wheel(self, steps: int, column_share: float) -> None:
        """The mouse's wheel: zoom so that the memory under it stays there."""
        target = self._chosen
        if target is not None and target.placed:
            self.version += 1
            target.view = views.zoomed_space(target.view, steps, target.history.axis.total, column_share)


def _order(series: Series) -> tuple[int, int, int, int]:
    scheme = -1 if series.scheme is None else series.scheme
    return series.kdamond, series.context, scheme, series.target_id or 0
