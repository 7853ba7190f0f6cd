"""Metrics: every sample is of the catalog, histograms add up, Prometheus can read the text, the documents agree."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from damod.access.snapshot import Regions, Snapshot
from damod.errors import UsageError
from damod.metrics.catalog import BY_NAME, IDLE_BUCKETS_S, METRICS, WORKING_SET_S
from damod.metrics.collect import Family, Seen, collect, histogram
from damod.metrics.expose import MetricsServer, render, write_textfile

MIB = 1 << 20
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def snapshot(ages: list[int], nr: list[int], *, kdamond: int = 0, target: int = 0) -> Snapshot:
    """Regions of 1 MiB, 100 ms aggregations."""
    starts = [MIB * index for index in range(len(ages))]
    regions = Regions(starts, [start + MIB for start in starts], nr, ages)
    return Snapshot(kdamond, 0, target, 0, 10**8, 0, 5000, 100_000, regions)


def seen(*snapshots: Snapshot, name: str | None = "tiering") -> Seen:
    stats = {"nr_tried": 3, "sz_tried": 30, "nr_applied": 2, "sz_applied": 20}
    stats |= {"sz_ops_filter_passed": 10, "qt_exceeds": 5, "nr_snapshots": 0, "max_nr_snapshots": 0}
    row = {"name": name, "pid": 77, "cpu_ns": 10**9, "ops": "paddr", "sample_us": 5000, "aggr_us": 100_000}
    row["schemes"] = [{"action": "pageout", "stats": stats, "effective_quota_bytes": 4096}]
    return Seen(
        status={
            "daemon": {
                "version": "1",
                "kernel": {"name": "sim", "release": '7."3'},
                "connections": 2,
                "subscriptions": 1,
            },
            "problems": ["x"],
            "policy_generation": 4,
        },
        stats={
            "kdamonds": [{**row, "kdamond": 0}, {**row, "kdamond": 1}],
            "memory_pressure_us": 2_000_000,
            "daemon": {"cpu_ns": 5 * 10**8, "rss_bytes": 40 * MIB},
        },
        snapshots=snapshots,
        policies=[{"name": "tiering", "stage": "running", "drift": [{}, {}]}],
        recordings=[{"state": "recording", "lost": 3}],
        lost={"streams": 1, "recordings": 3},
        streams_lost=9,
        open_fds=12,
        start_s=1000.0,
    )


def parsed(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_every_metric_has_samples_and_parses() -> None:
    """All of the catalog comes out, each sample under its names and with its labels; both formats are read back."""
    families = collect(seen(snapshot([0, 50], [5, 0]), snapshot([0], [1], kdamond=1)))
    assert list(families) == [metric.name for metric in METRICS]
    assert [name for name, samples in families.items() if not samples] == []
    found = parsed(render(families)[0])
    names = {name for metric in METRICS for name in metric.shown}
    assert {name for name, _ in found} == names
    for name, labels in found:
        (metric,) = [metric for metric in METRICS if name in metric.shown]
        assert {key for key, _ in labels} - {"le"} == set(metric.labels)
    opened = list(open_families(render(families, OPENMETRICS)[0].decode()))
    assert {family.name for family in opened} == {metric.name for metric in METRICS}
    assert {family.type for family in opened if family.name == "damon_idle_age_bytes"} == {"gaugehistogram"}
    assert found["damod_policy_drift", (("policy", "tiering"),)] == 2
    assert found["damod_info", (("kernel", "sim"), ("release", '7."3'), ("version", "1"))] == 1


def test_promtool_is_content() -> None:
    """Prometheus' own checker finds nothing to say about the text."""
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian: prometheus, or $PROMTOOL); the client library's parser has read the text")
    text = render(collect(seen(snapshot([0, 50], [5, 0]))))[0]
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 20)), max_size=40))
def test_histograms_sum_and_are_cumulative(rows: list[tuple[int, int]]) -> None:
    """However regions are: buckets never fall, the last one is the count and all bytes there are; the sum fits; working
    sets agree with the buckets of the same age, and two hosts' histograms added are the histogram of both."""
    one = snapshot([age for age, _ in rows], [nr for _, nr in rows])
    families = collect(seen(one))
    found = parsed(render(families)[0])
    whose = (("kdamond", "0"), ("set", "tiering"))
    if not rows:
        assert found["damon_monitored_bytes", whose] == 0
    bounds = [*map(str, IDLE_BUCKETS_S), "+Inf"]
    counts = [found["damon_idle_age_bytes_bucket", (whose[0], ("le", bound), whose[1])] for bound in bounds]
    assert counts == sorted(counts)
    assert counts[-1] == found["damon_idle_age_bytes_gcount", whose] == len(rows) * MIB
    idle_s = [0.0 if nr else (age + 1) / 10 for age, nr in rows]
    assert found["damon_idle_age_bytes_gsum", whose] == pytest.approx(sum(idle_s) * MIB)
    for bound, count in zip(IDLE_BUCKETS_S, counts, strict=False):
        assert count == MIB * sum(value <= bound for value in idle_s)
        if bound in WORKING_SET_S:
            within = (*whose, ("within_seconds", str(bound)))
            assert found["damon_working_set_bytes", within] == count
    half = len(idle_s) // 2
    sized = [(value, MIB) for value in idle_s]
    parts = [histogram(sized[:half]), histogram(sized[half:])]
    both = histogram(sized)
    assert [a + b for a, b in zip(parts[0]["buckets"], parts[1]["buckets"], strict=True)] == both["buckets"]


