"""Metrics of a whole damod: printed, served, and written into a file that goes with the daemon."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from damoctl.local import LocalDaemon
from damod.metrics.catalog import METRICS
from damod.settings import resolve
from tests.service.conftest import Run

START = ("start", "paddr", "--take_over", "--damos_action", "stat")


def names(text: str) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_damoctl_prints_them(damoctl: Run) -> None:
    """Text that parses, with the accesses and the scheme of what runs; OpenMetrics and JSON likewise."""
    assert damoctl(*START).returncode == 0
    shown = names(damoctl("metrics").stdout)
    expected = {name for metric in METRICS for name in metric.shown}
    assert shown == expected - {"damod_policy_running", "damod_policy_drift"}
    assert damoctl("metrics", "--openmetrics").stdout.endswith("# EOF\n")
    found = json.loads(damoctl("metrics", "--json").stdout)
    assert found["damon_scheme_tried_bytes"][0]["labels"] == {
        "kdamond": "0",
        "set": "adhoc",
        "scheme": "0",
        "action": "stat",
    }
    assert sum(found["damon_idle_age_bytes"][0]["value"]["buckets"]) == found["damon_monitored_bytes"][0]["value"] > 0


def test_they_are_served_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the settings say, on a TCP address and in a file, which is gone when damod has stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    path = tmp_path / "damod.prom"
    monkeypatch.setenv("DAMOD_METRICS_ADDRESS", address)
    monkeypatch.setenv("DAMOD_METRICS_TEXTFILE", str(path))
    monkeypatch.setenv("DAMOD_METRICS_INTERVAL", "200ms")
    with LocalDaemon("--kernel", "sim:moving", directory=tmp_path) as daemon:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert "damod_policy_generation" in names(answer.read().decode())
        deadline = time.monotonic() + 5
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert names(path.read_text()) >= {"damod_info", "damod_policies"}
        assert daemon.stop() == 0
    assert not path.exists()


def test_an_address_in_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that cannot serve as it was told does not start, and says why in a sentence."""
    from damod.errors import DaemonUnreachable

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("DAMOD_METRICS_ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(DaemonUnreachable, match="metrics cannot be served on 127") as told:
            LocalDaemon("--kernel", "sim", directory=tmp_path).start()
        assert "Traceback" not in str(told.value)


def test_the_documents_settings_are_settings(tmp_path: Path) -> None:
    """The block of docs/metrics.md is a damod.yaml that sets all three."""
    (text,) = re.findall(r"```yaml\n(.*?)```", Path("docs/metrics.md").read_text(), re.DOTALL)
    (tmp_path / "damod.yaml").write_text(text)
    settings = resolve(str(tmp_path / "damod.yaml"), {}).settings
    assert (settings.metrics_address, settings.metrics_interval) == ("127.0.0.1:9721", 15.0)
    assert settings.metrics_textfile == "/var/lib/prometheus/node-exporter/damod.prom"
