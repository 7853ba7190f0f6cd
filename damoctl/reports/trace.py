"""`report trace`: DAMON's trace events, one compact line each.

Whatever they come from (damod's ring, `perf script`, `trace-cmd report`, a record), they are first lines of text as
perf prints them. So what is saved with --output is what was shown, and reads the same again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from damod import units

EVENTS = (
    "damon_aggregated", "damos_before_apply", "damon_monitor_intervals_tune", "damos_esz",
    "damos_stat_after_apply_interval", "damon_region_aggregated",
)  # fmt: skip
HEADER = "damo_report_trace_output_"
MAX_COLS = 100
# Characters of a line; the kernel's own buffer for one is not larger, and Python reads no longer numbers.
MAX_LINE = 4096
_LINE = re.compile(
    r"\s*(?P<task>\S.*?)(?P<gap>\s+|-)(?P<pid>\d+(?:/\d+)?|x+)\s+(?:(?:\[\d+\]|x+)\s+)?(?:[.\w]{4,6}\s+)?"
    r"(?P<time>\d+\.\d+):\s+(?:damon:)?(?P<name>damo\w+):\s*(?P<text>.*?)\s*"
)
_VALUE = re.compile(r"(\w+)=(\S+)")
_REGION = re.compile(r"(?<!\S)(-?\d+)-(-?\d+): (-?\d+)(?: (-?\d+|None))?")
_HITS = re.compile(r"probe_hits=(.*)$")


class Event(NamedTuple):
    """One event. `seconds` is its time stamp as text, `task` who it happened to as the tracer names it."""

    seconds: str
    task: str
    pid: int | None
    name: str
    text: str
    line: str

    @property
    def ns(self) -> int:
        whole, _, part = self.seconds.partition(".")
        return int(whole) * 1_000_000_000 + int(f"{part:0<9}"[:9])

    def fields(self) -> dict[str, Any]:
        """The values in the text; of a region also `start`, `end`, `nr_accesses` and `age` (null if not known)."""
        found: dict[str, Any] = {}
        text = self.text
        if hits := _HITS.search(text):
            found["probe_hits"] = [int(word, 16) for word in re.findall(r"(?:0x)?([0-9a-fA-F]+)", hits[1])]
            text = text[: hits.start()]
        values: dict[str, Any] = {name: _number(value) for name, value in _VALUE.findall(text)}
        if region := _REGION.search(text):
            age = region[4]
            values |= {
                "start": int(region[1]), "end": int(region[2]), "nr_accesses": int(region[3]),
                "age": None if age in (None, "None", "-1") else int(age),
            }  # fmt: skip
        return values | found

    def to_plain(self) -> dict[str, Any]:
        return {"ns": self.ns, "task": self.task, "pid": self.pid, "event": self.name, "fields": self.fields()}


def _number(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdecimal() else text


def parse(line: str) -> Event | None:
    """The event of a line of `perf script` or `trace-cmd report`; None if it has none of DAMON's."""
    match = _LINE.fullmatch(line) if len(line) <= MAX_LINE else None
    if match is None:
        return None
    pid = match["pid"].split("/")[-1]
    between = "-" if match["gap"] == "-" else "/"
    return Event(
        match["time"], f"{match['task']}{between}{pid}", int(pid) if pid.isdecimal() else None, match["name"],
        match["text"], line,
    )  # fmt: skip


class Wanted:
    """Which events are shown: names with or without ``damon:``; `all` or none are all, but those of `without`."""

    def __init__(self, names: Sequence[str], without: Sequence[str]) -> None:
        bare = [name.removeprefix("damon:") for name in names]
        self._only = None if "all" in bare or not bare else frozenset(bare)
        self._without = frozenset(name.removeprefix("damon:") for name in without)

    def __contains__(self, name: str) -> bool:
        return name not in self._without and (self._only is None or name in self._only)

    def of(self, there: Iterable[str]) -> list[str]:
        """Those of the events that there are; with names, these whether they are there or not."""
        return sorted(name for name in (there if self._only is None else self._only) if name in self)