def test_targets_of_a_kdamond_are_summed() -> None:
    """A kdamond with several targets has one series, not one for each."""
    families = collect(seen(snapshot([0], [1]), snapshot([0, 0], [1, 0], target=1)))
    assert families["damon_monitored_bytes"] == [(("0", "tiering"), 3 * MIB)]
    assert families["damon_regions"] == [(("0", "tiering"), 3)]


def test_labels_are_bounded() -> None:
    """However many regions there are, the number of series stays."""
    few, many = collect(seen(snapshot([0], [1]))), collect(seen(snapshot([0] * 5000, [1] * 5000)))
    count = {name: len(samples) for name, samples in few.items()}
    assert count == {name: len(samples) for name, samples in many.items()}
    names = {label for metric in METRICS for label in metric.labels}
    assert not names & {"pid", "region", "start", "address", "target"}


def test_the_textfile_is_replaced_in_one_go(tmp_path: Path) -> None:
    """It is readable for others, nothing is left beside it, and a directory that is not there is an OSError."""
    path = tmp_path / "damod.prom"
    path.write_text("old")
    write_textfile(str(path), collect(seen()))
    assert b"damod_policy_generation 4.0" in path.read_bytes()
    assert oct(path.stat().st_mode)[-3:] == "644"
    assert [item.name for item in tmp_path.iterdir()] == ["damod.prom"]
    with pytest.raises(OSError, match="missing"):
        write_textfile(str(tmp_path / "missing" / "damod.prom"), collect(seen()))


async def ask(server: MetricsServer, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def families() -> dict[str, Family]:
    return collect(seen())


async def test_it_is_served_over_http(tmp_path: Path) -> None:
    """GET /metrics in the format that is preferred; everything else is refused; on a Unix socket as well."""
    server = MetricsServer(families)
    await server.start("127.0.0.1:0")
    head, _, body = (await ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert f"Content-Length: {len(body)}".encode() in head
    assert parsed(body) == parsed(render(await families())[0])
    open_one = await ask(server, b"GET /metrics HTTP/1.1\r\nAccept: " + OPENMETRICS.encode() + b"\r\n\r\n")
    assert open_one.endswith(b"# EOF\n")
    assert (await ask(server, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
    for request, status in (
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"hello\r\n\r\n", b"400"),
    ):
        assert (await ask(server, request)).startswith(b"HTTP/1.1 " + status)
    assert await ask(server, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n") == b""
    with pytest.raises(UsageError, match="cannot be served"):
        await MetricsServer(families).start(f"127.0.0.1:{server.port}")
    await server.close()

    path = str(tmp_path / "metrics.sock")
    other = MetricsServer(families)
    await other.start(path)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    await other.close()


def test_the_document_is_the_catalogs() -> None:
    """docs/metrics.md lists every metric with its names, type, labels and help, and nothing else."""
    section = Path("docs/metrics.md").read_text().partition("\n## All of them\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{'`, `'.join(metric.shown)}` | {metric.type} | {', '.join(f'`{x}`' for x in metric.labels) or '–'} |"
        f" {metric.help} |"
        for metric in METRICS
    ]


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Every metric in every expression of the dashboard exists and has the labels that are used."""
    dashboard = json.loads(Path("docs/grafana-dashboard.json").read_text())
    shown = {name: metric for metric in METRICS for name in metric.shown}
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [item["query"]["query"] for item in dashboard["templating"]["list"] if item["type"] == "query"]
    used: set[str] = set()
    for text in expressions:
        names = re.findall(r"\bdam(?:on|od)_\w+", text)
        assert names, text
        assert set(names) <= shown.keys(), text
        used |= set(names)
        for name, selector in re.findall(r"\b(dam(?:on|od)_\w+)\{([^}]*)\}", text):
            labels = set(re.findall(r"(\w+)=", selector))
            assert labels <= {*shown[name].labels, "instance", *(["le"] if name.endswith("_bucket") else [])}, text
    assert len(used) > 20
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(titles) == len(set(titles))


def test_names_follow_prometheus() -> None:
    """Units are in the name as Prometheus wants them, and no name is there twice."""
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"dam(on|od)(_[a-z]+)*", metric.name)
        assert not metric.unit or metric.name.endswith(metric.unit)
        assert not metric.name.endswith("_total")
        assert metric.help.endswith(".")


def test_a_missing_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prometheus_client there is a hint, not a traceback."""
    import builtins

    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="prometheus_client, which is not installed"):
        render({})
