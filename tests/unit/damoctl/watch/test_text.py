"""Short numbers and lines of a width."""

from __future__ import annotations

import pytest

from damoctl.watch import text


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (0, "0 s"), (500, "0 us"), (4_000, "4 us"), (300_000_000, "300 ms"), (12_540_000_000, "12.5 s"),
        (99_990_000_000, "100.0 s"), (200 * 10**9, "3m20s"), (180 * 10**9, "3m"), (18_720 * 10**9, "5h12m"),
        (3 * 86_400 * 10**9, "72h"), (10 * 86_400 * 10**9 + 3_600 * 10**9, "10d1h"), (-2 * 10**9, "-2.0 s"),
    ],
)  # fmt: skip
def test_times(ns: int, said: str) -> None:
    """A time takes few characters, whatever it is."""
    assert text.time(ns) == said
    assert len(said) <= 7


def test_lines_have_their_width() -> None:
    """What is too long is cut, what is too short is filled; of two parts the left one is cut."""
    assert text.fit([("abc", "bold"), ("def", "")], 4) == [("abc", "bold"), ("d", "")]
    assert text.length(text.fit([("abc", "")], 10)) == 10
    assert "".join(part for part, _ in text.spread([("left side", "")], [("right", "")], 8)) == "lefright"
    assert text.joined([("one", ""), ("three", ""), ("two", "")], 10) == [("one", ""), ("   ", ""), ("two", "")]


def test_names_cannot_draw() -> None:
    """A name with escapes in it is text."""
    assert text.printable("a\x1b[31mb\n") == "a?[31mb?"


def test_numbers() -> None:
    """Unknown is a dash."""
    assert text.rate(None) == text.percent(None) == "-"
    assert text.rate(3.2 * 2**20) == "3.2 MiB/s"
    assert text.percent(0.123) == "12.3 %"
    assert text.span(90_000_000_000) == "1.5 m"
