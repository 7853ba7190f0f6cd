"""Where `report access` takes its snapshots from, and what it does when there are none."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from damoctl.commands import report, report_access
from damoctl.context import Context
from damoctl.flags import access as flags
from damod.access.record import from_live
from damod.access.snapshot import Regions, Snapshot
from damod.errors import DaemonUnreachable, NoData, NotAllowed, UsageError
from damod.records import damo_json, damo_plain

REGIONS = Regions([4096, 8192, 1 << 32], [8192, 12288, (1 << 32) + (1 << 30)], [20, 20, 0], [3, 3, 30])


def live(**changes: Any) -> Snapshot:
    plain: dict[str, Any] = {
        "kdamond": 0, "context": 0, "target": 0, "start_ns": 10**12, "end_ns": 10**12 + 10**8, "wall_offset_ns": 10**18,
        "sample_us": 5_000, "aggr_us": 100_000, "regions": REGIONS,
    }  # fmt: skip
    return Snapshot(**{**plain, **changes})


class Client:
    """Answers as a daemon would: `snapshots` or an error, and whether a kdamond is on."""

    def __init__(self, answer: list[Snapshot] | Exception, *, running: bool = False) -> None:
        self.answer = answer
        self.running = running
        self.calls: list[str] = []
        self.params: list[dict[str, Any]] = []

    def call(self, method: str, /, **params: Any) -> Any:
        self.calls.append(method)
        self.params.append(params)
        if method == "daemon.status":
            return {"kdamonds": [{"state": "on" if self.running else "off"}]}
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"snapshots": [snapshot.to_wire() for snapshot in self.answer]}


class Ctx(Context):
    def __init__(self, client: Client | Callable[[], Client], **how: Any) -> None:
        super().__init__(stdout=io.StringIO(), stderr=io.StringIO(), **how)
        self._made = client

    def client(self) -> Any:
        return self._made() if callable(self._made) else self._made

    def said(self) -> str:
        assert isinstance(self.stdout, io.StringIO)
        return self.stdout.getvalue()

    def noted(self) -> str:
        assert isinstance(self.stderr, io.StringIO)
        return self.stderr.getvalue()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def old_record(path: Path) -> None:
    (record,) = from_live([live(regions=Regions([0], [1 << 20], [0], [0]))])
    path.write_text(json.dumps([damo_plain.to_plain(record, raw=True)]))


def show(client: Any, *words: str, **how: Any) -> Ctx:
    ctx = Ctx(client, **how)
    assert report.run(["access", *words], ctx) == 0
    return ctx


def test_live_default() -> None:
    """A live snapshot in the default style: heatmap, intervals, merged regions, bandwidth and total, as documented."""
    assert show(Client([live()])).said() == (
        "heatmap: 9" + "[...]" + "0" * 81 + "\n"
        "# min/max temperatures: -300,000,000, 30,010,000, column size: 12.800 MiB\n"
        "intervals: sample 5 ms aggr 100 ms (max access hz 200)\n"
        "0   addr 4.000 KiB    size 8.000 KiB   access 200 hz age 300 ms       \n"
        "1   addr 4.000 GiB    size 1024.000 MiB access 0 hz   age 3 s          \n"
        "memory bw estimate: 1.562 MiB per second\n"
        "total size: 1.000 GiB\n"
        "record DAMON intervals: sample 5 ms, aggr 100 ms\n"
    )


def test_dont_merge() -> None:
    """Equal neighbours stay apart when asked."""
    assert "\n2   addr 4.000 GiB" in show(Client([live()]), "--dont_merge_regions").said()


def test_several_targets() -> None:
    """Each (kdamond, context, target) is a record with a head of its own, with the pid where there is one."""
    said = show(Client([live(target=1, pid=77), live(), live(kdamond=1)])).said()
    heads = [line for line in said.splitlines() if line.startswith("kdamond ")]
    assert [head.split(" / recorded")[0] for head in heads] == [
        "kdamond 0 / context 0 / scheme None / target id 0",
        "kdamond 0 / context 0 / scheme None / target id 77",
        "kdamond 1 / context 0 / scheme None / target id 0",
    ]


def test_running_beats_the_file(here: Path) -> None:
    """With a running kdamond ./damon.data is not looked at."""
    old_record(here / "damon.data")
    ctx = show(Client([live()]))
    assert "1.000 GiB" in ctx.said()
    assert ctx.noted() == ""


def unreachable() -> Client:
    raise DaemonUnreachable("nobody listens", hint="start it")


def forbidden() -> Client:
    raise NotAllowed("not yours")


STAT = live(source="damon_stat", regions=Regions([0], [1 << 21], [0], [9]))


@pytest.mark.parametrize(
    "client", [Client([]), Client(NoData("nothing runs")), unreachable, forbidden, Client([STAT])],
    ids=["off", "no data", "no daemon", "not allowed", "damon_stat"],
)  # fmt: skip
def test_file_without_kdamonds(client: Any, here: Path) -> None:
    """With nothing running, or nobody to ask, ./damon.data is shown and said so."""
    old_record(here / "damon.data")
    ctx = show(client)
    assert "total size: 1024.000 KiB" in ctx.said()
    assert "showing ./damon.data" in ctx.noted()


@pytest.mark.parametrize(
    ("client", "error"),
    [(Client([]), NoData), (Client(NoData("nothing runs")), NoData), (unreachable, DaemonUnreachable)],
)
def test_nothing(client: Any, error: type[Exception]) -> None:
    """With nothing at all the first trouble is told."""
    with pytest.raises(error):
        show(client)


def test_silent_kdamond(here: Path) -> None:
    """A running kdamond that gives no snapshot in time is an error; an old file is not taken for it."""
    old_record(here / "damon.data")
    with pytest.raises(NoData, match="late"):
        show(Client(NoData("late"), running=True))


def test_damon_stat() -> None:
    """Last comes damon_stat, and the report says so."""
    assert "# data source: damon_stat\n" in show(Client([STAT])).said()


def test_lost_events() -> None:
    """Lost trace events are shown, not hidden."""
    assert "# lost: 12 trace events before this snapshot\n" in show(Client([live(lost=12)])).said()


def test_repeat_does_not_fall_back(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that goes away while repeating is an error; what was live does not become an old file."""
    old_record(here / "damon.data")
    client = Client([live()])

    def gone(_: float) -> None:
        client.answer = DaemonUnreachable("gone")

    monkeypatch.setattr(report_access, "sleep", gone)
    with pytest.raises(DaemonUnreachable, match="gone"):
        show(client, "--repeat", "1", "3")


