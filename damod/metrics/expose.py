"""Samples as Prometheus reads them, by prometheus_client: as text, over HTTP, and as a file for node_exporter.

The library is loaded by the first use, so a daemon without metrics does not carry it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from damod.errors import UsageError
from damod.metrics.catalog import BY_NAME, IDLE_BUCKETS_S

_HEAD_BYTES = 8192
_HEAD_S = 5.0
_AT_ONCE = 8

Families = Mapping[str, Any]


def need_library() -> None:
    """Raises UsageError where prometheus_client is not installed."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError as exc:
        raise UsageError(
            "metrics need the Python package prometheus_client, which is not installed",
            hint="apt install python3-prometheus-client, or pip install 'damod[metrics]'",
        ) from exc


class _Samples:
    """A collector of prometheus_client that gives what it was made with."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        from prometheus_client import core

        made = {
            "gauge": core.GaugeMetricFamily,
            "counter": core.CounterMetricFamily,
            "histogram": core.GaugeHistogramMetricFamily,
            "info": core.InfoMetricFamily,
        }
        for name, samples in self._families.items():
            # A newer daemon may have more than this client knows.
            if name not in BY_NAME or not samples:
                continue
            metric = BY_NAME[name]
            labels = [] if metric.type == "info" else metric.labels
            family: Any = made[metric.type](name, metric.help, labels=labels)
            for values, value in samples:
                if metric.type == "histogram":
                    counts = zip((*map(str, IDLE_BUCKETS_S), "+Inf"), accumulate(value["buckets"]), strict=True)
                    family.add_metric(values, list(counts), value["sum"])
                elif metric.type == "info":
                    family.add_metric([], dict(zip(metric.labels, values, strict=True)))
                else:
                    family.add_metric(values, value)
            yield family


def render(families: Families, accept: str = "") -> tuple[bytes, str]:
    """The text and its content type, in the format that `accept` (an HTTP header) prefers. Raises UsageError."""
    need_library()
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(families))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def write_textfile(path: str, families: Families) -> None:
    """Replace the file in one go, readable by node_exporter's user. Raises OSError, UsageError."""
    text, _ = render(families)
    # Hidden and without the suffix, so that node_exporter does not read it half written.
    partial = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.part")
    try:
        partial.write_bytes(text)
        partial.chmod(0o644)
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


class MetricsServer:
    """GET /metrics over HTTP on a TCP address or a Unix socket; everything else is refused. Nobody is asked who it is.

    One scrape is one `collect`; more than eight at once wait for nothing and get 503.
    """

    def __init__(self, collect: Callable[[], Awaitable[Families]]) -> None:
        self._collect = collect
        self._server: asyncio.Server | None = None
        self._under_way = 0

    async def start(self, address: str) -> None:
        """Listen on HOST:PORT, [HOST]:PORT or /PATH. Raises UsageError."""
        need_library()
        try:
            if address.startswith("/"):
                Path(address).unlink(missing_ok=True)
                self._server = await asyncio.start_unix_server(self._answer, path=address, limit=_HEAD_BYTES)
            else:
                host, _, port = address.rpartition(":")
                self._server = await asyncio.start_server(
                    self._answer, host=host.strip("[]"), port=int(port), limit=_HEAD_BYTES
                )
        except OSError as exc:
            raise UsageError(
                f"metrics cannot be served on {address} ({exc.strerror or exc})",
                hint="set another metrics_address in damod.yaml",
            ) from exc

    @property
    def port(self) -> int | None:
        """The TCP port, if that is what it listens on."""
        if self._server is None or not self._server.sockets:
            return None
        name = self._server.sockets[0].getsockname()
        return int(name[1]) if isinstance(name, tuple) else None

    async def close(self) -> None:
        """Serve nobody any more."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            self._under_way += 1
            try:
                status, body, kind = await self._response(head)
            finally:
                self._under_way -= 1
            told = (
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(told.encode() + (b"" if head[0].startswith("HEAD ") else body))
            async with asyncio.timeout(_HEAD_S):
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _response(self, head: list[str]) -> tuple[str, bytes, str]:
        plain = "text/plain; charset=utf-8"
        words = head[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return "400 Bad Request", b"not HTTP\n", plain
        if words[0] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", b"only GET\n", plain
        if words[1].partition("?")[0] != "/metrics":
            return "404 Not Found", b"damod's metrics are at /metrics\n", plain
        if self._under_way > _AT_ONCE:
            return "503 Service Unavailable", b"too many scrapes at once\n", plain
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        text, kind = render(await self._collect(), headers.get("accept", ""))
        return "200 OK", text, kind
