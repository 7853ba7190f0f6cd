"""Totals and rates."""

from __future__ import annotations

import pytest

from damoctl.watch.counters import Counters, Rates
from tests.unit.damoctl.watch.shots import MIB, S, stats


def test_a_rate_is_that_of_the_last_seconds() -> None:
    """What was long ago does not count; one total is no rate; a total that falls begins anew."""
    rates = Rates(window_ns=5 * S)
    assert rates.per_second("x") is None
    for second in range(11):
        rates.add("x", second * S, 1000 * min(second, 5) + 10 * max(second - 5, 0))
    assert rates.per_second("x") == pytest.approx(10)
    rates.add("x", 11 * S, 0)
    assert rates.per_second("x") is None


def test_stats_become_what_the_screen_shows() -> None:
    """Shares of a core and of time, and bytes per second, of two events a second apart."""
    counters = Counters()
    counters.feed(stats(0, 0))
    assert counters.kdamonds[0].schemes[0].tried_per_s is None
    counters.feed(stats(S, 10 * MIB, cpu_ns=S // 50, pressure_us=1000))
    kdamond = counters.kdamonds[0]
    (scheme,) = kdamond.schemes
    assert kdamond.cpu == pytest.approx(0.02)
    assert (scheme.tried, scheme.applied, scheme.tried_per_s, scheme.applied_per_s) == (
        10 * MIB, 5 * MIB, 10 * MIB, 5 * MIB,
    )  # fmt: skip
    assert (scheme.exceeded, scheme.quota_bytes) == (3, 4 * MIB)
    assert counters.machine.pressure == pytest.approx(0.001)
    assert counters.machine.daemon_cpu == pytest.approx(0.01)


def test_a_machine_without_pressure_information() -> None:
    """No PSI in the kernel: nothing is shown of it."""
    counters = Counters()
    for second in (1, 2):
        counters.feed(stats(second * S, 0, pressure_us=None))
    assert counters.machine.pressure is None
    assert counters.machine.daemon_rss == 40 * MIB