def test_snapshot_filters(here: Path) -> None:
    """Filters go to the daemon, and what passed is shown; they are refused for records, which have their own."""
    regions = Regions([0], [1 << 20], [20], [3], sz_filter_passed=[4096])
    told = [{"filter_type": "anon", "matching": True, "allow": True}]
    client = Client([live(regions=regions, filters=told)])
    said = show(client, "--snapshot_damos_filter", "allow", "anon").said()
    assert client.params == [{"filters": told}]
    assert "# damos filters (df): allow anon\n" in said
    assert "age 300 ms        df-passed 4.000 KiB\n" in said
    assert "total size: 1024.000 KiB  df-passed 4.000 KiB\n" in said
    old_record(here / "damon.data")
    with pytest.raises(UsageError, match="live snapshots"):
        show(client, "--snapshot_damos_filter", "allow", "anon", "--input", "damon.data")
    with pytest.raises(DaemonUnreachable):
        show(unreachable, "--snapshot_damos_filter", "allow", "anon")
    with pytest.raises(UsageError, match="snapshot_damos_filter"):
        show(client, "--snapshot_damos_filter", "allow", "anonymous")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record may come through a pipe."""
    (record,) = from_live([live()])
    data = json.dumps([damo_plain.to_plain(record, raw=True)]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert "total size: 1.000 GiB" in show(unreachable, "--input", "-").said()


def test_json() -> None:
    """--json, before or after the command, prints the records in damo's format, which read back."""
    before, after = show(Client([live()]), json=True).said(), show(Client([live()]), "--json").said()
    assert before == after
    (plain,) = json.loads(after)
    assert plain["snapshots"][0]["regions"][0] == {
        "start": "4,096",
        "end": "12,288",
        "nr_accesses": {"samples": 20, "percent": 100},
        "age": {"usec": "300 ms", "aggr_intervals": "3"},
        "probe_hits": [],
        "sz_filter_passed": None,
    }
    (record,) = damo_json.read_stream(io.BytesIO(after.encode()), "x")
    assert list(record.snapshots[0].regions.end) == [12288, (1 << 32) + (1 << 30)]


