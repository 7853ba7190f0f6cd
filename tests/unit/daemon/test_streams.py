"""Who is told what: filters as plain values, intervals, and a kernel without trace events."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from damod.access.select import Selection
from damod.daemon.feeds import Snapshots
from damod.daemon.kernel_thread import KernelThread
from damod.daemon.owner import Owner
from damod.daemon.streams import Streams, Subscriber, Want, selection_of
from damod.errors import NotAllowed, UsageError
from damod.kernel.sim.kernel import SimKernel


def test_filters_are_plain_values() -> None:
    """Each as a range with both ends; a most of None is no bound; shares are exact; nothing at all keeps everything."""
    assert selection_of(None) is None
    assert selection_of({}) is None
    made = selection_of({"access_rate": [0.1, None], "size": [1, 2], "age_us": [3, 4], "address": [[4096, 8192]]})
    assert made == Selection(
        sizes=(1, 2), rates=(Fraction(1, 10), Fraction(2**64 - 1)), ages_us=(3, 4), addresses=((4096, 8192),)
    )
    assert hash(made) == hash(selection_of({"address": [[4096, 8192]], "age_us": [3, 4], **_rest()}))


def _rest() -> dict[str, Any]:
    return {"access_rate": [0.1, None], "size": [1, 2]}


@pytest.mark.parametrize(
    "filters",
    [
        {"size": 5},
        {"size": [1]},
        {"size": ["1", 2]},
        {"size": [1.5, 2]},
        {"size": [True, 2]},
        {"size": [-1, 2]},
        {"access_rate": [50, 10]},
        {"address": [[1, 2], [1, 3]]},
        {"address": [[2, 2]]},
        {"temperature": [1, 2]},
    ],
    ids=str,
)
def test_wrong_filters_are_usage_errors(filters: dict[str, Any]) -> None:
    """Whatever a peer sends, it is refused with a sentence."""
    with pytest.raises(UsageError):
        selection_of(filters)


def test_an_interval_thins_without_drifting_apart() -> None:
    """Of aggregations 100 ms apart, give or take, every third passes an interval of 250 ms; none passes twice."""
    subscriber = Subscriber(Want(frozenset({"snapshots"}), interval_ns=250_000_000), flow=None, outbox=None)  # type: ignore[arg-type]
    ends = [number * 100_000_000 + number % 3 * 1_000_000 for number in range(30)]
    passed = [end for end in ends if subscriber.due("x", end, 10_000_000)]
    assert passed == ends[::3]
    assert not subscriber.due("x", ends[27], 10_000_000)
    assert subscriber.due("another target", ends[27], 10_000_000)


async def test_without_trace_events_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ring may not be opened, subscribing to snapshots is refused with the reason."""
    kernel, thread = SimKernel(), KernelThread()
    streams = Streams(lambda kind, exc: None)
    feed = Snapshots(kernel, Owner(kernel, tmp_path), thread, streams)

    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/sys/kernel/tracing/instances")

    monkeypatch.setattr(kernel.trace, "open", refused)
    with pytest.raises(NotAllowed, match="cannot read DAMON's trace events"):
        await feed.open()
    await feed.close(1)
    await thread.close(1)