class Compact:
    """Events as compact lines; it counts the regions of each aggregation, as the events do not."""

    def __init__(self, max_cols: int = MAX_COLS) -> None:
        self._max_cols = max_cols
        self._at: dict[tuple[str, str, Any], tuple[int, int, int]] = {}

    def __call__(self, event: Event) -> str:
        """One line, or several if it is longer than the columns."""
        show = _SHOWN.get(event.name)
        text = event.text
        if show is not None:
            with suppress(KeyError):  # another kernel's fields: as they are
                text = show(self, event, event.fields())
        return wrapped(f"{event.seconds} {event.task} damon:{event.name} {text}", self._max_cols)

    def place(self, event: Event, values: Mapping[str, Any]) -> str:
        """``3/10``: which region of its aggregation this is, from 0. One that lies below the one before begins anew."""
        key = (event.task, event.name, values["target_id"])
        count, last, of = self._at.get(key, (-1, -1, -1))
        number, start = values["nr_regions"], values["start"]
        count = count + 1 if start > last and of == number and count + 1 < number else 0
        self._at[key] = (count, start, number)
        return f"{count}/{number}"


def wrapped(line: str, max_cols: int) -> str:
    """A line cut at blanks so that each part has at most `max_cols` characters, if it can; parts are indented by 3."""
    if max_cols <= 0 or len(line) <= max_cols:
        return line
    lines = []
    words = line.split(" ")
    now = words[0]
    for word in words[1:]:
        if len(now) + 1 + len(word) > max_cols:
            lines.append(now)
            now = f"   {word}"
        else:
            now += f" {word}"
    return "\n".join([*lines, now])


def _span(values: Mapping[str, Any]) -> str:
    start, end = values["start"], values["end"]
    return f"{units.size(start, digits=6)} ({units.size(end - start, digits=6)})"


def _age(values: Mapping[str, Any]) -> int:
    age = values["age"]
    return -1 if age is None else age


def _aggregated(show: Compact, event: Event, values: Mapping[str, Any]) -> str:
    text = f"{values['target_id']} {show.place(event, values)} {_span(values)} {values['nr_accesses']} {_age(values)}"
    return " ".join([text, *map(str, values.get("probe_hits", ()))])


def _before_apply(_: Compact, event: Event, values: Mapping[str, Any]) -> str:
    head = f"{values['ctx_idx']} {values['scheme_idx']} {values['target_idx']} {values['nr_regions']}"
    return f"{head} {_span(values)} {values['nr_accesses']} {_age(values)}"


def _stats(_: Compact, event: Event, values: Mapping[str, Any]) -> str:
    tried, applied, passed = (
        units.size(values[name], digits=6) for name in ("sz_tried", "sz_applied", "sz_ops_filter_passed")
    )
    return (
        f"{values['ctx_idx']} {values['scheme_idx']} {values['nr_tried']} {tried} {values['nr_applied']} {applied}"
        f" {passed} {values['qt_exceeds']} {values['nr_snapshots']}"
    )


_SHOWN: dict[str, Callable[[Compact, Event, Mapping[str, Any]], str]] = {
    "damon_aggregated": _aggregated,
    "damon_region_aggregated": _aggregated,
    "damos_before_apply": _before_apply,
    "damos_stat_after_apply_interval": _stats,
}


def lines_of_ring(answer: Mapping[str, Any], formats: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """The events that `trace.read` answers as lines of perf; `formats` are those that `trace.open` gave."""
    tasks = answer["tasks"]
    for run in answer["runs"]:
        name, fields = run["event"], run["fields"]
        form, shown = formats.get(name, ("", []))
        places = {field: index for index, field in enumerate(fields)}
        for ns, values in zip(run["ns"], zip(*run["columns"], strict=True), strict=True):
            pid = values[0]
            if form and all(item.removeprefix("hex:") in places for item in shown):
                text = form % tuple(_shown(item, values, places) for item in shown)
            else:
                text = " ".join(f"{field}={value}" for field, value in zip(fields[1:], values[1:], strict=True))
            seconds = f"{ns // 1_000_000_000}.{ns % 1_000_000_000:09d}"
            yield f"{tasks.get(str(pid), 'kdamond')} {pid} xxxx {seconds}: damon:{name}: {text}"


def _shown(item: str, values: Sequence[Any], places: Mapping[str, int]) -> Any:
    if item.startswith("hex:"):
        return " ".join(f"{value:02x}" for value in values[places[item[4:]]])
    return values[places[item]]


def header(epoch_s: float) -> list[str]:
    """The first lines of a file of --output. The lines below are perf's, so that is named."""
    return [f"{HEADER}format_version: 0", f"{HEADER}time: {epoch_s:.6f}", f"{HEADER}tracer: perf"]