def test_repeat() -> None:
    """--repeat asks again each time, over one connection."""
    client = Client([live()])
    made: list[int] = []

    def connect() -> Client:
        made.append(1)
        return client

    said = show(connect, "--repeat", "0", "3", "--total_sz_only").said()
    assert said == "1.000 GiB\nrecord DAMON intervals: sample 5 ms, aggr 100 ms\n" * 3
    assert client.calls == ["kdamonds.snapshot"] * 3
    assert len(made) == 1


def test_repeat_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """--repeat alone goes on each second until Ctrl-C, which is its normal end."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(report_access, "sleep", sleep)
    # each round takes a quarter of a second
    monkeypatch.setattr(report_access, "monotonic", lambda: sum(slept) + 0.25 * len(client.calls))
    client = Client([live()])
    show(client, "--repeat")
    assert slept == [0.75, 0.75, 0.75]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stile", "hot"], "--stile.*--style"),
        (["--style", "hott"], "did you mean 'hot'"),
        (["--sz_region", "10", "5"], "first is above the second"),
        (["--sz_region", "1K"], "2 words"),
        (["--address", "10", "10"], "not above the start"),
        (["--access_rate", "x", "5"], "x"),
        (["--percentiles_range", "5", "5"], "no percentile"),
        (["--percentiles_range", "0", "5", "0"], "never ends"),
        (["--hist_ranges", "1", "2", "3"], "odd number"),
        (["--hist_ranges", "1", "x", "--style", "recency-sz-hist"], "hist_ranges"),
        (["--format", "set", "middle", "x"], "not one of"),
        (["--snapshot_heatmap_width", "0"], "at least one"),
        (["--region_box_min_max_length", "5", "2"], "above"),
        (["--repeat", "-1", "2"], "negative"),
        (["--repeat", "1", "0"], "nothing"),
        (["stray"], "stray"),
        (["--ls_region_format_keywords"], "keywords"),
    ],
)
def test_wrong_words(words: list[str], said: str) -> None:
    """Each wrong word is a usage error that names it."""
    with pytest.raises(UsageError, match=said):
        show(Client([live()]), *words)


def test_types() -> None:
    """The table of reports tells its names, also to who mistypes one."""
    ctx = Ctx(Client([]))
    assert report.run(["--help"], ctx) == 0
    assert "access" in ctx.said()
    with pytest.raises(UsageError, match="did you mean 'access'"):
        report.run(["acess"], ctx)
    with pytest.raises(UsageError):
        report.run([], ctx)


def test_help() -> None:
    """Help shows every option that is not hidden, with its default."""
    said = show(Client([]), "--help").said()
    for option in (*report_access.OPTIONS, *flags.FILTERS, *flags.FORMATS):
        there = any(line.split()[:1] in ([option.name], [f"{option.name},"]) for line in said.splitlines())
        assert there is not option.hidden, option.name
    assert "--sz_region <min> <max>" in said
    assert "default: 0 1 25 50 75 99 100)" in " ".join(said.split())


HEAVY = ("asyncio", "pydantic", "numpy", "argparse", "json", "yaml", "msgpack", "subprocess")
SCRIPT = """
import sys
from damod.access.snapshot import Regions, Snapshot
count = 1000
regions = Regions([n << 21 for n in range(count)], [(n + 1) << 21 for n in range(count)],
                  [n % 21 for n in range(count)], [n for n in range(count)])
wire = Snapshot(0, 0, 0, 0, 10**8, 0, 5000, 100000, regions).to_wire()
from damoctl.context import Context
class Ctx(Context):
    def client(self):
        class Client:
            def call(self, method, **params):
                return {"snapshots": [wire]}
        return Client()
from damoctl.commands import report
assert report.run(["access"], Ctx()) == 0
print([name for name in HEAVY if name in sys.modules], file=sys.stderr)
"""


def test_starts_light() -> None:
    """A live report of 1,000 regions loads no heavy module."""
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {HEAVY}\n{SCRIPT}"], capture_output=True, text=True, check=True,
        cwd=Path(report_access.__file__).parents[2], env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
    assert done.stdout.count("\n") > 1000
